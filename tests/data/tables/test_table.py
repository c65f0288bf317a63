"""A table: its JSON, and rows by the names of columns."""
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mrdl.data.rows import as_stored
from mrdl.data.sources import DataError
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.inference import infer
from mrdl.data.tables.kinds import KINDS, Boolean, Categorical, Id, Ignore, Label, Numeric, Weight
from mrdl.data.tables.onehot import Apart
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.table import Reason, Table
from mrdl.data.tables.words import Words
from mrdl.storage.sealed import OtherFormat

TABLE = Table({
    "age": Numeric(mean=30.0, missing="indicator"), "y": Label(classes=("a", "b")), "sex": Categorical(vocabulary=("m", "f")),
    "w": Weight(), "ok": Boolean(false=("n",), true=("y",), missing="drop"), "name": Id(), "row": Ignore(reason="looks like an index"),
}, {"delimiter": ",", "header": True})
ROWS = {"sex": ["m", "f", "", "x"], "age": ["1", "", "x", "4"], "ok": ["y", "n", "y", ""], "y": ["b", "a", "b", ""],
        "w": ["1", "2", "3", "x"], "extra": ["", "", "", ""]}


def words(rows):
    return {name: Words.of(column) for name, column in rows.items()}


def test_rows_become_features():
    found = TABLE.encode(words(ROWS))
    assert TABLE.features == ["age", "age missing", "sex=m", "sex=f", "sex missing", "ok"]
    assert found.x[:2].tolist() == [[1, 0, 1, 0, 0, 1], [30, 1, 0, 1, 0, 0]] and found.rest[:2].tolist() == [[1, 1], [0, 2]]
    assert found.x.shape == (4, 6) and found.rest.shape == (4, 2)
    assert [None if not k else found.reasons[k - 1] for k in found.wrong] == [
        None, None, Reason("not a number", "age", False), Reason("left out for a missing value", "y", True)]
    scored = TABLE.encode(words({name: column for name, column in ROWS.items() if name not in "yw"}), rest=False)
    assert scored.x[:2].tolist() == found.x[:2].tolist() and scored.rest.shape == (4, 0)
    assert [None if not k else scored.reasons[k - 1] for k in scored.wrong] == [
        None, None, Reason("not a number", "age", False), Reason("left out for a missing value", "ok", True)]
    assert TABLE.encode(words({name: [] for name in ROWS})).x.shape == (0, 6)


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_columns_of_names_that_are_kept_apart_are_stored_as_all_others(dtype):
    rng = np.random.default_rng(0)
    table = Table({"a": Numeric(mean=1.0, missing="indicator"), "b": Categorical(vocabulary=("m", "f")), "c": Categorical(hash=3),
                   "d": Categorical(vocabulary=("x", "y"), encode_as="index"), "e": Numeric(mean=0.0), "f": Categorical(vocabulary=("u",), missing="other")})
    rows = words({name: rng.choice(values, 100).tolist() for name, values in {
        "a": ["1", "1e39", "-2", ""], "b": ["m", "f", "", "new"], "c": ["p", "q", ""], "d": ["x", "y", ""], "e": ["1", "0.5"], "f": ["u", "", "v"]}.items()})
    apart, dense = table.encode(rows, apart=True), table.encode(rows)
    assert isinstance(apart.x, Apart) and apart.x.shape == dense.x.shape and apart.unseen == dense.unseen
    some = rng.random(100) < 0.7
    for own, other in ((apart.x, dense.x), (apart.x[some], dense.x[some])):
        for found, wanted in zip(as_stored(own, np.dtype(dtype)), as_stored(other, np.dtype(dtype))):
            np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(apart.x[3], dense.x[3])


def test_features_of_two_columns_have_names_of_their_own():
    sex = Categorical(vocabulary=("m", "f"))
    table = Table({"sex": sex, "sex=m": Numeric(mean=0.0), "sex=m (2)": Numeric(mean=0.0), "sex=f": Numeric(mean=0.0)})
    assert table.features == ["sex=m", "sex=f", "sex missing", "sex=m (3)", "sex=m (2)", "sex=f (2)"]


@pytest.mark.parametrize("kind, fields, told", [
    ("numeric", {"deviation": -1.0}, "deviation is -1; it must be 0 or more"),
    ("numeric", {"least": 3, "largest": 2}, "least is 3, and largest is 2"),
    ("numeric", {"least": 0, "largest": 1, "mean": 30}, "mean is 30; it must be at most 1, as largest is"),
    ("numeric", {"least": 0, "median": -1}, "median is -1; it must be at least 0, as least is"),
    ("numeric", {"largest": 0, "mode": 1}, "mode is 1; it must be at most 0, as largest is"),
    ("numeric", {"quantiles": [1, 1e999]}, "quantiles is"),
    ("numeric", {"quantiles": [2, 1]}, "quantiles must be two or more rising numbers"),
    ("numeric", {"gone": -1}, "gone is -1; it must be 0 or more"),
    ("date", {"deviation": -0.5}, "deviation is -0.5; it must be 0 or more")])
def test_numbers_without_sense_are_refused_by_the_name_of_the_column(kind, fields, told):
    column = {"name": "age", "kind": kind, "mean": 0, **fields}
    with pytest.raises(DataError, match="^schema.json: column 'age': " + told):
        Table.load(json.dumps({"format": 1, "form": {}, "columns": [column]}).encode())
    fine = {"name": "age", "kind": "numeric", "mean": 2, "median": 2.001, "deviation": 0, "least": 2, "largest": 2, "quantiles": [2, 2]}
    assert Table.load(json.dumps({"format": 1, "form": {}, "columns": [fine]}).encode()).width == 1


def test_how_rows_are_cut_into_batches_changes_no_bit():
    rng = np.random.default_rng(0)
    n = 500
    rows = {"age": [repr(v) if v > 0 else "" for v in rng.standard_normal(n).tolist()], "sex": rng.choice(["m", "f", "", "z"], n).tolist(),
            "day": [f"2023-{m}-{d}" for m, d in rng.integers([1, 1], [13, 31], (n, 2))], "ok": rng.choice(["y", "n", ""], n).tolist(),
            "y": rng.choice(["a", "b", "c"], n).tolist(), "log": [repr(10 ** v) for v in rng.uniform(-300, 300, n).tolist()]}
    statistics = {}
    for name, column in rows.items():
        statistics[name] = Statistics()
        statistics[name].add(Words.of(column))
    table = Table(infer(statistics, Asked(label="y", kinds={"log": {"scale": "log"}, "age": {"scale": "quantile"}})).columns)
    whole = table.encode(words(rows))
    assert set(whole.reasons) == {Reason("not a date", "day", False)}
    for step in (1, 7, 333):
        parts = [table.encode(words({name: column[i:i + step] for name, column in rows.items()})) for i in range(0, n, step)]
        good = whole.wrong == 0
        assert np.concatenate([part.wrong == 0 for part in parts]).tolist() == good.tolist()
        for name in ("x", "rest"):
            assert np.concatenate([getattr(p, name) for p in parts])[good].tobytes() == getattr(whole, name)[good].tobytes()


def test_columns_by_name():
    assert TABLE.needed() == ["age", "y", "sex", "w", "ok"] and TABLE.needed(rest=False) == ["age", "sex", "ok"]
    assert TABLE.match(["ok", "new", "sex", "age", "row"], "new.csv", rest=False) == ["new"]
    assert (TABLE.label, TABLE.weight) == ("y", "w")
    with pytest.raises(DataError, match=r"new.csv: .*'sex', 'w' \(missing\); 'age' \(several times\); there are 'ok', 'age'"):
        TABLE.match(["ok", "age", "age", "y"], "new.csv")


def test_the_json_says_the_same_again():
    data = TABLE.dump()
    again = Table.load(data)
    assert again == TABLE and again.dump() == data and list(again.columns) == list(TABLE.columns)
    assert json.loads(data)["columns"][2] == {"name": "sex", "kind": "categorical", "vocabulary": ["m", "f"]}
    assert data.count(b"\n") == 11 and data.isascii()


def changed(**facts):
    return json.dumps({**json.loads(TABLE.dump()), **facts}).encode()


@pytest.mark.parametrize("data, told", [
    (b"{", "schema.json: cannot be read"), (b"[]", "schema.json: cannot be read"), (changed(colums=[]), "has an unknown 'colums'"),
    (b'{"format": 1, "columns": []}', "has no 'form'"), (changed(form=[]), "form must be an object, and columns a list"),
    (changed(form={"header": "yes"}), "form.header is 'yes'; it must be true or false"),
    (changed(form={"heder": True}), "form has 'heder', which this version does not know"),
    (changed(columns={}), "and columns a list"), (changed(columns=[3]), "column 1 has no name"),
    (changed(columns=[{"kind": "id", "name": 1}]), "column 1 has no name"),
    (changed(columns=[{"kind": "weight", "name": "a", "sign": "\ud800"}]), "column 'a': sign is .* must be text"),
    (changed(columns=[{"kind": "categorical", "name": "a", "vocabulary": ["b", "\ud800"]}]), "vocabulary is .* must be text"),
    (changed(columns=[{"kind": "label", "name": "a"}, {"kind": "label", "name": "b"}]), "one label, .* several columns: 'a', 'b'")])
def test_what_is_no_schema_is_refused(data, told):
    with pytest.raises(DataError, match=told):
        Table.load(data)


def test_all_wrong_columns_are_told_at_once():
    with pytest.raises(DataError) as error:
        Table.load(changed(columns=[
            {"name": "a", "kind": "numerc"}, {"name": "b", "kind": "weight"}, {"name": "c", "kind": "numeric", "scale": "big"},
            {"name": "b", "kind": "id"}, {"kind": "id"}]), "s.json")
    assert str(error.value).split("\n") == [
        f"s.json: column 'a': kind is 'numerc'; there are {', '.join(KINDS)}",
        's.json: column \'c\': scale is \'big\'; it must be "none", "standard", "minmax", "log", "quantile"',
        "s.json: column 'b': is there twice", "s.json: column 5 has no name"]


def test_a_schema_of_another_version():
    with pytest.raises(OtherFormat, match="s.json: format is 2, and this version of mrdl reads 1; make the schema again"):
        Table.load(changed(format=2), "s.json")


def test_the_page_of_the_schema():
    page = (Path(__file__).parents[3] / "docs" / "schema.md").read_text()
    example = page.split("```")[1].encode()
    table = Table.load(example)
    assert table.features == ["age", "sex=male", "sex=female", "when.month.sin", "when.month.cos", "when.weekday.sin",
                              "when.weekday.cos"]
    lost = [name for name in KINDS if f"| `{name}` |" not in page]
    assert not lost, "kinds without a row in docs/schema.md"
    for kind in KINDS.values():
        assert [f.name for f in fields(kind) if f"`{f.name}" not in page] == []
