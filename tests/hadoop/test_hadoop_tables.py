"""Tables as they lie, on a real Hadoop: the statistics, the dataset and the scores that one machine gives."""
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from averaged import averaging, network
from processes import result
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
    assert {line.split(b".parquet,")[0].partition(b"://")[0] for line in store.read("part-00001").splitlines()} == {b"hdfs"}


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


def fit(data, run, **options):
    return averaging(rounds=1, averaging_frequency=None, **options).fit(network(2), data.url, run=run, verbose=0)
