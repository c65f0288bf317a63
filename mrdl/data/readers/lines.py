"""Lines of delimited text: many are parsed at a time, headers and comments left out, bad ones told."""
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from mrdl.data.corpus import BOM
from mrdl.data.readers.header import fields, is_number
from mrdl.data.records import Records
from mrdl.data.sources import whole
from mrdl.data.tables.words import Words
from mrdl.kernels import text, words
from mrdl.storage.paths import opened
from mrdl.storage.pieces import pieces_of

EMPTY, GOOD = text.EMPTY, text.GOOD
FIELDS = 1 << 18                # words that are taken at once: columns then stay in the cache, and have few calls each
FEATURES = 1 << 23              # features that are made at once, at most: 64 MB
WRONG = {text.FIELDS: "wrong field count", text.NUMBER: "not a number", text.FINITE: "not finite"}


class Parser(Protocol):
    """What makes something of lines."""
    size: int                   # bytes of text that it takes at once
    rows: int                   # lines at most

    def parse(self, lines: Words) -> tuple[Any, np.ndarray, np.ndarray]:
        """What they hold, the code of each line, and which ones may be comments or are bad. Their buffer holds nothing else."""

    def told(self, i: int) -> tuple[str, str]:
        """Why line i of the last ones is bad: the kind of fault, and what is wrong in it."""

    def some(self, found: Any, good: np.ndarray) -> Any:
        """The part of what was found that is of good lines."""


class Numbers:
    """Numbers in some columns.

    Args:
        columns: the names of all.
        delimiter: what stands between them.
        kept: the places of those to parse, rising."""
    size, rows = 1 << 18, 1 << 12

    def __init__(self, columns: list[str], delimiter: str, kept: list[int]):
        self.columns, self.delimiter, self.kept = columns, delimiter.encode(), kept

    def parse(self, lines: Words) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """float64[n, kept]"""
        self.cut = len(self.kept) < len(self.columns)
        cut = (b"\n".join([_without(line, self.delimiter, self.kept, len(self.columns)) for line in lines]) + b"\n" if self.cut else
               lines.data)
        table = np.empty((len(lines), len(self.kept)))
        self.codes, self.wrong = np.empty((2, len(lines)), np.intc)
        text.parse(cut, ord(self.delimiter), table, self.codes, self.wrong)
        return table, self.codes, self.codes > EMPTY

    def told(self, i: int) -> tuple[str, str]:
        wrong, width = self.wrong[i], len(self.columns)
        return WRONG[self.codes[i]], (f"{wrong - width * self.cut} for {width}" if self.codes[i] == text.FIELDS else
                                           f"column {self.columns[self.kept[wrong]]!r}")

    def some(self, found: np.ndarray, good: np.ndarray) -> np.ndarray:
        return found[good]


class Fields:
    """The fields of all columns, as words."""
    size = 1 << 20

    def __init__(self, columns: list[str], delimiter: str, features: int = 0):
        """`features`: how many are made of each line."""
        self.columns, self.delimiter = columns, delimiter
        self.rows = min(FIELDS // max(len(columns), 16), FEATURES // max(features, 1))

    def parse(self, lines: Words) -> tuple[list[Words], np.ndarray, np.ndarray]:
        """Words of each column."""
        buffer = bytearray(lines.data)
        starts, stops = np.empty((2, len(lines), len(self.columns)), "i8")
        self.codes, self.counts = np.empty((2, len(lines)), np.intc)
        words.split(buffer, ord(self.delimiter), starts, stops, self.codes, self.counts)
        odd = (self.codes > EMPTY) | (np.frombuffer(buffer, "u1")[starts[:, 0]] == ord("#"))
        return [Words(buffer, starts[:, i], stops[:, i]) for i in range(len(self.columns))], self.codes, odd

    def told(self, i: int) -> tuple[str, str]:
        if self.codes[i] == words.QUOTE:
            return "quote without end", f"column {self.columns[self.counts[i]]!r}" if self.counts[i] < len(self.columns) else ""
        return "wrong field count", f"{self.counts[i]} for {len(self.columns)}"

    def some(self, found: list[Words], good: np.ndarray) -> list[Words]:
        return [column.take(good) for column in found]


def good_lines(records: Records, lines: Iterable[bytes], header: list[str], delimiter: str,
               parser: Parser) -> Iterator[tuple[Any, np.ndarray, Words]]:
    """What `parser` finds in the good lines of a split, where each begins in the file, and the lines.

    A header may come again, as where files were joined; one of numbers alone is one on top only."""
    headers = {line.encode("latin-1"): any(field and not is_number(field) for field in fields(line, delimiter)) for line in header}
    known = Words.of([*headers, *(BOM + line for line in headers)])
    offset, mark = first_line(records.file, records.start) if records.start else (0, 0)
    top = not records.start                     # nothing but comments has been read of the file
    for raw in _batches(records.file, lines, parser):
        if top and raw.startswith(BOM):
            raw, mark = raw[len(BOM):], len(BOM)
        batch = _lines(raw)
        found, codes, odd = parser.parse(batch)
        for i in range(len(known)):
            odd = odd | batch.equal(known, np.full(len(batch), i))
        for i in np.flatnonzero(odd if not top else codes != EMPTY):
            if not (top or odd[i]):
                continue
            line = batch[i]
            again = headers.get(line.removeprefix(BOM))
            if again is not None and (top or again):
                codes[i] = EMPTY
            elif line.lstrip(b" ").startswith(b"#"):
                codes[i] = EMPTY
                records.comments += 1
                continue
            elif codes[i] > EMPTY:
                records.reject(*parser.told(i), offset + batch.starts[i], line)
            top = False
        good = codes == GOOD
        if not good.all():
            found, batch = parser.some(found, good), batch.take(good)
        yield found, offset + batch.starts, batch
        offset += len(raw)
    if records.samples and not mark and "://" in records.file and not records.start:
        mark = first_line(records.file, records.start)[1]       # Hadoop gives no line with it
    for sample in records.samples:
        sample["offset"] += mark


def first_line(file: str, start: int) -> tuple[int, int]:
    """Where the first line of a split that begins at `start` begins, not counting a byte order mark, and the bytes of that mark.

    As in Hadoop a split does not have the line that its first byte is in or that begins there."""
    with opened(file) as lines:
        mark = len(BOM) if lines.read(len(BOM)) == BOM else 0
        lines.seek(start)
        return start + len(lines.readline()) - mark, mark


def _batches(file: str, lines: Iterable[bytes], parser: Parser) -> Iterator[bytes]:
    """Some lines at a time, each with its newline."""
    pieces, most, least = pieces_of(lines), max(parser.rows, 1), 0 if getattr(lines, "live", False) else parser.size
    while True:
        some, size = [], 0
        with whole(file):
            for piece in pieces:
                some.append(piece)
                size += len(piece)
                if size >= least or len(some) >= most:
                    break
        if not some:
            return
        text = b"\n".join([*some, b""])
        ends = np.flatnonzero(np.frombuffer(text, "u1") == ord("\n"))[most - 1::most] + 1
        for start, stop in pairwise([0, *ends.tolist(), len(text)]):
            if start < stop:
                yield text[start:stop]


def _lines(text: bytes) -> Words:
    """The lines of a text, without carriage returns and newlines at their ends."""
    data = np.frombuffer(text, "u1")
    stops = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([[0], stops[:-1] + 1])
    while (returns := (stops > starts) & (data[stops - 1] == ord("\r"))).any():
        stops = stops - returns
    return Words(text, starts, stops)


def _without(line: bytes, delimiter: bytes, kept: list[int], width: int) -> bytes:
    """The kept columns of a line; where it has not `width` of them, a line with so many more than it has: it stays wrong."""
    parts = line.split(delimiter)
    if b'"' in line:
        parts = [field.encode("latin-1").replace(delimiter, b"?") for field in fields(line.decode("latin-1"), chr(*delimiter))]
    if len(parts) == width:
        return delimiter.join([parts[i] for i in kept])
    return delimiter.join([b"0"] * (len(parts) + width)) if line.strip(b" ") else line
