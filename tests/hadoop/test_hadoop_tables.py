"""Tables as they lie, on a real Hadoop: the statistics, the dataset and the scores that one machine gives."""
import pytest
from raw_rows import ROWS, joined, saved, written

import mrdl
from mrdl.data import dataset
from mrdl.driver.preparation import tables
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
