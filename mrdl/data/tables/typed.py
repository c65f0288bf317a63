"""Columns of fields that come as numbers or times, or each as the number of one of few: what is asked of words, without a text in between."""
from collections.abc import Callable
from functools import cached_property

import numpy as np

from mrdl.data.tables.words import TIMES, USUAL, Notation, Words
from mrdl.kernels import words as kernel


class Typed(Words):
    """Fields with values. Their text is made where it is asked for: by what is told by hash or shown.

    Args:
        values: float64[n]; nan: missing, which has an empty text.
        text: makes the words."""

    def __init__(self, values: np.ndarray, text: Callable[[], Words]):
        self.__dict__.update(values=values, _made=text)

    @property
    def text(self) -> Words:
        if "_text" not in self.__dict__:
            self.__dict__["_text"] = self._made()
        return self._text

    @property
    def data(self):
        return self.text.data

    @property
    def starts(self) -> np.ndarray:
        return self.text.starts

    @property
    def stops(self) -> np.ndarray:
        return self.text.stops

    @property
    def hashes(self) -> np.ndarray:
        return self.text.hashes

    @property
    def lengths(self) -> np.ndarray:
        return super().lengths if (self.values == self.values).any() else np.zeros(len(self), "i8")

    def __len__(self) -> int:
        return len(self.values)

    def take(self, which: np.ndarray | slice) -> "Typed":
        return type(self)(self.values[which], lambda: self.text.take(which))

    def _coded(self, wrong: np.ndarray, code: int) -> tuple[np.ndarray, np.ndarray]:
        """The values, and of each its code; that of the wrong ones."""
        codes = np.where(np.isnan(self.values), kernel.EMPTY, kernel.GOOD).astype(np.intc)
        codes[wrong] = code
        return self.values.copy(), codes


class Measured(Typed):
    """Fields that are numbers."""

    def numbers(self, notation: Notation = USUAL) -> tuple[np.ndarray, np.ndarray]:
        """The numbers, however others of the column are written."""
        return self._coded(np.isinf(self.values), kernel.FINITE)

    def filled(self, filling: float, notation: Notation = USUAL) -> np.ndarray:
        return np.where(np.isnan(self.values), filling, self.values)

    def json(self) -> list[str]:
        """Each number as JSON; null where there is none, or it is not finite."""
        return [text if finite else "null" for text, finite in zip(self.texts(), np.isfinite(self.values).tolist())]


class Timed(Typed):
    """Fields that are dates or times: seconds since 1970 (UTC)."""

    def dates(self, order: str) -> tuple[np.ndarray, np.ndarray]:
        """The times, whatever the order in which others of the column are written."""
        return self._coded((self.values < TIMES[0]) | (self.values >= TIMES[1]), kernel.NUMBER)


class Coded(Words):
    """Fields each of which is one of some.

    Args:
        known: which.
        codes: int[n], the place of each among them."""

    def __init__(self, known: Words, codes: np.ndarray):
        self.__dict__.update(known=known, codes=codes)

    @property
    def data(self):
        return self.known.data

    @cached_property
    def starts(self) -> np.ndarray:
        return self.known.starts[self.codes]

    @cached_property
    def stops(self) -> np.ndarray:
        return self.known.stops[self.codes]

    @cached_property
    def hashes(self) -> np.ndarray:
        return self.known.hashes[self.codes]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, which: np.ndarray | slice) -> "Coded":
        return Coded(self.known, self.codes[which])

    def each(self, tell: Callable[[Words], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        return tuple(told[self.codes] for told in tell(self.known)) if len(self.known) < len(self) else super().each(tell)
