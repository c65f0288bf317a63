"""The distinct words of a column and how often each occurs: of all of them, or of a sample that depends on nothing else.

Distinct sampling (Gibbons 2001): kept are the words whose hash ends in at least `level` zero bits; the level is the least
one at which no more than MOST are kept, with no more than BYTES. So it depends on the words alone, not on their order and
not on how they are split; and of a word that is kept every occurrence is counted."""
from base64 import b64decode, b64encode

import numpy as np

from mrdl.data.binned import packed, unpacked
from mrdl.data.tables.words import Lookup, Words

MOST = 1 << 14                  # words that are kept
BYTES = 1 << 22                 # and bytes of them
SLICE = 1 << 14                 # words that are added at once
NONE = np.uint32(2 ** 32 - 1)   # the least of no labels


class Values:
    """Words and their counts.

    Each word also knows the least and the largest label of its rows, as 32 bits of a hash: where they are one, it tells the
    label.

    Attributes:
        level: 0: all words are here, and what is said of them is exact."""

    def __init__(self, most: int = MOST):
        self.most, self.level = most, 0
        self.hashes = np.empty(0, "u8")         # rising
        self.words = Words.of([])
        self.counts = np.empty(0, "i8")
        self.low, self.high = np.empty((2, 0), "u4")
        self._later: list[tuple] = []           # words that were not known
        self._more = 0                          # and how many
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
        n = len(words)
        low, high = (np.full(n, NONE), np.zeros(n, "u4")) if label is None else [_short(label)] * 2
        if self._lookup is None:
            self._lookup = Lookup(self.words, self.hashes)
        found = self._lookup.find(words)
        known = found >= 0
        at = found[known]
        self.counts += np.bincount(at, minlength=len(self.counts))
        if label is not None:
            np.minimum.at(self.low, at, low[known])
            np.maximum.at(self.high, at, high[known])
        if not known.all():
            new = words.take(~known)
            self._later.append((Words.together([new]), new.hashes, np.ones(len(new), "i8"), low[~known], high[~known]))
            self._more += len(new)
            if self._more > len(self.hashes) // 2:
                self._settle()

    def _settle(self) -> None:
        """What came later, and what was known before, as one."""
        if not self._later:
            return
        parts = [(self.words, self.hashes, self.counts, self.low, self.high), *self._later]
        words = Words.together(part[0] for part in parts)
        hashes, counts, low, high = (np.concatenate([part[i] for part in parts]) for i in range(1, 5))
        self._later, self._more, self._lookup = [], 0, None
        kept = hashes & np.uint64(2 ** self.level - 1) == 0
        order = np.flatnonzero(kept)[np.argsort(hashes[kept], kind="stable")]
        hashes, words = hashes[order], words.take(order)
        first = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))[:len(hashes)]
        sizes = np.diff(first, append=len(hashes))
        one = first.copy()
        for i in np.unique(np.repeat(np.arange(len(first)), sizes)[~words.equal(words, np.repeat(first, sizes))]):
            one[i] = min(range(first[i], first[i] + sizes[i]), key=words.__getitem__)   # words of one hash: the first of them
        self.hashes, self.words = hashes[first], words.take(one)
        self.counts = np.add.reduceat(counts[order], first)
        self.low, self.high = np.minimum.reduceat(low[order], first), np.maximum.reduceat(high[order], first)
        while len(self.hashes) > self.most or self.words.lengths.sum() > BYTES:
            self.level += 1
            kept = self.hashes & np.uint64(2 ** self.level - 1) == 0
            for name in ("hashes", "counts", "low", "high"):
                setattr(self, name, getattr(self, name)[kept])
            self.words = self.words.take(kept)

    def merge(self, other: "Values") -> None:
        other._settle()
        self.level = max(self.level, other.level)
        self._later.append((other.words, other.hashes, other.counts, other.low, other.high))
        self._settle()

    def dump(self) -> dict:
        """The same JSON for the same words."""
        self._settle()
        words = Words.together([self.words])        # in the order of their hashes
        return {"level": self.level, "words": b64encode(words.data).decode(),
                **{name: packed(getattr(self, name)) for name in ("counts", "low", "high")}, "lengths": packed(words.lengths)}

    @classmethod
    def load(cls, facts: dict, most: int = MOST) -> "Values":
        made, ends = cls(most), np.cumsum(np.append(0, unpacked(facts["lengths"])))
        made.level, made.words = facts["level"], Words(b64decode(facts["words"]), ends[:-1], ends[1:])
        made.hashes, made.counts = made.words.hashes, unpacked(facts["counts"])
        made.low, made.high = (unpacked(facts[name]).astype("u4") for name in ("low", "high"))
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
        return 0.0 if self.exact else max(len(self.words), 1) ** -0.5

    def items(self) -> list[tuple[str, int]]:
        """Word and count of those that are kept: by falling count, then by their bytes."""
        self._settle()
        pairs = sorted(zip((-self.counts).tolist(), self.words))
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
        return len(self.words) > 0 and bool(((self.low == _short(self.hashes)) & (self.high == self.low)).all())


def _short(hashes: np.ndarray) -> np.ndarray:
    return (hashes >> np.uint64(32)).astype("u4")
