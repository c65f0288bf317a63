"""Raw rows that come one after the other, scored as they come: what is there to read is one batch."""
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO

from mrdl.data.corpus import BOM, PACKED
from mrdl.data.readers import foreign
from mrdl.data.readers.delimited import Delimited
from mrdl.data.readers.encoding import UTF_8, contradicts, decoder
from mrdl.data.readers.header import is_comment
from mrdl.data.readers.in_order import Kept, in_order
from mrdl.data.readers.jsonl import COMMENTS
from mrdl.data.readers.table import FORMS
from mrdl.data.readers.tabular import Tabular
from mrdl.data.sources import demand
from mrdl.data.tables.table import Table
from mrdl.models.features import by_place, class_names, table_of, without_rest
from mrdl.models.model import Model
from mrdl.printing import few
from mrdl.storage.pieces import LONGEST, SHOWN, Long
from mrdl.storage.pieces import Lines as Pieces
from mrdl.worker.scored import Lines

CHUNK = 1 << 18                 # bytes that are read at once, at most
INPUT = "the input"


class Arriving:
    """What a file descriptor has to read: whole lines, without the newline of the last one, or the begin of a long one; next()
    waits for one.

    Args:
        descriptor: of the input.
        encoding: of its text. None: `usual`, unless what comes first contradicts that.
        usual: "" for UTF-8."""

    def __init__(self, descriptor: int, encoding: str | None, usual: str):
        self.descriptor, self.again, self.rest = descriptor, [], b""
        self.first = os.read(descriptor, CHUNK)
        coding = encoding or ("" if contradicts(self.first, usual) else usual)
        self.decoder = decoder(coding, self.first) if coding not in ("", UTF_8) else None

    def _read(self) -> bytes:
        """What is there; b"" at the end."""
        while True:
            data, self.first = self.first or os.read(self.descriptor, CHUNK), b""
            made = self.decoder.decode(data, not data).encode(errors="surrogateescape") if self.decoder else data
            if made or not data:
                return made

    def __iter__(self) -> "Arriving":
        return self

    def __next__(self) -> bytes:
        if self.again:
            return self.again.pop()
        begun, length, self.rest = [self.rest], len(self.rest), b""
        while data := self._read():
            whole, newline, rest = data.rpartition(b"\n")
            if newline and length > LONGEST:
                first, *more = whole.split(b"\n", 1)
                self.again, self.rest = more, rest
                return Long.of(begun[0], length + len(first))
            if newline:
                self.rest = rest
                return b"".join([*begun, whole])
            begun, length = [*begun, data], length + len(data)
            if length > LONGEST:
                begun = [b"".join(begun)[:SHOWN]]
        if not length:
            raise StopIteration
        return Long.of(begun[0], length) if length > LONGEST else b"".join(begun)

    def top(self, skip: int = 0) -> bytes:
        """The lines behind the first `skip`, up to the first one that is neither blank nor a comment; b"" where there is no such
        line. All of them stay there."""
        pieces, lines, row = [], [], None
        while row is None and (piece := next(self, None)) is not None:
            pieces.append(piece)
            lines += [piece] if isinstance(piece, Long) else piece.split(b"\n")
            row = _row(lines, skip)
        self.again += reversed(pieces)
        demand(row is None or not isinstance(lines[row], Long), f"{INPUT}: its first line has more than {LONGEST >> 20} MB: is it a table of text?")
        return b"" if row is None else b"\n".join(lines[skip:row + 1])

    def check(self) -> None:
        """DataError where what comes first is no text."""
        if self.decoder:
            return
        first = self.first
        tool = next((tool for magic, (tool, _) in PACKED.items() if first.startswith(magic)), None)
        demand(tool is None, f"{INPUT} is compressed: unpack it on its way here, with: {tool}")
        form = next((form for form in FORMS if not form.by_lines and form.recognises(INPUT, first)), None)
        demand(form is None, f"{INPUT} is {form and form.kind}, which cannot be scored line by line: give the file to mrdl predict, which reads "
               "also - for standard input")
        foreign.check(INPUT, BytesIO(first))


def _row(lines: Sequence[bytes], skip: int) -> int | None:
    """The first of the lines behind the first `skip` that is neither blank nor a comment."""
    rows = [i for i in range(skip, len(lines)) if not is_comment(_bare(lines[i]).decode("latin-1") or "#")]
    for i in rows:                              # a first line may be a comment in JSON lines, and a header else
        if not _bare(lines[i]).startswith(COMMENTS):
            return i if _bare(lines[i]).startswith(b"{") else rows[0]
    return None


def _bare(line: bytes) -> bytes:
    return line.removeprefix(BOM).strip()


def _seen(lines: Arriving, columns: Sequence[str], delimiter: str | None, skip: int | None, table: Table) -> Tabular:
    """The schema of what comes. Lines that stood above the header of the training data may be there or not, unless `skip` says it."""
    usual = 0 if columns else table.form.get("skip", 0)
    for number in (0, usual) if usual and skip is None else ():
        if top := lines.top(number):
            found = _of(top, columns, delimiter, table)
            if isinstance(found, Delimited) and {*table.needed(False)} <= {*found.columns}:
                return replace(found, skip=number)
    found = _of(b"" if columns else lines.top(skip or 0), columns, delimiter, table)
    demand(not skip or isinstance(found, Delimited), f"{INPUT} is {found.kind}, which has no lines above its rows: leave out skip")
    return replace(found, skip=skip) if skip else found


def _of(top: bytes, columns: Sequence[str], delimiter: str | None, table: Table) -> Tabular:
    form = next(form for form in FORMS if form.tabular and form.by_lines and form.recognises(INPUT, top + b"\n"))
    return form.arriving(INPUT, top, columns, delimiter, table)


class Filter:
    """Scores the rows of a file descriptor.

    Args:
        model: what scores them.
        run: where it is from, for messages.
        descriptor: of the input.
        columns: the names of the input's columns; none: its first line has them.
        delimiter: of the input and of CSV. None: as the first line looks, or a tab where `columns` are given.
        kept: the columns that come first in each line; none: all that are known.
        format: "csv" or "jsonl"; None: as the input is.
        skip: how many lines stand above the header, or the first row. None: as many as in the training data, or none.
        encoding: of the input. None: that of the training data.
        missing: words that mean that a value is missing, beside those of the training data.
        decimal: what stands before the fraction of numbers. None: as in the training data."""

    def __init__(self, model: Model, run: str, descriptor: int, columns: Sequence[str] = (), delimiter: str | None = None,
                 kept: Sequence[str] = (), format: str | None = None, skip: int | None = None, encoding: str | None = None,
                 missing: Sequence[str] = (), decimal: str | None = None):
        known = table = table_of(model, run).written(missing, decimal)
        lines, self.records, self.count = Arriving(descriptor, encoding, table.form.get("encoding", "")), Kept(INPUT), 0
        lines.check()
        found = _seen(lines, columns, delimiter, skip, table)
        demand(table.form.get("named", True) or len(found.columns) == len(table.columns),
               f"{INPUT} has {len(found.columns)} columns, and {run} was trained on {len(table.columns)} that have no names")
        demand(decimal is None or isinstance(found, Delimited), f"{INPUT} is {found.kind}, which writes numbers in one way: leave out decimal")
        table = without_rest(by_place(table, found.columns))
        found = found.beyond([*table.needed(), *kept])
        table.match(found.columns, INPUT, rest=False)
        kept = list(dict.fromkeys(kept or found.columns))
        odd = [name for name in kept if found.columns.count(name) != 1]
        demand(not odd, f"{INPUT} has no column {few(odd)} to keep, or several of this name: name those to keep with --id and --keep; "
               f"there are {few(found.columns)}")
        self.rows, self.lines = found.by(table, kept).stored(None), Pieces(lines, live=True)
        self.out = Lines(model, class_names(known), kept, format or found.scored, found.delimiter)
        self.out.check()
        self.titled = self.out.format == "csv" and not columns

    def __iter__(self) -> Iterator[bytes]:
        """The lines of each batch; the first one is the header, where the input names its columns."""
        if self.titled:
            yield self.out.header()
        for rows in in_order(self.rows, self.records, self.lines, self.out.model.dtype):
            self.count += len(rows.errors)
            yield self.out.of(rows, INPUT)
