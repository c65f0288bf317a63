"""Kinds of columns: what each makes of words, against a plain loop; their fields, names and phrases."""
import datetime
import json
import math
import random

import numpy as np
import pytest

from mrdl.data.sources import DataError
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.inference import infer
from mrdl.data.tables.kinds import (
    KINDS,
    REASONS,
    UNSEEN,
    Boolean,
    Categorical,
    Date,
    Entries,
    Id,
    Ignore,
    Label,
    Numeric,
    Text,
    Weight,
)
from mrdl.data.tables.kinds.numeric import log1p
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.table import kind_of
from mrdl.data.tables.typed import Coded, Timed
from mrdl.data.tables.words import MISSING, PLAIN, Words


def of(words, **arguments):
    found = Statistics(**arguments)
    found.add(Words.of(words))
    return found


def encoded(kind, words, name="c"):
    """What becomes of each word: a list of numbers, or the reason why it has none."""
    width = 1 if isinstance(kind, (Label, Weight)) else len(kind.features(name))
    out = np.full((len(words), width), 77.0)
    with np.errstate(all="raise"):
        codes = kind.encode(words if isinstance(words, Words) else Words.of(words), out)
    return [REASONS[code] if code not in (0, UNSEEN) else row for row, code in zip(out.tolist(), codes.tolist())]


NUMBERS = ["1", "2.5", "-7", "1e40", "", "NA", "x", "inf", "1e999", "2.5", "-0.0", "?", "nan", "NAN"]


def plain_numeric(kind, word):
    if word in kind.missing_words:
        fill = {"mean": kind.mean, "median": kind.median, "mode": kind.mode, "indicator": kind.mean}.get(kind.missing, kind.missing)
        if fill in ("drop", "refuse"):
            return "missing" if fill == "refuse" else "left out for a missing value"
        value = fill
    else:
        try:
            value = float(word)
        except ValueError:
            return "not a number"
        if not math.isfinite(value):
            return "not finite"
    scaled = {"none": lambda: value, "standard": lambda: (value - kind.mean) / kind.deviation,
              "minmax": lambda: (value - kind.least) / (kind.largest - kind.least),
              "log": lambda: math.copysign(math.log1p(abs(value)), value),
              "quantile": lambda: plain_rank(kind.quantiles, value)}[kind.scale]()
    return [scaled, float(word in kind.missing_words)] if kind.missing == "indicator" else [scaled]


def plain_rank(quantiles, value):
    same = [i for i, q in enumerate(quantiles) if q == value]
    if same:
        return (same[0] + same[-1]) / 2 / (len(quantiles) - 1)
    below = sum(q < value for q in quantiles)
    if below in (0, len(quantiles)):
        return float(below > 0)
    low, high = quantiles[below - 1], quantiles[below]
    return (below - 1 + (value - low) / (high - low)) / (len(quantiles) - 1)


@pytest.mark.parametrize("scale", ["none", "standard", "minmax", "log", "quantile"])
@pytest.mark.parametrize("missing", ["mean", "median", "mode", "indicator", "drop", "refuse", 3, -0.5])
def test_numbers(scale, missing):
    kind = Numeric.made(of(NUMBERS), scale=scale, missing=missing)
    for mine, right in zip(encoded(kind, NUMBERS), [plain_numeric(kind, word) for word in NUMBERS]):
        assert mine == (right if isinstance(right, str) else pytest.approx(right, rel=1e-13, abs=1e-15))
    assert len(kind.features("age")) == 1 + (missing == "indicator")
    assert (kind.mean, kind.median, kind.mode, kind.least) == (pytest.approx((1e40 - 1) / 6), 1.75, 2.5, -7)


def test_a_number_may_mean_that_a_value_is_missing():
    words = ["-999", "5", "-999.0", ""]
    kind = Numeric.made(of(words, missing=("-999",)))
    assert encoded(kind, words) == [[-497.0], [5.0], [-999.0], "not a number"]


def test_numbers_as_they_are_written():
    kind = Numeric(mean=0.0, decimal=",", thousands=".", sign="€")
    assert encoded(kind, ["1.234,5 €", "-€2", "", "1,2.3"]) == [[1234.5], [-2.0], [0.0], "not a number"]
    assert kind.told() == "numeric with a decimal comma and '.' between thousands and the sign €, missing -> mean 0"


def test_numbers_too_far_apart_to_be_scaled():
    words = ["1.7e308", "-1.7e308", "1e308", ""]
    kind = Numeric.made(of(words), missing="median")
    assert kind.median == 1e308 and Numeric.made(of(words[:2])).median == 0
    assert encoded(Numeric.made(of(words), scale="minmax"), words) == ["not finite", [0.0], "not finite", "not finite"]
    assert encoded(Numeric.made(of(words), scale="quantile"), words)[:3] == [[1.0], [0.0], [0.5]]


def test_a_logarithm_has_the_digits_of_a_double():
    rng = np.random.default_rng(0)
    x = np.concatenate([[0, 1, 1.7976931348623157e308, 5e-324], 10.0 ** rng.uniform(-300, 300, 1000), rng.uniform(0, 3, 1000)])
    assert log1p(x).tolist() == pytest.approx(np.log1p(x).tolist(), rel=1e-15, abs=5e-324)


NAMES = ["red", "green", "red", "", "NA", "blue", "red", "green", "None", "-", "violet"]


@pytest.mark.parametrize("encode_as", ["onehot", "index"])
@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("missing", ["category", "other", "mode", "value", "drop", "refuse"])
def test_names(encode_as, other, missing):
    vocabulary = ("red", "green", "None")
    kind = Categorical(vocabulary=vocabulary, encode_as=encode_as, other=other, missing=missing, value="green" if
                       missing == "value" else None)
    right = []
    for word in NAMES:
        if word in PLAIN:
            word = {"mode": "red", "value": "green"}.get(missing, "" if missing == "category" else "of no name")
        if word == "of no name" and missing in ("drop", "refuse"):
            right.append("missing" if missing == "refuse" else "left out for a missing value")
            continue
        places = [*vocabulary, *["of no name"] * (other or encode_as == "index"), *[""] * (missing == "category")]
        place = places.index(word) if word in places else (
            len(vocabulary) if "of no name" in places else None)
        row = [float(i == place) for i in range(len(places))]
        right.append(row if encode_as == "onehot" else [float(place)])
    assert encoded(kind, NAMES) == right
    known = sorted({*NAMES})
    coded = Coded(Words.of(known), np.array([known.index(word) for word in NAMES]))
    assert encoded(kind, coded) == right and encoded(kind, coded.take(slice(0, 3))) == right[:3]    # more names than fields, too
    features = ["c=red", "c=green", "c=None", *["c other"] * other, *["c missing"] * (missing == "category")]
    assert kind.features("c") == (["c"] if encode_as == "index" else features)


def test_a_vocabulary_out_of_statistics():
    kind = Categorical.made(of(NAMES))
    assert kind.vocabulary == ("red", "green", "-", "None", "blue", "violet")       # by falling count, then bytes
    assert (kind.missing, kind.other, kind.missing_words) == ("category", False, PLAIN)
    assert kind.told() == "one-hot of 6 values, missing is one more"
    many = [f"n{i}" for i in range(200) for _ in range(1 + i % 2)]
    kind = Categorical.made(of(many))
    assert len(kind.vocabulary) == 100 and kind.other and kind.told() == "one-hot of 100 values, all others as one"
    assert Categorical.made(of(many[:0] + ["a"])).missing == "other"
    assert len(Categorical.made(of([f"n{i}" for i in range(200)])).vocabulary) == 200
    assert Categorical.made(of(many, most=50)).hash == 10
    with pytest.raises(DataError, match="all values are missing"):
        Categorical.made(of(["", "NA"]))
    assert Categorical.made(of(NAMES, missing=("red",))).vocabulary[0] == "green"
    assert Categorical.made(of(NAMES), vocabulary=("red",)).other


@pytest.mark.parametrize("named, vocabulary", [([], {"-", "None", "a"}), (["a"], {"-", "None"}), (["-", "-999"], {"None", "a"})])
def test_a_dash_is_a_name_unless_the_user_says_that_it_is_none(named, vocabulary):
    missing = (*named, *(word for word in MISSING if word not in named))
    statistics = of(["a", "-", "None", "", "NA", "a"], missing=missing)
    for kind in (Categorical.made(statistics), Categorical.made(Statistics.load(statistics.dump()))):
        assert set(kind.vocabulary) == vocabulary and kind.missing == "category"
        assert {"", "NA", *named} <= set(kind.missing_words) and not vocabulary & set(kind.missing_words)


@pytest.mark.parametrize("missing, width", [("category", 9), ("other", 8), ("refuse", 8)])
def test_hashed_names(missing, width):
    kind = Categorical(hash=3, missing=missing)
    words = [f"w{i}" for i in range(50)] + [""]
    rows = encoded(kind, words)
    assert [sum(row) for row in rows[:50]] == [1.0] * 50 and len(kind.features("c")) == width
    assert rows[50] == {"category": [0.0] * 8 + [1.0], "other": [0.0] * 8, "refuse": "missing"}[missing]
    places = (Words.of(words[:50]).hashes >> np.uint64(61)).tolist()
    assert [row.index(1) for row in rows[:50]] == places and len(set(places)) == 8
    index = encoded(Categorical(hash=3, encode_as="index"), words)
    assert index == [[float(place)] for place in [*places, 9]]


@pytest.mark.parametrize("missing, filled", [("mean", [0.4]), ("mode", [0.0]), ("indicator", [0.4, 1.0]), (0.5, [0.5]),
                                             ("drop", "left out for a missing value"), ("refuse", "missing")])
def test_booleans(missing, filled):
    words = ["Yes", "no", "NO", "y", "no", "", "maybe"]
    kind = Boolean.made(of(words[:-1]), missing=missing)
    assert (kind.false, kind.true) == (("NO", "no"), ("Yes", "y"))
    flag = [0.0] * (missing == "indicator")
    assert encoded(kind, words) == [
        *([value, *flag] for value in (1.0, 0.0, 0.0, 1.0, 0.0)), filled, "neither true nor false"]


def test_of_two_words_the_first_is_false():
    kind = Boolean.made(of(["m", "f", "m"]))
    assert (kind.false, kind.true, kind.mean, kind.median, kind.mode) == (("f",), ("m",), 2 / 3, 1, 1)
    assert kind.told() == "boolean, 0 for f, 1 for m, missing -> mean 0.6667"
    with pytest.raises(DataError, match="need a word each"):
        Boolean.made(of(["a", "b", "c"]))


@pytest.mark.parametrize("order, form", [("YMD", "%Y-%m-%d %H:%M:%S"), ("DMY", "%d/%m/%Y"), ("MDY", "%m.%d.%Y %H:%M"), ("DMY", "%d %b %Y"),
                                         ("MDY", "%B %d, %Y %H:%M")])
def test_dates(order, form):
    rng = random.Random(0)
    moments = [datetime.datetime(rng.randint(1, 9999), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23),
                                 rng.randint(0, 59), rng.randint(0, 59)) for _ in range(50)]
    moments += [datetime.datetime(2024, 2, 29), datetime.datetime(1970, 1, 1), datetime.datetime(1969, 12, 31, 23, 59)]
    words = [moment.strftime(form).rjust(len(moments[0].strftime(form)), "0") for moment in moments]
    words = [f"{m.year:04}".join(m.replace(year=2000).strftime(form).split("2000")) for m in moments]
    moments = [datetime.datetime.strptime(word, form) for word in words]
    kind = Date(order=order, parts=("hour", "weekday", "year", "day", "minute", "month"), mean=0.0)
    plain = Date(order=order, parts=kind.parts, cyclic=False, mean=0.0)
    rows, numbers = encoded(kind, words), encoded(plain, words)
    for row, number, m in zip(rows, numbers, moments):
        assert number == [m.hour, m.weekday(), m.year, m.day, m.minute, m.month]
        turns = [m.hour / 24, m.weekday() / 7, None, (m.day - 1) / 31, m.minute / 60, (m.month - 1) / 12]
        right = [v for t in turns for v in ([m.year] if t is None else [math.sin(2 * math.pi * t), math.cos(2 * math.pi * t)])]
        assert row == pytest.approx(right, abs=1e-13)
    assert plain.features("d") == ["d.hour", "d.weekday", "d.year", "d.day", "d.minute", "d.month"]
    assert kind.features("d")[:5] == ["d.hour.sin", "d.hour.cos", "d.weekday.sin", "d.weekday.cos", "d.year"]


@pytest.mark.parametrize("missing, filled", [("mean", [2.0, 0.0]), ("median", [2.0, 0.0]), ("mode", [1.0, -1.0]), (0, [1.0, -100.0]),
                                             ("indicator", [2.0, 0.0, 1.0]), ("drop", "left out for a missing value"),
                                             ("refuse", "missing")])
def test_missing_dates(missing, filled):
    words = ["1970-01-01", "1970-01-03", "", "1970-02-30", "x"]
    kind = Date.made(of(words), missing=missing, parts=["day", "seconds"], cyclic=False, deviation=86400.0)
    assert (kind.mean, kind.median, kind.mode) == (86400, 86400, 0)
    rows = encoded(kind, words)
    assert rows[0][:2] == [1.0, -1.0] and rows[3:] == ["not a date"] * 2
    assert rows[2] == (filled if missing != 0 else [1.0, -1.0])
    assert kind.told().startswith("date (YMD) as day, seconds, missing -> ")


def test_times_that_are_missing_need_no_text():
    asked = []
    times = Timed(np.array([0.0, np.nan, 172800.0]), lambda: asked.append(1) or Words.of(["1970-01-01", "", "1970-01-03"]))
    kind = Date(parts=("day",), cyclic=False, mean=86400.0)
    assert encoded(kind, times) == [[1.0], [2.0], [3.0]] and not asked


def test_parts_are_those_that_vary():
    words = ["31/12/2024", "30/12/2024", "x"]
    kind = Date.made(of(words))
    assert (kind.order, kind.parts) == ("DMY", ("day", "weekday"))
    assert Date.made(of(words[:1])).parts == ("year",)
    assert kind.told() == "date (DMY) as day, weekday, missing -> mean 2024-12-30"
    with pytest.raises(DataError, match="no dates that mrdl can read as YMD"):
        Date.made(of(words), order="YMD")


def test_the_user_says_whether_a_label_is_a_number_or_a_name():
    some = {"y": of(["3", "4", "5"] * 20), "z": of(["0.5", "1.5", "a"] * 20)}
    assert infer(some, Asked("y")).columns["y"].classes == ("3", "4", "5")
    assert infer(some, Asked("y", kinds={"y": "numeric"})).columns["y"].classes == ()
    assert infer(some, Asked("z", kinds={"z": "categorical"})).columns["z"].classes == ("0.5", "1.5", "a")


@pytest.mark.parametrize("words, classes, encodings", [
    (["b", "a", "None", "", "b"], ("None", "a", "b"), [2, 1, 0, "left out for a missing value", 2]),
    (["10", "9", "x-"] * 5, ("10", "9", "x-"), [0, 1, 2] * 5),
    (["1", "2", "3.0"] * 10 + ["z", "4", ""], ("1", "2", "3", "4"), [0, 1, 2] * 10 + ["not a class", 3, "left out for a missing value"]),
    (["0", "1", "2"] * 10 + ["-"], ("0", "1", "2"), [0, 1, 2] * 10 + ["not a class"]),
    (["1", "2", "3"], (), [1, 2, 3]), (["0.5", "1"] * 20, (), [0.5, 1] * 20), ([str(i) for i in range(7, 50)] * 10, (), None)])
def test_labels(words, classes, encodings):
    kind = Label.made(of(words))
    if "4" in words:
        kind = Label(classes=classes)
    assert kind.classes == classes
    if encodings:
        assert encoded(kind, words) == [e if isinstance(e, str) else [e] for e in encodings]


def test_classes_that_are_numbers_are_numbers_however_written():
    kind = Label(classes=("3", "-1", "10"))
    assert encoded(kind, ["-1.0", "3", "1e1", "4", "NA"]) == [[1], [0], [2], "not a class", "left out for a missing value"]
    assert encoded(Label(classes=("1", "1.0")), ["1.0", "1", "1.00"]) == [[1], [0], "not a class"]
    assert Label.made(of(["10", "9", "-1"] * 5), classes=("9",)).classes == ("9",)
    assert [Label(classes=c).told() for c in ((), ("a",), tuple("abcdefgh"))] == [
        "label, a number", "label, 1 class: a", "label, 8 classes: a, b, c, d, .., h"]
    for words, why in ((["", "NA"], "no values"), ([f"n{i}" for i in range(90)], "too many")):
        with pytest.raises(DataError, match=why):
            Label.made(of(words, most=30))


def test_weights_and_what_is_no_feature():
    assert encoded(Weight(decimal=","), ["1,5", "", "x", "-2"]) == [[1.5], "missing", "not a number", [-2]]
    for kind in (Id(), Ignore(), Ignore(reason="looks like an index"), Weight()):
        assert kind.features("a") == []
    assert encoded(Id(), ["a", ""]) == [[], []]
    assert [kind.told() for kind in (Id(), Ignore(), Ignore(reason="looks like an index"), Weight())] == [
        "id of the row, not a feature", "left out", "left out: looks like an index", "weight of the row"]


EVERY = [
    Numeric(mean=1.5, missing="indicator", scale="minmax", least=-1.0, largest=2.0, thousands=","),
    Numeric(missing=0, scale="quantile", quantiles=(0.0, 0.5, 1.0)), Numeric(missing="refuse", missing_words=("-1",)),
    Categorical(vocabulary=("a", "b"), missing="value", value="b"), Categorical(hash=4, encode_as="index"),
    Boolean(false=("no",), true=("yes", "Y"), missing="drop"), Date(parts=("year", "seconds"), mean=0.0, deviation=1.0, order="MDY"),
    Label(classes=("x", "ä")), Label(decimal=","), Weight(sign="%"), Entries(count=9, first=0), Id(),
    Text(vocabulary=("a", "\u00e9"), unit="char", length=7), Text(hash=5, encode_as="counts"), Ignore(reason="looks like an id")]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.kind)
def test_fields_come_back_from_json(kind):
    again = kind_of(json.loads(json.dumps(kind.config())))
    assert again == kind and again.config() == kind.config()


def test_every_kind_is_in_the_list_above():
    assert {type(kind) for kind in EVERY} == set(KINDS.values()), "EVERY and KINDS differ"


@pytest.mark.parametrize("config, told", [
    ({}, f"kind is not given; there are {', '.join(KINDS)}$"),
    ({"kind": "number"}, "kind is 'number'; there are numeric"), ({"kind": ["numeric"]}, r"kind is \['numeric'\]"),
    ({"kind": "numeric", "mena": 1}, "numeric has no 'mena'; it has missing_words, .*scale"),
    ({"kind": "numeric"}, "mean is not given, but missing is 'mean'"),
    ({"kind": "numeric", "missing": "median", "mean": 1}, "median is not given"),
    ({"kind": "numeric", "missing": "zero"}, 'missing is \'zero\'; it must be "mean", "median", .* or a number'),
    ({"kind": "numeric", "missing": True}, "missing is True"), ({"kind": "numeric", "mean": math.nan}, "mean is nan; it must be finite"),
    ({"kind": "numeric", "mean": 10 ** 400}, "mean is .*; it must be finite"),
    ({"kind": "numeric", "missing": 0, "quantiles": [1, math.inf]}, "quantiles is .*; it must be finite"),
    ({"kind": "numeric", "missing": 0, "quantiles": [1, "2"]}, "quantiles.1 is '2'; it must be a number"),
    ({"kind": "numeric", "missing": 0, "scale": "quantile", "quantiles": [2, 1]}, "two or more rising numbers"),
    ({"kind": "numeric", "missing": 0, "scale": "standard", "mean": 0}, "deviation is not given, but scale is 'standard'"),
    ({"kind": "numeric", "missing": 0, "thousands": "."}, "decimal and thousands are both '.'"),
    ({"kind": "categorical"}, "needs a vocabulary or a hash"), ({"kind": "categorical", "hash": 31}, "hash is 31; it must be 1 to 30 or null"),
    ({"kind": "categorical", "hash": 3, "vocabulary": ["a"]}, "and not both"),
    ({"kind": "categorical", "hash": 3, "missing": "mode"}, "cannot be 'mode'"),
    ({"kind": "categorical", "vocabulary": ["a", "b", "a"]}, "vocabulary has 'a' twice"),
    ({"kind": "categorical", "vocabulary": ["a"], "missing": "value", "value": "b"}, "must be a name of the vocabulary"),
    ({"kind": "text"}, "needs a vocabulary or a hash, and not both"), ({"kind": "text", "hash": 3, "length": 0}, "length is 0; it must be 1 to"),
    ({"kind": "text", "vocabulary": ["a", "a"]}, "vocabulary has 'a' twice"),
    ({"kind": "text", "vocabulary": ["a", "Ab"]}, "vocabulary has 'Ab', and no text has such a word: tokens have no capital letters"),
    ({"kind": "boolean", "true": ["a"]}, "false is not given; it must be a list"),
    ({"kind": "boolean", "true": [], "false": ["a"], "missing": 0}, "a word each"),
    ({"kind": "boolean", "true": ["a"], "false": ["b", "a"], "missing": 0}, "'a' is in both"),
    ({"kind": "date", "parts": []}, "parts are empty"), ({"kind": "date", "missing": 1e300}, "it must be seconds since 1970 of the years 1 to 9999"), ({"kind": "date", "parts": ["second"], "mean": 0}, "parts.0 is 'second'"),
    ({"kind": "date", "parts": ["seconds"], "missing": "drop"}, "parts have seconds"),
    ({"kind": "label", "classes": ["a", "a"]}, "classes have 'a' twice"), ({"kind": "label", "classes": "ab"}, "classes is 'ab'"),
    ({"kind": "ignore", "reason": 1}, "reason is 1; it must be a string")])
def test_wrong_json_is_refused(config, told):
    with pytest.raises(DataError, match=told):
        kind_of(config)


def test_default_words_for_missing_values():
    assert set(PLAIN) < set(MISSING) and {"-", ".", "None"} == set(MISSING) - set(PLAIN)


def test_hives_null_is_missing_in_each_column():
    assert encoded(Numeric(mean=2.0), ["\\N", "1"]) == [[2], [1]]
    assert encoded(Categorical(vocabulary=("a",)), ["\\N", "a"]) == encoded(Categorical(vocabulary=("a",)), ["", "a"])
