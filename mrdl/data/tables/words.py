"""A column of fields as bytes in one buffer, and what kernels find in all of them at once."""
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mrdl.kernels import cells
from mrdl.kernels import words as kernel
from mrdl.kernels.known import find

ORDERS = {"YMD": kernel.YMD, "DMY": kernel.DMY, "MDY": kernel.MDY}
TIMES = -62135596800, 253402300800      # seconds of the years that dates may have, 1 to 9999
#: words that mean that a value is missing, by default
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "#N/A", "?", "\\N", "None", "-", ".")        # \N is Hive's
#: those of them that mean it in a column of words too, where the others may be words like any
PLAIN = MISSING[:10]


class Notation(NamedTuple):
    """How the numbers of a column are written."""
    decimal: str = "."
    thousands: str = ""         # the mark between groups of three digits; "": none
    sign: str = ""              # what may stand before or after a number: "$", "%", "kg"


USUAL = Notation()


@dataclass(frozen=True, eq=False)
class Words:
    """n fields as UTF-8 bytes: field i is data[starts[i]:stops[i]], without quotes and the blanks around it.

    Args:
        data: the buffer; it must not change any more.
        starts: int64[n].
        stops: int64[n]."""
    data: bytes | bytearray | memoryview | np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    @classmethod
    def columns(cls, data: bytearray, starts: np.ndarray, stops: np.ndarray, notations: Sequence[Notation | None]) -> "list[Words]":
        """Those of each column; starts, stops: int64[rows, columns]. The numbers of columns with a notation are read at once, while the
        text is in the cache."""
        read = {}
        for decimal in {own.decimal for own in notations if own}:
            which = np.flatnonzero([own == Notation(decimal) for own in notations])
            out, codes = np.empty((len(which), len(starts))), np.empty((len(which), len(starts)), np.intc)
            cells.numbers(data, starts, stops, which, ord(decimal), out, codes)
            read |= zip(which.tolist(), zip(out, codes))
        often = [c for c in range(len(notations)) if c not in read]
        places = {c: (starts[:, c], stops[:, c]) for c in read} | dict(zip(often, zip(*(np.ascontiguousarray(at[:, often].T) for at in (starts, stops)))))
        made = [cls(data, *places[c]) for c in range(len(notations))]
        for column, found in read.items():
            made[column].__dict__["read"] = notations[column], *found
        return made

    @classmethod
    def of(cls, words: Iterable[str | bytes]) -> "Words":
        """The words, one after the other in a new buffer."""
        words = [word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word for word in words]
        ends = np.cumsum([0, *map(len, words)], dtype="i8")
        return cls(b"".join(words), ends[:-1], ends[1:])

    @classmethod
    def together(cls, parts: "Iterable[Words]") -> "Words":
        """The fields of all parts, in a buffer that holds nothing else."""
        data, lengths = [], []
        for part in parts:
            lengths.append(part.lengths)
            data.append(np.empty(lengths[-1].sum(), "u1"))
            kernel.pack(part.data, part.starts, part.stops, data[-1])
        ends = np.cumsum(np.concatenate([[0], *lengths]), dtype="i8")
        return cls(np.concatenate(data), ends[:-1], ends[1:])

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> bytes:
        return bytes(memoryview(self.data)[self.starts[i]:self.stops[i]])

    def __iter__(self):
        data = memoryview(self.data)
        return (bytes(data[start:stop]) for start, stop in zip(self.starts.tolist(), self.stops.tolist()))

    def take(self, which: np.ndarray | slice) -> "Words":
        """Some of the fields, by a mask, indices or a slice, in the same buffer."""
        some = type(self)(self.data, self.starts[which], self.stops[which])
        if "read" in self.__dict__:
            notation, values, codes = self.__dict__["read"]
            some.__dict__["read"] = notation, values[which], codes[which]
        if "hashes" in self.__dict__:
            some.__dict__["hashes"] = self.hashes[which]
        return some

    def spread(self, places: np.ndarray, n: int) -> "Words":
        """n fields, of which these are at their places, and all others empty, in the same buffer."""
        starts, stops = np.zeros((2, n), "i8")
        starts[places], stops[places] = self.starts, self.stops
        return Words(self.data, starts, stops)

    @cached_property
    def hashes(self) -> np.ndarray:
        """uint64[n], the same on every machine."""
        out = np.empty(len(self), "u8")
        kernel.hashes(self.data, self.starts, self.stops, out)
        return out

    def each(self, tell: Callable[["Words"], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        """What a function tells of the fields, if it tells the same of equal ones."""
        return tell(self)

    def texts(self) -> list[str]:
        """The fields; bytes that are not UTF-8 as surrogates."""
        return [word.decode("utf-8", "surrogateescape") for word in self]

    def json(self) -> list[str]:
        """Each field as JSON: a string."""
        return [json.dumps(word.decode("utf-8", "replace")) for word in self]

    @property
    def lengths(self) -> np.ndarray:
        return self.stops - self.starts

    def equal(self, other: "Words", indices: np.ndarray) -> np.ndarray:
        """bool[n]: whether each field is that of `other` at its index; not where that is -1."""
        out = np.empty(len(self), "u1")
        kernel.equal(self.data, self.starts, self.stops, other.data, other.starts, other.stops, indices, out)
        return out.view(bool)

    def numbers(self, notation: Notation = USUAL) -> tuple[np.ndarray, np.ndarray]:
        """float64[n], and of each whether it is GOOD, EMPTY, NUMBER (it is none) or FINITE (it is not); the caller may change both."""
        known, *found = self.__dict__.pop("read", [None])
        if known == notation:
            return tuple(found)
        words = _bare(self, notation.sign.encode("utf-8", "surrogateescape")) if notation.sign else self
        out, codes = np.empty(len(self)), np.empty(len(self), np.intc)
        kernel.numbers(words.data, words.starts, words.stops, ord(notation.decimal), ord(notation.thousands or "\0"), out, codes)
        return out, codes

    def filled(self, filling: float, notation: Notation = USUAL) -> np.ndarray | None:
        """The numbers, with that one where a field is empty; None where one is no number. The caller may change them."""
        values, codes = self.numbers(notation)
        return values if cells.fill(values, codes, filling) else None

    def dates(self, order: str) -> tuple[np.ndarray, np.ndarray]:
        """Seconds since 1970 (UTC), float64[n], and of each whether it is GOOD, EMPTY or NUMBER (it is no date).

        order: "YMD", "DMY" or "MDY"."""
        out, codes = np.empty(len(self)), np.empty(len(self), np.intc)
        kernel.dates(self.data, self.starts, self.stops, ORDERS[order], out, codes)
        return out, codes


class Doubles:
    """A column of fields that are numbers, and read.

    Args:
        values: float64[n]."""

    def __init__(self, values: np.ndarray):
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> bytes:
        return b"%.17g" % self.values[i]

    def numbers(self, notation: Notation = USUAL) -> tuple[np.ndarray, np.ndarray]:
        """As of Words; all are GOOD."""
        return self.values, np.full(len(self), kernel.GOOD, np.intc)


def _bare(words: Words, sign: bytes) -> Words:
    """The words without a sign at one of their ends, and without the blanks between; "-$5" becomes "-5"."""
    data = np.append(np.frombuffer(words.data, "u1"), np.uint8(0))      # never empty
    starts, stops = words.starts.copy(), words.stops.copy()

    def has(at: np.ndarray) -> np.ndarray:
        found = (at >= starts) & (at + len(sign) <= stops)
        for k, byte in enumerate(sign):
            found &= data[np.clip(at + k, 0, len(data) - 1)] == byte
        return found

    def is_byte(at: np.ndarray, byte: bytes) -> np.ndarray:
        return (at >= starts) & (at < stops) & (data[np.clip(at, 0, len(data) - 1)] == ord(byte))

    minus = is_byte(starts, b"-") & has(starts + 1)
    data[starts[minus] + len(sign)] = ord("-")
    starts[minus] += len(sign)
    starts[has(starts)] += len(sign)
    stops[has(stops - len(sign))] -= len(sign)
    while (blank := is_byte(starts, b" ")).any():
        starts[blank] += 1
    while (blank := is_byte(stops - 1, b" ")).any():
        stops[blank] -= 1
    return Words(data, starts, stops)


class Lookup:
    """Finds words among known ones.

    Their hashes are sorted, and for each prefix of bits it is known where those with it begin."""

    def __init__(self, known: Words, hashes: np.ndarray | None = None):
        self.known = known
        hashes = known.hashes if hashes is None else hashes
        order = np.argsort(hashes, kind="stable")
        top = np.uint64(2 ** 64 - 1)            # stands last, so that a search ends
        self.hashes, self.order = np.append(hashes[order], top), np.append(order, -1)
        bits = len(order).bit_length() + 1
        self.shift = 64 - bits
        counts = np.bincount((self.hashes[:-1] >> np.uint64(self.shift)).astype("i8"), minlength=2 ** bits)
        self.first = np.cumsum(counts) - counts

    def find(self, words: Words) -> np.ndarray:
        """int64[n]: which of the known words each is; -1: none."""
        out = np.empty(len(words), "i8")
        find(words.data, words.starts, words.stops, words.hashes, self.known.data, self.known.starts, self.known.stops,
             self.hashes, self.order, self.first, self.shift, out)
        return out
