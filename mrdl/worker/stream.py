"""Raw rows that come one after the other, scored as they come: what is there to read is one batch."""
import os
from collections.abc import Iterator, Sequence

from mrdl.data.corpus import BOM
from mrdl.data.readers.delimited import DELIMITERS
from mrdl.data.readers.header import fields
from mrdl.data.readers.in_order import Kept, encoded
from mrdl.data.readers.lines import Fields, good_lines
from mrdl.data.sources import DataError, demand
from mrdl.models.features import by_place, class_names, table_of, without_rest
from mrdl.models.model import Model
from mrdl.printing import few
from mrdl.worker.scored import Lines

CHUNK = 1 << 18                 # bytes that are read at once, at most
INPUT = "the input"


class Arriving:
    """What a file descriptor has to read: whole lines, without the newline of the last one; next() waits for one."""

    def __init__(self, descriptor: int):
        self.descriptor, self.again, self.rest = descriptor, [], b""

    def __iter__(self) -> "Arriving":
        return self

    def __next__(self) -> bytes:
        if self.again:
            return self.again.pop()
        while data := os.read(self.descriptor, CHUNK):
            whole, newline, rest = data.rpartition(b"\n")
            begun, self.rest = self.rest, rest if newline else self.rest + data
            if newline:
                return begun + whole
        last, self.rest = self.rest, b""
        if not last:
            raise StopIteration
        return last


class Filter:
    """Scores the rows of a file descriptor.

    Args:
        model: what scores them.
        run: where it is from, for messages.
        descriptor: of the input.
        columns: the names of the input's columns; none: its first line has them.
        delimiter: of the input and of CSV. None: as the first line looks, or a tab where `columns` are given.
        kept: the columns that come first in each line; none: all.
        format: "csv" or "jsonl"."""

    def __init__(self, model: Model, run: str, descriptor: int, columns: Sequence[str] = (), delimiter: str | None = None,
                 kept: Sequence[str] = (), format: str = "csv"):
        self.lines, self.records, self.count = Arriving(descriptor), Kept(INPUT), 0
        table = table_of(model, run)
        self.columns, self.delimiter = list(columns), delimiter or "\t"
        self.titled = not columns
        self.header = [self.delimiter.join(self.columns).encode().decode("latin-1")]    # a line of these names is no row
        if self.titled:
            self._begin(delimiter)
        demand(table.form.get("named", True) or len(self.columns) == len(table.columns),
               f"{INPUT} has {len(self.columns)} columns, and {run} was trained on {len(table.columns)} that have no names")
        self.table = without_rest(by_place(table, self.columns))
        self.table.match(self.columns, INPUT, rest=False)
        kept = list(dict.fromkeys(kept or self.columns))
        odd = [name for name in kept if self.columns.count(name) != 1]
        demand(not odd, f"{INPUT} has no column {few(odd)} to keep, or several of this name: name those to keep with --id and --keep; "
               f"there are {few(self.columns)}")
        self.out = Lines(model, class_names(table), kept, format, self.delimiter)
        self.out.check()

    def _begin(self, delimiter: str | None) -> None:
        """Takes the names of the columns from the first line, which stays there to be left out."""
        first = next(self.lines, b"")
        line = first.partition(b"\n")[0].removeprefix(BOM).rstrip(b"\r").decode("latin-1")
        if not line.strip():
            raise DataError(f"{INPUT} has no first line with the names of its columns; where there is none, name them with --columns")
        self.delimiter = delimiter or max(DELIMITERS, key=lambda each: len(fields(line, each)))
        self.columns = [name.encode("latin-1").decode("utf-8", "replace") for name in fields(line, self.delimiter)]
        self.header = [line]
        self.lines.again.append(first)

    def __iter__(self) -> Iterator[list[bytes]]:
        """The lines of each batch, without their ends; the first one is the header, where the input has one."""
        if self.titled and self.out.format == "csv":
            yield [self.out.header()]
        parser = Fields(self.columns, self.delimiter, len(self.table.features))
        parser.size = 0                 # what there is
        for found, starts, batch in good_lines(self.records, self.lines, self.header, self.delimiter, parser):
            rows = encoded(self.table, self.records, dict(zip(self.columns, found)), starts, batch, self.out.model.dtype)
            self.count += len(rows.errors)
            yield self.out.of(rows, INPUT)
