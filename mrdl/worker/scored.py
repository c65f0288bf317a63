"""Raw rows in, a line for each out, in their order: the columns that name it, what the model says of it, or why it says nothing."""
import json
from collections.abc import Sequence

import numpy as np

from mrdl.data.readers.in_order import Ordered
from mrdl.models.answers import Answers, flat
from mrdl.models.model import Model

FORMATS = ("csv", "jsonl")
PLACE = ("file", "offset")
ERROR = "error"


class Lines:
    """Writes scored rows.

    Args:
        model: what scores them.
        classes: the names of its classes, where they have names.
        kept: the columns of the input that come first; none: the file, and the place of the row's first byte in it.
        format: "csv" or "jsonl".
        delimiter: of CSV."""

    def __init__(self, model: Model, classes: Sequence[str], kept: Sequence[str], format: str = "csv", delimiter: str = ","):
        self.model, self.answers, self.kept, self.delimiter = model, Answers(model, classes), list(kept), delimiter
        self.columns = [*(kept or PLACE), *self.answers.columns, ERROR]
        self.number = f"%.{9 if model.dtype == np.float32 else 17}g"        # all digits that it has
        self.format, self.row = format, self._csv if format == "csv" else self._json
        self.head = [json.dumps(name) for name in self.columns]

    def header(self) -> bytes:
        return self._csv(self.columns)

    def of(self, rows: Ordered, file: str, mark: int = 0) -> list[bytes]:
        """A line for each row, without its end. `mark`: what is before the first byte that counts for a row's place."""
        n, places = len(rows.errors), (rows.starts + mark).tolist()
        columns = [rows.texts(name) for name in self.kept] if self.kept else [[file] * n, places]
        names, values = self.answers.of(flat(self.model.predict(rows.x)) if len(rows.x) else np.empty((0, self.answers.values)))
        scored = iter([[*names[i:i + 1], *map(self._number, row)] for i, row in enumerate(values.tolist())])
        nothing, found = [None] * len(self.answers.columns), []
        for own, error, place in zip(zip(*columns), rows.errors, places):
            if error and self.kept:             # else nobody knows where a row is whose fields cannot be read
                error += f"; {file.rpartition('/')[2]}, byte {place}"
            found.append(self.row([*own, *(nothing if error else next(scored)), error or None]))
        return found

    def _number(self, value: float) -> "Number":
        return Number(self.number % value)

    def _csv(self, fields: Sequence) -> bytes:
        return self.delimiter.join([quoted(field, self.delimiter) if type(field) is str else "" if field is None else str(field)
                                    for field in fields]).encode("utf-8", "surrogateescape")

    def _json(self, fields: Sequence) -> bytes:
        return ("{" + ", ".join([f"{name}: {field.json() if type(field) is Number else jsoned(field)}"
                                 for name, field in zip(self.head, fields)]) + "}").encode()


class Number(str):
    """A number as it is written."""

    def json(self) -> str:
        return "null" if self[-1] in "nf" else self         # nan, inf


def quoted(text: str, delimiter: str) -> str:
    """A field of CSV, as RFC 4180 has it."""
    if '"' in text or delimiter in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def jsoned(value: str | int | None) -> str:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return json.dumps(value)
