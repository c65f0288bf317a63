"""A column of two words, or of their spellings: one feature, 0 or 1."""
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mrdl.data.tables.kinds.base import BOOLEAN, Filled
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import Lookup, Words

#: what means no and yes, whatever the case of its letters
PAIRS = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("off", "on"), ("0", "1"))
NO, YES = (set(words) for words in zip(*PAIRS))


@dataclass(frozen=True, kw_only=True)
class Boolean(Filled):
    """False and true.

    Args:
        false: the words that become 0.
        true: the words that become 1."""
    kind = "boolean"
    false: tuple[str, ...]
    true: tuple[str, ...]

    def wrong(self) -> str:
        both = set(self.false) & set(self.true)
        if both or not self.false or not self.true:
            return f"{min(both)!r} is in both true and false" if both else "true and false need a word each"
        return super().wrong()

    @classmethod
    def made(cls, statistics: Statistics, **given: Any) -> "Boolean":
        found = {}
        items = statistics.values.items()
        if "true" not in given and "false" not in given:
            found = dict(zip(("false", "true"), spellings([word for word, _ in items])))
        words = {**found, **given}
        counts = dict(items)
        ones, zeros = (sum(counts.get(word, 0) for word in words.get(side, ())) for side in ("true", "false"))
        mean = ones / (ones + zeros) if ones + zeros else 0.0
        return super().made(statistics, **{"mean": mean, "median": 0.5 if ones == zeros else float(ones > zeros),
                                           "mode": float(ones > zeros), **words})

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(Words.of([*self.false, *self.true, *self.missing_words]))

    def encode(self, words: Words, out: np.ndarray) -> np.ndarray:
        found = self._lookup.find(words)
        codes = np.where(found < 0, BOOLEAN, 0).astype("u1")
        values = (found >= len(self.false)).astype("f8")
        self.filled(values, found >= len(self.false) + len(self.true), codes, out)
        out[:, 0] = values
        return codes

    def told(self) -> str:
        return f"boolean, 0 for {', '.join(self.false)}, 1 for {', '.join(self.true)}{self.missing_told()}"


def spellings(words: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words that mean false and those that mean true; of two others the first in order means false."""
    false, true = (tuple(sorted(word for word in words if word.lower() in side)) for side in (NO, YES))
    if len(false) + len(true) == len(words) and false and true:
        return false, true
    two = len(words) == 2 and words[0].lower() != words[1].lower()
    return tuple(zip(*[sorted(words)])) if two else ((), ())
