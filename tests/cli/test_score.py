"""mrdl score: a filter for raw rows; evaluate and predict on raw rows by command line."""
import json
import os
import re
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
from command_line import mrdl
from raw_rows import HEADER, ROWS, joined, predicted, saved, through, written

from mrdl.data.readers import lines
from mrdl.data.sources import DataError
from mrdl.driver.preparation.prepare import prepare
from mrdl.models.saving import load_model
from mrdl.storage import pieces
from mrdl.worker import stream


@pytest.fixture(scope="module")
def titanic(tmp_path_factory, inline):
    folder = tmp_path_factory.mktemp("titanic")
    path = written(folder / "passengers.csv")
    return path, saved(prepare(path, str(folder / "data"), inline, label="survived"), folder / "run"), folder


def filtered(run, data: bytes, *words):
    """(exit status, stdout, stderr) of a pipe through `mrdl score`."""
    done = subprocess.run([sys.executable, "-m", "mrdl", "score", run, *words], input=data, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_pipe_gives_the_scores_of_predict(tmp_path, titanic, capsys):
    path, run, _ = titanic
    broken = (tmp_path / "broken.csv")
    broken.write_text(open_text(path) + "x,y\n")
    status, _, err = mrdl(capsys, "predict", run, str(broken), str(tmp_path / "out"), "--id", "id", "--keep", "name")
    assert status == 0 and "1 of 61 rows could not be read: 1 wrong field count" in err and f"{broken}, byte " in err
    assert f"61 rows in the order of the input: cat {tmp_path}/out/part-*" in err
    _, _, err = mrdl(capsys, "predict", run, path, str(tmp_path / "table"), "--format", "parquet")
    assert f"60 rows in the order of the input: {tmp_path}/table/part-*.parquet" in err
    status, out, err = filtered(run, broken.read_bytes(), "--id", "id", "--keep", "name")
    assert status == 0 and out == joined(tmp_path / "out").replace("broken.csv, byte", "the input, byte")
    assert "1 of 61 rows could not be read" in err
    tabs = "".join("\t".join(row[:5]) + "\n" for row in ROWS)
    status, out, _ = filtered(run, tabs.encode(), "--columns", ",".join(HEADER[:5]))
    lines = [line.split("\t") for line in out.splitlines()]
    scores = [line.rsplit(",", 4)[1:] for line in joined(tmp_path / "out").splitlines()[1:61]]
    assert status == 0 and [line[5:] for line in lines] == scores and [line[0] for line in lines] == [row[0] for row in ROWS]
    status, out, _ = filtered(run, open_text(path).encode(), "--format", "jsonl", "--id", "id")
    assert [json.loads(line)["prediction"] for line in out.splitlines()] == [score[0] for score in scores]


def test_what_stands_above_the_rows_of_a_pipe_is_left_out(titanic):
    path, run, _ = titanic
    rows = open_text(path)
    header, rest = rows.split("\n", 1)
    plain = through(run, rows.encode(), kept=["id"])
    assert plain == through(run, b"\n# a comment\n\n" + rows.encode(), kept=["id"])
    assert plain == filtered(run, b"a title\nand, more\n" + rows.encode(), "--id", "id", "--skip", "2")[1]
    tail = through(run, b"a title\n" + rest.encode(), kept=["id"], columns=header.split(","), delimiter=",", skip=1)
    assert plain.split("\n", 1)[1] == tail
    assert through(run, b"# sex age port\n1 2 3\n", delimiter=" ").startswith("sex age port prediction ")
    assert through(run, b"//,sex,age,port\n1,male,3,S\n").startswith("//,sex,age,port,prediction,")       # of JSON lines alone it is a comment


def test_values_that_the_schema_does_not_know_are_counted_everywhere(tmp_path, titanic, capsys, inline):
    _, run, folder = titanic
    rows = [[*row[:2], "other" if int(row[0]) in (3, 40, 41) else row[2], row[3], "X" if row[0] == "7" else row[4], row[5]] for row in ROWS]
    path, told = written(tmp_path / "new.csv", rows), ["1 row has a value in 'port' that the schema does not know",
                                                       "3 rows have values in 'sex' that the schema does not know"]
    for command in ("predict", "evaluate"):
        status, out, err = mrdl(capsys, command, run, path, *[str(tmp_path / "out")] * (command == "predict"), "--json", "-r", "local")
        assert status == 0 and json.loads(out)["unseen"] == {"port": 1, "sex": 3}
        assert [line for line in err.splitlines() if "does not know" in line] == [f"warning: {line}" for line in told]
    assert f"warning: {told[1]}" in filtered(run, open_text(path).encode(), "--id", "id")[2]
    data = prepare(path, str(tmp_path / "data"), inline, like=str(folder / "data"))
    assert [note for note in data.notes if "does not know" in note] == [f"warning: {line}" for line in told]
    with pytest.warns(UserWarning, match="does not know") as found:
        load_model(run).predict(path)
    assert [str(each.message) for each in found] == told
    status, out, err = mrdl(capsys, "predict", run, titanic[0], str(tmp_path / "known"), "--json")
    assert json.loads(out)["unseen"] == {} and "does not know" not in err


def test_what_is_wrong_with_rows_and_names_is_said_in_one_line(tmp_path, titanic, capsys, monkeypatch):
    path, run, _ = titanic
    monkeypatch.chdir(tmp_path)
    row = dict(zip(HEADER, ROWS[0]))
    with pytest.raises(DataError, match="^row 1 is 3; all rows must be dicts, as row 0 is$"):
        load_model(run).predict([row, 3])
    Path("link.csv").symlink_to(path)
    for command in (["predict", run, path, "link.csv", "out"], ["prepare", path, "link.csv", "out"], ["describe", "link.csv", "link.csv"]):
        status, _, err = mrdl(capsys, *command)
        assert status == 2 and "link.csv: is the same file as " in err
    status, _, err = mrdl(capsys, "predict", run, path, "out", "--id", "nr")
    assert status == 2 and "has no column 'nr' to keep (--id, --keep)" in err
    status, _, err = mrdl(capsys, "evaluate", run, written(tmp_path / "unlabelled.csv", [row[:-1] for row in ROWS], HEADER[:-1]))
    assert status == 2 and "do not fit the schema: 'survived' (the label, missing); there are 'id'" in err
    status, _, err = mrdl(capsys, "prepare", path, "unlabelled", "-r", "inline", "--drop", "survived")
    assert status == 0
    status, _, err = mrdl(capsys, "train", "auto", "unlabelled", "fit", "-r", "inline")
    assert status == 2 and "--label" in err and "training with" not in err


def open_text(path):
    with open(path) as file:
        return file.read()


def test_rows_come_out_as_they_go_in(titanic):
    path, run, _ = titanic
    with subprocess.Popen([sys.executable, "-m", "mrdl", "score", run, "--id", "id"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as filter:
        header, *rows = open_text(path).splitlines(True)
        filter.stdin.write(header.encode())
        filter.stdin.flush()
        assert filter.stdout.readline().startswith(b"id,prediction")
        for row in rows[:3]:
            filter.stdin.write(row[:5].encode())
            filter.stdin.flush()
            filter.stdin.write(row[5:].encode())
            filter.stdin.flush()
            assert filter.stdout.readline().split(b",")[0] == row.split(",")[0].encode()
        filter.stdin.write(rows[3].rstrip("\n").encode())
        filter.stdin.close()
        assert filter.stdout.read().startswith(b"3,")
    assert filter.returncode == 0


@pytest.mark.parametrize("data, words, reason", [
    (b"", "", "has no first line with the names of its columns"),
    (b"id,age\n1,2\n", "", "the input: its columns do not fit the schema: 'sex', 'port' (missing)"),
    (b"", "--columns sex,age,port --id nr", "has no column 'nr' to keep"),
    (b"", "--columns sex,age,port --delimiter ab", "must be one character, or tab"),
    (b"", "--json", "the rows are on stdout"),
    (b"sex,age,port,what,what\n", "", "no column 'what' to keep, or several of this name"),
    (b"sex,age,port,prediction\n", "", "columns 'prediction' cannot be kept"),
    (b"\x1f\x8b\x08\n", "", "the input is compressed: unpack it on its way here, with: gunzip"),
    (b"PAR1\x15\n", "", "the input is parquet, which cannot be scored line by line: give the file to mrdl predict"),
    (b"ORC\x15", "", "is orc, which"), (b"Obj\x01\x04\n", "", "is avro, which"), (b"%PDF-1\n", "", "is a PDF, which"),
    (b'{"sex": 1}\n', "--decimal ,", "is jsonl, which writes numbers in one way: leave out decimal"),
    (b'\n\n{"sex": 1}\n', "--skip 2", "is jsonl, which has no lines above its rows: leave out skip"), (b"", "--skip -1", "must be 0 or more"),
])
def test_what_a_filter_cannot_do_is_one_line(titanic, capsys, monkeypatch, data, words, reason):
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    with open(read) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        from mrdl.cli import main
        status = main(["score", titanic[1], *words.split()])
    out, err = capsys.readouterr()
    assert status == 2 and not out and err.startswith("mrdl: ") and reason in err and err.count("\n") == 1


def test_a_filter_without_stdin_says_so(titanic, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)         # as with <&- in a shell
    from mrdl.cli import main
    assert main(["score", titanic[1]]) == 2
    assert "one of them is closed" in capsys.readouterr().err


def test_the_commands_of_the_page_on_scores_run(tmp_path, titanic, monkeypatch):
    path, run, _ = titanic
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    os.symlink(run, "runs/titanic")
    for name in "new.csv", "test.csv":
        (tmp_path / name).write_text(open_text(path).replace("id,", "passenger,", 1))
    commands, = re.findall(r"^```sh\n(.*?)```", (Path(__file__).parents[2] / "docs/scores.md").read_text(), re.MULTILINE | re.DOTALL)
    done = subprocess.run(["bash", "-ec", commands.replace("mrdl ", f"{sys.executable} -m mrdl ")], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "always answering no" in done.stdout, done.stderr
    assert joined(tmp_path / "scores").startswith('passenger,name,prediction,probability_no,probability_yes,error\n0,"Doe, ""Mr"" 0",')
    assert (tmp_path / "scored.csv").read_text().count("\n") == 61


def test_evaluate_prints_what_the_scores_are_worth(titanic, capsys):
    path, run, folder = titanic
    status, out, _ = mrdl(capsys, "evaluate", run, path)
    assert status == 0 and out.startswith("loss ") and "always answering no: 0.7500" in out
    assert [line.split()[0] for line in out.splitlines()[1:4]] == ["class", "no", "yes"] and "confusion: a row for each class" in out
    status, out, _ = mrdl(capsys, "evaluate", run, path, "--json")
    assert set(json.loads(out)) == {"loss", "accuracy", "rows", "bad", "left_out", "unseen", "report"}
    status, out, _ = mrdl(capsys, "evaluate", run, str(folder / "data"), "--json")
    assert set(json.loads(out)) == {"loss", "accuracy", "report"}


def test_evaluate_draws_curves(titanic, capsys, tmp_path, monkeypatch, inline):
    path, run, _ = titanic
    status, _, err = mrdl(capsys, "evaluate", run, path, "--plot", str(tmp_path / "a.png"))
    assert status == 0 and "a.png" in err and (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    values = prepare(path, str(tmp_path / "values"), inline, label="age", kinds={"survived": "categorical"})
    amounts = saved(values, tmp_path / "amounts", 1, None, "mse", ())
    assert mrdl(capsys, "evaluate", amounts, values.url, "--plot", str(tmp_path / "b.png"))[0] == 0
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, out, err = mrdl(capsys, "evaluate", run, path, "--plot", str(tmp_path / "c.png"))
    assert status == 2 and out == "" and "pip install 'mrdl[plot]'" in err


@pytest.mark.parametrize("chunk", [700, 1 << 18])
def test_lines_that_are_too_long_are_told_in_their_place_as_by_predict(tmp_path, titanic, monkeypatch, chunk):
    path, run, _ = titanic
    monkeypatch.setattr(pieces, "SIZE", chunk)
    monkeypatch.setattr(stream, "CHUNK", chunk)
    for module in (pieces, lines, stream):
        monkeypatch.setattr(module, "LONGEST", 1000)
    rows, long = open_text(path), "9," + "x" * 600000 + "\n"
    (tmp_path / "long.csv").write_text(text := "# " + "c" * 2000 + "\n" + rows + long + "\n60,a,male,3,S,no\n" + long + long.strip())
    predicted(run, str(tmp_path / "long.csv"), tmp_path / "out", ids=["id"])
    found = through(run, text.encode(), kept=["id"])
    assert found == joined(tmp_path / "out").replace("long.csv, byte", "the input, byte") and found.count("line too long (600,002 bytes") == 3
    with pytest.raises(DataError, match="^the input: its first line has more than 0 MB: is it a table of text?"):
        through(run, long.encode())


def test_the_memory_of_a_pipe_does_not_depend_on_its_longest_line(titanic):
    path, run, _ = titanic

    def send(end: int) -> None:
        with open(end, "wb") as file:
            file.writelines([open_text(path).encode(), *[b"7" * (1 << 20)] * 60, b"\n3,4\n"])
    here, there = os.pipe()
    threading.Thread(target=send, args=(there,)).start()
    filter = stream.Filter(load_model(run), run, here, kept=["id"])
    tracemalloc.start()
    found = b"".join(filter)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    os.close(here)
    assert filter.count == 62 and b"line too long (62,914,560 bytes; at most 8,388,608)" in found and peak < 40 << 20


def test_advice_about_rows_of_a_pipe_names_no_option_that_score_lacks(titanic):
    found = through(titanic[1], b'sex,age,port\nmale,3,"S\n', kept=["age"])
    assert "quote without end (column 'port'; in a pipe, a row must be one line)" in found
