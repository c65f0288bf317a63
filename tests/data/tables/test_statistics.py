"""Statistics of columns: the same bytes however rows are split, and right."""
import random
import statistics as plain
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from mrdl.data.tables.statistics import Dates, Numbers, Statistics
from mrdl.data.tables.values import Values
from mrdl.data.tables.words import MISSING, USUAL, Notation, Words

ODD = ["", "NA", "-", "None", "inf", "-inf", "nan", "NaN", "1e999", "-0.0", "0", "5e-324", "1.7976931348623157e308",
       "-1.7976931348623157e308", "007", "ä", b"\xff\xfe", '"', "\\", "a,b", "2024-02-30", "20240229", "1e3", "x" * 300]


def made(words, labels=None, batch=997, most=300, notation=USUAL):
    found = Statistics(notation, most=most)
    labels = None if labels is None else np.array(labels, "u8") << np.uint64(40)
    for start in range(0, len(words), batch):
        found.add(Words.of(words[start:start + batch]), None if labels is None else labels[start:start + batch])
    return found


COLUMNS = {
    "odd": lambda rng: rng.choice(ODD),
    "wide numbers": lambda rng: repr(rng.gauss(0, 1) * 10.0 ** rng.randint(-320, 305)),
    "small numbers": lambda rng: str(rng.randint(-9, 9)),
    "dates": lambda rng: f"{rng.randint(1900, 2030)}-{rng.randint(1, 13)}-{rng.randint(1, 31)} {rng.randint(0, 23)}:30",
    "days": lambda rng: f"{rng.randint(1, 31)}/{rng.randint(1, 31)}/2024",
    "everything": lambda rng: COLUMNS[rng.choice(["odd", "wide numbers", "small numbers", "dates", "days"])](rng),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_no_split_and_no_order_changes_a_byte(column):
    rng = random.Random(column)
    words = [COLUMNS[column](rng) for _ in range(3000)]
    labels = [rng.randrange(3) for _ in words]
    whole = made(words, labels).dump()
    for parts in (1, 2, 7):
        order = rng.sample(range(len(words)), len(words))
        some = [made([words[i] for i in order[k::parts]], [labels[i] for i in order[k::parts]], rng.randint(1, 2000))
                for k in range(parts)]
        rng.shuffle(some)
        while len(some) > 1:
            first, second = some.pop(), Statistics.load(some.pop(0).dump())
            first.merge(second)
            some.insert(rng.randrange(len(some) + 1), first)
        assert some[0].dump() == whole
        assert Statistics.load(some[0].dump()).dump() == whole
    assert made(words[:0]).dump() == Statistics(most=300).dump()


def test_the_counts_are_those_of_a_plain_loop():
    words = [word for i, word in enumerate(ODD) for _ in range(i + 1)]
    found, names = made(words, most=1000), [w.decode("utf-8", "surrogateescape") if isinstance(w, bytes) else w for w in words]
    there = [word for word in names if word not in MISSING]
    assert found.rows == len(words) and found.present == len(there) and found.gone == len(words) - len(there)
    assert found.absent == {word: names.count(word) for word in MISSING}
    assert dict(found.values.items()) == Counter(there)
    assert found.values.distinct == len(set(there)) and found.values.error == 0
    assert found.infinite == sum(names.count(word) for word in ("inf", "-inf", "1e999"))
    assert found.padded == names.count("007") and found.longest == 300
    assert found.dates["YMD"].numbers.count == names.count("20240229")


@pytest.mark.parametrize("values", [
    [1.5], [3, 3, 3, 3], [0.1] * 10, [1e308, 1e308, -1e308, 1e308], [5e-324, -5e-324, 1e-310],
    [1e16, 1.0, -1e16, 1.0], list(range(1000)), [(i * 7919 % 1000) / 7 - 50 for i in range(1001)]])
def test_mean_and_deviation_are_correctly_rounded(values):
    numbers = Numbers()
    for part in np.array_split(np.array(values, "f8"), 3):
        numbers.add(part)
    exact = [Fraction(value) for value in values]
    assert numbers.mean == float(sum(exact) / len(exact))
    if len(values) > 1:
        assert numbers.deviation == pytest.approx(plain.stdev(exact), rel=1e-15, abs=0)
        assert numbers.dump() == Numbers.of(*np.unique(np.array(values, "f8"), return_counts=True)).dump()
    assert numbers.least == min(values) and numbers.largest == max(values) and numbers.count == len(values)
    assert numbers.whole == sum(value == int(value) for value in values)


def test_quantiles_are_exact_while_all_words_are_known_and_near_else():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.lognormal(0, 3, 500), -rng.lognormal(0, 3, 300), np.zeros(200)])
    words, shares = [repr(v) for v in values.tolist()], [0, 0.001, 0.1, 0.25, 0.5, 0.77, 1]
    right = np.quantile(values, shares)
    assert made(words, most=1000).quantiles(shares) == pytest.approx(right.tolist(), rel=1e-12)
    assert made(words, most=100).quantiles(shares) == pytest.approx(right.tolist(), rel=2 ** -9, abs=1e-12)
    assert made(words, most=100).quantiles([0, 1]) == [values.min(), values.max()]
    assert made(["3", "1", "1.0", "2"]).mode() == 1 and made(["3", "1", "1.0", "2"], most=1).mode() == 1


def test_the_sample_is_bounded_and_estimates_what_it_left_out():
    values = Values(most=256)
    for start in range(0, 40_000, 5000):
        values.add(Words.of([f"{i % 30_000}" for i in range(start, start + 5000)]))
        assert len(values.words) <= 256
    values.add(Words.of([]))
    assert not values.exact and 128 <= len(values.items()) <= 256
    assert abs(values.distinct - 30_000) < 4 * values.error * 30_000
    assert all(count == 1 + (int(word) < 10_000) for word, count in values.items())


def test_long_words_are_bounded_too():
    words = [f"{i}" * 100_000 for i in range(100)]
    values = [Values(), Values()]
    for word in words:
        values[0].add(Words.of([word]))
    values[1].add(Words.of(reversed(words)))
    assert values[0].words.lengths.sum() <= 1 << 22 and 1 <= values[0].level <= 4
    assert values[0].dump() == values[1].dump()


def test_two_words_of_one_hash_count_as_the_first_of_them():
    both = []
    for words in (["a", "b", "b"], ["b", "a", "b"]):
        column = Words.of(words)
        column.__dict__["hashes"] = np.zeros(3, "u8")
        values = Values()
        values.add(column)
        values.add(column)
        both.append(values)
    assert both[0].items() == [("a", 6)] and both[0].dump() == both[1].dump()


def test_what_tells_the_label():
    labels = Words.of([*"aabbab"]).hashes
    values = Values()
    values.add(Words.of([*"xxyyxz"]), labels)
    assert values.alone() == (5, 3, 0) and not values.copied
    values.add(Words.of(["x"]), labels[2:3])
    assert values.alone() == (6, 4, 1)
    same = Values()
    same.add(Words.of([*"aabbab"]), labels)
    assert same.copied and not Values().copied
    unlabelled = Values()
    unlabelled.add(Words.of([*"xx"]))
    assert unlabelled.alone() == (2, 1, 1) and not unlabelled.copied


@pytest.mark.parametrize("values, counted", [
    (range(10), True), (range(5, 9), True), (range(-3, 4), True), ([2, 0, 1], True), ([0, 1, 1, 3], False), ([0, 2], False),
    ([0, 0, 2], False), ([0.5, 1.5], False), ([], False), ([1, 1, 4, 4, 5, 6], False), ([1, 2, 2, 4, 5, 5, 7, 8], False)])
def test_counting_numbers(values, counted):
    numbers = Numbers()
    numbers.add(np.array(list(values), "f8"))
    assert numbers.counted() == counted


def test_parts_of_dates_that_vary():
    dates = Dates()
    dates.add(np.array([0.0, 86400 * 7.0, 3600.0]))
    assert dates.varying() == ["day", "hour"]
    dates.add(np.array([-86400 * 366.0]))
    assert dates.varying() == ["year", "month", "day", "weekday", "hour"]


def test_numbers_read_again_in_another_notation():
    words = ["1,5", "2", "-3,25", "1,5", "x", "", "inf"]
    assert made(words).reread(Notation(",")).dump() == made(words, notation=Notation(",")).dump()
