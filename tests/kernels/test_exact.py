"""Exact sums against Python's fractions: to the last bit, in any order, split and merged."""
from fractions import Fraction

import numpy as np
import pytest
from mrdl.kernels import exact
from mrdl.kernels.reference import exact as twin

RNG = np.random.default_rng(0)
BITS = RNG.integers(0, 2 ** 64, 3000, np.uint64).view("f8")
VALUES = {
    "any": BITS[np.isfinite(BITS)],
    "denormal": RNG.integers(0, 2 ** 52, 800, np.uint64).view("f8") * RNG.choice([-1, 1], 800),
    "largest": np.full(2500, np.finfo("f8").max), "smallest": np.full(2500, -np.finfo("f8").max),
    "least": np.array([5e-324, -5e-324, 5e-324, 2.2250738585072014e-308, 0.0, -0.0]),
    "cancel": np.array([1e308, 1.0, -1e308, 1e-320]), "normal": RNG.normal(size=5000),
    "whole": RNG.integers(-1000, 1000, 3000).astype("f8"), "powers": 2.0 ** np.arange(-1074, 1024),
    "none": np.array([]),
}


def sums():
    return np.zeros(exact.SUMS, "i8"), np.zeros(exact.SQUARES, "i8")


def value(words) -> Fraction:
    integer, exponent = exact.total(words)
    return integer * Fraction(2) ** exponent


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_sums_and_squares_are_those_of_fractions(values):
    ours, theirs = sums(), sums()
    exact.add(values, *ours)
    twin.add(values, *theirs)
    fractions = [Fraction(x) for x in values.tolist()]
    assert value(ours[0]) == sum(fractions) and value(ours[1]) == sum(x * x for x in fractions)
    for a, b in zip(ours, theirs):
        np.testing.assert_array_equal(a, b)


def test_neither_order_nor_splits_change_a_word():
    values = np.concatenate(list(VALUES.values()))
    whole = sums()
    exact.add(values, *whole)
    for parts in (1, 2, 7, 500):
        merged = sums()
        for part in np.array_split(RNG.permutation(values), parts):
            own = sums()
            exact.add(part, *own)
            for a, b in zip(merged, own):
                a += b
        for a, b in zip(merged, whole):
            plain = a.copy()
            exact.carry(a)
            twin.carry(plain)
            assert a.tobytes() == b.tobytes() == plain.tobytes()


def test_squares_are_left_out_where_nobody_wants_them():
    alone, both = sums(), sums()
    exact.add(VALUES["normal"], alone[0])
    exact.add(VALUES["normal"], *both)
    assert alone[0].tobytes() == both[0].tobytes() and not alone[1].any()


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_values_that_are_not_finite_are_refused_and_nothing_is_added(wrong):
    for module in (exact, twin):
        ours = sums()
        with pytest.raises(ValueError, match="not finite"):
            module.add(np.array([1.0, wrong]), *ours)
        assert not ours[0].any() and not ours[1].any()


def test_shapes_that_do_not_fit_are_refused():
    first, second = sums()
    for call in (lambda: exact.add(np.ones(1), second), lambda: exact.add(np.ones(1), first, first),
                 lambda: exact.carry(np.zeros(3, "i8")), lambda: exact.total(np.zeros(3, "i8"))):
        with pytest.raises(ValueError, match="SUMS"):
            call()


def test_any_words_may_be_carried():
    for words in RNG.integers(-2 ** 63, 2 ** 63 - 1, (50, exact.SUMS), endpoint=True):
        words[-1] >>= 2         # there is room above
        before = exact.total(words)
        exact.carry(words)
        assert exact.total(words) == before and (words[:-1] >= 0).all() and (words[:-1] < 2 ** 32).all()
