"""predict on raw rows: by name, in order, every row once, with the bits of the dataset's way."""
import bz2
import csv
import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
from raw_data import text, without_table
from raw_rows import HEADER, ROWS, joined, predicted, saved, through, written
from shards import rows

import mrdl
from mrdl.data.readers.delimited import MULTILINE, ONE_LINE
from mrdl.data.readers.in_order import Kept, in_order
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.driver.preparation import planning
from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.preparation.refer import refer
from mrdl.losses import SparseCategoricalCrossentropy
from mrdl.models import frames
from mrdl.models.features import matched, table_of
from mrdl.runners import sharing, splits
from mrdl.runners.cluster import Cluster
from mrdl.worker.scored import Lines
from mrdl.worker.stream import Filter

COLUMNS = ["prediction", "probability_no", "probability_yes", "error"]


@pytest.fixture(scope="module")
def titanic(tmp_path_factory, inline):
    """(the table, its dataset, a model of it)"""
    folder = tmp_path_factory.mktemp("titanic")
    path = written(folder / "passengers.csv")
    data = prepare(path, str(folder / "data"), inline, label="survived")
    return path, data, saved(data, folder / "run")


def examples(data):
    return np.concatenate([rows(shard)["x"].astype("f4") for shard in data.shards])


def test_an_example_has_the_same_bits_by_every_way(tmp_path, titanic, inline, local):
    path, data, run = titanic
    model = mrdl.load_model(run)
    raw = frames.examples(model, path)
    assert sorted(raw.tolist()) == sorted(examples(data).tolist())
    splits = refer(path, str(tmp_path / "splits"), inline, label="survived")
    assert (examples(splits) == raw).all()
    by_dataset = sorted(model.predict(examples(data)).tolist())
    lines = predicted(run, path, tmp_path / "1", inline, ids=["id"])
    assert lines[0] == ["id", *COLUMNS] and [line[0] for line in lines[1:]] == [row[0] for row in ROWS]
    found = np.array([line[2:4] for line in lines[1:]], "f4")
    assert sorted(found.tolist()) == by_dataset and (found == model.predict(path)).all()
    assert [line[1] for line in lines[1:]] == [model.classes[i] for i in found.argmax(1)]
    predicted(run, path, tmp_path / "2", local, ids="id")
    assert joined(tmp_path / "1") == joined(tmp_path / "2")
    mrdl.predict(run, data.url, str(tmp_path / "3"), runner=inline)
    lines = (tmp_path / "3" / "part-00000").read_text().split() + (tmp_path / "3" / "part-00001").read_text().split()
    assert sorted(np.array([line.split(",")[2:] for line in lines], "f4").tolist()) == by_dataset


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_every_row_is_there_once_in_the_order_of_files_and_splits(tmp_path, titanic, monkeypatch, cores):
    monkeypatch.setattr(splits, "SMALLEST_SPLIT", 2000)
    monkeypatch.setattr(sharing, "SMALL", 4000)
    rows = [[str(i), *ROWS[i % 60][1:]] for i in range(900)]
    files = [written(tmp_path / "a.csv", rows[:20]), written(tmp_path / "b.csv", rows[20:30]), written(tmp_path / "c.csv", rows[30:600]),
             str(tmp_path / "d.csv.gz"), written(tmp_path / "e.csv", rows[800:])]
    with gzip.open(files[3], "wt") as file:
        file.write(Path(written(tmp_path / "d", rows[600:800])).read_text())
    with Cluster("inline", cores) as cluster:
        lines = predicted(titanic[2], files, tmp_path / "out", cluster, ids=["id"], keep=["name"])
    assert [line[:2] for line in lines[1:]] == [row[:2] for row in rows]
    assert len(list((tmp_path / "out").iterdir())) > cores
    alone = predicted(titanic[2], files[2], tmp_path / "alone", ids=["id"], keep=["name"])
    assert alone[1:] == lines[31:601]


def test_a_large_file_among_small_ones_keeps_its_place(tmp_path, monkeypatch, titanic, inline):
    monkeypatch.setattr(sharing, "SMALL", 1000)
    for name, n in ("a", 5), ("b", 5), ("c", 60), ("d", 5):
        written(tmp_path / name, ROWS[:n])
    files = [str(tmp_path / name) for name in "abcd"]
    assert planning.inputs(sniff(files), "", inline, ordered=True).tasks == [files[:2], files[2:3], files[3:]]


def test_columns_are_matched_by_name(tmp_path, titanic, inline):
    path, _, run = titanic
    right = predicted(run, path, tmp_path / "right", ids=["id"])
    said = []
    turned = written(tmp_path / "turned.csv", [[*reversed(row), "9", "8"] for row in ROWS], [*reversed(HEADER), "more", "more"], "\t")
    assert predicted(run, turned, tmp_path / "turned", ids=["id"], said=said.append) == right
    assert said[0].endswith("turned.csv: is not written as the schema says, and is read as it looks: delimiter '\\t', not ','")
    assert len(said) == 2 and said[1].startswith("ignored, as ") and said[1].endswith("know them: 'more', 'more'")
    bare = written(tmp_path / "bare.csv", [row[:5] for row in ROWS], HEADER[:5])
    assert predicted(run, bare, tmp_path / "bare", ids=["id"]) == right
    for header in HEADER[:2] + ["gender", "years", "port"], HEADER[:2] + ["port"]:
        odd = written(tmp_path / "odd.csv", [row[:len(header)] for row in ROWS], header)
        with pytest.raises(DataError, match="do not fit the schema: 'sex', 'age' .missing.; there are 'id'"):
            predicted(run, odd, tmp_path / "odd")
    with pytest.raises(DataError, match="has no header, so its 6 columns cannot be matched by name"):
        predicted(run, written(tmp_path / "none.csv", ROWS, None), tmp_path / "odd", header=False)
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize("decimal", [None, ","])
def test_numbers_may_have_another_decimal_mark_than_those_of_the_training_data(tmp_path, inline, decimal):
    rows = [[str(i), f"{1000 + i:,}.{i % 4}25" if i % 3 else f"{i}.5", str(i / 8), "no" if i % 4 else "yes"] for i in range(40)]
    turned = [[row[0], *(field.translate({44: 46, 46: 44}) for field in row[1:3]), row[3]] for row in rows]
    header = ["id", "a", "b", "y"]
    point, comma = written(tmp_path / "point.csv", rows, header, ";"), written(tmp_path / "comma.csv", turned, header, ";")
    first, then, mark = (point, comma, ",") if decimal is None else (comma, point, ".")
    data = prepare(first, str(tmp_path / "data"), inline, label="y", ids=["id"], decimal=decimal)
    run = saved(data, tmp_path / "run")
    right = predicted(run, first, tmp_path / "right", ids=["id"])
    assert predicted(run, then, tmp_path / "turned", ids=["id"], decimal=mark) == right and not any(row[-1] for row in right[1:])
    assert list(csv.reader(through(run, Path(then).read_bytes(), kept=["id"], decimal=mark).splitlines(), delimiter=";")) == right
    assert mrdl.evaluate(run, first, runner=inline) == mrdl.evaluate(run, then, runner=inline, decimal=mark)
    with pytest.raises(DataError, match="not a number"):
        predicted(run, then, tmp_path / "wrong", ids=["id"])
    with pytest.raises(ValueError, match="^decimal: only possible with raw rows"):
        mrdl.predict(run, data.url, str(tmp_path / "none"), runner=inline, decimal=mark)


BROKEN = ['7,"a,b",male,30,S,no', "x,y", '8,c,male,old,S,no', "# a comment", '', '9,"d,female,30,S,no', '10,"say ""hi"", twice",female,,Z,no']


def test_rows_that_cannot_be_read_stand_in_their_place_with_the_reason(tmp_path, titanic, inline):
    path = text(tmp_path, "\ufeff" + "\r\n".join([",".join(HEADER), *BROKEN]))
    counted = mrdl.predict(titanic[2], path, str(tmp_path / "out"), runner=inline, ids=["id"], keep=["name"])
    data = Path(path).read_bytes()
    at = [data.index(line.encode()) for line in BROKEN]
    assert counted.rows == 5 and counted.bad == {"wrong field count": 1, "not a number": 1, "quote without end": 1}
    assert [sample["offset"] for sample in counted.samples] == [at[1], at[2], at[5]]
    lines = joined(tmp_path / "out").splitlines()
    assert lines[1].startswith('7,"a,b",') and lines[1].endswith(",")
    assert lines[2:5] == [f',,,,,"wrong field count (2 for 6); in.csv, byte {at[1]}"', f"8,c,,,,\"not a number (column 'age': 'old'); in.csv, byte {at[2]}\"",
                          f",,,,,\"quote without end (column 'name'; {MULTILINE}); in.csv, byte {at[5]}\""]
    assert lines[5].startswith('10,"say ""hi"", twice",') and len(lines) == 6
    places = predicted(titanic[2], path, tmp_path / "places")
    assert [line[:2] for line in places[1:]] == [[path, str(at[i])] for i in (0, 1, 2, 5, 6)]
    assert places[3][2:] == ["", "", "", "not a number (column 'age': 'old')"]
    mrdl.predict(titanic[2], path, str(tmp_path / "json"), runner=inline, ids=["id"], keep=["name"], format="jsonl")
    objects = [json.loads(line) for line in joined(tmp_path / "json").splitlines()]
    assert [row["name"] for row in objects] == ["a,b", None, "c", None, 'say "hi", twice']
    assert objects[2] == {"id": "8", "name": "c", "prediction": None, "probability_no": None, "probability_yes": None,
                          "error": f"not a number (column 'age': 'old'); in.csv, byte {at[2]}"}
    assert objects[0]["error"] is None and objects[0]["probability_no"] == float(places[1][3])


PIECES = [b",", b'"', b'""', b"male", b" ", b"\t", b"12", b"nan", b"1e400", b"\xff", b"#", b"\r", b"\0", b"S", b"-", ",".join(HEADER).encode()]


def test_of_any_bytes_each_row_comes_out_once_and_a_pipe_says_the_same(tmp_path, titanic):
    rng, header, model = random.Random(0), ",".join(HEADER).encode(), mrdl.load_model(titanic[2])
    for _ in range(25):
        rows = [b"".join(rng.choices(PIECES, k=rng.randint(0, 12))) if rng.random() < 0.6 else b'1,"x, y",male,3,S,no'
                for _ in range(rng.randint(0, 20))]
        data = b"\n".join([header, *[b"1,x,male,3,S,no"] * 20, *rows]) + rng.choice([b"", b"\n"])
        path = text(tmp_path, data)
        schema, _ = matched([path], table_of(model, "run"), "run")
        records, lines = Kept("the input"), Lines(model, model.classes, ["id"])
        out = [line for batch in in_order(schema, records, data.removesuffix(b"\n").split(b"\n"), model.dtype)
               for line in lines.of(batch, "the input").split(b"\n")[:-1]]
        found = [row.rstrip(b"\r") for row in data.split(b"\n")]
        assert len(out) == sum(row != header and bool(row.strip(b" \t")) and not row.lstrip(b" ").startswith(b"#") for row in found), data
        assert sum(not line.endswith(b",") for line in out) == records.bad.total()
        with open(path, "rb") as file:
            piped = b"".join(Filter(model, "run", file.fileno(), delimiter=",", kept=["id"]))
        assert piped.replace(ONE_LINE.encode(), MULTILINE.encode()).split(b"\n")[1:-1] == out


def test_bytes_that_are_no_text_come_out_as_they_were(tmp_path, titanic, inline):
    path = text(tmp_path, b"name,sex,age,port\nM\xfcller,male,3,S\n")
    mrdl.predict(titanic[2], path, str(tmp_path / "out"), runner=inline, keep=["name"])
    assert (tmp_path / "out" / "part-00001").read_bytes().startswith(b"M\xfcller,")
    mrdl.predict(titanic[2], path, str(tmp_path / "json"), runner=inline, keep=["name"], format="jsonl")
    assert json.loads(joined(tmp_path / "json"))["name"] == "M\ufffdller"


def test_a_header_alone_gives_a_header_and_what_cannot_be_written_is_refused(tmp_path, titanic, inline):
    path, _, run = titanic
    assert predicted(run, written(tmp_path / "none.csv", []), tmp_path / "none", ids=["id"]) == [["id", *COLUMNS]]
    odd = written(tmp_path / "odd.csv", [[*row, "1"] for row in ROWS], [*HEADER, "prediction"])
    for inputs, options, reason in (
            (text(tmp_path, "", "empty.csv"), {}, "no rows"),
            (path, {"ids": ["nr"], "keep": ["what"]}, "has no column 'nr', 'what' to keep"),
            (odd, {"keep": ["prediction"]}, "columns 'prediction' cannot be kept"),
            (path, {"format": "xml"}, "must be csv, jsonl or parquet"),
            ([path, path], {}, "a file is given twice"),
            (str(tmp_path / "nothing.csv"), {}, "no such input"),
            (titanic[1].url, {"ids": ["id"]}, "only possible with raw rows")):
        with pytest.raises(ValueError, match=reason):
            predicted(run, inputs, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()


def test_an_empty_file_may_be_the_first(tmp_path, titanic, inline):
    path, _, run = titanic
    lines = predicted(run, [text(tmp_path, "", "empty.csv"), path], tmp_path / "out", inline, ids=["id"])
    assert [line[0] for line in lines[1:]] == [row[0] for row in ROWS]


@pytest.mark.parametrize("packed, end", [(gzip, -9), (gzip, None), (bz2, -9)])
def test_a_damaged_packed_file_is_told_by_its_name(tmp_path, titanic, inline, packed, end):
    data = bytearray(packed.compress(Path(written(tmp_path / "rows.csv", ROWS * 90)).read_bytes())[:end])
    if end is None:
        data[-8] ^= 1                               # of the checksum
    path = tmp_path / f"rows.csv.{'gz' if packed is gzip else 'bz2'}"
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"{path.name}: cannot be read"):
        predicted(titanic[2], str(path), tmp_path / "out", inline)
    assert not (tmp_path / "out").exists()


def test_a_row_that_the_schema_leaves_out_has_a_line_too(tmp_path, titanic, inline):
    path = titanic[0]
    data = prepare(path, str(tmp_path / "d"), inline, label="survived", kinds={"age": {"kind": "numeric", "missing": "drop"}})
    run = saved(data, tmp_path / "run")
    counted = mrdl.predict(run, path, str(tmp_path / "out"), runner=inline, ids=["id"])
    assert (counted.rows, counted.left_out, counted.bad) == (60, 12, {})
    assert joined(tmp_path / "out").splitlines()[1] == "0,,,,\"left out for a missing value (column 'age'); passengers.csv, byte 30\""


def test_runs_of_numbers_alone(tmp_path, inline):
    path = text(tmp_path, "b,y,a\n" + "".join(f"{i}.5,{i % 7},{-i}\n" for i in range(30)))
    data = without_table(prepare(path, str(tmp_path / "named"), inline, label="y", kinds={"a": "numeric"}))
    named = saved(data, tmp_path / "run", 7)
    right = mrdl.load_model(named).predict(np.array([[3.5, -3], [1e3, 0]], "f4"))
    new = text(tmp_path, "a,b\n-3,3.5\n0,1e3\n,1\n0,1e39\n", "new.csv")
    lines = predicted(named, new, tmp_path / "1")
    assert lines[0] == ["file", "offset", "prediction", *(f"probability_{i}" for i in range(7)), "error"]
    assert (np.array([line[3:10] for line in lines[1:3]], "f4") == right).all() and lines[1][2] == str(right[0].argmax())
    assert [line[-1] for line in lines[3:]] == ["missing (column 'a')", "beyond float32 (feature 'b')"]
    bare = text(tmp_path, "".join(f"{i}.5,{-i}\n" for i in range(30)), "bare.csv")
    unnamed = saved(without_table(prepare(bare, str(tmp_path / "unnamed"), inline, kinds={"1": "numeric"})), tmp_path / "other", 1, None, "mse", ())
    lines = predicted(unnamed, bare, tmp_path / "2")
    values = mrdl.load_model(unnamed).predict(np.array([[i + 0.5, -i] for i in range(30)], "f4"))
    assert lines[0][2:] == ["prediction", "error"] and (np.array([line[2] for line in lines[1:]], "f4") == values[:, 0]).all()
    with pytest.raises(DataError, match="has 3 columns, and .* was trained on 2 that have no names"):
        predicted(unnamed, path, tmp_path / "3")
    with pytest.raises(DataError, match="columns that have no names, so it can be evaluated on a dataset alone"):
        mrdl.evaluate(unnamed, bare, runner=inline, label="y")


@pytest.mark.parametrize("first", [True, False])
def test_words_without_a_header_go_by_their_places(tmp_path, inline, first):
    rows = [[*[["no", "yes"][i % 4 == 0]] * first, "ab"[i % 2], str(i % 9), f"note {i}", *[["no", "yes"][i % 4 == 0]] * (not first)]
            for i in range(40)]
    path = written(tmp_path / "bare.csv", rows, None)
    run = saved(prepare(path, str(tmp_path / "d"), inline, label="0" if first else "3", header=False), tmp_path / "run")
    right = predicted(run, path, tmp_path / "1", header=False)
    unlabelled = written(tmp_path / "new.csv", [row[1:] if first else row[:3] for row in rows], None)
    if first:                                   # all other columns have moved
        with pytest.raises(DataError, match="has no header, so its 3 columns cannot be matched by name"):
            predicted(run, unlabelled, tmp_path / "2", header=False)
    else:
        assert [line[2:] for line in predicted(run, unlabelled, tmp_path / "2", header=False)] == [line[2:] for line in right]


def test_models_of_something_else_refuse_raw_rows(tmp_path, inline, titanic):
    np.savez(tmp_path / "images.npz", x=np.zeros((20, 4, 4)), y=np.arange(20) % 3)
    (tmp_path / "words.txt").write_text("so it goes on and on\n" * 40)
    images = prepare(str(tmp_path / "images.npz"), str(tmp_path / "images"), inline)
    words = prepare(str(tmp_path / "words.txt"), str(tmp_path / "words"), inline, format="text", sequence_length=10)
    for data, reason in (images, "takes examples of shape .4, 4., which are no rows of a table"), (words, "was trained on text"):
        run = saved(data, tmp_path / f"run-{data.url[-5:]}", 3)
        with pytest.raises(ValueError, match=reason):
            predicted(run, titanic[0], tmp_path / "out")
        with pytest.raises(ValueError, match=reason):
            mrdl.load_model(run).predict(titanic[0])
    with pytest.raises(DataError, match="npz files have no columns"):
        predicted(titanic[2], str(tmp_path / "images.npz"), tmp_path / "out")


def test_one_output_tells_two_classes_apart_and_several_are_values(tmp_path, titanic, inline):
    path, data, _ = titanic
    run = saved(data, tmp_path / "binary", 1, "sigmoid", "binary_crossentropy")
    p = mrdl.load_model(run).predict(path)[:, 0]
    lines = predicted(run, path, tmp_path / "1")
    assert lines[0][2:] == COLUMNS and (np.array([line[4] for line in lines[1:]], "f4") == p).all()
    assert [line[2] for line in lines[1:]] == ["yes" if each > 0.5 else "no" for each in p]
    assert (np.array([line[3] for line in lines[1:]], "f4") == 1 - p).all()
    logits = saved(data, tmp_path / "logits", 2, None, SparseCategoricalCrossentropy(from_logits=True))
    lines = predicted(logits, path, tmp_path / "3")
    assert lines[0][2:] == ["prediction", "output_no", "output_yes", "error"] and {line[2] for line in lines[1:]} <= {"no", "yes"}
    several = saved(data, tmp_path / "several", 3, "tanh", "mse", ())
    assert predicted(several, path, tmp_path / "2")[0][2:] == ["output0", "output1", "output2", "error"]
