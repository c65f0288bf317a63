"""The column to predict: numbers, or the names of classes as 0, 1, 2.."""
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mrdl.data.sources import DataError
from mrdl.data.tables.kinds.base import CLASS, DROPPED, Written
from mrdl.data.tables.kinds.categorical import names, plain
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import PLAIN, Lookup, Words
from mrdl.kernels import words as kernel

MOSTLY = 0.9                    # share of numbers, above which what is not one is a bad record
MANY, ROWS = 20, 10             # whole numbers are names of classes where there are so few, and as many rows of each


@dataclass(frozen=True, kw_only=True)
class Label(Written):
    """What is predicted. A row without it is left out.

    Args:
        classes: the names, of which the first becomes 0, the next 1; numbers are the same name however they are written.
            Empty: the label is a number itself."""
    kind = "label"
    missing_words: tuple[str, ...] = PLAIN
    classes: tuple[str, ...] = ()

    def wrong(self) -> str:
        if len(set(self.classes)) < len(self.classes):
            return f"classes have {next(c for c in self.classes if self.classes.count(c) > 1)!r} twice"
        return super().wrong()

    @classmethod
    def made(cls, statistics: Statistics, named: bool | None = None, **given: Any) -> "Label":
        """`named`: whether its values are names, which become classes; None: as they look."""
        missing = plain(statistics.missing)
        given.setdefault("missing_words", missing)
        if named is False:
            given["classes"] = ()
        if "classes" in given:
            return super().made(statistics, **given)
        numbers = statistics.numbers
        if not named and numbers.count > MOSTLY * statistics.present:
            values = statistics.points()[0] if statistics.values.exact else np.empty(0)
            few = 1 < len(values) <= MANY and numbers.whole == numbers.count >= ROWS * len(values)
            return super().made(statistics, classes=tuple(str(int(v)) for v in values) if few else (), **given)
        items = names(statistics, missing)
        if not items and statistics.values.exact:
            raise DataError("it has no values")
        if not statistics.values.exact:
            raise DataError(f"it has about {statistics.values.distinct:,} names, too many for classes; if it is a number, see that "
                            "all its values are")
        return super().made(statistics, classes=in_order([word for word, _ in items], statistics), **given)

    @cached_property
    def _numbers(self) -> np.ndarray | None:
        """The classes as numbers, where they are."""
        numbers, codes = Words.of(self.classes).numbers(self.notation)
        return numbers if (codes == kernel.GOOD).all() and len(set(numbers.tolist())) == len(numbers) else None

    def decides(self) -> dict[str, Any]:
        return {} if self.classes == tuple(map(str, range(len(self.classes)))) else {"classes": list(self.classes)}

    @property
    def named(self) -> bool:
        """Whether classes are words, or numbers that are told apart by how they are written."""
        return bool(self.classes) and self._numbers is None

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(Words.of([*self.classes, *self.missing_words]))

    def encode(self, words: Words, out: np.ndarray) -> np.ndarray:
        if not self.named:
            values, missed, codes = self.read(words)
            if self.classes:
                order = np.argsort(self._numbers)
                at = np.searchsorted(self._numbers[order], values).clip(0, len(order) - 1)
                codes[(codes != 0) | (self._numbers[order[at]] != values)] = CLASS
                values = order[at]
            out[:, 0] = values
        else:
            found = self._lookup.find(words)
            missed, codes = found >= len(self.classes), np.where(found < 0, CLASS, 0).astype("u1")
            out[:, 0] = found
        codes[missed] = DROPPED
        return codes

    def missed(self, words: Words, maybe: np.ndarray) -> np.ndarray:
        found = np.zeros(len(words), bool)
        if maybe.any():
            found[maybe] = self._lookup.find(words.take(maybe)) >= len(self.classes)
        return found

    def told(self) -> str:
        if not self.classes:
            return f"label, a number{self.as_written()}"
        shown = self.classes if len(self.classes) <= 6 else [*self.classes[:4], "..", self.classes[-1]]
        return f"label, {len(self.classes)} class{'es' * (len(self.classes) != 1)}: {', '.join(shown)}"


def in_order(classes: list[str], statistics: Statistics) -> tuple[str, ...]:
    """Names as their bytes are sorted, numbers by their value."""
    numbers, codes = Words.of(classes).numbers(statistics.notation)
    if (codes == kernel.GOOD).all():
        return tuple(classes[i] for i in np.argsort(numbers, kind="stable"))
    return tuple(sorted(classes, key=lambda name: name.encode("utf-8", "surrogateescape")))

