"""Bad records, kept whole: as many as are told, each with what it takes to find and repair it."""
import json

import pyarrow as pa
import pytest
from pyarrow import parquet
from raw_data import text

import mrdl
from mrdl.data.corpus import BOM
from mrdl.data.dataset import load
from mrdl.data.sources import DataError

KINDS = {name: {"kind": "numeric", "missing": "refuse"} for name in "ab"}
BAD = [b"1,2", b"1,x," + b"long" * 100, b"nan,1,0", b"1e39,2,1", b"1,caf\xe9,0", b'"1,2,3', b"\xff\xfe\xfd"]


def records(folder) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    lines = [b"a,b,y", *(line for i, bad in enumerate(BAD) for line in (b"%d,2,0" % i, bad, b"3,4,1"))]
    return [text(folder, BOM * mark + b"\r\n".join(lines), f"{name}.csv") for name, mark in (("x", 0), ("y", 1))]


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_every_bad_record_is_kept_whole_with_file_place_and_reason(tmp_path, inputs, runner):
    said = []
    data = mrdl.prepare(inputs, str(tmp_path / "data"), runner, label="y", kinds=KINDS, max_bad=0.5, hold_out=0.2, quarantine=str(tmp_path / "bad"),
                        said=said.append)
    found = records(tmp_path / "bad")
    assert len(found) == data.bad["count"] == 2 * len(BAD)
    assert said[-1] == f"{tmp_path}/bad: 14 bad records, whole, as lines of JSON"
    for record in found:
        line = record["line"].encode("utf-8", "surrogateescape")
        with open(record["file"], "rb") as file:
            file.seek(record["offset"])
            assert file.readline().rstrip(b"\r\n") == line
    assert sorted(record["line"].encode("utf-8", "surrogateescape") for record in found) == sorted(BAD * 2)
    reasons = [record["reason"] for record in found]
    assert {reason: reasons.count(reason) for reason in reasons} == data.bad["reasons"]
    assert {sample["reason"] for sample in data.bad["samples"]} == {f"{r['reason']} ({r['detail']})" for r in found}


def test_they_are_kept_where_there_are_too_many_and_replace_those_of_before(tmp_path, inputs, inline):
    bad = tmp_path / "bad"
    with pytest.raises(DataError, match="14 of 42 records are bad.*to keep all of them, whole: --quarantine FOLDER"):
        mrdl.prepare(inputs, str(tmp_path / "data"), inline, label="y", kinds=KINDS)
    for some in (inputs, inputs[:1]):
        with pytest.raises(DataError, match="records are bad"):
            mrdl.prepare(some, str(tmp_path / "data"), inline, label="y", kinds=KINDS, quarantine=str(bad))
        assert len(records(bad)) == len(BAD) * len(some)
    (bad / "mine").touch()
    with pytest.raises(DataError, match="has other files than those of a quarantine; name another folder"):
        mrdl.prepare(inputs, str(tmp_path / "data"), inline, label="y", kinds=KINDS, quarantine=str(bad))
    with pytest.raises(DataError, match="quarantine: only possible with rows"):
        mrdl.prepare(inputs, str(tmp_path / "data"), inline, format="text", quarantine=str(tmp_path / "b"))


def test_without_bad_records_there_is_no_folder(tmp_path, inline):
    mrdl.prepare(text(tmp_path, "1,2\n3,4\n"), str(tmp_path / "data"), inline, quarantine=str(tmp_path / "bad"))
    assert not (tmp_path / "bad").exists() and load(str(tmp_path / "data")).bad["count"] == 0


def test_rows_that_are_numbered_are_kept_with_their_number(tmp_path, inline):
    parquet.write_table(pa.table({"a": [1.0, None, 3.0], "y": ["no", "yes", "no"]}), tmp_path / "x.parquet")
    mrdl.prepare(str(tmp_path / "x.parquet"), str(tmp_path / "data"), inline, label="y", max_bad=0.5, quarantine=str(tmp_path / "bad"),
                 kinds={"a": KINDS["a"]})
    (found,) = records(tmp_path / "bad")
    assert found["row"] == 1 and found["reason"] == "missing" and "yes" in found["line"]
