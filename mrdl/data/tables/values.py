"""The distinct words of a column and how often each occurs: of all of them, or of a sample that depends on nothing else.

Distinct sampling (Gibbons 2001): kept are the words whose hash ends in at least `level` zero bits; the level is the least
one at which no more than MOST are kept, with no more than BYTES. So it depends on the words alone, not on their order and
not on how they are split; and of a word that is kept every occurrence is counted."""
from base64 import b64decode, b64encode
from typing import NamedTuple

import numpy as np

from mrdl.data.binned import packed, unpacked
from mrdl.data.tables.words import Words
from mrdl.kernels.tally import Tally

MOST = 1 << 14                  # words that are kept
BYTES = 1 << 22                 # and bytes of them


class Kept(NamedTuple):
    """Words, and what is known of each."""
    hashes: np.ndarray
    words: Words
    counts: np.ndarray
    low: np.ndarray             # the least label
    high: np.ndarray            # and the largest


class Values:
    """Words and their counts.

    Each word also knows the least and the largest label of its rows, as 32 bits of a hash: where they are one, it tells the
    label.

    Attributes:
        level: 0: all words are here, and what is said of them is exact."""

    def __init__(self, most: int = MOST):
        self.most, self._tally = most, Tally(most, BYTES)
        self._kept: Kept | None = None          # what is in the tally, until more is

    def add(self, words: Words, label: np.ndarray | None = None, codes: np.ndarray | None = None) -> None:
        """`label`: the hash of each row's label; `codes`: GONE where a word does not count."""
        self._kept = None
        self._tally.add(words.data, words.starts, words.stops, words.hashes, codes, label)

    @property
    def kept(self) -> "Kept":
        """The words, in the order of their hashes."""
        if self._kept is None:
            n = len(self._tally)
            hashes, counts, (low, high), ends = np.empty(n, "u8"), np.empty(n, "i8"), np.empty((2, n), "u4"), np.empty(n + 1, "i8")
            data, ends[0] = np.empty(self._tally.size, "u1"), 0
            self._tally.copy(hashes, counts, low, high, ends[1:], data)
            order = np.argsort(hashes)
            self._kept = Kept(hashes[order], Words(data, ends[:-1], ends[1:]).take(order), counts[order], low[order], high[order])
        return self._kept

    @property
    def level(self) -> int:
        return self._tally.level

    @property
    def words(self) -> Words:
        return self.kept.words

    @property
    def counts(self) -> np.ndarray:
        """int64[n], of each word."""
        return self.kept.counts

    def merge(self, other: "Values") -> None:
        self._merge(other.level, other.kept)

    def _merge(self, level: int, kept: "Kept") -> None:
        hashes, words, counts, low, high = kept
        self._kept = None
        self._tally.merge(level, words.data, words.starts, words.stops, hashes, counts, low, high)

    def dump(self) -> dict:
        """The same JSON for the same words."""
        words = Words.together([self.words])
        return {"level": self.level, "words": b64encode(words.data).decode(),
                **{name: packed(getattr(self.kept, name)) for name in ("counts", "low", "high")}, "lengths": packed(words.lengths)}

    @classmethod
    def load(cls, facts: dict, most: int = MOST) -> "Values":
        made, ends = cls(most), np.cumsum(np.append(0, unpacked(facts["lengths"])))
        words = Words(b64decode(facts["words"]), ends[:-1], ends[1:])
        low, high = (unpacked(facts[name]).astype("u4") for name in ("low", "high"))
        made._merge(facts["level"], Kept(words.hashes, words, unpacked(facts["counts"]), low, high))
        return made

    @property
    def exact(self) -> bool:
        """Whether all words are here."""
        return self.level == 0

    @property
    def distinct(self) -> int:
        """How many words there are; an estimate where they are not all here, with an error of `error` of it (one standard
        deviation)."""
        return len(self.words) << self.level

    @property
    def error(self) -> float:
        return 0.0 if self.exact else max(len(self.words), 1) ** -0.5

    def items(self) -> list[tuple[str, int]]:
        """Word and count of those that are kept: by falling count, then by their bytes."""
        pairs = sorted(zip((-self.counts).tolist(), self.words))
        return [(word.decode("utf-8", "surrogateescape"), -count) for count, word in pairs]

    def alone(self) -> tuple[int, int, int]:
        """Of the words that occur more than once: the rows, the rows beyond each word's first, and how many of the words
        come with several labels, or without any."""
        several = self.counts > 1
        counts, apart = self.counts[several], self.kept.low != self.kept.high
        return int(counts.sum()), int((counts - 1).sum()), int(apart[several].sum())

    @property
    def copied(self) -> bool:
        """Whether each word is its label."""
        hashes, words, _, low, high = self.kept
        return len(words) > 0 and bool(((low == hashes >> np.uint64(32)) & (high == low)).all())
