"""A column of sparse features: those that are not 0, each with its number."""
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from mrdl.data.sparse import Csr
from mrdl.data.tables.kinds.base import BEYOND, ENTRY, FINITE, NUMBER, ORDER, Kind
from mrdl.data.tables.words import Words
from mrdl.kernels import entries as kernel

CODES = np.zeros(kernel.BEYOND + 1, "u1")           # code of the kernel -> of REASONS
CODES[[kernel.NUMBER, kernel.FINITE, kernel.ENTRY, kernel.ORDER, kernel.BEYOND]] = NUMBER, FINITE, ENTRY, ORDER, BEYOND


@dataclass(frozen=True, kw_only=True)
class Entries(Kind):
    """`id:value id:value ..`, with rising ids; the other features are 0.

    Args:
        count: how many features there are.
        first: the id of the first one."""
    kind = "entries"
    count: Annotated[int, range(1, 2**31)]
    first: Literal[0, 1] = 1
    missing_words: tuple[str, ...] = ()

    def features(self, name: str) -> list[str]:
        return [f"{name}#{i}" for i in range(self.first, self.first + self.count)]

    @property
    def width(self) -> int:
        return self.count

    @property
    def active(self) -> int:
        return 0                    # nearly

    def sparse(self, words: Words) -> tuple[Csr, np.ndarray]:
        data, n = np.frombuffer(words.data, "u1"), len(words)
        places = np.flatnonzero(data == ord(":"))
        room = int((np.searchsorted(places, words.stops) - np.searchsorted(places, words.starts)).sum())
        starts, ids, values, codes = np.empty(n + 1, "i8"), np.empty(room + 1, "i4"), np.empty(room + 1), np.empty(n, np.intc)
        count = kernel.entries(data, words.starts, words.stops, self.first, self.count, starts, ids, values, codes)
        return Csr(starts, ids[:count], values[:count], self.count), CODES[codes]

    def encode(self, words: Words, out: np.ndarray) -> np.ndarray:
        found, codes = self.sparse(words)
        out[:] = found.dense("f8")
        return codes

    def told(self) -> str:
        return f"{self.count:,} features as id:value, from {self.first} on"
