"""Tables as they lie, on a real Hadoop: the statistics, the dataset and the scores that one machine gives."""
import json

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from averaged import averaging, network
from processes import result
from pyarrow import orc
from raw_rows import HEADER, ROWS, joined, saved, written

import mrdl
from mrdl.config import ConfigError
from mrdl.data import dataset
from mrdl.data.sources import DataError
from mrdl.driver.preparation import tables
from mrdl.driver.scoring import WorkerFailed
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop


def content(data):
    store = store_at(data.url)
    return [store.read(shard.name) for shard in data.shards]


def test_a_table_is_described_prepared_and_scored_as_on_one_machine(tmp_path, home, hadoop, monkeypatch):
    rows = [[str(i), *ROWS[i % 60][1:]] for i in range(3000)]
    rows[1700][3] = "x years"
    for name, some in (("a.csv", rows[:2000]), ("b.csv", rows[2000:])):
        home.put(f"raw/{name}", written(tmp_path / name, some))
    near, far = [str(tmp_path / name) for name in ("a.csv", "b.csv")], home.path("raw")
    one = mrdl.prepare(near, str(tmp_path / "data"), runner="inline", label="survived")
    monkeypatch.setattr(tables, "HERE", 0)          # by a job, however small
    two = mrdl.prepare(far, home.path("data"), runner=hadoop, label="survived")
    assert two.table == one.table and content(two) == content(one)
    assert dataset.load(two.url).bad["reasons"] == one.bad["reasons"] == {"not a number": 1}

    run = saved(one, tmp_path / "run")
    mrdl.predict(run, near, str(tmp_path / "scores"), runner="inline", ids=["id"])
    mrdl.predict(run, far, home.path("scores"), runner=hadoop, ids=["id"])
    store = store_at(home.path("scores"))
    assert b"".join(map(store.read, sorted(store.list("part-*")))).decode() == joined(tmp_path / "scores")
    assert mrdl.evaluate(run, far, runner=hadoop)["loss"] == pytest.approx(mrdl.evaluate(run, near, runner="inline")["loss"], 1e-6)

    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps(dict(zip(HEADER, row))) + "\n" for row in rows))
    home.put("lines/rows.jsonl", str(lines))
    assert mrdl.evaluate(run, home.path("lines"), runner=hadoop) == pytest.approx(mrdl.evaluate(run, str(lines), runner="inline"), 1e-6)

def test_parquet_is_read_by_nodes_that_get_pyarrow_for_it_alone(tmp_path, home, hadoop, monkeypatch):
    table = pa.table({name: [row[i] for row in ROWS * 50] for i, name in enumerate(HEADER)})
    for name, start in ("a.parquet", 0), ("b.parquet", 1500):
        pq.write_table(table.slice(start, 1500), tmp_path / name, row_group_size=400)
        home.put(f"columns/{name}", str(tmp_path / name))
    near, far = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")], home.path("columns")
    one = mrdl.prepare(near, str(tmp_path / "data"), runner="inline", label="survived")
    archives = hadoop.backend.hadoop._archives
    before = set(archives)
    monkeypatch.setattr(tables, "HERE", 0)
    two = mrdl.prepare(far, home.path("columns-data"), runner=hadoop, label="survived")
    assert "pyarrow" not in before and {*archives} == {"site", "pyarrow"} and "pyarrow" in archives["pyarrow"].rpartition("/")[2]
    assert two.table == one.table and content(two) == content(one)
    run = saved(one, tmp_path / "run")
    mrdl.predict(run, near, str(tmp_path / "scores"), runner="inline", ids=["id"])
    mrdl.predict(run, far, home.path("columns-scores"), runner=hadoop, ids=["id"])
    store = store_at(home.path("columns-scores"))
    assert b"".join(map(store.read, sorted(store.list("part-*")))).decode() == joined(tmp_path / "scores")
    assert mrdl.evaluate(run, far, runner=hadoop)["loss"] == pytest.approx(mrdl.evaluate(run, near, runner="inline")["loss"], 1e-6)
    mrdl.predict(run, near[0], home.path("copied-scores"), runner=hadoop)
    store = store_at(home.path("copied-scores"))
    assert {line.split(b",")[0].decode() for line in store.read("part-00001").splitlines()} == {near[0]}       # not of its copy


def test_raw_splits_train_as_on_one_machine(tmp_path, home, hadoop):
    rows = [[str(i), *ROWS[i % 60][1:]] for i in range(3000)]
    for name, some in (("a.csv", rows[:2000]), ("b.csv", rows[2000:])):
        home.put(f"raw/{name}", written(tmp_path / name, some))
    pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(HEADER)}), tmp_path / "c.parquet", row_group_size=800)
    home.put("columns/c.parquet", str(tmp_path / "c.parquet"))
    lines = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    options = {"label": "survived", "shards": 2, "hold_out": 0.2}
    for near, far, resident in ((lines, "raw", "never"), (str(tmp_path / "c.parquet"), "columns", "always")):
        one = mrdl.refer(near, str(tmp_path / f"{far}-data"), runner="inline", **options)
        two = mrdl.refer(home.path(far), home.path(f"{far}-data"), runner=hadoop, **options)
        assert two.digest() == one.digest()
        fit(one, str(tmp_path / far), runner="inline")
        fit(two, home.path(f"{far}-run"), runner=hadoop, resident=resident)
        assert result(home.path(f"{far}-run")) == result(tmp_path / far)

    run = home.path("raw-run")
    with pytest.raises(ConfigError, match="a.csv: tasks read raw files where they lie.* must be on HDFS"):
        mrdl.refer(lines, home.path("other"), runner=hadoop, **options)
    with pytest.raises(ConfigError, match="must be on HDFS"):
        mrdl.evaluate(run, str(tmp_path / "raw-data"), runner=hadoop)
    home.put("raw/b.csv", written(tmp_path / "b.csv", rows[2500:] + rows[2000:2500]))
    with pytest.raises(WorkerFailed, match="b.csv.*does not have the rows that it had"):
        mrdl.resume(run, runner=hadoop, rounds=2)
    home.remove("raw/b.csv")
    with pytest.raises(DataError, match="b.csv: is gone"):
        mrdl.resume(run, runner=hadoop, rounds=2)


def test_sparse_rows_and_folds_train_as_on_one_machine(tmp_path, home, hadoop):
    rows = [f"{i % 3} {1 + i % 3}:1 {5 + i * 7919 % 100_000}:0.5 {200_000 + i % 7}:{i % 9}" for i in range(400)]
    for name, some in (("a.svm", ["# rows", *rows[:300]]), ("b.svm", [*rows[300:], "1 5:2 3:1"])):
        (tmp_path / name).write_text("\n".join(some) + "\n")
        home.put(f"lines/{name}", str(tmp_path / name))
    near, options = [str(tmp_path / name) for name in ("a.svm", "b.svm")], {"shards": 2, "hold_out": 0.2, "max_bad": 0.01}
    for name, make, fold in (("prepared", mrdl.prepare, "#1/2"), ("raw", mrdl.refer, "")):
        one = make(near, str(tmp_path / f"{name}-data"), "inline", **options)
        two = make(home.path("lines"), home.path(f"{name}-data"), hadoop, **options)
        assert two.sparse and two.digest() == one.digest() and two.bad["count"] == one.bad["count"] == 1
        for data, run, runner in ((one, str(tmp_path / name), "inline"), (two, home.path(name), hadoop)):
            averaging(rounds=1, averaging_frequency=None, runner=runner).fit(mrdl.tabular(data, [4]), data.url + fold, run=run, verbose=0)
        assert result(home.path(name)) == result(tmp_path / name)
    mrdl.predict(home.path("raw"), home.path("lines/*.svm"), home.path("scores"), runner=hadoop)
    mrdl.predict(str(tmp_path / "raw"), near, str(tmp_path / "scores"), runner="inline")
    store = store_at(home.path("scores"))
    there = b"".join(map(store.read, sorted(store.list("part-*")))).decode()
    assert there.replace(home.path("lines"), str(tmp_path)) == joined(tmp_path / "scores") and len(there.splitlines()) == 1 + 401


def test_orc_and_avro_are_held_out_by_class_and_by_group_as_on_one_machine(tmp_path, home, hadoop):
    rows = [dict(zip(HEADER, [str(i), *ROWS[i % 60][1:]])) for i in range(1200)]
    for number, some in enumerate((rows[:700], rows[700:])):
        orc.write_table(pa.Table.from_pylist(some), tmp_path / f"{number}.orc", stripe_size=1 << 14)
        with (tmp_path / f"{number}.avro").open("wb") as file:
            fastavro.writer(file, {"type": "record", "name": "row", "fields": [{"name": name, "type": "string"} for name in HEADER]}, some)
        for form in ("orc", "avro"):
            home.put(f"{form}/{number}.{form}", str(tmp_path / f"{number}.{form}"))
    text = {"kind": "text", "vocabulary": ["doe", "mr"], "length": 3}
    for form, options in (("orc", {"stratify": True, "ids": ["id"]}), ("avro", {"group": "id"})):
        options |= {"label": "survived", "hold_out": 0.25, "kinds": {"name": text}}
        one = mrdl.prepare([str(tmp_path / f"{number}.{form}") for number in (0, 1)], str(tmp_path / f"{form}-data"), "inline", **options)
        two = mrdl.prepare(home.path(form), home.path(f"{form}-data"), hadoop, **options)
        assert two.table == one.table and content(two) == content(one) and sum(shard.n for shard in one.validation()) > 200
    run = saved(one, tmp_path / "run")
    scores = mrdl.evaluate(run, str(tmp_path / "*.avro"), runner="inline")
    assert mrdl.evaluate(run, home.path("avro"), runner=hadoop)["loss"] == pytest.approx(scores["loss"], 1e-6)


def fit(data, run, **options):
    return averaging(rounds=1, averaging_frequency=None, **options).fit(network(2), data.url, run=run, verbose=0)
