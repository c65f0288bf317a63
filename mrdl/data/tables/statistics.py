"""What a column holds. Statistics of parts are merged into those of the whole, the same bytes however it was split.

Sums are exact integers, so that mean and deviation are correctly rounded; quantiles are exact while all distinct words are
known (`Values.exact`), else they come from a histogram: right to 2^-9 of their value."""
import json
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

from mrdl.data.binned import Exact, packed, unpacked
from mrdl.data.tables.values import MOST, Values
from mrdl.data.tables.words import MISSING, ORDERS, USUAL, Notation, Words
from mrdl.kernels import tally
from mrdl.kernels import words as kernel
from mrdl.storage.sealed import canonical

DROPPED = 44                    # low bits of a double that the histogram drops: sign, exponent and 8 bits are left
DIGITS = 60                     # of square roots, before they are rounded
PARTS = {"month": 12, "day": 31, "weekday": 7, "hour": 24, "minute": 60}        # of a date, and how many there are


class Counts:
    """How often each of some whole numbers came."""

    def __init__(self, keys: list[int] = (), counts: list[int] = ()):
        self.keys, self.counts = np.array(keys, "i8"), np.array(counts, "i8")

    def add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """Keys must be distinct and rising."""
        at = np.searchsorted(self.keys, keys)
        known = at < len(self.keys)
        known[known] = self.keys[at[known]] == keys[known]
        self.counts[at[known]] += counts[known]
        if not known.all():
            self.keys = np.insert(self.keys, at[~known], keys[~known])
            self.counts = np.insert(self.counts, at[~known], counts[~known])


class Numbers:
    """Of finite doubles the count, exact sums, least, largest, how many are whole, and a histogram."""

    def __init__(self):
        self.whole, self.least, self.largest = 0, np.inf, -np.inf
        self.exact, self.histogram = Exact(), Counts()
        self._bins = tally.Bins(DROPPED)

    @property
    def count(self) -> int:
        return self.exact.count

    def add(self, values: np.ndarray, codes: np.ndarray | None = None) -> None:
        """`codes`: those that are not GOOD do not count."""
        count, whole, least, largest = self._bins.add(values, codes)
        if not count:
            return
        self.whole += whole
        self.least, self.largest = min(self.least, least), max(self.largest, largest)
        self.exact.add(values if count == len(values) else values[codes == kernel.GOOD])

    @classmethod
    def of(cls, values: np.ndarray, counts: np.ndarray) -> "Numbers":
        """Of distinct rising values and how often each comes."""
        made = cls()
        if len(values):
            made.whole = int(counts[values == np.floor(values)].sum())
            made.least, made.largest = float(values[0]), float(values[-1])
            made.exact = Exact.of(values.tolist(), counts.tolist())
            keys, at = np.unique(values.view("i8") >> DROPPED, return_inverse=True)
            made.histogram.add(keys, np.bincount(at, counts, len(keys)).astype("i8"))
        return made

    def _settle(self) -> None:
        keys, counts = np.empty((2, len(self._bins)), "i8")
        self._bins.copy(keys, counts)
        order = np.argsort(keys)
        self.histogram.add(keys[order], counts[order])
        self._bins = tally.Bins(DROPPED)

    def merge(self, other: "Numbers") -> None:
        other._settle()
        self.exact.merge(other.exact)
        self.whole += other.whole
        self.least, self.largest = min(self.least, other.least), max(self.largest, other.largest)
        self.histogram.add(other.histogram.keys, other.histogram.counts)

    def dump(self) -> dict:
        self._settle()
        ends = [self.least, self.largest] if self.count else None
        count, *sums = self.exact.dump()
        return {"count": count, "whole": self.whole, "ends": ends, "sums": sums,
                "histogram": [packed(np.diff(self.histogram.keys, prepend=0)), packed(self.histogram.counts)]}

    @classmethod
    def load(cls, facts: dict) -> "Numbers":
        made = cls()
        made.whole, (made.least, made.largest) = facts["whole"], facts["ends"] or (np.inf, -np.inf)
        made.exact.load([facts["count"], *facts["sums"]])
        keys, counts = map(unpacked, facts["histogram"])
        made.histogram = Counts(np.cumsum(keys), counts)
        return made

    @property
    def mean(self) -> float:
        return self.exact.mean

    @property
    def deviation(self) -> float:
        """The sample's (n - 1), as pandas has it; 0 of a single value."""
        if self.count < 2:
            return 0.0
        total, squares = self.exact.sums
        square = Fraction(squares * self.count - total ** 2, self.count * (self.count - 1) << 2148)
        with localcontext() as context:
            context.prec, context.Emax, context.Emin = DIGITS, 999999, -999999
            return float((Decimal(square.numerator) / square.denominator).sqrt())

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Rising values that stand for all, and the count of each: the middles of the histogram's bins, but for the least and
        the largest value themselves."""
        self._settle()
        middles = _middles(self.histogram.keys)
        order = np.argsort(middles)
        values, counts = np.clip(middles[order], self.least, self.largest), self.histogram.counts[order]
        if self.count > 1:
            values = np.concatenate([[self.least], values, [self.largest]])
            counts[[0, -1]] -= 1 if len(counts) > 1 else 2
            counts = np.concatenate([[1], counts, [1]])
        return values, counts

    def counted(self) -> bool:
        """Whether they are the whole numbers from the least to the largest, each once."""
        n, low = self.count, self.least
        if not n or self.whole != n or self.largest - low + 1 != n:
            return False
        a = int(low)
        squares = n * a * a + a * n * (n - 1) + n * (n - 1) * (2 * n - 1) // 6
        return self.exact.sums == (n * (2 * a + n - 1) // 2 << 1074, squares << 2148)


def _middles(keys: np.ndarray) -> np.ndarray:
    """The double in the middle of each bin; 0 itself, which has no other like it nearby."""
    return np.where(keys == 0, 0.0, ((keys << DROPPED) + (1 << DROPPED - 1)).view("f8"))


class Dates:
    """Of seconds since 1970 the numbers, and which months, hours and so on there are."""

    def __init__(self):
        self.numbers, self.parts = Numbers(), dict.fromkeys(PARTS, 0)

    def add(self, seconds: np.ndarray) -> None:
        self.numbers.add(seconds)
        self.parts = {name: self.parts[name] | bits for name, bits in zip(PARTS, tally.calendar(seconds))}

    def merge(self, other: "Dates") -> None:
        self.numbers.merge(other.numbers)
        self.parts = {name: bits | other.parts[name] for name, bits in self.parts.items()}

    def dump(self) -> dict:
        return {"numbers": self.numbers.dump(), "parts": self.parts}

    @classmethod
    def load(cls, facts: dict) -> "Dates":
        made = cls()
        made.numbers, made.parts = Numbers.load(facts["numbers"]), facts["parts"]
        return made

    def varying(self) -> list[str]:
        """The parts that are not always the same; of months and years, whose day is always the first or so, not the weekday."""
        years = calendar(np.array([self.numbers.least, self.numbers.largest]))["year"]
        found = ["year"] * bool(years[0] != years[1]) + [name for name, bits in self.parts.items() if bits & bits - 1]
        return [name for name in found if name != "weekday" or "day" in found]


def calendar(seconds: np.ndarray) -> dict[str, np.ndarray]:
    """The parts of seconds since 1970, int64[n] each: the year; month, day, weekday, hour, minute from 0 on (Monday is 0)."""
    out = np.empty((1 + len(PARTS), len(seconds)), "i8")
    kernel.calendar(seconds, out)
    return dict(zip(("year", *PARTS), out))


class Statistics:
    """What a column holds.

    Args:
        notation: how its numbers are written.
        missing: the words that mean that a value is missing: those that the user names, then the others of MISSING.
        most: how many distinct words are kept.

    Attributes:
        rows: all of them.
        absent: how often each of the missing words came.
        values: the words that are not missing.
        numbers: those of them that are finite numbers.
        padded: how many of these have a needless 0 in front, as codes have.
        infinite: how many words are numbers, but not finite.
        dates: by the order of their parts: those of the words that are dates.
        longest: the bytes of the longest word."""

    def __init__(self, notation: Notation = USUAL, missing: tuple[str, ...] = MISSING, most: int = MOST):
        self.notation, self.missing = notation, tuple(dict.fromkeys(missing))
        self._missing = Words.of(self.missing)
        self._numeric = bool((self._missing.numbers(notation)[1] == kernel.GOOD).any())
        self.rows = self.padded = self.infinite = self.longest = 0
        self.absent = dict.fromkeys(self.missing, 0)
        self.values, self.numbers = Values(most), Numbers()
        self.dates = {order: Dates() for order in ORDERS}

    def add(self, words: Words, label: np.ndarray | None = None) -> None:
        """More rows of the column. `label`: the hash of each row's label, to find columns that tell it alone."""
        self.rows += len(words)
        numbers, codes = words.numbers(self.notation)
        known, counts = self._missing, np.zeros(len(self.missing), "i8")
        gone = tally.mark(words.data, words.starts, words.stops, words.hashes, codes, known.data, known.starts, known.stops, known.hashes,
                          counts, self._numeric)
        if gone:
            self.absent = {word: count + more for (word, count), more in zip(self.absent.items(), counts.tolist())}
        places = np.empty(len(words), "i8")
        longest, padded, infinite, dates = tally.look(words.data, words.starts, words.stops, codes, places)
        self.longest = max(self.longest, longest)
        self.padded, self.infinite = self.padded + padded, self.infinite + infinite
        self.values.add(words, label, codes)
        self.numbers.add(numbers, codes)
        if dates:
            words = words.take(places[:dates])
            for order, found in self.dates.items():
                seconds, codes = words.dates(order)
                good = codes == kernel.GOOD
                found.add(seconds[good])
                if order == "YMD":                  # the year is first or last
                    words = words.take(~good)

    def merge(self, other: "Statistics") -> None:
        """Rows of another part of the column."""
        for name in ("rows", "padded", "infinite"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest = max(self.longest, other.longest)
        self.absent = {word: count + other.absent[word] for word, count in self.absent.items()}
        self.values.merge(other.values)
        self.numbers.merge(other.numbers)
        for order, dates in self.dates.items():
            dates.merge(other.dates[order])

    def reread(self, notation: Notation) -> "Statistics":
        """The statistics of the same rows, had their numbers been written so. All words must be known (`Values.exact`)."""
        made = Statistics.load(self.dump())
        made.notation = notation
        codes = self.values.words.numbers(notation)[1]
        made.infinite = int(self.values.counts[codes == kernel.FINITE].sum())
        made.numbers = Numbers.of(*made.points())
        return made

    def dump(self) -> bytes:
        """JSON in ASCII, one line: the same for the same rows, whatever their order and however they were split."""
        return canonical({
            "notation": self.notation, "absent": list(self.absent.items()), "most": self.values.most,
            **{name: getattr(self, name) for name in ("rows", "padded", "infinite", "longest")},
            "values": self.values.dump(), "numbers": self.numbers.dump(),
            "dates": {order: dates.dump() for order, dates in self.dates.items() if dates.numbers.count}})

    @classmethod
    def load(cls, data: bytes) -> "Statistics":
        facts = json.loads(data)
        made = cls(Notation(*facts["notation"]), [word for word, _ in facts["absent"]], facts["most"])
        for name in ("rows", "padded", "infinite", "longest"):
            setattr(made, name, facts[name])
        made.absent = dict(facts["absent"])
        made.values, made.numbers = Values.load(facts["values"], facts["most"]), Numbers.load(facts["numbers"])
        made.dates |= {order: Dates.load(dates) for order, dates in facts["dates"].items()}
        return made

    @property
    def gone(self) -> int:
        """How many values are missing."""
        return sum(self.absent.values())

    @property
    def present(self) -> int:
        """How many are not."""
        return self.rows - self.gone

    def points(self, order: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Rising numbers and the count of each: all there are while all words are known, else the histogram's bins.

        order: of dates, whose seconds are asked for; "": the numbers."""
        if not self.values.exact:
            return (self.dates[order].numbers if order else self.numbers).points()
        words = self.values.words
        numbers, codes = words.dates(order) if order else words.numbers(self.notation)
        good = codes == kernel.GOOD
        found, at = np.unique(numbers[good] + 0.0, return_inverse=True)
        return found, np.bincount(at, self.values.counts[good], len(found)).astype("i8")

    def quantiles(self, shares: list[float], order: str = "") -> list[float]:
        """Linear between the two numbers beside it, as pandas has it."""
        values, counts = self.points(order)
        ends = np.cumsum(counts)
        place = np.asarray(shares) * (ends[-1] - 1)
        low = np.floor(place)
        a, b = (values[np.searchsorted(ends, k, side="right")] for k in (low, np.minimum(low + 1, ends[-1] - 1)))
        share = place - low
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(np.isfinite(b - a), a + (b - a) * share, a * (1 - share) + b * share).tolist()

    def mode(self, order: str = "") -> float:
        """The number that comes most often, the least of several; in the middle of its bin where not all words are known."""
        values, counts = self.points(order)
        return float(values[np.argmax(counts)])
