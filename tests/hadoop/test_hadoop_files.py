"""Input files as they lie on HDFS: packed ones, and partitions, give what they give on one machine."""
import pytest
from packed import PACK
from raw_rows import ROWS, written

import mrdl
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop


def content(data):
    store = store_at(data.url)
    return [store.read(shard.name) for shard in data.shards]


def test_packed_partitions_are_read_once_and_as_on_one_machine(tmp_path, home, hadoop):
    for i, end in enumerate([*PACK, ""]):
        (place := tmp_path / f"table/day=2026-11-0{i + 1}/land=a%2Fb c").mkdir(parents=True)
        path = written(place / "x.csv", ROWS[10 * i:10 * i + 10])
        if end:
            (place / f"x.csv{end}").write_bytes(PACK[end]((place / "x.csv").read_bytes()))
            (place / "x.csv").unlink()
            path += end
        home.put(f"table/{path.removeprefix(str(tmp_path / 'table'))[1:]}", path)
    near = mrdl.prepare(str(tmp_path / "table"), str(tmp_path / "near"), "inline", label="survived", ids=["id"])
    assert sum(shard.n for shard in near.shards) == 60 and "land" in str(near.table)
    for name, inputs in (("far", home.path("table")), ("sent", str(tmp_path / "table"))):
        data = mrdl.prepare(inputs, home.path(name), hadoop, label="survived", ids=["id"])
        assert data.uid == near.uid and content(data) == content(near), name
    whole = PACK[".gz"](b"a,b\n" + b"1,2\n" * 50_000)
    home.write("cut.csv.gz", whole[:len(whole) - 5])
    with pytest.raises(mrdl.JobFailed, match=r"cut.csv.gz: cannot be read .Compressed file ended before"):
        mrdl.prepare(home.path("cut.csv.gz"), home.path("no"), hadoop)
