"""A column of texts: the ids of their first words or characters, or how often each occurs."""
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np

from mrdl.data.sources import DataError
from mrdl.data.sparse import Csr, ends
from mrdl.data.tables.kinds.base import UNSEEN, Kind
from mrdl.data.tables.kinds.categorical import plain
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import PLAIN, Lookup, Words
from mrdl.kernels import words as kernel
from mrdl.storage.sealed import shown

LARGEST = 10_000                # words that are known, unless the user says otherwise
BITS = 12                       # of a hash
LONGEST = {"word": 200, "char": 400}            # tokens of a text that become ids, at most
ALL = 1 << 62                   # tokens
MOST = 0.95                     # share of the texts that have no more of them


@dataclass(frozen=True, kw_only=True)
class Text(Kind):
    """Texts, taken apart into tokens.

    Args:
        unit: a token is a "word" (a run of ASCII letters and digits, and of all characters beyond ASCII) or a "char".
            Capital letters of ASCII become small ones.
        vocabulary: the tokens that are known, those that come most often first.
        hash: k: instead of a vocabulary, tokens are hashed to 2^k numbers.
        encode_as: "ids": the ids of the first tokens, in their order; 0: there is none any more; then the known ones from 1
            on, and one more for all others. "counts": a feature for each known token, how often it occurs.
        length: how many ids."""
    kind = "text"
    missing_words: tuple[str, ...] = PLAIN
    unit: Literal["word", "char"] = "word"
    vocabulary: tuple[str, ...] = ()
    hash: Annotated[int, range(1, 31)] | None = None
    encode_as: Literal["ids", "counts"] = "ids"
    length: Annotated[int, range(1, 1 << 16)] = 100

    def wrong(self) -> str:
        if (self.hash is None) != bool(self.vocabulary):
            return "it needs a vocabulary or a hash, and not both"
        if len(set(self.vocabulary)) < len(self.vocabulary):
            return f"vocabulary has {next(w for w in self.vocabulary if self.vocabulary.count(w) > 1)!r} twice"
        found = set(tokens(Words.of(self.vocabulary), self.unit)[0].texts())
        odd = next((own for own in self.vocabulary if own not in found), None)
        return "" if odd is None else f"vocabulary has {shown(odd)}, and no text has such a {self.unit}: tokens have no capital letters"

    @classmethod
    def made(cls, statistics: Statistics, **given: Any) -> "Text":
        unit, values = given.get("unit", cls.unit), statistics.values
        found: dict[str, Any] = {"missing_words": plain(statistics.missing)}
        if "hash" not in given and "vocabulary" not in given and given.get("encode_as") == "counts":
            found["hash"] = BITS
        if values.distinct:                     # else there are no texts
            each, edges = tokens(values.words, unit)
            sizes = np.diff(edges)
            if "hash" not in given and "vocabulary" not in given and "hash" not in found:
                found["vocabulary"] = _often(each, np.repeat(values.counts, sizes))
            order = np.argsort(sizes, kind="stable")
            rows = np.cumsum(values.counts[order])
            enough = int(sizes[order][np.searchsorted(rows, MOST * rows[-1])])
            found["length"] = min(max(enough, 1), LONGEST[unit])
        if not (found | given).get("vocabulary") and not (found | given).get("hash"):
            raise DataError(f"it has no {unit}s")
        return super().made(statistics, **{**found, **given})

    @property
    def size(self) -> int:
        """How many tokens are known."""
        return 1 << self.hash if self.hash else len(self.vocabulary)

    @property
    def ids(self) -> int | None:
        return None if self.encode_as == "counts" else self.size + 1 + (not self.hash)

    def features(self, name: str) -> list[str]:
        if self.encode_as == "counts" and not self.hash:
            return [f"{name}:{token}" for token in self.vocabulary]
        return [f"{name}#{i}" for i in range(self.width)]

    @cached_property
    def width(self) -> int:
        return self.length if self.encode_as == "ids" else self.size

    @property
    def active(self) -> int:
        return min(self.length, self.width)     # nearly, of counts

    @cached_property
    def _known(self) -> Lookup:
        return Lookup(Words.of(self.vocabulary))

    def encode(self, words: Words, out: np.ndarray) -> np.ndarray:
        if self.encode_as == "counts":
            rows, codes = self.sparse(words)
            out[:] = rows.dense("f8")
            return codes
        out[:] = 0
        rows, places, numbers = self._numbered(words)
        out[rows, places] = np.where(numbers < 0, self.size, numbers) + 1
        return unseen(len(words), rows, numbers)

    def sparse(self, words: Words) -> tuple[Csr, np.ndarray]:
        if self.encode_as == "ids":
            return super().sparse(words)
        rows, _, numbers = self._numbered(words)
        known = numbers >= 0
        cells, counts = np.unique(rows[known] * self.width + numbers[known], return_counts=True)
        starts = ends(np.bincount(cells // self.width, minlength=len(words)))
        return Csr(starts, (cells % self.width).astype("i4"), counts.astype("f8"), self.width), unseen(len(words), rows, numbers)

    def _numbered(self, words: Words) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each token of all texts the row, its place among those of the row, and its number; -1: it is not known."""
        missed = self.missed(words, words.lengths <= max(map(len, self.missing_words), default=0) * 4)      # bytes of a character
        if missed.any():
            words = Words(words.data, words.starts, np.where(missed, words.starts, words.stops))
        each, edges = tokens(words, self.unit, self.length if self.encode_as == "ids" else None)
        sizes = np.diff(edges)
        rows = np.repeat(np.arange(len(words)), sizes)
        places = np.arange(len(each)) - np.repeat(edges[:-1], sizes)
        numbers = (each.hashes >> np.uint64(64 - self.hash)).astype("i8") if self.hash else self._known.find(each)
        return rows, places, numbers

    def told(self) -> str:
        known = f"2^{self.hash} hashed" if self.hash else f"{self.size:,}"
        kinds = {"word": "words", "char": "characters"}[self.unit]
        if self.encode_as == "counts":
            return f"text, how often each of {known} {kinds} occurs"
        return f"text, ids of its first {self.length:,} {kinds}, of {known}"


def unseen(n: int, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The codes of n texts, by the row of each token and its number: UNSEEN is one that has tokens, none of which is known."""
    codes = np.zeros(n, "u1")
    codes[rows] = UNSEEN
    codes[rows[numbers >= 0]] = 0
    return codes


def tokens(words: Words, unit: str, most: int | None = None) -> tuple[Words, np.ndarray]:
    """The first tokens of each text, `most` of it or all, and where those of each begin among them, int64[n + 1]. The same bytes
    on every machine."""
    lengths = words.lengths
    room = np.minimum(lengths if unit == "char" else (lengths + 1) // 2, most or ALL).sum()
    data, edges = np.empty(lengths.sum(), "u1"), np.empty(len(words) + 1, "i8")
    starts, stops = np.empty((2, room), "i8")
    n = kernel.tokens(words.data, words.starts, words.stops, unit == "char", most or ALL, data, starts, stops, edges)
    return Words(data, starts[:n], stops[:n]), edges


def _often(each: Words, counts: np.ndarray) -> tuple[str, ...]:
    """The tokens that come more than once, or all where none does: by falling count, then by their bytes."""
    _, first, at = np.unique(each.hashes, return_index=True, return_inverse=True)
    items = sorted(zip((-np.bincount(at, counts).astype("i8")).tolist(), each.take(first)))
    kept = [item for item in items if item[0] < -1] or items
    return tuple(word.decode("utf-8", "surrogateescape") for _, word in kept[:LARGEST])
