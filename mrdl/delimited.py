"""Rows of delimited text: lines in, canonical bytes out, by a kernel that parses many at a time."""
from collections.abc import Iterable, Iterator
from itertools import compress, islice

import numpy as np

from mrdl.corpus import BOM
from mrdl.header import fields
from mrdl.kernels import text as kernel
from mrdl.paths import opened
from mrdl.records import Rows

BATCH = 1 << 18                 # bytes of text that are parsed at once
BATCH_ROWS = 4096
WRONG = {kernel.FIELDS: "wrong field count", kernel.NUMBER: "not a number",
         kernel.FINITE: "not finite"}


def read(rows: Rows, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each line is a row, but for headers, comments and empty ones."""
    schema = rows.plan.schema
    headers = {header.encode("latin-1") for header in schema.header}
    delimiter, width = schema.delimiter.encode(), len(schema.columns)
    named = [schema.columns.index(n) for n in (schema.label, schema.weight) if n is not None]
    kept = sorted([*schema.order, *named])
    at = {column: i for i, column in enumerate(kept)}
    named, x = ([at[column] for column in places] for places in (named, schema.order))
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
                    f"column {schema.columns[kept[wrong[i]]]!r}")
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
