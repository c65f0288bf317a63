"""Rows without their zeros, against plain Python twins; and back."""
import numpy as np
import pytest
from mrdl.kernels import short
from mrdl.kernels.reference import short as twin

from mrdl.data.tables.words import Words

RANDOM = np.random.default_rng(0)


def row(size: int, share: float) -> bytes:
    """A row of some bytes, of whose words that share is not 0."""
    words = RANDOM.integers(0, 2**32, size // 4 + 1, "u4") * (RANDOM.random(size // 4 + 1) < share)
    return b"x"[:size] + words.astype("<u4").tobytes()[:max(size - 1, 0)]


ROWS = [row(size, share) for size in [0, 1, 2, 23, 24, 25, 26, 27, 28, 60, 128, 129, 253, 2041, *RANDOM.integers(0, 300, 60)]
        for share in (0, 0.1, 0.5, 0.9, 1)]


def shortened(module, rows: Words) -> tuple[bool, Words]:
    ends, out = np.full(len(rows), -1), np.zeros(rows.lengths.sum(), "u1")
    some = module.shorten(rows.data, rows.starts, rows.stops, out, ends)
    return some, Words(out, np.append(0, ends[:-1])[:len(ends)], ends)


def lengthened(module, rows: Words) -> tuple[bool, Words]:
    ends = np.full(len(rows), -1)
    some = module.lengthened(rows.data, rows.starts, rows.stops, ends)
    out = np.empty(ends[-1], "u1")
    module.lengthen(rows.data, rows.starts, rows.stops, ends, out)
    return some, Words(out, np.append(0, ends[:-1]), ends)


def test_rows_lose_their_zeros_and_get_them_back():
    words = Words.of(ROWS)
    some, found = shortened(short, words)
    assert some and [*found] == [*shortened(twin, words)[1]]
    assert sum(map(len, found)) < sum(map(len, ROWS)) and any(own == given for own, given in zip(found, ROWS) if len(own) > 100)
    some, back = lengthened(short, found)
    assert some and [*back] == ROWS == [*lengthened(twin, found)[1]]


def test_rows_that_would_not_be_shorter_stay():
    full = Words.of([row(200, 1), row(5, 0), b""])
    for module in (short, twin):
        some, found = shortened(module, full)
        assert not some and not found.data.any() and found.lengths.tolist() == full.lengths.tolist()       # nothing is written
        assert not module.lengthened(full.data, full.starts, full.stops, np.empty(3, "i8"))


def test_damaged_rows_are_refused():
    good = shortened(short, Words.of([row(130, 0.1)]))[1][0]
    for damaged in (good[:5], good[:8], good[:-4], good + b"1234", good[:2] + b"\xff" * 4 + good[6:], good[:9] + b"\xff" + good[10:]):
        words = Words.of([damaged])
        with pytest.raises(ValueError, match="damaged"):
            short.lengthened(words.data, words.starts, words.stops, np.empty(1, "i8"))
    words, ends = Words.of([row(130, 0.1)]), np.array([20])
    for call in (lambda: short.shorten(words.data, words.starts, words.stops, np.empty(129, "u1"), ends),
                 lambda: short.lengthen(words.data, words.starts, words.stops, ends, np.empty(20, "u1")),
                 lambda: short.shorten(words.data, words.starts, words.stops, np.empty(130, "u1"), np.empty(2, "i8")),
                 lambda: short.lengthened(words.data, words.starts, words.stops, np.empty(2, "i8"))):
        with pytest.raises(ValueError, match="do not fit|a place for each"):
            call()
