"""Rows of delimited text: lines in, canonical bytes out, by a kernel that parses many at a time."""
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import compress, islice
from shlex import quote

import numpy as np

from mrdl.data.corpus import BOM, PACKED, check_encoding
from mrdl.data.readers.columns import few, indices, one, ordered
from mrdl.data.readers.header import ROWS, Top, fields, is_comment, is_number, top
from mrdl.data.rows import Rows
from mrdl.data.schema import Recognised, Wanted
from mrdl.data.sources import DataError, readable
from mrdl.kernels import text as kernel
from mrdl.storage.paths import OPENERS, opened

BATCH = 1 << 18                 # bytes of text that are parsed at once
BATCH_ROWS = 4096
WRONG = {kernel.FIELDS: "wrong field count", kernel.NUMBER: "not a number",
         kernel.FINITE: "not finite"}

HEAD = 1 << 16                  # bytes of each text input that are looked at
DELIMITERS = ",\t;|"


@dataclass(frozen=True, kw_only=True)
class Delimited(Recognised):
    """CSV, TSV and their kin: a row a line."""
    kind = "text"
    by_lines = True
    order: list                 # the places of x's columns
    delimiter: str = ","
    header: list = field(default_factory=list)  # the headers, as they stand in the files

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        return True

    def features(self) -> list[str]:
        return [self.columns[i] for i in self.order]

    def decides(self) -> list:
        return [self.order, self.header]

    def read(self, rows: Rows, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Each line is a row, but for headers, comments and empty ones."""
        headers = {header.encode("latin-1") for header in self.header}
        delimiter, width = self.delimiter.encode(), len(self.columns)
        named = [self.columns.index(n) for n in (self.label, self.weight) if n is not None]
        kept = sorted([*self.order, *named])
        at = {column: i for i, column in enumerate(kept)}
        named, x = ([at[column] for column in places] for places in (named, self.order))
        if x == list(range(x[0], x[0] + len(x))):
            x = slice(x[0], x[-1] + 1)              # a view will do
        offset, mark = first_line(rows.file, rows.start) if rows.start else (0, 0)
        top = not rows.start                        # nothing but comments has been read of the file
        for raw in _batches(lines):
            if top and raw[0].startswith(BOM):
                raw[0], mark = raw[0][len(BOM):], len(BOM)
            ends = offset + np.cumsum([len(line) + 1 for line in raw])
            starts, offset = np.concatenate([[offset], ends[:-1]]), int(ends[-1])
            batch = [line.rstrip(b"\r") for line in raw]
            table = np.empty((len(batch), len(kept)))
            codes, wrong = np.empty((2, len(batch)), np.intc)
            cut = batch if len(kept) == width else [_without(line, delimiter, kept, width) for line in batch]
            kernel.parse(b"\n".join(cut) + b"\n", ord(delimiter), table, codes, wrong)
            for i in np.flatnonzero(codes != kernel.EMPTY if top else codes > kernel.EMPTY):
                header = batch[i].removeprefix(BOM) in headers
                if header and (top or codes[i] != kernel.GOOD):     # one of numbers stands on top alone
                    codes[i] = kernel.EMPTY
                elif batch[i].lstrip(b" ").startswith(b"#"):
                    rows.comments += 1
                    continue
                elif codes[i] != kernel.GOOD:
                    detail = f"{wrong[i] - width * (cut is not batch)} for {width}" if codes[i] == kernel.FIELDS else (
                        f"column {self.columns[kept[wrong[i]]]!r}")
                    rows.reject(WRONG[codes[i]], detail, starts[i], batch[i])
                top = False
            good = codes == kernel.GOOD
            if not good.all():
                table, starts = table[good], starts[good]
                batch = list(compress(batch, good))
            yield from rows.encoded(table[:, x], table[:, named], starts, batch)
        if rows.samples and not mark and "://" in rows.file and not rows.start:
            mark = first_line(rows.file, rows.start)[1]     # Hadoop gives no line with it
        for sample in rows.samples:
            sample["offset"] += mark

    @classmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> "Delimited":
        schema, rows = None, 0
        for path in paths:                          # one by one: there may be thousands
            lines = _head(path)
            if all(map(is_comment, lines)):
                continue
            if schema is None:
                delimiter = _delimiter(path, [line for line in lines if not is_comment(line)])
                found = first = top(path, lines, delimiter, wanted.header)
                schema = cls._of(path, found, wanted, paths, delimiter)
                kept = {*schema.order, *(schema.columns.index(n) for n in (schema.label, schema.weight) if n is not None)}
                notes = schema.notes + ([found.note] if found.note else [])
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
            _numeric(path, found, kept)
            rows += len(found.rows)
        if schema is None:
            raise DataError(f"{paths[0]}: no rows" + (f", nor in {len(paths) - 1} more inputs"
                                                      if len(paths) > 1 else ""))
        if not rows:
            raise DataError(f"{name}: a header and no rows")
        return replace(schema, header=sorted(headers - {""}), notes=notes)

    @classmethod
    def _of(cls, path: str, found: Top, wanted: Wanted, paths: list[str], delimiter: str) -> "Delimited":
        """The schema of inputs whose first one has this top."""
        names, named = found.names, bool(found.line)
        label, weight = one(wanted.label, names, "label"), one(wanted.weight, names, "weight")
        if label is not None and label == weight:
            raise DataError(f"column {label!r} is named both for the label and for the weight: they must be two columns")
        taken = {name: what for name, what in ((label, "the label"), (weight, "the weight")) if name is not None}
        order, notes = ordered(path, names, named, taken, wanted)
        if not order:
            raise DataError(f"{path}: no feature column is left beside {few(sorted(taken))}")
        if wanted.like is None:
            notes = indices(found, order)
        return cls(files=paths, columns=names, shape=[len(order)], target=None if label is None else [], label=label, weight=weight,
                   delimiter=delimiter, order=order, named=named, notes=notes)


def first_line(file: str, start: int) -> tuple[int, int]:
    """Where the first line of a split that begins at `start` begins, not counting a byte order mark, and the bytes of that mark.

    As in Hadoop a split does not have the line that its first byte is in or that begins there."""
    with opened(file) as lines:
        mark = len(BOM) if lines.read(len(BOM)) == BOM else 0
        lines.seek(start)
        return start + len(lines.readline()) - mark, mark


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    lines = iter(lines)
    while batch := list(islice(lines, 1)):
        rows = min(BATCH_ROWS, BATCH // (len(batch[0]) + 1))
        batch += islice(lines, rows)
        yield batch


def _without(line: bytes, delimiter: bytes, kept: list[int], width: int) -> bytes:
    """The kept columns of a line; where it has not `width` of them, a line with so many more than it has: it stays wrong."""
    parts = line.split(delimiter)
    if b'"' in line:
        parts = [field.encode("latin-1").replace(delimiter, b"?") for field in fields(line.decode("latin-1"), chr(*delimiter))]
    if len(parts) == width:
        return delimiter.join([parts[i] for i in kept])
    return delimiter.join([b"0"] * (len(parts) + width)) if line.strip(b" ") else line


def _head(path: str) -> list[str]:
    """The first lines that are not blank; latin-1, so that any bytes will do."""
    lines: list[bytes] = []
    size = 0
    with opened(path) as file, readable(path):
        while (size < HEAD or len(lines) < ROWS) and (line := file.readline()):
            if not size:
                check_encoding(path, line)
            size, line = size + len(line), line if size else line.removeprefix(BOM)
            lines += [line] if line.strip() else []
    if not lines:
        return []
    if not path.endswith(tuple(OPENERS)) and lines[0].startswith(tuple(PACKED)):
        raise DataError(f"{path}: is compressed: unpack it first, or, of gzip, let its name end in .gz")
    odd = [b"\0" in line for line in lines]
    if odd[0] or 2 * sum(odd) > len(odd):
        raise DataError(f"{path}: neither text nor .npz nor IDX: zero bytes in its first lines (if the file is text "
                        f"otherwise, remove them: tr -d '\\000' < {quote(path)} > clean.csv; if it is UTF-16, convert "
                        "it: iconv -f UTF-16 -t UTF-8)")
    if b"\r" in lines[0] and not lines[0].endswith(b"\n"):
        raise DataError(f"{path}: lines end in a lone carriage return; convert it with: mac2unix")
    return [line.decode("latin-1").rstrip("\r\n") for line in lines]


def _delimiter(path: str, lines: list[str]) -> str:
    """The one that cuts most lines into as many fields as the first one."""
    def fit(delimiter: str) -> tuple[int, int]:
        counts = [len(fields(line, delimiter)) for line in lines[:50]]
        return (counts.count(counts[0]) if counts[0] > 1 else 0, counts[0])
    best = max(DELIMITERS, key=fit)
    blanks = [len(words) > 1 and all(map(is_number, words)) for words in map(str.split, lines[:50])]
    if fit(best) == (0, 1) and 2 * sum(blanks) >= len(blanks):
        raise DataError(f"{path}: blanks are no delimiter yet: put commas between the fields, for example with: "
                        "sed -E 's/^ +| +$//g; s/ +/,/g'")
    return best


def _numeric(path: str, found: Top, kept: set[int]) -> None:
    """A column of words, or of nothing, is refused here, by name; a stray word is a bad record, later."""
    rows = [row for row in found.rows if len(row) == len(found.names)]
    for i, values in enumerate(zip(*rows)):
        if i not in kept:
            continue
        name, words = found.names[i], [value for value in values if value and not is_number(value)]
        last = i == len(found.names) - 1
        if not any(values) and (len(values) >= ROWS or (last and not name)):
            raise DataError(f"{path}: " + (f"each row ends in a delimiter, so its last column, {name!r}," if last else
                                           f"column {name!r}") + f" is empty; leave it out with: --drop {quote(name)}")
        if 2 * len(words) > len(values):
            commas = "decimal commas are not read yet: write 0,5 as 0.5"
            raise DataError(f"{path}: column {name!r} is not numeric (it has {words[0][:40]!r}); " + (
                commas if re.search(r"\d[,;]-?\d", words[0]) else
                f"mrdl reads numbers: replace it by numbers, or leave it out with: --drop {quote(name)} (if this is "
                "text, prepare it with format text)"))
