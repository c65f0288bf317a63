"""Delimited text: what its columns are, by its first lines; its rows."""
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import pairwise
from shlex import quote
from typing import Any

import numpy as np

from mrdl.data.corpus import BOM
from mrdl.data.readers import foreign
from mrdl.data.readers.encoding import WIDE, utf8
from mrdl.data.readers.header import (
    ROWS,
    fields,
    header_of,
    is_comment,
    is_number,
    names_in,
    plain,
    top,
)
from mrdl.data.readers.lines import Fields, good_lines
from mrdl.data.readers.numbers import Numbers
from mrdl.data.readers.quoted import record_ends
from mrdl.data.readers.tabular import Tabular
from mrdl.data.records import Records
from mrdl.data.schema import WRITTEN, Wanted
from mrdl.data.sources import DataError, demand, readable
from mrdl.data.tables.form import differences
from mrdl.data.tables.kinds.base import Written
from mrdl.data.tables.table import Encoded, Table
from mrdl.data.tables.words import Notation, Words
from mrdl.printing import counted, few
from mrdl.storage.paths import opened
from mrdl.storage.pieces import LONGEST, skip_line

HEAD = 1 << 16                  # bytes of each text input that are looked at
DELIMITERS = ",\t;|"
BLANKS = " "                    # any run of blanks and tabs
MULTILINE = "a quoted field over several lines: --multiline reads them"
ONE_LINE = "in a pipe, a row must be one line"


@dataclass(frozen=True, kw_only=True)
class Delimited(Tabular):
    """CSV, TSV and their kin: a row a line."""
    kind = "text"
    by_lines = True
    delimiter: str = ","
    header: list = field(default_factory=list)  # the headers, as they stand in the files
    multiline: bool = False     # whether quoted fields may go on over several lines
    skip: int = 0               # lines above the header of each file

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        return True

    @property
    def whole(self) -> bool:
        return self.multiline or super().whole

    def decides(self) -> list:
        return [self.header, *super().decides(), *["multiline"] * self.multiline, *[{"skip": self.skip}] * bool(self.skip)]

    def made_of(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[Encoded, np.ndarray, Sequence[bytes], Words | None]]:
        if self.partitions or self.group is not None or self.multiline or self.sparse or not Numbers.possible(self.made, self.delimiter):
            yield from super().made_of(records, lines)
            return
        for found in good_lines(records, lines, self.header, self.delimiter, Numbers(self.fields, self.made), skip=self.skip,
                                encoding=self.encoding):
            yield *found, None

    @property
    def fields(self) -> Fields:
        """What parses lines."""
        notations = dict.fromkeys(self.own, Notation(self.form.get("decimal", ".")))
        if self.table:
            notations = {name: kind.notation for name, kind in self.made.columns.items() if isinstance(kind, Written)}
        return Fields(self.own, self.delimiter, self.room, "" if self.multiline else MULTILINE if self.files else ONE_LINE, notations)

    def words(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, Words]]:
        """The fields of good lines by column, where each line begins in its file, and the lines."""
        for found, starts, batch in good_lines(records, lines, self.header, self.delimiter, self.fields, self.multiline,
                                               self.skip, self.encoding):
            yield dict(zip(self.own, found)), starts, batch

    @classmethod
    def fitting(cls, paths: list[str], wanted: Wanted, known: Table) -> "Delimited":
        said = {name: known.form[name] for name in WRITTEN if name in known.form and getattr(wanted, name) is None}
        needed, cause = {*known.needed(False)}, None
        if said:
            try:
                found = cls.sniffed(paths, replace(wanted, **said))
                if needed <= {*found.columns}:
                    return found
            except DataError as error:
                cause = error
        found = cls.sniffed(paths, replace(wanted, decimal=wanted.decimal or said.get("decimal")))
        if said and (cause or needed <= {*found.columns}):
            found.notes.extend(_otherwise(paths[0], found.form, said))
        return found

    @classmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> "Delimited":
        first, rows, decimal, skip = None, 0, wanted.decimal or ".", wanted.skip or 0
        for path in paths:                          # one by one: there may be thousands
            lines = _head(path, wanted)
            if all(map(is_comment, lines)):
                continue
            if first is None:
                delimiter = wanted.delimiter or _delimiter([line for line in lines if not is_comment(line)], decimal)
                found = first = top(path, lines, delimiter, wanted.header, decimal=decimal)
                headers, name = {found.line}, path
            else:
                found = top(path, lines, delimiter, wanted.header, first.line, decimal)
                if found.line and found.names != first.names and sorted(found.names) == sorted(first.names):
                    raise DataError(f"{path}: has the columns of {name} in another order; inputs that are prepared together must "
                                    f"have one order: write it again with {few(first.names)}")
                if found.names != first.names:
                    what = [f"columns {few(own.names)}" if own.line else f"{len(own.names)} columns and no header"
                            for own in (found, first)]
                    raise DataError(f"{path}: {what[0]}, but {name} has {what[1]}; all inputs must agree")
                headers.add(found.line)
            rows += len(found.rows)
        if first is None:
            raise DataError(f"{paths[0]}: no rows" + (f", nor in {len(paths) - 1} more inputs"
                                                      if len(paths) > 1 else ""))
        if not rows and not wanted.loose:
            raise DataError(f"{name}: a header and no rows")
        form = {"delimiter": delimiter, "header": True if first.line else wanted.header, "decimal": wanted.decimal, "skip": skip or None,
                "encoding": wanted.encoding or None}
        skipped = [f"left out on top of each file: {counted(skip, 'line')}"] * bool(skip)
        return cls(files=paths, columns=[*first.names, *wanted.partitions], shape=[len(first.names)], delimiter=delimiter,
                   header=sorted(headers - {""}), named=bool(first.line), notes=skipped + [first.note] * bool(first.note),
                   partitions=list(wanted.partitions), multiline=wanted.multiline, skip=skip,
                   form={name: value for name, value in form.items() if value is not None})

    @classmethod
    def arriving(cls, where: str, top: bytes, columns: Sequence[str], delimiter: str | None, known: Table | None = None) -> "Delimited":
        notes: list[str] = []
        if columns:
            names, delimiter = list(columns), delimiter or "\t"
            line = delimiter.join(columns).encode().decode("latin-1")       # one of these names is no row
        else:
            demand(top.strip(), f"{where} has no first line with the names of its columns; where there is none, name them with --columns")
            *above, first = [line.rstrip("\r") for line in top.removeprefix(BOM).decode("latin-1").split("\n") if line.strip()]
            said = known.form.get("delimiter") if known and delimiter is None else None
            if said and {*known.needed(False)} <= {*names_in(header_of(above, first, said), said)}:
                delimiter = said
            delimiter = delimiter or max(DELIMITERS, key=lambda each: len(fields(first, each)))
            line = header_of(above, first, delimiter)
            names = names_in(line, delimiter)
            notes = _otherwise(where, {"delimiter": delimiter}, {"delimiter": said}) if said else []
        return cls(files=[], columns=names, shape=[], delimiter=delimiter, header=[line], named=True, notes=notes)


def _otherwise(where: str, form: dict[str, Any], said: dict[str, Any]) -> list[str]:
    """For the user: in what an input is not written as the schema says."""
    told = differences(form, said)
    return [f"{where}: is not written as the schema says, and is read as it looks: {told}"] if told else []


def _head(path: str, wanted: Wanted) -> list[str]:
    """The first lines that are not blank, or records; latin-1, so that any bytes will do."""
    lines: list[bytes] = []
    size = 0
    with opened(path) as file, readable(path):
        if wanted.encoding not in WIDE:
            foreign.check(path, file)
            file.seek(0)
        if wanted.encoding:
            file = BytesIO(utf8(file.read(LONGEST), wanted.encoding))
        for _ in range(wanted.skip or 0):
            if not skip_line(file):
                break
        while (size < HEAD or len(lines) < ROWS) and (line := file.readline(LONGEST)):
            size, line = size + len(line), line if size else line.removeprefix(BOM)
            if len(line) == LONGEST:
                demand(lines != [], f"{path}: its first line has more than {LONGEST >> 20} MB: is it a table of text?")
                skip_line(file)
                continue                            # a bad record, later
            lines += [line] if line.strip() or wanted.multiline else []
        if wanted.multiline:
            text = b"".join(lines)
            ends = record_ends(text, (wanted.delimiter or DELIMITERS).encode(), not file.read(1))
            lines = [line for line in (text[a:b] for a, b in pairwise([0, *(ends + 1).tolist(), len(text)])) if line.strip()]
    if not lines:
        return []
    odd = [b"\0" in line for line in lines]
    if odd[0] or 2 * sum(odd) > len(odd):
        raise DataError(f"{path}: neither text nor .npz nor IDX: zero bytes in its first lines (if the file is text "
                        f"otherwise, remove them: tr -d '\\000' < {quote(path)} > clean.csv)")
    if b"\r" in lines[0] and not lines[0].endswith(b"\n"):
        raise DataError(f"{path}: lines end in a lone carriage return; convert it with: mac2unix")
    return [line.decode("latin-1").rstrip("\r\n") for line in lines]


def _delimiter(lines: list[str], decimal: str) -> str:
    """The one that cuts most lines into as many fields as the first one; a decimal comma, where no other one does. Blanks, where
    none cuts a second line like the first, and they cut lines into numbers, or all lines alike and a column into numbers."""
    lines = lines[:50]

    def fit(delimiter: str) -> tuple[int, int]:
        counts = [len(fields(line, delimiter)) for line in lines]
        return (counts.count(counts[0]) if counts[0] > 1 else 0, counts[0])
    best = max(DELIMITERS.replace(decimal, ""), key=fit)
    if fit(best)[0] <= 1:
        words = [[plain(word, decimal) for word in fields(line, BLANKS)] for line in lines]
        numbers = [len(row) > 1 and all(map(is_number, row)) for row in words]
        if fit(best)[1] == 1 and 2 * sum(numbers) >= len(numbers) or _in_columns(words):
            return BLANKS
    return best if fit(best)[0] or decimal not in DELIMITERS else decimal


def _in_columns(rows: list[list[str]]) -> bool:
    """Whether rows are as long as the first one (or, as of R's write.table, one longer), and numbers stand below each other."""
    first, *below = rows
    width = len(below[0]) if below else 0
    alike = [row for row in below if len(row) == width]
    return (len(first) > 1 and width - len(first) in (0, 1) and 10 * len(alike) >= 9 * len(below)
            and any(2 * sum(map(is_number, column)) > len(alike) for column in zip(*alike)))
