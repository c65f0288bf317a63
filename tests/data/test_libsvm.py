"""libsvm's format: its kernels beside plain Python, what is recognised, prepared, predicted and refused."""
import gzip
import random
from pathlib import Path

import numpy as np
import pytest
from mrdl.kernels import entries
from mrdl.kernels.reference import entries as twin
from raw_data import text
from raw_rows import through
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

import mrdl
from mrdl.data.blocks import unpack
from mrdl.data.readers.in_order import Kept, in_order
from mrdl.data.readers.libsvm import Libsvm
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.data.sparse import joined
from mrdl.data.tables.kinds.entries import Entries
from mrdl.driver.preparation.describe import infer_schema
from mrdl.driver.preparation.prepare import prepare
from mrdl.layers import Dense, Input
from mrdl.report.preview import facts
from mrdl.storage.paths import opened

PIECES = ["1", "-1", "+1 ", "3:1", "5:0.5", "7:-2e3", "9:0", "x", ":", "4:", ":4", "12345678901:1", " ", "\t", "\r", "#", "# a b", "qid:7",
          "qid:", "2:nan", "1e400", "6:1e400", "8:1_0", "10:17.25", "0:3", "11:99999999999999999999"]


def split(module, data: bytes):
    rows = len(data.split(b"\n"))
    starts, stops, codes = np.full((rows, 6), -7), np.full((rows, 6), -7), np.full(rows, -7, np.intc)
    n = module.lines(data, starts, stops, codes)
    return codes[:n].tolist(), [[data[a:b] for a, b in zip(*places)] for places in zip(starts[:n].tolist(), stops[:n].tolist())]


def parsed(module, fields: list[bytes], first: int, width: int):
    stops = np.cumsum([0, *map(len, fields)])
    data, room = np.frombuffer(b"".join(fields), "u1"), sum(field.count(b":") for field in fields)
    ends, ids, values, codes = np.zeros(len(fields) + 1, "i8"), np.zeros(room + 1, "i4"), np.zeros(room + 1), np.zeros(len(fields), np.intc)
    n = module.entries(data, stops[:-1], stops[1:], first, width, ends, ids, values, codes)
    return codes.tolist(), ends.tolist(), ids[:n].tolist(), values[:n].tolist()


def test_kernels_equal_their_twins():
    rng = random.Random(0)
    for _ in range(300):
        lines = ["".join(rng.choice(PIECES) + rng.choice(["", " ", "  "]) for _ in range(rng.randrange(7))) for _ in range(8)]
        data = "\n".join(lines).encode()
        assert split(entries, data) == split(twin, data), data
        fields = [line.encode() for line in lines]
        for first, width in ((0, 100), (1, 9)):
            assert parsed(entries, fields, first, width) == parsed(twin, fields, first, width), fields


def test_the_parts_of_a_line():
    codes, found = split(entries, b"-1.5 qid:3 1:2 7:0.5 # a note \r\n2\n\n# alone\n1 3:4")
    assert codes == [entries.GOOD, entries.GOOD, entries.EMPTY, entries.FIELDS, entries.GOOD]
    assert found[0] == [b"-1.5", b"3", b"1:2 7:0.5", b"a note", b"1", b"7"] and found[1] == [b"2", b"", b"", b"", b"", b""]
    assert found[4] == [b"1", b"", b"3:4", b"", b"3", b"3"]


@pytest.mark.parametrize("content, yes", [
    ("1 1:2 3:4\n-1 2:1\n", True), ("# a comment\n+1 qid:3 1:.5\n", True), ("3\n1 2:3 # x\n", True), ("1 1:2 1:3\n", False), ("1 2 3\n", False),
    ("1,2:3\n", False), ("1\n2\n", False), ("5 08:15\n", False), ('{"a": 1}\n', False), ("a 1:2\n", False)])
def test_what_is_recognised(tmp_path, content, yes):
    assert (sniff([text(tmp_path, content, "in.txt")], loose=True).kind == "libsvm") == yes
    assert Libsvm.recognises("a/b.svm.gz", b"1 2 3")


def rows(made):
    found = []
    for shard in made.shards:
        with opened(shard.path) as file:
            found += [unpack(line.rstrip(b"\n")).arrays() for line in file]
    return joined(found)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Rows that scikit-learn has written, ids from 1, and from 0 in a packed file."""
    folder = tmp_path_factory.mktemp("svm")
    rng = np.random.default_rng(0)
    x = np.where(rng.random((150, 2000)) < 0.01, rng.integers(1, 9, (150, 2000)) / 4, 0)
    x[:, [0, -1]] = 1
    y = np.where(x @ rng.standard_normal(2000) > 0, 1, -1)
    one, zero = str(folder / "one.svm"), str(folder / "zero.svm")
    dump_svmlight_file(x, y, one, zero_based=False)
    dump_svmlight_file(x, y, zero)
    with open(zero, "rb") as file, gzip.open(zero + ".gz", "wb") as packed:
        packed.write(file.read())
    return one, zero + ".gz", x, y


def test_a_dataset_has_the_rows_of_scikit_learn(files, tmp_path, inline, local):
    one, zero, x, y = files
    made = prepare(one, str(tmp_path / "one"), inline, hold_out=0.2)
    assert made.sparse and made.shape == (2000,) and made.target.classes == 2
    found = rows(made)
    both = np.column_stack([found["x"].dense("f8"), found["y"]]), np.column_stack([load_svmlight_file(one)[0].toarray(), y > 0])
    assert sorted(map(bytes, both[0])) == sorted(map(bytes, both[1]))
    again = rows(prepare(zero, str(tmp_path / "zero"), local, hold_out=0.2, shards=2))
    assert np.array_equal(again["x"].dense("f8").sum(0), x.sum(0))      # ids from 0 are seen
    described = infer_schema(one, inline)
    assert described.table.columns["features"].config() == {"kind": "entries", "count": 2000}
    assert described.table.columns["label"].classes == ("-1", "1") and described.table.label == "label"


def test_of_very_many_features_no_list_of_names_is_made(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(Entries, "features", None)
    path = text(tmp_path, "1 1:1 75890438:1e300\n0 3:1\n", "x.svm")
    found = infer_schema(path, inline)
    assert [(column["name"], column["features"]) for column in facts(found.inferred)][2] == ("features", []) and found.table.width == 75890438
    schema, records = sniff([path]).by(found.table).stored(None), Kept(path)
    rows, = (rows for _, lines in schema.here() for rows in in_order(schema, records, lines, np.dtype("f4")))
    assert rows.errors == ["beyond float32 (feature 'features#75890438')", ""]


def test_a_model_scores_raw_rows(files, tmp_path, inline):
    one, *_ = files
    prepare(one, str(tmp_path / "data"), inline)
    model = mrdl.Sequential([Input((2000,), sparse=True), Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    run = str(tmp_path / "run")
    own = mrdl.ParameterAveraging(workers=1, epochs=3, runner=inline).fit(model, str(tmp_path / "data"), run=run, verbose=0).model
    by_dataset, by_rows = (mrdl.evaluate(run, where, runner=inline) for where in (str(tmp_path / "data"), one))
    assert by_rows == {**by_dataset, "loss": pytest.approx(by_dataset["loss"], rel=1e-6)} and own.classes == ["-1", "1"]
    new = text(tmp_path, "0 1:1 2000:1 # first\n0 2001:1 # second\n0\n", "new.svm")
    mrdl.predict(run, new, str(tmp_path / "out"), ids=["comment"], runner=inline)
    lines = (tmp_path / "out" / "part-00001").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["first", "second", ""] and "a feature beyond those of the schema" in lines[1]
    for top in "", "# a comment\n\n", "\ufeff# another\n":
        piped = through(run, (top + Path(new).read_text()).encode(), kept=["comment"]).splitlines()[1:]
        assert [line.partition("; ")[0] for line in piped] == [line.partition("; ")[0] for line in lines]


def test_what_is_wrong_is_told(tmp_path, inline):
    path = text(tmp_path, "1 1:2 2:1\n0 3:1 3:2\n1 2:x\n1 a\n\n0 1:1e999\n# only a comment\n1 2:1\nx 1:1\n" + "0 1:1\n1 2:3\n" * 10, "bad.svm")
    made = prepare(path, str(tmp_path / "data"), inline, max_bad=0.5)
    assert made.bad["reasons"] == {"ids do not rise": 1, "no id:value": 1, "not a class": 1, "not a number": 1, "not finite": 1}
    assert made.bad["count"] == 5 and sum(s.n for s in made.shards) == 22
    for options, reason in (({"label": "y"}, "leave out label"), ({"header": True}, "leave out header"), ({"weight": "w"}, "leave out weight")):
        with pytest.raises(DataError, match=reason):
            prepare(path, str(tmp_path / "other"), inline, **options)
    with pytest.raises(DataError, match="no row has features"):
        prepare(text(tmp_path, "1\n0\n", "none.svm"), str(tmp_path / "none"), inline)
    wide = prepare(path, str(tmp_path / "wide"), inline, max_bad=0.5, kinds={"features": {"kind": "entries", "count": 3000, "first": 0}})
    assert wide.shape == (3000,) and wide.sparse
