"""Delimited text: what its columns are, by its first lines; its rows."""
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from shlex import quote

import numpy as np

from mrdl.data.corpus import BOM
from mrdl.data.readers import foreign
from mrdl.data.readers.header import ROWS, fields, is_comment, is_number, top
from mrdl.data.readers.lines import Fields, good_lines
from mrdl.data.readers.numbers import Numbers
from mrdl.data.readers.quoted import record_ends
from mrdl.data.readers.tabular import Tabular
from mrdl.data.records import Records
from mrdl.data.schema import Wanted
from mrdl.data.sources import DataError, demand, readable
from mrdl.data.tables.table import Encoded
from mrdl.data.tables.words import Words
from mrdl.printing import few
from mrdl.storage.paths import opened
from mrdl.storage.pieces import LONGEST, skip_line

HEAD = 1 << 16                  # bytes of each text input that are looked at
DELIMITERS = ",\t;|"
BLANKS = " "                    # any run of blanks and tabs
MULTILINE = "a quoted field over several lines: --multiline reads them"


@dataclass(frozen=True, kw_only=True)
class Delimited(Tabular):
    """CSV, TSV and their kin: a row a line."""
    kind = "text"
    by_lines = True
    delimiter: str = ","
    header: list = field(default_factory=list)  # the headers, as they stand in the files
    multiline: bool = False     # whether quoted fields may go on over several lines

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        return True

    @property
    def whole(self) -> bool:
        return self.multiline

    def decides(self) -> list:
        return [self.header, *super().decides(), *["multiline"] * self.multiline]

    def made_of(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[Encoded, np.ndarray, Sequence[bytes], Words | None]]:
        if self.partitions or self.group is not None or self.multiline or self.sparse or not Numbers.possible(self.made, self.delimiter):
            yield from super().made_of(records, lines)
            return
        for found in good_lines(records, lines, self.header, self.delimiter, Numbers(self.fields, self.made)):
            yield *found, None

    @property
    def fields(self) -> Fields:
        """What parses lines."""
        return Fields(self.own, self.delimiter, self.room, "" if self.multiline else MULTILINE)

    def words(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, Words]]:
        """The fields of good lines by column, where each line begins in its file, and the lines."""
        for found, starts, batch in good_lines(records, lines, self.header, self.delimiter, self.fields, self.multiline):
            yield dict(zip(self.own, found)), starts, batch

    @classmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> "Delimited":
        first, rows = None, 0
        for path in paths:                          # one by one: there may be thousands
            lines = _head(path, wanted)
            if all(map(is_comment, lines)):
                continue
            if first is None:
                delimiter = wanted.delimiter or _delimiter(path, [line for line in lines if not is_comment(line)])
                found = first = top(path, lines, delimiter, wanted.header)
                headers, name = {found.line}, path
            else:
                found = top(path, lines, delimiter, wanted.header, first.line)
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
        return cls(files=paths, columns=[*first.names, *wanted.partitions], shape=[len(first.names)], delimiter=delimiter,
                   header=sorted(headers - {""}), named=bool(first.line), notes=[first.note] if first.note else [],
                   partitions=list(wanted.partitions), multiline=wanted.multiline)

    @classmethod
    def arriving(cls, where: str, first: bytes, columns: Sequence[str], delimiter: str | None) -> "Delimited":
        line = first.removeprefix(BOM).rstrip(b"\r").decode("latin-1")
        if columns:
            names, delimiter = list(columns), delimiter or "\t"
            line = delimiter.join(columns).encode().decode("latin-1")       # one of these names is no row
        else:
            demand(line.strip(), f"{where} has no first line with the names of its columns; where there is none, name them with --columns")
            delimiter = delimiter or max(DELIMITERS, key=lambda each: len(fields(line, each)))
            names = [name.encode("latin-1").decode("utf-8", "replace") for name in fields(line, delimiter)]
        return cls(files=[], columns=names, shape=[], delimiter=delimiter, header=[line], named=True)


def _head(path: str, wanted: Wanted) -> list[str]:
    """The first lines that are not blank, or records; latin-1, so that any bytes will do."""
    lines: list[bytes] = []
    size = 0
    with opened(path) as file, readable(path):
        foreign.check(path, file)
        file.seek(0)
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


def _delimiter(path: str, lines: list[str]) -> str:
    """The one that cuts most lines into as many fields as the first one."""
    def fit(delimiter: str) -> tuple[int, int]:
        counts = [len(fields(line, delimiter)) for line in lines[:50]]
        return (counts.count(counts[0]) if counts[0] > 1 else 0, counts[0])
    best = max(DELIMITERS, key=fit)
    blanks = [len(words) > 1 and all(map(is_number, words)) for words in (fields(line, BLANKS) for line in lines[:50])]
    if fit(best) == (0, 1) and 2 * sum(blanks) >= len(blanks):
        return BLANKS
    return best
