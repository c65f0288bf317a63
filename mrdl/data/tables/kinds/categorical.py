"""A column of names: a feature for each of them, or their ids."""
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np

from mrdl.data.sources import DataError
from mrdl.data.sparse import Csr, ends
from mrdl.data.tables.kinds.base import DROPPED, MISSED, UNSEEN, Kind, missing_told
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import MISSING, PLAIN, Lookup, Words
from mrdl.kernels.known import ones

LARGEST = 1000                  # names that get a feature of their own, unless the user says otherwise
SMALL = 100                     # names, up to which all of them do
BITS = 10                       # of a hash, where there are too many names


@dataclass(frozen=True, kw_only=True)
class Categorical(Kind):
    """Names.

    Args:
        vocabulary: the names that are known, those that come most often first.
        other: whether a feature stands for all other names; without it they have none.
        hash: k: instead of a vocabulary, names are hashed to 2^k features.
        encode_as: "onehot": a feature for each name, 1 where it is there; "index": one feature, the number of the name in
            the vocabulary, one more for other names, one more again for a missing one.
        missing: "category": a feature of its own; "other": as a name that is not known; "mode": as the first of the
            vocabulary; "value": as `value`; "drop": the row is left out; "refuse": the row is bad.
        value: a name of the vocabulary."""
    kind = "categorical"
    missing_words: tuple[str, ...] = PLAIN
    vocabulary: tuple[str, ...] = ()
    other: bool = False
    hash: Annotated[int, range(1, 31)] | None = None
    encode_as: Literal["onehot", "index"] = "onehot"
    missing: Literal["category", "other", "mode", "value", "drop", "refuse"] = "category"
    value: str | None = None

    def wrong(self) -> str:
        if (self.hash is None) != bool(self.vocabulary):
            return "it needs a vocabulary or a hash, and not both"
        if len(set(self.vocabulary)) < len(self.vocabulary):
            return f"vocabulary has {next(w for w in self.vocabulary if self.vocabulary.count(w) > 1)!r} twice"
        if self.missing == "value" and self.value not in self.vocabulary:
            return "value must be a name of the vocabulary where missing is 'value'"
        if self.missing == "mode" and not self.vocabulary:
            return "missing cannot be 'mode' with a hash"
        return ""

    @classmethod
    def made(cls, statistics: Statistics, **given: Any) -> "Categorical":
        missing = tuple(given.get("missing_words", plain(statistics.missing)))
        items = names(statistics, missing)
        found: dict[str, Any] = {"missing_words": missing}
        if "hash" not in given and "vocabulary" not in given:
            if not statistics.values.exact:
                found["hash"] = BITS
            else:
                if not items:
                    raise DataError("it has no names: all values are missing")
                kept = items if len(items) <= SMALL else [item for item in items if item[1] > 1][:LARGEST] or items[:LARGEST]
                found |= {"vocabulary": tuple(word for word, _ in kept), "other": len(kept) < len(items)}
        elif "vocabulary" in given:
            found["other"] = any(word not in given["vocabulary"] for word, _ in items)
        gone = sum(count for word, count in statistics.absent.items() if word in missing)
        return super().made(statistics, **{**found, "missing": "category" if gone else "other", **given})

    def features(self, name: str) -> list[str]:
        if self.encode_as == "index":
            return [name]
        known = [f"{name}#{i}" for i in range(1 << self.hash)] if self.hash else [f"{name}={word}" for word in self.vocabulary]
        return known + [f"{name} other"] * self.other + [f"{name} missing"] * (self.missing == "category")

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(Words.of([*self.vocabulary, *self.missing_words]))

    @cached_property
    def known(self) -> frozenset[str]:
        """The vocabulary, to look words up."""
        return frozenset(self.vocabulary)

    @cached_property
    def width(self) -> int:
        if self.encode_as == "index":
            return 1
        return self._size + self.other + (self.missing == "category")

    @property
    def ids(self) -> int | None:
        return None if self.encode_as == "onehot" else self._size + 2

    @property
    def _size(self) -> int:
        return 1 << self.hash if self.hash else len(self.vocabulary)

    @property
    def active(self) -> int:
        return 1

    @property
    def one_hot(self) -> bool:
        return self.encode_as == "onehot"

    def encode(self, words: Words, out: np.ndarray) -> np.ndarray:
        ids, codes = self.places(words)
        if self.encode_as == "index":
            out[:, 0] = ids
        else:
            ones(ids, out)
        return codes

    def sparse(self, words: Words) -> tuple[Csr, np.ndarray]:
        if self.encode_as == "index":
            return super().sparse(words)
        ids, codes = self.places(words)
        there = ids >= 0
        return Csr(ends(there), ids[there].astype("i4"), np.ones(there.sum()), self.width), codes

    def places(self, words: Words) -> tuple[np.ndarray, np.ndarray]:
        """The feature that is 1 for each word, -1 where none is, or its id; and the codes."""
        return words.each(self._places)

    def _places(self, words: Words) -> tuple[np.ndarray, np.ndarray]:
        found = self._lookup.find(words)
        missed, index, size = found >= len(self.vocabulary), self.encode_as == "index", self._size
        other = size if self.other or index else -1         # the place of names that are not known; -1: none
        ids = (words.hashes >> np.uint64(64 - self.hash)).astype("i8") if self.hash else np.where(found < 0, other, found)
        ids[missed] = {"category": size + (other >= 0), "mode": 0, "value": self._value}.get(self.missing, other)
        codes = (ids == other) * np.uint8(0 if self.other else UNSEEN)
        if self.missing in ("drop", "refuse"):
            codes[missed] = DROPPED if self.missing == "drop" else MISSED
        return ids, codes

    @property
    def _value(self) -> int:
        return self.vocabulary.index(self.value) if self.missing == "value" else 0

    def told(self) -> str:
        count = f"2^{self.hash} hashed values" if self.hash else (
            f"{len(self.vocabulary)} value{'s' * (len(self.vocabulary) != 1)}")
        said = f"{'one-hot' if self.encode_as == 'onehot' else 'ids'} of {count}" + ", all others as one" * self.other
        if self.missing in ("category", "other"):
            return said + ", missing is one more" * (self.missing == "category")
        return said + missing_told(self.missing, repr(self.vocabulary[self._value]) if self.vocabulary else "")


def plain(missing: tuple[str, ...]) -> tuple[str, ...]:
    """Of the words for missing values those that mean it in a column of words too: not what is a default alone, which stands
    behind the words that the user has named."""
    named = missing.index(MISSING[0]) if MISSING[0] in missing else len(missing)
    return tuple(word for i, word in enumerate(missing) if i < named or word in PLAIN or word not in MISSING)


def names(statistics: Statistics, missing: tuple[str, ...]) -> list[tuple[str, int]]:
    """The names of a column, and of each how often it comes, by falling count: its words, and those of the words for missing
    values that are not in `missing`."""
    extra = [(word, count) for word, count in statistics.absent.items() if count and word not in missing]
    return sorted([*statistics.values.items(), *extra], key=lambda item: (-item[1], item[0].encode("utf-8", "surrogateescape")))
