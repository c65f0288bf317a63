"""Sparse rows in blocks and datasets: the same rows whichever way they come, and nothing damaged."""
import base64
import json
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from raw_data import text

import mrdl
from mrdl import ParameterAveraging
from mrdl.cli import main
from mrdl.data import blocks, dataset
from mrdl.data.sources import DataError
from mrdl.data.sparse import Csr, joined, uncanonical
from mrdl.data.tables.kinds import Categorical, Numeric
from mrdl.data.tables.table import Table
from mrdl.data.tables.words import Words
from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.tabular import tabular
from mrdl.layers import Dense, Input
from mrdl.optimizers import SGD
from mrdl.storage.paths import opened
from mrdl.worker import cache

PLACE = {"dataset": "abc", "shard": 3, "role": "train"}
WIDTH = 2 ** 12 + 3
KINDS = {"site": {"kind": "categorical", "hash": 12, "missing": "other"}}


def example(values=(1.5, 2, 3)):
    return {"x": Csr(np.array([0, 2, 2, 3]), np.array([1, 7, 0], "i4"), np.array(values, "f4"), 9), "y": np.arange(3, dtype="i4")}


def same(a, b):
    return a.width == b.width and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("starts", "ids", "values"))


def clicks(folder, n=120):
    """A table of a column with many names, of one with three, and of numbers."""
    rng = np.random.default_rng(0)
    return text(folder, "site,device,age,click\n" + "".join(
        f"s{site},{'abc'[device]},{age},{int(site % 2 == device % 2)}\n"
        for site, device, age in zip(rng.integers(0, 60, n), rng.integers(0, 3, n), rng.integers(20, 60, n))))


@pytest.fixture(scope="module")
def data(tmp_path_factory, inline):
    """(the table, its dataset)"""
    folder = tmp_path_factory.mktemp("clicks")
    path = clicks(folder)
    return path, prepare(path, str(folder / "data"), inline, label="click", kinds=KINDS, hold_out=0.2)


def rows_of(made):
    found = []
    for shard in made.shards:
        with opened(shard.path) as file:
            found += [blocks.unpack(line.rstrip(b"\n")).arrays() for line in file]
    return joined(found)


@pytest.mark.parametrize("values, dtype", [((1.5, 2, 3), "f4"), ((1, 2, 255), "u1")])
def test_a_block_holds_sparse_rows(values, dtype):
    given = example(values)
    given["x"] = Csr(given["x"].starts, given["x"].ids, given["x"].values.astype(dtype), 9)
    block = blocks.unpack(blocks.pack(given, **PLACE, index=0))
    assert block.n == 3 and block.width == 9 and sorted(block.layout) == ["x.counts", "x.ids", "x.values", "y"]
    found = block.arrays()
    assert same(found["x"], given["x"]) and found["x"].dtype == dtype and np.array_equal(found["y"], given["y"])


@pytest.mark.parametrize("change", [{"width": 7}, {"ids": [7, 1, 0]}, {"ids": [1, 1, 0]}, {"ids": [-1, 7, 0]}, {"starts": [0, 2, 1, 3]}])
def test_rows_that_are_none_are_refused_when_they_are_decoded(change):
    x = example()["x"]
    fields = {"starts": x.starts, "ids": x.ids, "values": x.values, "width": 9} | {
        name: value if name == "width" else np.array(value, getattr(x, name).dtype) for name, value in change.items()}
    block = blocks.unpack(blocks.pack({"x": Csr(**fields)}, **PLACE, index=4))
    with pytest.raises(blocks.BlockError, match="block 4 of shard 3: the features of its rows are not rising numbers below"):
        block.arrays()


@pytest.mark.parametrize("change", [{"width": None}, {"width": 2 ** 31}, {"width": "9"}, {"x.ids": ["i4", [2]]}, {"x.ids": ["u1", [3]]},
                                    {"x.values": ["f4", [3, 1]]}, {"x.counts": ["f4", [3]]}, {"x.values": None}])
def test_a_strangers_header_is_not_taken_on_trust(change):
    line = blocks.pack(example(), **PLACE, index=0)
    head = json.JSONDecoder().raw_decode(base64.b64decode(line)[blocks.PREFIX.size + 4:].decode("latin-1"))[0]
    head["arrays"] |= {name: value for name, value in change.items() if name != "width"}
    head["arrays"] = {name: value for name, value in head["arrays"].items() if value}
    head["width"] = change.get("width", 9)
    with pytest.raises(blocks.BlockError, match="damaged block"):
        blocks._described(json.dumps(head).encode(), b"", 0)


def test_rows_that_a_resident_worker_puts_on_disk_come_back():
    given = [blocks.unpack(blocks.pack(example(), **PLACE, index=i)) for i in range(3)]
    rows, = cache.joined(given)
    before = rows.arrays()
    with tempfile.TemporaryFile() as file:
        rows.put_down(file)
        after = rows.arrays()
    assert len(after["x"]) == 9 and same(before["x"], after["x"]) and rows.size == 9 * (4 + 4) + 9 * 8


def test_canonical_rows_are_the_rows():
    x = Csr.from_dense(np.array([[0, 1, 200], [0, 0, 0], [0.5, 1e30, 7], [1e-60, 0, -0.0]])).stored(np.dtype("<f4"))
    rows = x.canonical()
    assert [row[:1] for row in rows] == [b"b", b"b", b"c", b"b"] and rows[1] == rows[3]     # what float32 has as 0 is 0
    found, rest = uncanonical([row + b"rest" for row in rows], 3, np.dtype("<f4"))
    assert same(found, x) and set(rest) == {b"rest"}
    assert uncanonical(rows[:2], 3, np.dtype("<f4"))[0].dtype == "u1"


def test_a_table_makes_the_same_rows_sparse_and_dense():
    columns = {"a": Words.of(["u", "v", "", "w"]), "b": Words.of(["1", "0", "2.5", ""]), "c": Words.of(["x", "x", "z", "y"])}
    for table in (Table({"a": Categorical(hash=11), "b": Numeric(missing="indicator", mean=1.0), "c": Categorical(
            vocabulary=("x", "y"), missing="drop")}), Table({"c": Categorical(vocabulary=("x", "y"), encode_as="index"), "a": Categorical(
            vocabulary=("u",), other=True)})):
        dense, sparse = table.encode(columns), table.encode(columns, sparse=True)
        assert np.array_equal(sparse.x.dense("f8"), dense.x) and np.array_equal(sparse.wrong, dense.wrong)
        assert dense.x.shape == (4, table.width) == (4, len(table.features))
    assert Table({"a": Categorical(hash=11)}).sparse and not Table({"a": Categorical(hash=9)}).sparse
    assert not Table({str(i): Numeric(missing=0.0) for i in range(2000)}).sparse
    assert Table({"a": Categorical(hash=30)}).width == 2 ** 30 + 1
    with pytest.raises(DataError, match="up to 2,147,483,647 are possible: hash to fewer"):
        Table({"a": Categorical(hash=30), "b": Categorical(hash=30)})


def test_a_wide_table_becomes_a_sparse_dataset(data, tmp_path, local, capsys):
    path, made = data
    assert made.sparse and made.shape == (WIDTH + 1,) and "sparse: of the 4,100 features" in made.notes[-1]
    assert made.table["columns"][2]["scale"] == "standard"         # a sparse model has no Normalization
    rows = rows_of(made)
    assert rows["x"].width == WIDTH + 1 and len(rows["x"]) == 120 and (rows["x"].counts == 3).all()
    own = made.table["columns"][2]["name"]
    plain = prepare(path, str(tmp_path / "plain"), local, label="click", kinds={**KINDS, own: {"kind": "numeric", "scale": "none"}})
    assert plain.sparse and plain.table["columns"][2].get("scale", "none") == "none" and plain.table["columns"][2]["name"] == own
    for runner in ("cut", "again"):                 # the same bytes however it is cut
        again = prepare(path, str(tmp_path / runner), local, label="click", kinds=KINDS, hold_out=0.2)
        assert again.digest() == made.digest()
    dense = prepare(path, str(tmp_path / "dense"), local, label="click", kinds=KINDS, schema=None, hold_out=0.2, sparse=False)
    assert not dense.sparse and sorted(map(bytes, rows_of(dense)["x"].astype("f4"))) == sorted(map(bytes, rows["x"].dense("f4")))
    with pytest.raises(DataError, match="only possible with rows of numbers"):
        np.savez(tmp_path / "images.npz", x=np.zeros((4, 2, 2)), y=np.zeros(4))
        prepare(str(tmp_path / "images.npz"), str(tmp_path / "images"), local, sparse=True)
    assert main(["show", made.url]) == 0 and "sparse" in capsys.readouterr().out


def test_numbers_become_the_same_sparse_rows_from_text_and_arrays(tmp_path, inline):
    rng = np.random.default_rng(0)
    x = np.where(rng.random((40, 6)) < 0.3, rng.integers(1, 5, (40, 6)) / 2, 0)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 2)
    table = text(tmp_path, "a,b,c,d,e,f,y\n" + "".join(",".join([*map(str, row), str(i % 2)]) + "\n" for i, row in enumerate(x)))
    found = []
    for path, label in ((tmp_path / "a.npz", None), (table, "y")):
        made = prepare(str(path), str(tmp_path / f"{path}.data"), inline, label=label, sparse=True, hold_out=0.3)
        rows = {role: rows_of(dataset.Dataset(**vars(made) | {"shards": [s for s in made.shards if s.role == role]}))
                for role in ("train", "validation")}
        found.append({role: sorted(map(bytes, np.column_stack([own["x"].dense("f8"), own["y"]]))) for role, own in rows.items()})
    assert found[0] == found[1] and sum(map(len, found[0].values())) == 40


def model(sparse, optimizer):
    own = mrdl.Sequential([Input((WIDTH + 1,), sparse=sparse), Dense(3, "relu"), Dense(2, "softmax")])
    own.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return own


def test_rounds_train_a_sparse_model_as_a_dense_one_and_alike_on_all_runners(data, tmp_path, inline, local):
    _, made = data
    kept = {"workers": 2, "batch_size": 8, "averaging_frequency": 1, "rounds": 4, "seed": 2}

    def trained(name, own, runner, **more):
        return ParameterAveraging(**kept, runner=runner, **more).fit(own, made.url, run=str(tmp_path / name), verbose=0).model
    dense = trained("dense", model(False, SGD(0.5)), inline)
    plain = trained("plain", model(True, SGD(0.5)), inline)
    for a, b in zip(dense.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    found = [trained(name, model(True, "adam"), runner, resident=resident) for name, runner, resident in (
        ("inline", inline, "never"), ("local", local, "never"), ("resident", local, "always"))]
    assert len({own.weights.tobytes() for own in found}) == 1


def test_auto_makes_a_sparse_network(data, tmp_path, inline):
    units = lambda model: [layer.units for layer in model.layers if isinstance(layer, Dense)]
    few = tabular(data[1], runner=inline)
    assert few.sparse and few.output_shape == (2,) and units(few) == [2]
    many = [replace(shard, n=1 << 20) for shard in data[1].shards]
    for width, first in ((data[1].shape[0], 200), (1 << 20, 16)):
        assert units(tabular(dataset.Dataset(**vars(data[1]) | {"shape": (width,), "shards": many}), runner=inline)) == [first, 200, 2]
    dates = text(tmp_path, "day,site,y\n" + "".join(f"20{10 + i % 9}-0{i % 9 + 1}-1{i % 10},s{i % 50},{i % 2}\n" for i in range(100)), "d.csv")
    made = prepare(dates, str(tmp_path / "dates"), inline, label="y", kinds=KINDS)
    assert made.sparse and "seconds" in made.table["columns"][0]["parts"] and "year" not in made.table["columns"][0]["parts"]
    values = rows_of(made)["x"].values
    assert np.abs(values).max() < 5                 # a year is about 2000
    years = prepare(dates, str(tmp_path / "years"), inline, label="y", kinds={**KINDS, "day": {"kind": "date", "parts": ["year"]}})
    assert years.sparse and years.table["columns"][0]["parts"] == ["year"]


def test_a_sparse_model_takes_raw_rows(data, tmp_path, inline):
    path, made = data
    own = ParameterAveraging(workers=1, batch_size=8, epochs=3, runner=inline).fit(
        model(True, "adam"), made.url, run=str(tmp_path / "run"), verbose=0).model
    by_dataset, by_rows = (mrdl.evaluate(str(tmp_path / "run"), where, runner=inline) for where in (made.url, str(path)))
    assert by_rows == {**by_dataset, "loss": pytest.approx(by_dataset["loss"], rel=1e-6)}
    mrdl.predict(str(tmp_path / "run"), str(path), str(tmp_path / "out"), runner=inline)
    lines = (tmp_path / "out" / "part-00001").read_text().splitlines()
    probabilities = np.array([line.split(",")[3:5] for line in lines], "f4")
    assert probabilities.tobytes() == own.predict(str(path)).tobytes()
    row = {"site": "s1", "device": "a", "age": 30}
    assert own.predict([row]).shape == (1, 2)
