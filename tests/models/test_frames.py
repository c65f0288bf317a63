"""Raw rows in Python: files, dicts and data frames give the same features."""
import csv
import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from raw_data import text
from raw_rows import HEADER, ROWS, saved, written

import mrdl
from mrdl.data.sources import DataError
from mrdl.data.tables.kinds import Boolean, Categorical, Date, Numeric
from mrdl.driver.preparation.prepare import prepare
from mrdl.models.frames import examples, word


class Frame:
    """What a data frame of pandas is taken for: its columns' names, and their values by name."""

    def __init__(self, **columns):
        self.columns, self.values = list(columns), columns

    def __getitem__(self, name):
        return self.values[name]


@pytest.fixture(scope="module")
def titanic(tmp_path_factory, inline):
    folder = tmp_path_factory.mktemp("titanic")
    path = written(folder / "passengers.csv")
    return path, mrdl.load_model(saved(prepare(path, str(folder / "data"), inline, label="survived"), folder / "run"))


def test_files_dicts_and_frames_give_the_same_bits(tmp_path, titanic):
    path, model = titanic
    assert model.classes == ["no", "yes"]
    found = model.predict(path)
    assert found.shape == (60, 2) and (model.predict(Path(path)) == found).all()
    with open(path, newline="") as file:
        dicts = list(csv.DictReader(file))
    assert (model.predict(dicts) == found).all()
    numbers = [{"port": row["port"], "sex": row["sex"], **({"age": float(row["age"])} if row["age"] else {})} for row in dicts]
    assert (model.predict(numbers) == found).all()
    age = np.array([float(row[3]) if row[3] else np.nan for row in ROWS])
    sex, port = ([row[HEADER.index(name)] for row in ROWS] for name in ("sex", "port"))
    assert (model.predict(Frame(age=age, more=age, port=np.array(port, object), sex=sex)) == found).all()
    assert (model.predict({"age": age, "sex": sex, "port": np.array(port)}) == found).all()
    assert model.predict(written(tmp_path / "none.csv", [])).shape == (0, 2)
    assert (model.predict([path, Path(written(tmp_path / "more.csv", ROWS[:3]))]) == np.concatenate([found, found[:3]])).all()
    pandas = pytest.importorskip("pandas")
    assert (model.predict(pandas.read_csv(path)) == found).all()


def test_what_cannot_be_read_is_refused(tmp_path, titanic):
    model = titanic[1]
    with pytest.raises(DataError, match="the rows: its columns do not fit the schema: 'sex', 'port' .missing."):
        model.predict([{"age": 3}])
    with pytest.raises(DataError, match=r"2 of 3 rows cannot be read:\n  row 0: not a number .column 'age': 'x'.\n  row 2: "):
        model.predict([{"age": age, "sex": "male", "port": "S"} for age in ("x", 3, "y")])
    with pytest.raises(DataError, match="1 of 2 rows cannot be read:\n  row 1: wrong field count"):
        model.predict(text(tmp_path, "age,sex,port\n1,male,S\n2,male,S,S\n"))
    with pytest.raises(DataError, match="a single row: give a list of rows"):
        model.predict({"age": 3, "sex": "male", "port": "S"})
    with pytest.raises(DataError, match="the columns differ in length: {'age': 1, 'port': 2, 'sex': 1}"):
        model.predict({"age": [3], "sex": ["male"], "port": ["S", "C"]})
    with pytest.raises(DataError, match="data: is a dataset that prepare made; give the raw files"):
        model.predict(str(Path(titanic[0]).parent / "data"))
    with pytest.raises(ValueError, match="holds object, not numbers|holds <U"):
        mrdl.model_from_json(model.to_json()).predict(Frame(a=[1]))


def test_tables_of_arrow_are_taken_as_their_rows(titanic):
    pyarrow, (path, model) = pytest.importorskip("pyarrow"), titanic
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    table = pyarrow.Table.from_pylist([{**row, "age": float(row["age"]) if row["age"] else None} for row in rows])
    assert (model.predict(table) == model.predict(path)).all()
    assert (model.predict(table.to_batches()[0]) == model.predict(path)).all()
    assert model.predict(table[:0]).shape == (0, 2)


@pytest.mark.parametrize("value, kind, expected", [
    (" a b ", Numeric(mean=0), "a b"), (None, Numeric(mean=0), ""), (float("nan"), Numeric(mean=0), ""),
    (np.datetime64("NaT"), Date(mean=0), ""), (None, Numeric(mean=0, missing_words=("-999",)), "-999"),
    (3.0, Categorical(vocabulary=("3",)), "3"), (3.0, Categorical(vocabulary=("3.0", "4.0")), "3.0"), (7, Categorical(vocabulary=("7",)), "7"),
    (0.1, Numeric(mean=0), "0.1"), (np.float32(0.1), Numeric(mean=0), "0.10000000149011612"), (1e300, Numeric(mean=0), "1e+300"),
    (1.5, Numeric(mean=0, decimal=","), "1,5"), (Decimal("1.234"), Numeric(mean=0, decimal=",", thousands="."), "1,234"),
    (b" male", Categorical(vocabulary=("male",)), "male"), (True, Boolean(true=("yes",), false=("no",), mean=0), "yes"), (True, Numeric(mean=0), "True"),
    (np.datetime64("2020-02-03T04:05:06"), Date(mean=0), "2020-02-03T04:05:06"), (datetime.date(2020, 2, 3), Date(mean=0, order="DMY"), "03/02/2020"),
    (datetime.datetime(2020, 2, 3, 4, 5), Date(mean=0, order="MDY"), "02/03/2020T04:05:00")])
def test_a_value_is_the_word_that_a_file_would_have(value, kind, expected):
    assert word(value, kind) == expected


def test_dates_and_notations_come_through(tmp_path, inline):
    path = text(tmp_path, "when;price;y\n" + "".join(f"{i % 28 + 1:02}/{i % 12 + 1:02}/20{i % 20 + 10};{i},{i % 10}5;{i % 2}\n" for i in range(80)))
    data = prepare(path, str(tmp_path / "d"), inline, label="y")
    model = mrdl.load_model(saved(data, tmp_path / "run"))
    assert (data.table["columns"][0]["order"], data.table["columns"][1]["decimal"]) == ("DMY", ",")
    rows = [{"when": np.datetime64(f"20{i % 20 + 10}-{i % 12 + 1:02}-{i % 28 + 1:02}"), "price": i + (i % 10) / 10 + 0.05} for i in range(80)]
    rows = [{**row, "price": float(f"{i}.{i % 10}5")} for i, row in enumerate(rows)]
    assert (examples(model, rows) == examples(model, path)).all()
