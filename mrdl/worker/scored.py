"""Raw rows in, a line for each out, in their order: the columns that name it, what the model says of it, or why it says nothing."""
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mrdl.data.readers.in_order import Ordered
from mrdl.data.sources import demand
from mrdl.models.answers import Answers, flat
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
        self.number = f"%.{9 if model.dtype == np.float32 else 17}g"        # all digits that it has
        self.nothing = "" if format == "csv" else "null"
        self.object = "{" + ", ".join(json.dumps(name).replace("%", "%%") + ": %s" for name in self.columns) + "}"

    def check(self) -> None:
        """DataError where two columns have one name."""
        twice = [name for name, count in Counter(self.columns).items() if count > 1]
        demand(not twice, f"columns {few(twice)} cannot be kept, as the output has columns of these names itself: name others with --id "
               "and --keep")

    def header(self) -> bytes:
        return self._rows([self._words([name]) for name in self.columns])[0]

    def of(self, rows: Ordered, file: str, mark: int = 0, losses: np.ndarray | None = None) -> list[bytes]:
        """A line for each row, without its end. `mark`: what is before the first byte that counts for a row's place; `losses`: of the
        rows that can be used, where a label is known."""
        places = (rows.starts + mark).tolist()
        first = [self._words([file]) * len(places), list(map(str, places))] if not self.kept else []
        first += [self._words(rows.texts(name)) if self.format == "csv" else rows.json(name) for name in (*self.kept, *self.label)]
        names, values = self.answered(rows)
        scored = [self._words(names)] if self.answers.classes else []
        scored += [self._numbers(values[:, i]) for i in range(values.shape[1])]
        scored += [] if losses is None else [self._numbers(losses)]
        wrong = any(rows.errors)
        if wrong:
            good = np.array([not error for error in rows.errors])
            scored = [self._spread(column, good) for column in scored]
        errors = [self.nothing] * len(places)
        for i, error in enumerate(self.reasons(rows, file, places)) if wrong else ():
            if error:
                errors[i], = self._words([error])
        return self._rows([*first, *scored, errors])

    def answered(self, rows: Ordered) -> tuple[list[str], np.ndarray]:
        """What the model says of the good rows: the names of classes, where it has them, and numbers."""
        return self.answers.of(flat(self.model.predict(rows.x)) if len(rows.x) else np.empty((0, self.answers.values)))

    def reasons(self, rows: Ordered, file: str, places: list[int]) -> list[str]:
        """Why each row cannot be read: with its place, as nobody knows another name for a row whose fields cannot be read."""
        here = file.rpartition("/")[2]
        return [f"{error}; {here}, {self.unit} {place}" if error and self.kept else error for error, place in zip(rows.errors, places)]

    def end(self, store: Storage, name: str) -> None:
        """All lines have been given away."""

    def _rows(self, columns: list[list[str]]) -> list[bytes]:
        join = self.delimiter.join if self.format == "csv" else self.object.__mod__
        return [join(row).encode("utf-8", "surrogateescape") for row in zip(*columns)]

    def _words(self, words: list[str]) -> list[str]:
        if self.format == "csv":
            return [quoted(word, self.delimiter) for word in words] if needs_quotes("".join(words), self.delimiter) else words
        return [json.dumps(word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")) for word in words]

    def _numbers(self, values: np.ndarray) -> list[str]:
        found = [self.number % value for value in values.tolist()]
        if self.format != "csv" and not np.isfinite(values).all():
            found = [text if ok else "null" for text, ok in zip(found, np.isfinite(values))]
        return found

    def _spread(self, found: list[str], good: np.ndarray) -> list[str]:
        """Those of the good rows, with nothing between them for the others."""
        column, each = [self.nothing] * len(good), iter(found)
        for i in np.flatnonzero(good):
            column[i] = next(each)
        return column


def needs_quotes(text: str, delimiter: str) -> bool:
    return '"' in text or delimiter in text or "\n" in text or "\r" in text


def quoted(text: str, delimiter: str) -> str:
    """A field of CSV, as RFC 4180 has it."""
    return '"' + text.replace('"', '""') + '"' if needs_quotes(text, delimiter) else text
