"""Input files as they lie on HDFS: packed ones, partitions, bad records and long lines give what they give on one machine."""
import json

import pytest
from packed import PACK
from raw_rows import ROWS, written

import mrdl
from mrdl.storage.pieces import LONGEST
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop


def content_of(data):
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
        assert data.uid == near.uid and content_of(data) == content_of(near), name
    whole = PACK[".gz"](b"a,b\n" + b"1,2\n" * 50_000)
    home.write("cut.csv.gz", whole[:len(whole) - 5])
    (tmp_path / "good.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "schema.json").write_bytes(mrdl.infer_schema(str(tmp_path / "good.csv"), "inline").table.dump())
    with pytest.raises(mrdl.JobFailed, match=r"cut.csv.gz: cannot be read .Compressed file ended before"):     # by a task
        mrdl.prepare(home.path("cut.csv.gz"), home.path("no"), hadoop, schema=str(tmp_path / "schema.json"))


def test_bad_records_are_kept_whole_and_fields_go_on_over_lines(tmp_path, home, hadoop):
    long = b"9" * (LONGEST + (1 << 20))
    lines = [b"\xef\xbb\xbfa,b", *(b"%d,2\n%d,x,y" % (i, i) for i in range(50)), b"7,\xff"]
    for name, content in (("short.csv", b"\n".join(lines)), ("long.csv.gz", PACK[".gz"](b"\n".join([*lines[:40], long, *lines[40:]])))):
        home.write(f"raw/{name}", content)
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(content)
    kinds = {name: {"kind": "numeric", "missing": "refuse"} for name in "ab"}
    found = {}
    for name, runner in (("near", "inline"), ("far", hadoop)):
        place = tmp_path / "near" if name == "near" else home.path("far")
        data = mrdl.prepare(str(tmp_path / "raw") if name == "near" else home.path("raw"), str(place) + "-data", runner, kinds=kinds,
                            max_bad=0.9, quarantine=str(place))
        store = store_at(place)
        kept = [json.loads(line) for part in store.list() for line in store.read(part).splitlines()]
        assert len(kept) == data.bad["count"] == 103 and sum(shard.n for shard in data.shards) == 100
        found[name] = sorted((record["offset"], record["reason"], record["line"][:100]) for record in kept)
    assert found["near"] == found["far"] and "line too long" in {reason for _, reason, _ in found["far"]}
    content = b"a,b\n" + b"1,2\n" * 9 + b"9" * 70_000_000 + b"\n3,4\n"      # of three blocks of HDFS
    home.write("long.csv", content)
    (tmp_path / "long.csv").write_bytes(content)
    near, far = (mrdl.prepare(path, str(out), runner, max_bad=0.1) for path, out, runner in (
        (str(tmp_path / "long.csv"), tmp_path / "near-long", "inline"), (home.path("long.csv"), home.path("far-long"), hadoop)))
    assert content_of(far) == content_of(near) and far.bad["reasons"] == near.bad["reasons"] == {"line too long": 1}

    content = b"n,word,y\n" + b"".join(b'%d,"two\nlines, %d",%d\n' % (i, i % 3, i % 2) for i in range(300))
    home.write("lines.csv", content)
    found = mrdl.infer_schema(home.path("lines.csv"), hadoop, multiline=True).records
    assert (found.rows, found.bad) == (300, {})
    (tmp_path / "lines.csv").write_bytes(content)
    made = [mrdl.prepare(path, out, runner, label="y", multiline=True) for path, out, runner in (
        (str(tmp_path / "lines.csv"), str(tmp_path / "lines"), "inline"), (home.path("lines.csv"), home.path("lines"), hadoop))]
    assert content_of(made[0]) == content_of(made[1])
