"""Raw rows in, a line for each out, in their order: the columns that name it, what the model says of it, or why it says nothing."""
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mrdl.data.readers.in_order import Ordered
from mrdl.data.sources import demand
from mrdl.data.tables.words import Words
from mrdl.kernels import written as kernel
from mrdl.models.answers import DIGITS, Answers, flat
from mrdl.models.model import Model
from mrdl.printing import few
from mrdl.storage.base import Storage

FORMATS = ("csv", "jsonl")       # of lines
TABLE = "parquet"               # of files
PLACE = {"byte": ("file", "offset"), "row": ("file", "row")}     # by what it counts
ERROR, LOSS = "error", "loss"


class Lines:
    """Writes scored rows.

    Args:
        model: what scores them.
        classes: the names of its classes, where they have names.
        kept: the columns of the input that come first; none: the file, and the place of the row in it.
        format: "csv" or "jsonl".
        delimiter: of CSV.
        unit: what the place of a row counts: "byte" or "row".
        label: the column with the labels, which comes before the prediction, and the loss behind it; None: there is no loss."""

    def __init__(self, model: Model, classes: Sequence[str], kept: Sequence[str], format: str = "csv", delimiter: str = ",",
                 unit: str = "byte", label: str | None = None):
        self.model, self.answers, self.kept, self.delimiter = model, Answers(model, classes), list(kept), delimiter
        self.label = [] if label is None or label in kept else [label]
        self.loss = [] if label is None else [LOSS]
        self.columns = [*(kept or PLACE[unit]), *self.label, *self.answers.columns, *self.loss, ERROR]
        self.format, self.unit = format, unit
        self.digits = DIGITS[model.dtype.name]
        self.object = "{" + ", ".join(json.dumps(name).replace("%", "%%") + ": %s" for name in self.columns) + "}\n"
        self._classes = Words.of(self.answers.classes)

    def check(self) -> None:
        """DataError where two columns have one name."""
        twice = [name for name, count in Counter(self.columns).items() if count > 1]
        demand(not twice, f"columns {few(twice)} cannot be kept, as the output has columns of these names itself: name others with --id "
               "and --keep")

    def header(self) -> bytes:
        return self._joined([(Words.of([name]), True) for name in self.columns])

    def of(self, rows: Ordered, file: str, mark: int = 0, losses: np.ndarray | None = None) -> bytes:
        """The lines of the rows. `mark`: what is before the first byte that counts for a row's place; `losses`: of the
        rows that can be used, where a label is known."""
        places = rows.starts + mark
        reasons = self.reasons(rows, file, places.tolist()) if any(rows.errors) else []
        return (self._csv if self.format == "csv" else self._json)(rows, file, places, losses, reasons)

    def _csv(self, rows: Ordered, file: str, places: np.ndarray, losses: np.ndarray | None, reasons: list[str]) -> bytes:
        n = len(places)
        first = [(Words.of([file]).take(np.zeros(n, "i8")), True), (decimals(places, 17), False)] if not self.kept else []
        first += [(rows.words(name), True) for name in (*self.kept, *self.label)]
        chosen, values = self.answers.chosen(self._outputs(rows))
        scored = [(self._classes.take(chosen), True)] if self.answers.classes else []
        scored += [(decimals(column, self.digits), False) for column in (*values.T, *([] if losses is None else [losses]))]
        if reasons:
            good = np.flatnonzero([not error for error in rows.errors])
            scored = [(words.spread(good, n), quoted) for words, quoted in scored]
        told = Words.of(reasons) if reasons else Words.of([]).spread(np.empty(0, "i8"), n)
        return self._joined([*first, *scored, (told, True)])

    def _joined(self, columns: list[tuple[Words, bool]]) -> bytes:
        """Lines of CSV, as RFC 4180 has them, out of columns and whether their fields may need quotes."""
        delimiter, sizes = ord(self.delimiter), np.zeros(len(columns[0][0]), "i8")
        told = [(words.data, words.starts, words.stops, delimiter if quoted else -1) for words, quoted in columns]
        for column in told:
            kernel.room(*column, sizes)
        places = np.cumsum(sizes) - sizes
        out = np.empty(sizes.sum(), "u1")
        for number, column in enumerate(told, 1):
            kernel.put(*column, ord("\n") if number == len(told) else delimiter, places, out)
        return out.tobytes()

    def _json(self, rows: Ordered, file: str, places: np.ndarray, losses: np.ndarray | None, reasons: list[str]) -> bytes:
        n = len(places)
        columns = [self._words([file]) * n, list(map(str, places.tolist()))] if not self.kept else []
        columns += [rows.json(name) for name in (*self.kept, *self.label)]
        names, values = self.answered(rows)
        scored = [self._words(names)] if self.answers.classes else []
        scored += [self._numbers(column) for column in (*values.T, *([] if losses is None else [losses]))]
        if reasons:
            good = np.array([not error for error in rows.errors])
            scored = [self._spread(column, good) for column in scored]
        columns += [*scored, [self._words([error])[0] if error else "null" for error in reasons or [""] * n]]
        return "".join(self.object % row for row in zip(*columns)).encode()

    def answered(self, rows: Ordered) -> tuple[list[str], np.ndarray]:
        """What the model says of the good rows: the names of classes, where it has them, and numbers."""
        return self.answers.of(self._outputs(rows))

    def _outputs(self, rows: Ordered) -> np.ndarray:
        return flat(self.model.predict(rows.x)) if len(rows.x) else np.empty((0, self.answers.values))

    def reasons(self, rows: Ordered, file: str, places: list[int]) -> list[str]:
        """Why each row cannot be read: with its place, as nobody knows another name for a row whose fields cannot be read."""
        here = file.rpartition("/")[2]
        return [f"{error}; {here}, {self.unit} {place}" if error and self.kept else error for error, place in zip(rows.errors, places)]

    def end(self, store: Storage, name: str) -> None:
        """All lines have been given away."""

    @staticmethod
    def _words(words: list[str]) -> list[str]:
        return [json.dumps(word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")) for word in words]

    def _numbers(self, values: np.ndarray) -> list[str]:
        return [text if ok else "null" for text, ok in zip(decimals(values, self.digits).texts(), np.isfinite(values))]

    @staticmethod
    def _spread(found: list[str], good: np.ndarray) -> list[str]:
        """Those of the good rows, with nothing between them for the others."""
        column, each = ["null"] * len(good), iter(found)
        for i in np.flatnonzero(good):
            column[i] = next(each)
        return column


def decimals(values: np.ndarray, digits: int) -> Words:
    """The numbers as "%.{digits}g" % value has them."""
    starts, stops = np.empty((2, len(values)), "i8")
    out = np.empty(len(values) * kernel.ROOM, "u1")
    kernel.decimals(values.astype("f8"), digits, starts, stops, out)
    return Words(out, starts, stops)
