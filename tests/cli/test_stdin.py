"""Inputs that come through a pipe."""
import gzip
import json
import os
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import mrdl
from raw_rows import saved, written

from mrdl.data.dataset import load
from mrdl.data.sniff import sniff


@pytest.fixture
def piped(monkeypatch, tmp_path):
    """Makes bytes what stands on standard input."""
    with ExitStack() as opened:
        def begin(content: bytes) -> None:
            (tmp_path / "piped").write_bytes(content)
            monkeypatch.setattr("sys.stdin", opened.enter_context(open(tmp_path / "piped", "rb")))
        yield begin


def test_every_command_that_takes_tables_takes_a_pipe(tmp_path, capsys, piped):
    path = written(tmp_path / "stdin")          # the name that decides the places of rows
    content = Path(path).read_bytes()
    for name, pipe in (("file", path), ("pipe", "-"), ("packed", "/dev/stdin")):
        piped(gzip.compress(content) if name == "packed" else content)
        assert mrdl(capsys, "prepare", pipe, str(tmp_path / name), "--label", "survived", "--id", "id")[0] == 0
    one, two, three = (load(str(tmp_path / name)) for name in ("file", "pipe", "packed"))
    assert one.uid == two.uid and [s.seal for s in one.shards] == [s.seal for s in two.shards]
    assert sum(s.n for s in three.shards) == 60
    run = saved(one, tmp_path / "run")
    found = []
    for i, pipe in enumerate((path, "-")):
        piped(content)
        found.append(mrdl(capsys, "evaluate", run, pipe)[1])
        piped(content)
        assert mrdl(capsys, "predict", run, pipe, str(tmp_path / f"out{i}"), "--id", "id")[0] == 0
        piped(content)
        found[-1] += mrdl(capsys, "describe", pipe)[1].partition("\n\n")[2]
    assert found[0] == found[1]
    assert (tmp_path / "out0/part-00001").read_bytes() == (tmp_path / "out1/part-00001").read_bytes()


def test_bad_rows_of_a_pipe_are_told_without_the_file_that_was_made_of_it(tmp_path, capsys, piped):
    path = written(tmp_path / "rows.csv")
    assert mrdl(capsys, "prepare", path, str(tmp_path / "data"), "--label", "survived", "--id", "id")[0] == 0
    run = saved(load(str(tmp_path / "data")), tmp_path / "run")
    for command, place in ((("predict", run, "-", str(tmp_path / "out")), "  -, byte "), (("evaluate", run, "-", "--worst", "60"), "\n- "),
                           (("describe", "-"), "  -, byte "), (("prepare", "-", str(tmp_path / "piped-data"), "--label", "survived", "--quarantine",
                                                               str(tmp_path / "bad")), "  -, byte ")):
        piped(Path(path).read_bytes() + b"1,2\n")
        status, out, err = mrdl(capsys, *command)
        assert status == 0 and place in out + err and "stdin" not in out + err
    rows = (tmp_path / "out/part-00001").read_text().splitlines()
    assert len(rows) == 61 and all(row.startswith("-,") for row in rows)
    assert json.loads((tmp_path / "bad/bad-00000.jsonl").read_text())["file"] == "-"
    assert "stdin" not in (tmp_path / "piped-data/data.json").read_text()
    piped(b"some text that is read \xff as a sequence\n" * 5)
    status, out, err = mrdl(capsys, "prepare", "-", str(tmp_path / "text"), "--format", "text", "--sequence-length", "5", "--max-bad", "0.5")
    assert status == 0 and "  -, byte 23: not UTF-8" in err and "stdin" not in err + (tmp_path / "text/data.json").read_text()
    piped(Path(path).read_bytes().replace(b",", b";"))
    assert "-: is not written as the schema says" in mrdl(capsys, "predict", run, "-", str(tmp_path / "others"))[2]


def test_copies_of_files_that_tasks_read_have_the_names_of_what_was_copied(tmp_path):
    path = written(tmp_path / "rows.csv")
    schema = sniff([path])
    assert schema.name_of("hdfs://host/cache/1f/rows.csv") == path and schema.name_of("hdfs://host/b.csv") == "hdfs://host/b.csv"
    piped = replace(schema, names={path: "-"})
    assert piped.name_of("hdfs://host/cache/1f/rows.csv") == "-"
    assert piped.copied("hdfs://host{}".format).name_of(f"hdfs://host{path}") == "-"
    two = replace(schema, files=[path, str(tmp_path / "more/rows.csv")])
    assert two.name_of("hdfs://host/cache/1f/rows.csv") == "hdfs://host/cache/1f/rows.csv"     # of which of them it is a copy is not known


def test_a_named_pipe_is_one_too(tmp_path, capsys):
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(b"a,b\n1,x\n2,y\n",))
    writer.start()
    status, out, _ = mrdl(capsys, "describe", str(tmp_path / "fifo"))
    writer.join()
    assert status == 0 and "12 B; 3 features" in out


def test_a_pipe_that_is_empty_or_named_twice_is_refused(capsys, piped, monkeypatch):
    piped(b"")
    assert mrdl(capsys, "describe", "-")[::2] == (2, "mrdl: -: nothing came\n")
    assert mrdl(capsys, "describe", "-", "/dev/stdin")[::2] == (2, "mrdl: -: standard input can be read only once\n")
    status, _, told = mrdl(capsys, "train", "auto", "-", "run", "--label", "b")
    assert status == 2 and "-: rows are read again in each round" in told and told.endswith("mrdl prepare - DATA\n")
    piped("a,b\n1,2\n".encode("utf-16"))
    assert mrdl(capsys, "describe", "-")[2].startswith("mrdl: -: is UTF-16")
    monkeypatch.setattr("sys.stdin", None)
    assert mrdl(capsys, "describe", "-")[::2] == (2, "mrdl: -: standard input is closed\n")
