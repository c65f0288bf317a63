"""Hive's partition folders: their names are columns of all rows below them."""
import json

import pyarrow as pa
import pytest
from pyarrow import parquet
from raw_rows import HEADER, ROWS, predicted, saved, written

import mrdl
from mrdl.data.records import Records
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError, expand
from mrdl.storage.partitions import values, within

DAYS, LANDS = ("2026-11-29", "2026-12-01"), {"de": "de", "a/b c%": "a%2Fb c%25", "": "__HIVE_DEFAULT_PARTITION__"}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The folder of a partitioned table, and the same rows in one file."""
    folder, rows = tmp_path_factory.mktemp("hive"), []
    for i, (day, land) in enumerate((day, land) for day in DAYS for land in LANDS):
        place = folder / "table" / f"day={day}" / f"land={LANDS[land]}"
        place.mkdir(parents=True)
        written(place / "part-0.csv", own := ROWS[10 * i:10 * i + 10])
        (place / ".part-0.csv.crc").write_bytes(b"\0")
        rows += [[*row, day, land] for row in own]
    (folder / "table" / "_SUCCESS").touch()
    return str(folder / "table"), written(folder / "one.csv", rows, [*HEADER, "day", "land"])


def test_a_path_tells_columns_and_values_as_hive_writes_them():
    assert values("/a/x=1/t/day=2026-11-29/c%20d=a%2Fb=%C3%A9/f.csv") == {"day": b"2026-11-29", "c d": "a/b=\u00e9".encode()}
    assert values("hdfs://n:1/t/day=__HIVE_DEFAULT_PARTITION__/f") == {"day": b""} and values("f.csv") == values("/t/=1/f.csv") == {}
    assert within("/a/x=1/t/day=1/c=2/f.csv") == "day=1/c=2/f.csv" and within("f=1.csv") == "f=1.csv"


def test_folders_and_patterns_are_walked_down_the_partitions(tables):
    files = expand([tables[0]])
    assert len(files) == 6 and files == sorted(files)
    for pattern in ("/*", "/day=*", "/day=*/land=*/*.csv", "/**/*.csv", "/"):
        assert expand([tables[0] + pattern]) == files
    assert expand([f"{tables[0]}/day=*/land=de/", files[0]]) == [files[2], files[5], files[0]]
    with pytest.raises(DataError, match="land=de/part-0.csv: a file is given twice, and its rows would count twice"):
        expand([f"{tables[0]}/day=*/land=de/", f"{tables[0]}/day={DAYS[0]}/*/part*"])


def test_their_columns_have_the_statistics_of_a_table_that_has_them(tables):
    one, other = (mrdl.infer_schema(path, "inline", label="survived", ids=["id"]) for path in tables)
    assert one.table == other.table and one.table.columns["land"].missing == "category"
    for name, found in other.inferred.statistics.items():
        assert found.dump() == one.inferred.statistics[name].dump()
    assert one.notes == ["columns from the names of folders: 'day', 'land'"]


def test_a_model_takes_the_same_features_from_both(tables, tmp_path, inline):
    data = [mrdl.prepare(path, str(tmp_path / f"d{i}"), inline, label="survived", ids=["id"], kinds={"day": "date"}, shards=1)
            for i, path in enumerate(tables)]
    assert data[0].columns == data[1].columns and {"land=a/b c%", "land missing"} <= {*data[0].columns}
    run = saved(data[0], tmp_path / "run")
    one, other = (predicted(run, path, tmp_path / f"out{i}", ids=["id"], keep=["land", "day"]) for i, path in enumerate(tables))
    assert sorted(one) == sorted(other)
    assert [row[0] for row in one[1:]] == [str(i) for i in (*range(20, 30), *range(10, 20), *range(10), *range(50, 60), *range(40, 50), *range(30, 40))]
    assert dict(mrdl.evaluate(run, tables[0], runner=inline)) == pytest.approx(dict(mrdl.evaluate(run, tables[1], runner=inline)))
    with pytest.raises(DataError, match="'land' .missing"):
        mrdl.predict(run, written(tmp_path / "day=1.csv"), str(tmp_path / "no"), runner=inline)


def test_folders_that_do_not_agree_are_refused(tables, tmp_path):
    (other := tmp_path / "day=1").mkdir()
    path = written(other / "x.csv")
    with pytest.raises(DataError, match="x.csv: its folders name the columns 'day', those of .*part-0.csv the columns 'day', 'land'; all"):
        sniff([*expand([tables[0]]), path])
    with pytest.raises(DataError, match="part-0.csv: its folders name the columns 'day', 'land', those of .*one.csv no columns; all"):
        sniff([tables[1], *expand([tables[0]])])
    (clash := tmp_path / "age=1").mkdir()
    with pytest.raises(DataError, match="'age' is the name of a column, and of a folder above the file .age=.*rename one"):
        sniff([written(clash / "x.csv")])


def test_the_place_of_a_row_has_the_partition_of_its_file_but_not_where_the_table_lies():
    def person(path):
        return Records(path).person
    assert person("/x/t/day=1/f") == person("hdfs:///y/day=1/f") != person("/x/t/day=2/f") != person("/x/t/f") == person("f")


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_every_form_of_columns_has_them(tmp_path, form, inline):
    rows = [{"a": i * 1.5, "b": "xyz"[i % 3], "y": "no" if i % 4 else "yes"} for i in range(30)]
    for day in DAYS:
        (place := tmp_path / f"table/day={day}/land=a%2Fb").mkdir(parents=True)
        if form == "jsonl":
            (place / "f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            parquet.write_table(pa.Table.from_pylist(rows), place / "f.parquet")
    data = mrdl.prepare(str(tmp_path / "table"), str(tmp_path / "data"), inline, label="y", kinds={"day": "categorical"}, shards=1)
    assert [*data.columns][-2:] == [f"day={day}" for day in DAYS] and data.shards[0].n == 60
    out = predicted(saved(data, tmp_path / "run"), str(tmp_path / "table"), tmp_path / "out", keep=["day", "land"], format="csv")
    assert [row[:2] for row in out[1:]] == [[day, "a/b"] for day in DAYS for _ in rows]
