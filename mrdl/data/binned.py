"""Numbers counted in bins, and exact sums: both are merged without regard to order, and parts give the bytes of the whole.

A bin holds the doubles that have their leading bits in common. There are as many bins as there is room for: while few values
differ each has its own, and what is computed from them is exact."""
import zlib
from base64 import b64decode, b64encode
from fractions import Fraction
from typing import Any

import numpy as np

from mrdl.kernels import exact

HALF = int(np.float64(0.5).view("i8"))
SIGN = np.int64(2 ** 63 - 1)


def keys_of(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the order of finite doubles; those of doubles that are alike begin alike."""
    bits = (values + 0.0).view("i8")
    return np.where(bits < 0, bits ^ SIGN, bits)


def values_of(keys: np.ndarray) -> np.ndarray:
    """The doubles that have these keys."""
    return np.where(keys < 0, keys ^ SIGN, keys).view("f8")


def keys_of_shares(shares: np.ndarray) -> np.ndarray:
    """The same for numbers from 0 to 1, which are told apart near 1 as well as near 0."""
    low = shares <= 0.5
    bits = keys_of(np.where(low, shares, 1.0 - shares))
    return np.where(low, bits, 2 * HALF + 1 - bits)


def shares_of(keys: np.ndarray) -> np.ndarray:
    low = keys <= HALF
    found = values_of(np.where(low, keys, 2 * HALF + 1 - keys))
    return np.where(low, found, 1.0 - found)


class Binned:
    """Keys counted in bins, in several columns at once.

    The bins are the finest ones of which there are no more than `most`, so they depend on the keys alone.

    Attributes:
        dropped: low bits of a key that its bin does not know; 0: all is exact.
        bins: the other bits, rising.
        counts: int64[columns, bins]."""

    def __init__(self, columns: int, most: int):
        self.most, self.dropped = most, 0
        self.bins, self.counts = np.empty(0, "i8"), np.empty((columns, 0), "i8")

    def add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """`counts`: [columns, keys]."""
        self._take(keys >> self.dropped, counts)

    def merge(self, other: "Binned") -> None:
        dropped = max(self.dropped, other.dropped)
        self.bins, self.dropped = self.bins >> dropped - self.dropped, dropped
        self._take(other.bins >> dropped - other.dropped, other.counts)

    def _take(self, bins: np.ndarray, counts: np.ndarray) -> None:
        found, at = np.unique(np.concatenate([self.bins, bins]), return_inverse=True)
        counts = np.concatenate([self.counts, counts], 1)
        more = 0
        while np.count_nonzero(np.diff(found >> more)) >= self.most:
            more += 1
        if more:
            found, again = np.unique(found >> more, return_inverse=True)
            at, self.dropped = again[at], self.dropped + more
        self.bins = found
        self.counts = np.stack([np.bincount(at, column, len(found)) for column in counts]).astype("i8")

    def keys(self) -> np.ndarray:
        """The key in the middle of each bin."""
        return (self.bins << self.dropped) + (1 << self.dropped >> 1)

    def dump(self) -> list:
        return [self.dropped, packed(np.diff(self.bins, prepend=0)), packed(self.counts)]

    def load(self, facts: list) -> "Binned":
        """Becomes what was dumped."""
        self.dropped, bins, counts = facts
        self.bins, self.counts = np.cumsum(unpacked(bins)), unpacked(counts).reshape(len(self.counts), -1)
        return self


def packed(values: np.ndarray) -> str:
    """Whole numbers as text, the same text for the same numbers."""
    return b64encode(zlib.compress(values.astype("<i8").tobytes(), 1)).decode()


def unpacked(text: str) -> np.ndarray:
    """int64[n], what was packed."""
    return np.frombuffer(zlib.decompress(b64decode(text)), "<i8").astype("i8")


class Exact:
    """How many values there are, and the sums of them (in 2^-1074) and of their squares (in 2^-2148), without rounding."""

    def __init__(self):
        self.count, self._total, self._squares = 0, 0, 0
        self._words = np.zeros(exact.SUMS, "i8"), np.zeros(exact.SQUARES, "i8")

    @classmethod
    def of(cls, values: list[float], counts: list[int]) -> "Exact":
        """Of values and how often each comes."""
        made = cls()
        made.count = sum(counts)
        for (above, below), count in zip(map(float.as_integer_ratio, values), counts):
            unit = above * ((1 << 1074) // below)
            made._total += count * unit
            made._squares += count * unit * unit
        return made

    def add(self, values: np.ndarray) -> None:
        self.count += len(values)
        exact.add(np.ascontiguousarray(values, "f8"), *self._words)

    def _settle(self) -> None:
        sums, squares = self._words
        self._total += exact.total(sums)[0]
        self._squares += exact.total(squares)[0]
        sums[:], squares[:] = 0, 0

    @property
    def sums(self) -> tuple[int, int]:
        """That of the values, that of their squares."""
        self._settle()
        return self._total, self._squares

    def merge(self, other: "Exact") -> None:
        total, squares = other.sums
        self.count += other.count
        self._total += total
        self._squares += squares

    def dump(self) -> list[Any]:
        return [self.count, *(f"{n:x}" for n in self.sums)]

    def load(self, facts: list[Any]) -> "Exact":
        """Becomes what was dumped."""
        self.count, self._total, self._squares = facts[0], int(facts[1], 16), int(facts[2], 16)
        return self

    @property
    def mean(self) -> float:
        return float(Fraction(self.sums[0], max(self.count, 1) << 1074))

    @property
    def mean_square(self) -> float:
        return float(Fraction(self.sums[1], max(self.count, 1) << 2148))

    @property
    def variance(self) -> float:
        """The mean square of the distance to the mean."""
        n, (total, squares) = max(self.count, 1), self.sums
        return float(Fraction(n * squares - total ** 2, n * n << 2148))
