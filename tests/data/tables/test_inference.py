"""What columns are taken for, and what users are warned of."""
import random

import pytest

from mrdl.data.sources import DataError
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.inference import infer, notation
from mrdl.data.tables.kinds import KINDS
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import Notation, Words

RNG = random.Random(0)
N = 200
Y = [RNG.choice("ab") for _ in range(N)]


def column(make):
    return [make() for _ in range(N)]


COLUMNS = {     # words, the phrase, what the warnings begin with
    "index": ([str(i) for i in range(N)], "left out: looks like an index", ["left out: looks like an index; to use it"]),
    "shuffled": ([str(i) for i in RNG.sample(range(1, N + 1), N)], "left out: looks like an index", ["left out: looks like an index"]),
    "customer_id": ([str(i) for i in RNG.sample(range(10 ** 7), N)], "left out: looks like an id", ["left out: looks like an id"]),
    "dense": ([str(i) for i in RNG.sample(range(3 * N), N)], "left out: looks like an id", ["left out: looks like an id"]),
    "user_id": (column(lambda: str(RNG.randint(1, 50))), "numeric", ["has the name of an id"]),
    "name": ([f"name {i}" for i in range(N)], "left out: looks like an id or a text, as nearly every value is different",
             ["left out: looks like an id or a text, as nearly every value is different; to use it as a feature: --kind name=text"]),
    "pidnum": ([str(i) for i in RNG.sample(range(10 ** 4), N)], "numeric", ["every value is a different whole number: is it an id?"]),
    "personID": (column(lambda: RNG.choice(["a1", "b7"])), "one-hot of 2 values", ["has the name of an id"]),
    "wide": ([str(i) for i in RNG.sample(range(10 ** 7), N)], "numeric", []),
    "constant": (["x"] * N, "left out: always 'x'", []),
    "flag": (["x", ""] * (N // 2), "one-hot of 1 value, missing is one more", []),
    "nothing": (column(lambda: RNG.choice(["", "NA", "-"])), "left out: all values are missing", []),
    "nearly constant": (["x"] * (N - 1) + ["y"], "one-hot of 2 values", ["nearly constant: 99.5 % of the rows have 'x'"]),
    "mostly missing": (["0.5", "1.5"] + [""] * (N - 2), "numeric, missing -> mean 1", ["mostly missing: 99 % of the rows"]),
    "leak": ([{"a": "p", "b": "q"}[y] for y in Y], "one-hot of 2 values", ["tells the label alone"]),
    "fine leak": ([RNG.choice({"a": "pqr", "b": "stu"}[y]) for y in Y], "one-hot of 6 values", ["tells the label alone"]),
    "copy": (Y, "one-hot of 2 values", ["is the label itself"]),
    "date": (column(lambda: f"{RNG.randint(1990, 2020)}-{RNG.randint(1, 12):02}-{RNG.randint(1, 28):02}"),
             "date (YMD) as year, month, day, weekday", []),
    "day": (column(lambda: f"{RNG.randint(1, 28)}.{RNG.randint(1, 12)}.2024"), "date (DMY) as month, day, weekday", []),
    "american": (column(lambda: f"{RNG.randint(1, 12)}/{RNG.randint(1, 28)}/2024"), "date (MDY)", []),
    "bad days": (["2024-02-03", "2023-05-01", "2024-02-30", *["2024-01-01", "2023-11-05"] * (N // 2)], "date (YMD)", [
        "1 of 203 values are not dates: rows with them are bad records"]),
    "doubtful": (column(lambda: f"{RNG.randint(1, 12)}/{RNG.randint(1, 12)}/2024"), "date (DMY)",
                 ["a date, read as DMY (day and month could be the other way round: --kind doubtful=date,order=MDY)"]),
    "packed": (column(lambda: f"2024{RNG.randint(1, 12):02}{RNG.randint(1, 28):02}"), "date (YMD)", []),
    "eight digits": (column(lambda: str(RNG.randint(10 ** 7, 10 ** 8))), "numeric", []),
    "yes": (column(lambda: RNG.choice(["Yes", "no", "YES", "No", ""])), "boolean, 0 for No, no, 1 for YES, Yes, missing -> mean", []),
    "tf": (column(lambda: RNG.choice("TF")), "boolean, 0 for F, 1 for T", []),
    "only yes": (column(lambda: RNG.choice(["yes", "Yes"])), "one-hot of 2 values", []),
    "bits": (column(lambda: RNG.choice("01")), "numeric", []),
    "sex": (column(lambda: RNG.choice(["m", "f", "None"])), "one-hot of 3 values", []),
    "dash": (column(lambda: RNG.choice([repr(RNG.random()), "-"])), "numeric, missing -> mean", []),
    "comma": (column(lambda: f"{RNG.random():.2f}".replace(".", ",")), "numeric with a decimal comma", []),
    "three": (column(lambda: f"{RNG.random():.3f}".replace(".", ",")), "numeric with a decimal comma", []),
    "thousands": (column(lambda: f"{RNG.randint(0, 10 ** 7):,}"), "numeric with ',' between thousands", []),
    "swiss": (column(lambda: f"{RNG.uniform(0, 10 ** 7):,.2f}".replace(",", "'")), "numeric with \"'\" between thousands", []),
    "percent": (column(lambda: f"{RNG.randint(0, 100)}%"), "numeric with the sign %", []),
    "dollars": (column(lambda: f"-${RNG.uniform(0, 9999):,.2f}"), "numeric with ',' between thousands and the sign $", []),
    "euros": (column(lambda: f"{RNG.uniform(0, 9999):.2f} €".replace(".", ",")), "numeric with a decimal comma and the sign €", []),
    "zip": (column(lambda: f"{RNG.randint(0, 99):05}"), "one-hot of", ["numbers that begin with 0 are taken for names"]),
    "year": (column(lambda: str(RNG.randint(1950, 2020))), "numeric", []),
    "years": ([str(1700 + i) for i in range(N)], "numeric", []),
    "some words": (column(lambda: repr(RNG.random())) + ["many"], "numeric",
                   ["1 of 201 values are not numbers ('many'): rows with them are bad records"]),
    "unknown": (column(lambda: RNG.choice([repr(RNG.random())] * 3 + ["unknown"])), "numeric, missing -> mean", [
        "43 of 200 values are not numbers ('unknown'): taken for missing ones; if they are names: --kind unknown=categorical"]),
    "damaged": ([repr(RNG.random()) for _ in range(N - 8)] + ["x1", "x2", "x3", "x4"] * 2, "numeric",
                ["8 of 200 values are not numbers ('x1', 'x2', 'x3'): rows with them are bad records"]),
    "whole": ([str(i // 2) for i in range(N - 4)] + ["oops", "x2", "??", "4O"], "numeric",
              ["4 of 200 values are not numbers ('"]),
    "rooms": ([str(i // 2) for i in range(N - 8)] + ["x1", "x2", "x3", "x4"] * 2, "one-hot of 100 values", ["numbers and words: "]),
    "3+": (column(lambda: RNG.choice(["0", "1", "2", "3+"])), "one-hot of 4 values", ["numbers and words: "]),
    "models": ([str(i) if i < 5 else f"A{i % 30}" for i in range(N)], "one-hot of", []),       # few numbers among names
    "half": (column(lambda: RNG.choice(["a", "b", str(RNG.randint(0, 30))])), "one-hot of", ["numbers and words: "]),
    "months": (column(lambda: f"{RNG.randint(1990, 2020)}-{RNG.randint(1, 12):02}-01"), "date (YMD) as year, month, missing",
               []),
    "latin": (column(lambda: RNG.choice(["K\udcf6ln", "Bonn"])), "one-hot of 2 values", ["has bytes that are not UTF-8"]),
    "named": (column(lambda: f"{RNG.randint(1, 28)}-{RNG.choice(['Jan', 'MAY', 'dec'])}-24"), "date (DMY) as month, day, weekday", []),
    "long names": (column(lambda: f"{RNG.choice(['January', 'May'])} {RNG.randint(1, 28)}, 2024 10:15"), "date (MDY) as month, day, weekday",
                   []),
    "months and years": (column(lambda: f"{RNG.choice(['Jan', 'May'])}-{RNG.randint(10, 24)}"), "one-hot of ", []),
}


def statistics(words, labels=None, **arguments):
    found = Statistics(**arguments)
    found.add(Words.of(words), None if labels is None else Words.of(labels).hashes)
    return found


@pytest.mark.parametrize("name", COLUMNS)
def test_what_a_column_is_taken_for(name):
    words, phrase, warnings = COLUMNS[name]
    labels = (Y * 2)[:len(words)]
    found = infer({name: statistics(words, labels), "y": statistics(labels, labels)}, Asked(label="y"))
    assert found.columns[name].told().startswith(phrase)
    told = [warned.text for warned in found.warnings if warned.column == name]
    assert len(told) == len(warnings) and all(text.startswith(begin) for text, begin in zip(told, warnings)), told


def test_all_dates_are_told_of_once_but_those_that_are_doubtful_or_asked_for():
    columns = {name: statistics(COLUMNS[name][0]) for name in ("date", "day", "doubtful", "american", "months")}
    told = ["dates: 'day', 'american', 'months'; their parts become features; if one is none: --kind day=categorical"]
    assert infer(columns, Asked(kinds={"date": "date"})).notes == told
    assert infer({"date": columns["date"]}).notes == ["a date: 'date'; its parts become features; if it is none: --kind date=categorical"]
    assert not infer({"doubtful": columns["doubtful"]}).notes


def test_many_values():
    words = [f"w{i % 12_000}" for i in range(40_000)]
    exact, sampled = statistics(words), statistics(words, most=1000)
    found = infer({"exact": exact, "sampled": sampled})
    assert found.columns["exact"].told() == "one-hot of 1000 values, all others as one"
    assert found.columns["sampled"].told() == "one-hot of 2^10 hashed values"
    assert found.warnings[0] == ("exact", "more than 10,000 different values; to hash them: --kind exact=categorical,hash=12")
    assert found.warnings[1].text.startswith("more than 10,000 different values (about 1")


def test_big_columns_that_were_not_read_as_numbers():
    found = infer({"a": statistics([f"{i},5" for i in range(500)], most=50)})
    assert found.warnings[0] == ("a", "looks like numbers with a decimal comma, but was not read so: --kind a=numeric,decimal=,")


def test_the_user_says_how_numbers_are_written():
    words = [f"{i},234" for i in range(1, 40)]
    assert infer({"a": statistics(words)}).columns["a"].mean == 20234.0
    asked = Asked(kinds={"a": {"kind": "numeric", "decimal": ","}, "b": {"decimal": "comma"}, "c": "numeric"})
    assert asked.written() == {"a": Notation(",")}
    found = infer({"a": statistics(words, notation=Notation(thousands=","))}, Asked(kinds={"a": asked.kinds["a"]}))
    assert found.columns["a"].mean == 20.234 and found.columns["a"].thousands == "" and not found.warnings


def test_words_too_long_to_be_kept():
    words = [letter * (1 << 22) + "!" for letter in "xyx"]
    found = infer({"a": statistics(words, "aba"), "y": statistics("aba", "aba")}, Asked(label="y"))
    assert not found.statistics["a"].values.exact and found.columns["a"].told() == "one-hot of 2^10 hashed values"
    with pytest.raises(DataError, match="column 'a': it has about .* names, too many for classes"):
        infer({"a": statistics(words)}, Asked(label="a"))


@pytest.mark.parametrize("words, asked, phrase, warnings", [
    (["1", "2"] * N, {}, "label, 2 classes: 1, 2", []), (["0", "1"] * N, {}, "label, 2 classes: 0, 1", []),
    (["1", "2"] * N, {"kinds": {"y": {"classes": []}}}, "label, a number", []),
    (["1,5", "2,5"] * N, {}, "label, a number with a decimal comma", []),
    (["no", "yes"] * N, {}, "label, 2 classes: no, yes", []),
    (["a"] * N, {}, "label, 1 class: a", ["there is one label alone"])])
def test_labels(words, asked, phrase, warnings):
    found = infer({"y": statistics(words, words)}, Asked(label="y", **asked))
    assert found.columns["y"].told() == phrase
    assert [told.text.startswith(begin) for told, begin in zip(found.warnings, warnings, strict=True)] == [True] * len(warnings)


def test_what_the_user_asks_for_is_done():
    some = {name: statistics(COLUMNS[name][0]) for name in ("index", "sex", "bits", "year", "date", "name")}
    found = infer(some, Asked(weight="bits", ids=["index"], drop=["year"], kinds={"name": "categorical", "date": "ignore"}))
    assert [kind.told() for kind in found.columns.values()] == [
        "id of the row, not a feature", "one-hot of 3 values", "weight of the row", "left out: as you asked", "left out",
        "one-hot of 200 values"]
    found = infer(some, Asked(columns=["sex"], kinds={"index": {"kind": "numeric", "scale": "standard", "missing": "drop"}}))
    assert [kind.told() for kind in found.columns.values()][:2] == [
        "numeric, standardised, missing -> row left out", "one-hot of 3 values"]
    assert {kind.told() for kind in list(found.columns.values())[2:]} == {"left out: not among the columns you asked for"}


def test_all_that_cannot_be_is_told_at_once():
    some = {name: statistics(COLUMNS[name][0]) for name in ("sex", "bits")} | {"nothing": statistics(["", "NA"])}
    with pytest.raises(DataError) as error:
        infer(some, Asked(label="sx", weight="bits", drop=["bits", "zz"], kinds={"q": "id"}))
    assert str(error.value).split("\n") == [
        "no column 'q', 'sx', 'zz' (did you mean 'sex'?); there are 'sex', 'bits', 'nothing'",
        "column 'bits' is asked to be the weight and dropped"]
    with pytest.raises(DataError) as error:
        infer(some, Asked(kinds={"sex": "date", "bits": {"scal": "log"}, "nothing": "categorical"}))
    assert [line.split(";")[0] for line in str(error.value).split("\n")] == [
        "column 'sex': it has no dates that mrdl can read as YMD", "column 'bits': numeric has no 'scal'",
        "column 'nothing': it has no names: all values are missing"]
    with pytest.raises(DataError, match="column 'sex': kind is 'sort'; there are numeric"):
        infer(some, Asked(kinds={"sex": "sort"}))
    with pytest.raises(DataError, match="'sex': is named for the label, so its kind can be label or numeric or categorical, not text\n"
                       "column 'bits': is named for the weight, so its kind can be weight, not numeric"):
        infer(some, Asked(label="sex", weight="bits", kinds={"sex": "text", "bits": "numeric"}))
    assert infer({"bits": some["bits"]}, Asked(weight="bits", kinds={"bits": {"sign": "kg"}})).columns["bits"].config() == {
        "kind": "weight", "sign": "kg"}


def test_numbers_are_read_again_as_they_are_written():
    found = infer({"a": statistics(["1,5", "2,5", "", "3"])})
    assert found.statistics["a"].numbers.mean == pytest.approx(7 / 3) and found.columns["a"].mean == pytest.approx(7 / 3)


@pytest.mark.parametrize("words, written", [
    (["1", "x"], Notation()), ([], Notation()), (["1,5", "12"], Notation(",")), (["1,500", "2,000"], Notation(".", ",")),
    (["0,500", "2,000"], Notation(",")), (["1.234,5", "2,5"], Notation(",", ".")), (["1 234,5"], Notation(",", " ")),
    (["5 %", "6"], Notation(sign="%")), (["£5", "$6", "$7"], Notation(sign="$")), (["-€1.5"], Notation(sign="€"))])
def test_notations(words, written):
    assert notation(words) == written


def test_what_makes_no_sense_of_a_kind_is_refused_before_rows_are_read():
    asked = Asked(label="y", ids=["y", "gone"], kinds={"a": {"kind": "categorical", "hash": 99}, "b": "much", "y": {"kind": "date"}, "lost": "id"})
    with pytest.raises(DataError) as raised:
        asked.among(["a", "b", "y"])
    assert str(raised.value).splitlines() == [
        "no column 'gone', 'lost'; there are 'a', 'b', 'y'", "column 'y' is asked to be the label and an id", "column 'a': hash is 99; it must be 1 to 30 or null",
        f"column 'b': kind is 'much'; there are {', '.join(KINDS)}",
        "column 'y': is named for the label, so its kind can be label or numeric or categorical, not date"]


def test_a_label_whose_names_hardly_come_twice_is_warned_of():
    found = infer({"y": statistics([f"n{i}" for i in range(40)] + ["n1"])}, Asked(label="y"))
    assert [warned.text for warned in found.warnings] == ["40 classes in 41 rows: hardly any comes twice, so that nothing can be learnt; is it the label?"]
    assert infer({"y": statistics([f"n{i}" for i in range(30)] * 2)}, Asked(label="y")).warnings == []
