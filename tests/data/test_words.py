"""Tables as they lie: words, missing values, dates, other notations; what is made of them, and kept."""
import csv
import gzip
import json

import numpy as np
import pytest
from raw_data import shard_bytes, text

import mrdl
from mrdl.data import dataset
from mrdl.data.readers.lines import FEATURES
from mrdl.data.records import Records
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.data.tables.kinds import Categorical
from mrdl.data.tables.table import Table
from mrdl.driver.fits import features_of, same_features
from mrdl.driver.preparation.prepare import prepare
from mrdl.runners import splits

PASSENGERS = ["id,name,sex,age,port,survived"] + [
    f'{i},"Doe, Mr. {i}",{"male" if i % 3 else "female"},{"" if i % 5 == 0 else 20 + i % 30},{"SCQ"[i % 7 % 3]},{"no" if i % 4 else "yes"}'
    for i in range(60)]


def rows_of(data):
    """(x, y) of all examples, sorted."""
    found = []
    for shard in data.shards:
        with open(shard.path, "rb") as file:
            for line in file:
                arrays = dataset.blocks.unpack(line.rstrip(b"\n")).arrays()
                found += zip(arrays["x"].astype("f8").tolist(), arrays["y"].tolist() if "y" in arrays else [None] * len(arrays["x"]))
    return sorted(found, key=str)


@pytest.fixture
def passengers(tmp_path):
    return text(tmp_path, "\n".join(PASSENGERS) + "\n", "passengers.csv")


def test_words_missing_values_and_names_of_classes_become_numbers(tmp_path, inline, passengers):
    said = []
    data = prepare(passengers, str(tmp_path / "d"), inline, label="survived", said=said.append)
    assert data.columns == ["sex=male", "sex=female", "age", "port=S", "port=C", "port=Q"]
    assert (data.target.classes, data.target.shape) == (2, ())
    table = Table.load(json.dumps(data.table).encode())
    assert table.columns["survived"].classes == ("no", "yes")
    ages = [float(line.split(",")[4]) for line in PASSENGERS[1:] if line.split(",")[4]]
    wanted = []
    for line in PASSENGERS[1:]:
        _, _, _, sex, age, port, survived = line.split(",")
        x = [sex == "male", sex == "female", np.float32(age or np.mean(ages)), *(port == c for c in "SCQ")]
        wanted.append(([float(v) for v in x], int(survived == "yes")))
    assert rows_of(data) == sorted(wanted, key=str)
    assert any("sex" in line and "one-hot" in line for line in said)
    assert any("'id'" in note for note in data.notes) and any("'name'" in note for note in data.notes)


@pytest.mark.parametrize("content, x", [
    ("a b  y\n1 2  0\n 3  4 1 \n", [[1, 2], [3, 4]]),                   # runs of blanks
    ('a b  y\n"u v" 2  0\nz 4 1\n', [[1, 0, 2], [0, 1, 4]]),          # words among them
    ("a;y\n0,5;1\n1,5;0\n", [[0.5], [1.5]]),                            # decimal commas
    ("a,b,y\n1,,2\n3,,1\n", [[1], [3]]),                                # a column of nothing
    ("a,y,\n1,2,\n3,1,\n", [[1], [3]]),                                 # a delimiter at the end of each line
    ("a,y\n1,0\nNA,1\n3,1\n", [[1], [2], [3]]),                         # the mean for what is missing
    ('a,y\n"1,000",0\n"2,500",1\n"3,750",1\n', [[1000], [2500], [3750]]),
    ("a,y\nx,0\n#x,1\na,y\ny,1\n", [[0, 1], [1, 0]]),                   # a comment; the header once more
])
def test_tables_as_they_lie_are_read(tmp_path, inline, content, x):
    data = prepare(text(tmp_path, content), str(tmp_path / "d"), inline, label="y")
    assert [row for row, _ in rows_of(data)] == sorted(x, key=str)


def test_a_column_of_amounts_with_a_unit_is_one_column(tmp_path):
    assert sniff([text(tmp_path, "weight\n12 kg\n7 kg\n")]).columns == ["weight"]


def test_the_same_rows_come_out_of_any_file_runner_and_dataset_like_it(tmp_path, inline, local, passengers):
    one = prepare(passengers, str(tmp_path / "1"), inline, label="survived")
    header, *rows = [line.encode() for line in PASSENGERS]
    parts = tmp_path / "parts"
    parts.mkdir()
    for i, some in enumerate((rows[:7], rows[7:40], rows[40:])):
        (parts / f"{i}.csv.gz").write_bytes(gzip.compress(b"\n".join([header, *some])))
    many = prepare(str(parts), str(tmp_path / "2"), local, label="survived")
    assert many.table == one.table and rows_of(many) == rows_of(one)
    turned = tmp_path / "turned.csv"
    with open(turned, "w", newline="") as file:
        csv.writer(file).writerows([*reversed(row), "extra"] for row in csv.reader(PASSENGERS))
    like = prepare(str(turned), str(tmp_path / "3"), inline, like=one.url)
    assert rows_of(like) == rows_of(one) and like.table["columns"] == one.table["columns"]
    same_features(features_of(one), "one", like)
    other = prepare(text(tmp_path, "\n".join(PASSENGERS[:30]), "few.csv"), str(tmp_path / "4"), inline, label="survived")
    with pytest.raises(ValueError, match="its schema makes other numbers of them: prepare it with --like"):
        same_features(features_of(one), "one", other)


def test_many_features_are_made_of_few_rows_at_once(tmp_path):
    path = text(tmp_path, "a\n" + "b\n" * 100)
    schema = sniff([path]).by(Table({"a": Categorical(hash=18)}))
    with open(path, "rb") as file:
        sizes = [len(starts) for _, starts, _ in schema.words(Records(path), (line.rstrip(b"\n") for line in file))]
    assert sum(sizes) == 100 and max(sizes) <= FEATURES // 2 ** 18 + 1


def test_a_schema_that_the_user_edited_decides(tmp_path, inline, passengers):
    data = prepare(passengers, str(tmp_path / "1"), inline, label="survived")
    columns = [{"name": "age", "kind": "numeric", "missing": "drop"}, {"name": "survived", "kind": "label", "classes": ["yes", "no"]}]
    path = text(tmp_path, json.dumps({"format": 1, "form": {}, "columns": columns}), "schema.json")
    mine = prepare(passengers, str(tmp_path / "2"), inline, schema=path)
    assert mine.columns == ["age"] and sum(shard.n for shard in mine.shards) == 48
    assert "12 rows were left out for a missing value, as the schema says" in mine.notes
    assert sorted(y for _, y in rows_of(mine)) == [0] * 12 + [1] * 36
    with pytest.raises(DataError, match="'age' .missing.; there are 'b'"):
        prepare(text(tmp_path, "b\n1\n"), str(tmp_path / "3"), inline, schema=path)
    with pytest.raises(DataError, match="column 'sex' is named for the label, but the schema has 'survived' for it"):
        prepare(passengers, str(tmp_path / "3"), inline, schema=path, label="sex")
    with pytest.raises(DataError, match="no such schema; make one with: mrdl describe"):
        prepare(passengers, str(tmp_path / "3"), inline, schema=str(tmp_path / "none.json"))
    with pytest.raises(DataError, match="leave out one of them"):
        prepare(passengers, str(tmp_path / "3"), inline, schema=path, like=data.url)
    bare = text(tmp_path, json.dumps({"format": 1, "form": {}, "columns": columns[1:]}), "bare.json")
    with pytest.raises(DataError, match="the schema makes no features"):
        prepare(passengers, str(tmp_path / "3"), inline, schema=bare)
    kinds = prepare(passengers, str(tmp_path / "4"), inline, label="survived", drop=["name"], ids=["id"], kinds={"age": "categorical"})
    assert "age=21" in kinds.columns and not any("id" in column for column in kinds.columns)


def test_values_that_a_schema_does_not_know_are_bad_or_other(tmp_path, inline, passengers):
    one = prepare(passengers, str(tmp_path / "1"), inline, label="survived")
    new = text(tmp_path, "sex,age,port,survived\nmale,30,X,no\nother,x,S,yes\nmale,31,S,perhaps\nmale,32,Q,yes\n", "new.csv")
    data = prepare(new, str(tmp_path / "2"), inline, like=one.url, max_bad=0.5)
    assert data.bad["reasons"] == {"not a class": 1, "not a number": 1}
    assert [sample["reason"] for sample in data.bad["samples"]] == ["not a number (column 'age')", "not a class (column 'survived')"]
    assert rows_of(data) == sorted([([1, 0, 30, 0, 0, 0], 0), ([1, 0, 32, 0, 0, 1], 1)], key=str)


def test_quotes_without_an_end_are_told(tmp_path, inline):
    path = text(tmp_path, 'a,y\nx,0\n"y,1\nz,1\n')
    with pytest.raises(DataError, match="1 quote without end;.*\n.*byte 8: quote without end .column 'a'"):
        prepare(path, str(tmp_path / "d"), inline, label="y", max_bad=0.1)


@pytest.mark.parametrize("cores", [2, 7])
def test_the_same_bytes_for_any_number_of_mappers(tmp_path, inline, monkeypatch, cores):
    path = text(tmp_path, "\n".join([PASSENGERS[0], *PASSENGERS[1:] * 20]) + "\n")
    one = prepare(path, str(tmp_path / "1"), inline, label="survived")
    monkeypatch.setattr(splits, "SMALLEST_SPLIT", 1000)
    tasks = []
    many = prepare(path, str(tmp_path / "2"), "local", cores=cores, label="survived",
                   on_task=lambda kind, done, total: tasks.append((kind, total)))
    assert max(total for kind, total in tasks if kind == "mapper") >= cores
    assert shard_bytes(one) == shard_bytes(many)


def test_all_that_does_not_fit_a_schema_is_named_at_once(tmp_path, inline):
    path = text(tmp_path, "\n".join(PASSENGERS) + "\n")
    found = mrdl.infer_schema(path, inline, label="survived")
    (tmp_path / "schema.json").write_bytes(found.table.dump())
    with pytest.raises(DataError) as raised:
        prepare(path, str(tmp_path / "d"), inline, schema=str(tmp_path / "schema.json"), label="sex", weight="age", drop=["port"])
    assert str(raised.value).splitlines() == [
        "column 'sex' is named for the label, but the schema has 'survived' for it",
        "column 'age' is named for the weight, but the schema has the kind numeric for that column",
        "column 'port' cannot be an id or left out, as the schema makes something else of it"]
