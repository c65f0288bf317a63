"""The distinct words of a column and how often each occurs: of all of them, or of a sample that depends on nothing else.

Distinct sampling (Gibbons 2001): kept are the words whose hash ends in at least `level` zero bits; the level is the least
one at which no more than MOST are kept. So it is a function of the words alone, whatever their order and however they are
split, and of a word that is kept every occurrence is counted."""
from collections.abc import Iterable

import numpy as np

from mrdl.data.tables.words import Lookup, Words

MOST = 1 << 14                  # words that are kept
SLICE = 1 << 14                 # words that are added at once
NONE = np.uint64(2 ** 64 - 1)   # the least of no hashes


class Values:
    """Words and their counts.

    Each word also knows the least and the largest hash of the labels of its rows: where they are one, it tells the label.

    Attributes:
        level: 0: all words are here, and what is said of them is exact."""

    def __init__(self, most: int = MOST):
        self.most, self.level = most, 0
        self.hashes = np.empty(0, "u8")         # rising
        self.words = np.empty(0, object)
        self.counts = np.empty(0, "i8")
        self.low, self.high = np.empty((2, 0), "u8")
        self._later: list[tuple] = []           # words that were not known
        self._lookup: Lookup | None = None

    def add(self, words: Words, label: np.ndarray | None = None) -> None:
        """`label`: the hash of each row's label."""
        for start in range(0, len(words), SLICE):
            here = slice(start, start + SLICE)
            self._add(words.take(here), None if label is None else label[here])

    def _add(self, words: Words, label: np.ndarray | None) -> None:
        if self.level:
            kept = np.flatnonzero(words.hashes & np.uint64(2 ** self.level - 1) == 0)
            words, label = words.take(kept), None if label is None else label[kept]
        if self._lookup is None:
            self._lookup = Lookup(Words.of(self.words))
        found = self._lookup.find(words)
        known = found >= 0
        at = found[known]
        self.counts += np.bincount(at, minlength=len(self.counts))
        low = np.full(len(words), NONE) if label is None else label
        high = np.zeros(len(words), "u8") if label is None else label
        if label is not None:
            np.minimum.at(self.low, at, low[known])
            np.maximum.at(self.high, at, high[known])
        if not known.all():
            new = words.take(~known)
            self._later.append((new.hashes, _objects(new), np.ones(len(new), "i8"), low[~known], high[~known]))
            if sum(len(part[0]) for part in self._later) > len(self.hashes) // 8:
                self._settle()

    def _settle(self) -> None:
        """What came later, and what was known before, as one."""
        if not self._later:
            return
        hashes, words, counts, low, high = map(np.concatenate, zip(
            (self.hashes, self.words, self.counts, self.low, self.high), *self._later))
        self._later, self._lookup = [], None
        kept = hashes & np.uint64(2 ** self.level - 1) == 0
        order = np.flatnonzero(kept)[np.argsort(hashes[kept], kind="stable")]
        hashes, words = hashes[order], words[order]
        first = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))[:len(hashes)]
        one, last = words[first], np.append(first[1:], len(hashes))
        for i in np.flatnonzero(last - first > 1):      # two words with one hash, should there ever be such
            one[i] = min(words[first[i]:last[i]])
        self.hashes, self.words, self.counts = hashes[first], one, np.add.reduceat(counts[order], first)
        self.low, self.high = np.minimum.reduceat(low[order], first), np.maximum.reduceat(high[order], first)
        while len(self.hashes) > self.most:
            self.level += 1
            kept = self.hashes & np.uint64(2 ** self.level - 1) == 0
            for name in ("hashes", "words", "counts", "low", "high"):
                setattr(self, name, getattr(self, name)[kept])

    def merge(self, other: "Values") -> None:
        other._settle()
        self.level = max(self.level, other.level)
        self._later.append((other.hashes, other.words, other.counts, other.low, other.high))
        self._settle()

    def dump(self) -> dict:
        """The same JSON for the same words."""
        self._settle()
        kept = sorted(zip(self.words.tolist(), self.counts.tolist(), self.low.tolist(), self.high.tolist()))
        return {"level": self.level, "kept": [[word.decode("utf-8", "surrogateescape"), *rest] for word, *rest in kept]}

    @classmethod
    def load(cls, facts: dict, most: int = MOST) -> "Values":
        made = cls(most)
        made.level = facts["level"]
        if facts["kept"]:
            words, counts, low, high = zip(*facts["kept"])
            words = Words.of(words)
            made._later.append((words.hashes, _objects(words), np.array(counts, "i8"), np.array(low, "u8"), np.array(high, "u8")))
            made._settle()
        return made

    @property
    def exact(self) -> bool:
        """Whether all words are here."""
        self._settle()
        return self.level == 0

    @property
    def distinct(self) -> int:
        """How many words there are; an estimate where they are not all here, with an error of `error` of it (one standard
        deviation)."""
        self._settle()
        return len(self.words) << self.level

    @property
    def error(self) -> float:
        return 0.0 if self.exact else len(self.words) ** -0.5

    def items(self) -> list[tuple[str, int]]:
        """Word and count of those that are kept: by falling count, then by their bytes."""
        self._settle()
        pairs = sorted(zip((-self.counts).tolist(), self.words.tolist()))
        return [(word.decode("utf-8", "surrogateescape"), -count) for count, word in pairs]

    def alone(self) -> tuple[int, int, int]:
        """Of the words that occur more than once: the rows, the rows beyond each word's first, and how many of the words
        come with several labels, or without any."""
        self._settle()
        several = self.counts > 1
        counts = self.counts[several]
        return int(counts.sum()), int((counts - 1).sum()), int((self.low[several] != self.high[several]).sum())

    @property
    def copied(self) -> bool:
        """Whether each word is its label."""
        self._settle()
        return len(self.words) > 0 and bool(((self.low == self.hashes) & (self.high == self.hashes)).all())


def _objects(words: Iterable[bytes]) -> np.ndarray:
    words = list(words)
    made = np.empty(len(words), object)
    made[:] = words
    return made
