"""Parquet, ORC and Avro: the columns of a CSV with the same values, whatever their types; spans; what cannot be read."""
import csv
import datetime
import gzip
import json
import os
import shutil
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from raw_rows import joined, predicted
from raw_rows import saved as model_of

import mrdl
from mrdl.data.dataset import shown
from mrdl.data.readers import arrow, avro, columnar
from mrdl.data.readers.table import read_back
from mrdl.data.records import Records
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.data.survey import Survey
from mrdl.data.tables.table import Table
from mrdl.data.tables.words import MISSING, USUAL
from mrdl.driver.preparation.describe import infer_schema
from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.preparation.tables import counted_here

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
orc = pytest.importorskip("pyarrow.orc")
fastavro = pytest.importorskip("fastavro")

UTC = datetime.timezone.utc
DAY, MORNING = datetime.date(2020, 2, 29), datetime.datetime(2020, 2, 29, 10, 30)
LATE = datetime.datetime(1969, 12, 31, 23, 59, 59, 250000)


def saved(path, table, **options) -> str:
    if str(path).endswith(".orc"):
        orc.write_table(table, str(path), **options)
    else:
        pq.write_table(table, str(path), **options)
    return str(path)


def read(paths, table: Table | None = None):
    """The columns, the places of the rows, and their texts: all that is read of some files."""
    schema = sniff([*map(str, paths)])
    schema = read_back(json.loads(json.dumps((schema if table is None else schema.by(table)).dump())))
    found = [part for _, lines in schema.here() for part in schema.words(Records(), lines)]
    return schema, {name: [word for columns, *_ in found for word in columns[name]] for name in schema.needed}, found


@pytest.mark.parametrize(("values", "kind", "expected"), [
    ([5, None, -7], "int8", [b"5", b"", b"-7"]),
    ([2**53 + 1, -2**63, None], "int64", [b"9007199254740993", b"-9223372036854775808", b""]),
    ([2**64 - 1, 0, None], "uint64", [b"18446744073709551615", b"0", b""]),
    ([5.0, 0.1, None, -0.0, 1e15, 1e16, 9.5e-5, 1e-4, 1.5e300, float("nan"), float("-inf")], "float64",
     [b"5.0", b"0.1", b"", b"-0.0", b"1000000000000000.0", b"1e+16", b"9.5e-05", b"0.0001", b"1.5e+300", b"", b"-inf"]),
    ([0.5, None], "float32", [b"0.5", b""]),
    ([0.5, None], "float16", [b"0.5", b""]),
    ([True, None, False], "bool", [b"True", b"", b"False"]),
    ([" ab\t", None, "", "é,\"\n", "  "], "string", [b"ab", b"", b"", b"\xc3\xa9,\"\n", b""]),
    ([DAY, None], "date32", [b"2020-02-29", b""]),
    ([DAY, None], "date64", [b"2020-02-29", b""]),
    ([None, None], "null", [b"", b""]),
], ids=lambda value: value if isinstance(value, str) else None)
def test_a_value_is_the_word_that_a_csv_of_it_has(tmp_path, values, kind, expected):
    array = pa.array(np.array(values, "f2") if kind == "float16" else values, kind, from_pandas=kind == "float16")
    _, found, _ = read([saved(tmp_path / "x.parquet", pa.table({"a": array, "n": range(len(values))}))])
    assert found["a"] == expected


def test_a_nan_of_any_kind_is_missing(tmp_path):
    _, found, _ = read([saved(tmp_path / "x.parquet", pa.table({"a": np.array([0x7F800001, 0x3F000000], "u4").view("f4")}))])
    assert found["a"] == [b"", b"0.5"]


@pytest.mark.parametrize("number", [-1, 1])
def test_a_number_of_no_value_is_damage(number):
    odd = pa.DictionaryArray.from_arrays(pa.array([0, number], "i4"), pa.array(["a"]), safe=False)
    with pytest.raises(ValueError, match="for 1 values"):
        arrow.column(pa.RecordBatch.from_arrays([odd], ["a"]), arrow.Leaf("a", ("a",)), {})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_are_told_as_days_where_it_is_midnight(tmp_path, unit):
    values = [datetime.datetime(2020, 2, 29), MORNING, None, *([LATE] if unit != "s" else [])]
    zoned = pa.array([value and value.replace(tzinfo=UTC) for value in values], pa.timestamp(unit, "Europe/Berlin"))
    path = saved(tmp_path / "x.parquet", pa.table({"a": pa.array(values, pa.timestamp(unit)), "z": zoned}), version="2.6")
    _, found, ((columns, *_),) = read([path])
    assert found["a"][:3] == [b"2020-02-29", b"2020-02-29 10:30:00", b""] and found["a"] == found["z"]
    assert found["a"][3:] in ([], [b"1969-12-31 23:59:59." + b"250000000"[:{"ms": 3, "us": 6}.get(unit, 9)]])
    for name in "az":
        words = columns[name]
        for order in "YMD", "DMY":
            seconds, codes = words.dates(order)
            by_text = words.text.dates("YMD")
            assert codes.tolist() == by_text[1].tolist() and seconds[codes == 0].tolist() == by_text[0][codes == 0].tolist()
        assert words.take(slice(1, 3)).dates("YMD")[0][0] == MORNING.replace(tzinfo=UTC).timestamp()


def test_nested_columns_are_named_by_their_paths_and_what_cannot_be_used_is_said(tmp_path):
    rows = [{"user": {"age": i, "home": {"town": f"t{i}"}} if i else None, "pair": [i, i + 1] if i else None, "tags": ["x"] * i,
             "raw": b"\0", "n": Decimal(i) / 4, "c": "ab"[i % 2]} for i in range(3)]
    own = pa.struct({"age": pa.int32(), "home": pa.struct({"town": pa.string()})})
    table = pa.Table.from_pylist(rows, pa.schema({"user": own, "pair": pa.list_(pa.float32(), 2), "tags": pa.list_(pa.string()), "raw": pa.binary(),
                                                  "n": pa.decimal128(9, 2), "c": pa.dictionary(pa.int8(), pa.large_string())}))
    schema, found, _ = read([saved(tmp_path / "x.parquet", table)])
    assert found == {"user.age": [b"", b"1", b"2"], "user.home.town": [b"", b"t1", b"t2"], "pair.0": [b"", b"1.0", b"2.0"],
                     "pair.1": [b"", b"2.0", b"3.0"], "n": [b"0.00", b"0.25", b"0.50"], "c": [b"a", b"b", b"a"]}
    assert schema.notes == ["column 'tags' is left out: its values are list", "column 'raw' is left out: its values are binary"]


ROWS = [{"id": 2**60 + i, "x": None if i % 9 == 0 else (i * 7919 % 1000) / 7, "k": i % 3, "code": f"{i % 4:03d}", "b": i % 5 < 2,
         "day": DAY + datetime.timedelta(i % 40), "word": None if i % 7 == 0 else ("a, b", "c", "NA")[i % 3], "w": 1.0 + i % 2,
         "y": "yes" if i % 3 else "no"} for i in range(300)]


def written(path) -> str:
    """As pandas writes it."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([ROWS[0], *(["" if value is None else value for value in row.values()] for row in ROWS)])
    return str(path)


AVRO = {"id": "long", "x": ["null", "double"], "k": "int", "code": "string", "b": "boolean", "day": {"type": "int", "logicalType": "date"},
        "word": ["string", "null"], "w": "float", "y": {"type": "enum", "name": "Y", "symbols": ["no", "yes"]}}


def packed(path, rows, fields, **options) -> str:
    """Avro, in blocks of some rows."""
    schema = {"type": "record", "name": "Row", "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}
    with open(path, "wb") as file:
        fastavro.writer(file, schema, rows, **{"sync_interval": 1000, **options})
    return str(path)


def described(path, inline):
    return infer_schema(str(path), inline, label="y", weight="w", ids=["id"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One table in three forms, Parquet in several groups."""
    folder, table = tmp_path_factory.mktemp("forms"), pa.Table.from_pylist(ROWS)
    return {"csv": written(folder / "x.csv"), "parquet": saved(folder / "x.parquet", table, row_group_size=70),
            "orc": saved(folder / "x.orc", table), "avro": packed(folder / "x.avro", ROWS, AVRO)}


@pytest.mark.parametrize("form", ["parquet", "orc", "avro"])
def test_a_table_has_one_schema_and_one_encoding_in_every_form(files, form, inline):
    own, other = described(files["csv"], inline), described(files[form], inline)
    assert own.table.columns == other.table.columns and own.inferred.warnings == other.inferred.warnings
    for name, found in own.inferred.statistics.items():
        assert found.dump() == other.inferred.statistics[name].dump(), name
    made = []
    for path in files["csv"], files[form]:
        schema, _, parts = read([path], own.table)
        assert [type(schema).kind, schema.needed] == [schema.kind, [n for n in ROWS[0] if n != "id"] if path == files[form] else schema.needed]
        made.append([np.concatenate(arrays) for arrays in zip(*(own.table.encode(columns)[:3] for columns, *_ in parts))])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*made)) and made[0][0].shape[0] == len(ROWS)


@pytest.mark.parametrize("form", ["parquet", "orc", "avro"])
def test_from_raw_rows_to_their_scores(tmp_path, files, form, inline, local):
    asked = {"label": "y", "ids": ["id"], "hold_out": 0.2}
    data = [prepare(files[form], str(tmp_path / name), runner, **asked) for name, runner in (("1", inline), ("2", local))]
    assert data[0].uid == data[1].uid and [s.n for s in data[0].shards] == [s.n for s in data[1].shards]
    assert [(tmp_path / "1" / s.name).read_bytes() for s in data[0].shards] == [(tmp_path / "2" / s.name).read_bytes() for s in data[1].shards]
    run = model_of(data[0], tmp_path / "run")
    by_csv, own, again = (predicted(run, path, tmp_path / f"out{i}", runner, ids=["id"], keep=["word"])
                          for i, (path, runner) in enumerate([(files["csv"], inline), (files[form], inline), (files[form], local)]))
    assert own == by_csv == again and [line[0] for line in own[1:]] == [str(row["id"]) for row in ROWS]
    model = mrdl.load_model(run)
    assert (model.predict(files[form]) == model.predict(files["csv"])).all()
    named = predicted(run, files[form], tmp_path / "named", inline)
    mrdl.predict(run, files[form], str(tmp_path / "json"), runner=inline, ids=["id", "x"], format="jsonl")
    assert [(found["id"], found["x"]) for found in map(json.loads, joined(tmp_path / "json").splitlines())] == [(row["id"], row["x"]) for row in ROWS]
    if form != "avro":
        assert [line[:2] for line in named] == [["file", "row"], *([files[form], str(i)] for i in range(len(ROWS)))]
    assert named[0][0] == "file" and len({line[1] for line in named}) == 1 + len(ROWS)
    scores = [mrdl.evaluate(run, path, runner=inline) for path in (files["csv"], files[form])]
    assert scores[0] == scores[1]


def test_scores_are_written_as_parquet(tmp_path, files, inline, local):
    run = model_of(prepare(files["csv"], str(tmp_path / "data"), inline, label="y", ids=["id"]), tmp_path / "run")
    odd = saved(tmp_path / "odd.parquet", pa.table({name: [row[name] if name != "w" else "1.0" if i % 4 else "what" for i, row in enumerate(ROWS)]
                                                    for name in ROWS[0]}), row_group_size=70)
    for path, kept, types in ((files["parquet"], {"ids": ["id"], "keep": ["x", "word"]}, ["int64", "double", "string"]),
                              (files["csv"], {"ids": ["id"]}, ["string"]), (odd, {}, ["string", "int64"]), (odd, {"ids": ["k"]}, ["int64"])):
        name = f"{len(os.listdir(tmp_path))}"
        lines = predicted(run, path, tmp_path / name, inline, **kept)
        mrdl.predict(run, path, str(tmp_path / f"{name}.p"), runner=local, format="parquet", **kept)
        table = pq.read_table(tmp_path / f"{name}.p")
        assert table.column_names == lines[0] and [*map(str, table.schema.types)] == [*types, "string", "float", "float", "string"]
        for found, line in zip(table.to_pylist(), lines[1:], strict=True):
            assert [str(value or 0.0) if field == "x" else "" if value is None else f"{value:.9g}" if field.startswith("probability") else str(value)
                    for field, value in found.items()] == [text or "0.0" if field == "x" else text for field, text in zip(lines[0], line)]
    assert table["error"].null_count == 225


def test_a_folder_of_parts_is_one_table_by_the_names_of_its_columns(tmp_path, files, inline):
    whole = described(files["csv"], inline)
    folder = tmp_path / "parts"
    folder.mkdir()
    table = pa.Table.from_pylist(ROWS)
    for number, (start, stop) in enumerate([(0, 100), (100, 100), (100, 300)]):
        names = table.column_names[::-1] if number == 2 else table.column_names
        saved(folder / f"part-{number}.parquet", table.slice(start, stop - start).select(names), row_group_size=30)
    (folder / "_SUCCESS").touch()
    assert described(folder, inline).table.columns == whole.table.columns
    saved(folder / "part-3.parquet", table.select(["id", "x", "y"]))
    with pytest.raises(DataError, match="part-3.parquet: has no column 'k', 'code', .* and .*part-0.parquet has"):
        described(folder, inline)
    saved(folder / "part-3.parquet", table.append_column("more", pa.nulls(300)))
    assert sniff([*map(str, sorted(folder.glob("part*")))]).notes == [
        f"left out, as {folder}/part-0.parquet does not have them: 'more' of {folder}/part-3.parquet"]


def test_folders_of_partitions_are_columns_too(tmp_path, inline):
    for day in "2026-11-29", "2026-11-30":
        (tmp_path / f"day={day}").mkdir()
        saved(tmp_path / f"day={day}" / "part-0.parquet", pa.table({"a": [1.5, 2.5]}))
    _, found, _ = read(map(str, sorted(tmp_path.glob("*/*"))))
    made = infer_schema(str(tmp_path), inline, kinds={"a": "ignore"}).table
    assert found == {"a": [b"1.5", b"2.5"] * 2} and made.columns["day"].kind == "date"
    _, found, parts = read(map(str, sorted(tmp_path.glob("*/*"))), made)
    assert not found and [len(starts) for _, starts, _ in parts] == [2, 2]


@pytest.mark.parametrize("form", ["parquet", "orc"])
def test_few_columns_at_a_time_are_read_where_each_counts_alone(tmp_path, files, form, monkeypatch):
    """The same statistics, wherever the label stands: in the first or the last columns, or in the folder's name."""
    (tmp_path / "at=7").mkdir()
    path = shutil.copy(files[form], tmp_path / "at=7")
    kind = type(sniff([path]))
    batches, asked = kind.batches, []
    monkeypatch.setattr(kind, "batches", staticmethod(lambda reader, groups, names, rows: asked.append((names, rows)) or batches(reader, groups, names, rows)))

    def found(label, together, rows):
        monkeypatch.setattr(columnar, "TOGETHER", together)
        monkeypatch.setattr(columnar, "ROWS", rows)
        schema = sniff([path])
        statistics, facts = counted_here(Survey(schema, label, list(MISSING), [USUAL] * len(schema.columns)))
        return {name: own.dump() for name, own in statistics.items()}, facts
    for label in "id", "y", "at", None:
        whole = found(label, 100, 1 << 15)
        asked.clear()
        assert found(label, 2, 7) == whole and whole[1].rows == len(ROWS)
        assert max(len(names) for names, _ in asked) == 2 + (label in ("id", "y")) and {rows for _, rows in asked} == {7}


def test_a_row_keeps_its_place_whatever_the_groups_and_batches(tmp_path, monkeypatch):
    table = pa.table({"i": range(1000), "s": [str(i) for i in range(1000)]})
    files = [saved(tmp_path / name, table, row_group_size=size) for name, size in (("a.parquet", 7), ("b.parquet", 1000))]
    monkeypatch.setattr(columnar, "VALUES", 200)
    monkeypatch.setattr(columnar, "BYTES", 3000)
    schema, found, parts = read(files)
    assert found["i"] == found["s"] == [b"%d" % i for i in range(1000)] * 2
    assert np.concatenate([starts for _, starts, _ in parts]).tolist() == [*range(1000)] * 2
    assert max(len(starts) for _, starts, _ in parts) <= 100
    spans = [span for span, _ in schema.spans()]
    assert spans[-1] == (1, 0, 1) and spans[0][:2] == (0, 0) and 2 < len(spans) < 100
    assert all(a[2] == b[1] for a, b in pairwise(spans) if a[0] == b[0])


def test_only_needed_columns_are_read(tmp_path, files, inline):
    """Bytes of a column that nobody needs are overwritten."""
    found = described(files["parquet"], inline).table
    data = bytearray(Path(files["parquet"]).read_bytes())
    for name, odd in ("id", False), ("word", True):
        groups = pq.ParquetFile(files["parquet"]).metadata
        chunk = groups.row_group(1).column(groups.schema.names.index(name))
        data[chunk.data_page_offset:chunk.data_page_offset + 40] = b"\xff" * 40
        (tmp_path / "odd.parquet").write_bytes(data)
        if odd:
            with pytest.raises(DataError, match="odd.parquet: cannot be read"):
                read([tmp_path / "odd.parquet"], found)
        else:
            read([tmp_path / "odd.parquet"], found)


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_blocks_of_avro_are_read_once_however_it_is_cut(tmp_path, monkeypatch, codec):
    rows = [{"i": i, "s": f"word {i * 7919 % 1000}"} for i in range(1000)]
    path = packed(tmp_path / "x.avro", rows, {"i": "long", "s": "string"}, codec=codec, sync_interval=300)
    whole = None
    for span, most in (1 << 20, 1 << 12), (700, 64), (1, 1000):
        monkeypatch.setattr(avro, "SPAN", span)
        monkeypatch.setattr(avro, "ROWS", most)
        monkeypatch.setattr(avro, "CHUNK", 100)
        schema, found, parts = read([path])
        assert found == {"i": [b"%d" % row["i"] for row in rows], "s": [row["s"].encode() for row in rows]}
        places = np.concatenate([starts for _, starts, _ in parts]).tolist()
        assert places == sorted(set(places)) and (whole is None or places == whole)
        assert len(schema.spans()) == -(-Path(path).stat().st_size // span) and max(len(starts) for _, starts, _ in parts) <= most
        whole = places
    Path(path).write_bytes(Path(path).read_bytes()[:-20])
    with pytest.raises(DataError, match="x.avro: cannot be read"):
        read([path])


def test_what_avro_nests_is_named_by_its_path(tmp_path):
    town = {"type": "record", "name": "Town", "fields": [{"name": "name", "type": "string"}]}
    fields = {"user": ["null", {"type": "record", "name": "User", "fields": [{"name": "age", "type": "int"}, {"name": "home", "type": town}]}],
              "work": ["null", "Town"], "next": ["null", "Row"], "tags": {"type": "array", "items": "string"}, "raw": ["bytes", "null"],
              "n": {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}, "mixed": ["int", "string", "null"],
              "at": {"type": "long", "logicalType": "timestamp-micros"}, "x": ["null", "double"], "none": "null"}
    row = {"user": {"age": 3, "home": {"name": " a "}}, "work": {"name": "b"}, "next": None, "tags": [], "raw": b"", "n": Decimal("1.50"), "mixed": 5,
           "at": LATE.replace(tzinfo=UTC), "x": 1e16, "none": None}
    other = {**row, "user": None, "work": None, "mixed": "x", "at": MORNING.replace(tzinfo=UTC), "x": float("nan")}
    schema, found, _ = read([packed(tmp_path / "x.avro", [row, other, {**row, "at": datetime.datetime(2020, 2, 29, tzinfo=UTC), "x": None}], fields)])
    assert found == {"user.age": [b"3", b"", b"3"], "user.home.name": [b"a", b"", b"a"], "work.name": [b"b", b"", b"b"], "n": [b"1.50"] * 3,
                     "mixed": [b"5", b"x", b"5"], "at": [b"1969-12-31 23:59:59.250000", b"2020-02-29 10:30:00", b"2020-02-29"],
                     "x": [b"1e+16", b"", b""], "none": [b""] * 3}
    assert schema.notes == [f"column {name!r} is left out: its values are {kind}" for name, kind in (
        ("next", "record"), ("tags", "array"), ("raw", "bytes"))]
    with pytest.raises(DataError, match="x.avro: no rows"):
        sniff([packed(tmp_path / "x.avro", [], {"a": "int"})])


def test_bad_rows_are_told_by_their_number(tmp_path, inline):
    path = saved(tmp_path / "x.parquet", pa.table({"a": [str(i) for i in range(50)] + ["what", "7"], "b": [0.5] * 51 + [float("inf")],
                                                   "y": ["u", "v"] * 26}))
    found = infer_schema(path, inline, label="y", kinds={"a": {"kind": "numeric"}})
    (tmp_path / "schema.json").write_bytes(found.table.dump())
    data = prepare(path, str(tmp_path / "data"), inline, schema=str(tmp_path / "schema.json"), max_bad=0.1)
    assert [shown(sample) for sample in data.bad["samples"]] == [
        f"{path}, row 50: not a number (column 'a'): 'what, 0.5, u'", f"{path}, row 51: not finite (column 'b'): '7, inf, v'"]
    run = model_of(data, tmp_path / "run")
    lines = predicted(run, path, tmp_path / "out", inline, ids=["a"])
    assert len(lines) == 53 and lines[51][-1] == "not a number (column 'a': 'what'); x.parquet, row 50" and lines[50][-1] == ""


def test_what_cannot_be_read_is_said_in_a_line(tmp_path, monkeypatch):
    good = saved(tmp_path / "x.parquet", pa.table({"a": [1]}))
    data = Path(good).read_bytes()
    for name, content, reason in (
            ("cut.parquet", data[:-9], "cut.parquet: cannot be read (.*magic bytes not found"),
            ("csv.parquet", b"a,b\n1,2\n", "csv.parquet: cannot be read (.*not a parquet file"),
            ("secret.parquet", data[:-4] + b"PARE", "secret.parquet: cannot be read (.*encrypted"),
            ("cut.orc", b"ORC" + data, "cut.orc: cannot be read ("),
            ("odd.avro", b"Obj\1x", "odd.avro: cannot be read (.*is it an avro file"),
            ("nameless.avro", Path(packed(tmp_path / "y.avro", [], {"a": "int"})).read_bytes().replace(b"name", b"nome"), "nameless.avro: cannot be read ("),
            ("x.parquet.gz", gzip.compress(data), "x.parquet.gz: parquet files are compressed inside: unpack this one")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=reason.replace("(", r"\(")) as error:
            sniff([str(tmp_path / name)])
        assert "\n" not in str(error.value)
    for table, reason in ((pa.table({"a": pa.array([], "int8")}), "no rows"), (pa.table({}), "no column has values that can be used"),
                          (pa.table({"a": [b"x"]}), "no column has values .*'a' is left out: its values are binary")):
        with pytest.raises(DataError, match=reason):
            sniff([saved(tmp_path / "odd.parquet", table)])
    with pytest.raises(DataError, match="several columns have the name 'a'"):
        mrdl.infer_schema(saved(tmp_path / "odd.parquet", pa.table([[1], [2]], ["a", "a"])), "inline")
    with pytest.raises(DataError, match="names its columns itself"):
        sniff([good], header=True)
    for package, extra, path in ("pyarrow", "arrow", good), ("fastavro", "avro", str(tmp_path / "odd.avro")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(DataError, match=rf"to read {path.rpartition('.')[2]} files: pip install 'mrdl\[{extra}\]'"):
            sniff([path])
