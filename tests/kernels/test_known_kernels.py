"""Words found among known ones, and a one for each, against plain twins."""
import random

import numpy as np
import pytest
from mrdl.kernels import known
from mrdl.kernels.reference import known as twin

from mrdl.data.tables.words import Lookup, Words


def arguments(lookup: Lookup, words: Words, hashes: np.ndarray) -> list:
    return [words.data, words.starts, words.stops, hashes, lookup.known.data, lookup.known.starts, lookup.known.stops,
            lookup.hashes, lookup.order, lookup.first, lookup.shift, np.full(len(words), 7)]


@pytest.mark.parametrize("bits", [64, 2, 1, 0])
def test_words_are_found_by_their_bytes_however_many_share_a_hash(bits):
    rng = random.Random(bits)
    mask = ~np.uint64(2 ** (64 - bits) - 1) if bits else np.uint64(0)       # of the hashes so many bits are left
    for size in (0, 1, 7, 100):
        listed = Words.of([rng.randbytes(rng.randrange(3)) for _ in range(size)])
        words = Words.of([rng.randbytes(rng.randrange(3)) for _ in range(300)] + list(listed))
        for turned in (np.uint64(0), ~np.uint64(0)):                        # ~0: the hash that stands behind them all
            given = arguments(Lookup(listed, listed.hashes & mask ^ turned & mask), words, words.hashes & mask ^ turned & mask)
            known.find(*given)
            out = given[-1].copy()
            twin.find(*given)
            np.testing.assert_array_equal(out, given[-1])
            assert size == 0 or out.max() >= 0


def test_the_last_hash_is_found_as_any():
    lookup, words = Lookup(Words.of(["a", "b"]), np.full(2, 2 ** 64 - 1, "u8")), Words.of(["b", "c", "a"])
    given = arguments(lookup, words, np.full(3, 2 ** 64 - 1, "u8"))
    known.find(*given)
    assert given[-1].tolist() == [1, -1, 0]


@pytest.mark.parametrize("order", "CF")
def test_ones_stand_where_the_ids_say_and_zeros_everywhere_else(order):
    rng = np.random.default_rng(0)
    for n, width in ((0, 3), (1, 1), (5, 0), (40, 3), (3, 40)):
        ids = rng.integers(-1, width, n)
        table = np.full((n, width + 2), 7.0, order=order)
        expected = table.copy()
        known.ones(ids, table[:, 1:-1])
        twin.ones(ids, expected[:, 1:-1])
        np.testing.assert_array_equal(table, expected)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_marks_stand_where_the_ids_of_many_columns_say(dtype):
    rng = np.random.default_rng(0)
    for k, n, width in ((0, 3, 2), (2, 0, 3), (1, 1, 1), (3, 50, 9)):
        ids = rng.integers(-1, width, (k, n)).astype("i4")
        table, expected = np.full((2, n, width), 7, dtype)
        known.mark(ids, table)
        twin.mark(ids, expected)
        np.testing.assert_array_equal(table, expected)
    for wrong in (ids + 1, ids - 1, ids[:, 1:].copy()):
        with pytest.raises(ValueError, match="mark: "):
            known.mark(wrong, table)


WORD = Words.of(["a"])


@pytest.mark.parametrize("place, value, message", [
    (1, np.array([-1]), "within its data"), (5, np.array([-1]), "within its data"), (3, np.zeros(2, "u8"), "for each field"), (11, np.zeros(2, "i8"), "for each field"),
    (7, np.zeros(2, "u8"), "one behind them"), (7, np.zeros(3, "u8"), "one behind them"), (8, np.array([0, 0]), "one behind them"),
    (8, np.array([1, -1]), "not of a known"), (9, np.full(4, 2), "not of a known"), (9, np.zeros(3, "i8"), "each prefix"), (10, 64, "each prefix"),
    (10, 0, "each prefix"),
])
def test_a_lookup_that_does_not_fit_is_refused(place, value, message):
    given = arguments(Lookup(WORD), WORD, WORD.hashes)
    given[place] = value
    with pytest.raises(ValueError, match=message):
        known.find(*given)


@pytest.mark.parametrize("ids", [[3], [-2], [0, 0]])
def test_ids_that_do_not_fit_are_refused(ids):
    with pytest.raises(ValueError, match="ones: "):
        known.ones(np.array(ids), np.zeros((1, 3)))
