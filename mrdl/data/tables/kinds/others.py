"""Columns that become no feature: weights, names of rows, and what is left out."""
from dataclasses import dataclass

import numpy as np

from mrdl.data.tables.kinds.base import MISSED, Kind, Written
from mrdl.data.tables.words import Words


@dataclass(frozen=True, kw_only=True)
class Weight(Written):
    """The weight of a row, a number. A row without it is bad."""
    kind = "weight"

    def encode(self, words: Words, out: np.ndarray) -> np.ndarray:
        out[:, 0], missed, codes = self.read(words)
        codes[missed] = MISSED
        return codes

    def told(self) -> str:
        return f"weight of the row{self.as_written()}"


@dataclass(frozen=True, kw_only=True)
class Id(Kind):
    """What names the row: it stays beside its prediction."""
    kind = "id"

    def told(self) -> str:
        return "id of the row, not a feature"


@dataclass(frozen=True, kw_only=True)
class Ignore(Kind):
    """A column that is left out.

    Args:
        reason: why."""
    kind = "ignore"
    reason: str = ""

    def told(self) -> str:
        return f"left out: {self.reason}" if self.reason else "left out"
