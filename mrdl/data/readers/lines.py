"""Lines of delimited text: many are parsed at a time, headers and comments left out, bad ones told."""
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import accumulate, chain
from typing import Any, Protocol

import numpy as np

from mrdl.data.corpus import BOM
from mrdl.data.readers.encoding import WIDE, narrowed, recoded
from mrdl.data.readers.header import fields, is_number
from mrdl.data.readers.quoted import line_ends, record_ends
from mrdl.data.records import Records
from mrdl.data.sources import whole
from mrdl.data.tables.words import Notation, Words
from mrdl.kernels import words
from mrdl.storage.paths import opened
from mrdl.storage.pieces import LONGEST, Lines, Long, pieces_of, read_pieces, skip_line

EMPTY, GOOD = words.EMPTY, words.GOOD
FIELDS = 1 << 18                # words that are taken at once: columns then stay in the cache, and have few calls each
FEATURES = 1 << 23              # features that are made at once, at most: 64 MB


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


class Fields:
    """The fields of all columns, as words."""
    size = 1 << 20

    def __init__(self, columns: list[str], delimiter: str, features: int = 0, hint: str = "", notations: Mapping[str, Notation] = {}):
        """`features`: how many are made of each line; `hint`: what to do about a quote without end; `notations`: of columns whose
        numbers will be asked for."""
        self.notations = [notations.get(name) for name in columns]
        self.columns, self.delimiter, self.hint = columns, delimiter, hint
        self.rows = min(FIELDS // max(len(columns), 16), FEATURES // max(features, 1))

    def parse(self, lines: Words) -> tuple[list[Words], np.ndarray, np.ndarray]:
        """Words of each column."""
        buffer = bytearray(lines.data)
        starts, stops = np.empty((2, len(lines), len(self.columns)), "i8")
        self.codes, self.counts = np.empty((2, len(lines)), np.intc)
        ends = np.append(lines.starts[1:], len(buffer)) - 1
        words.split(buffer, ord(self.delimiter), starts, stops, self.codes, self.counts, ends)
        odd = (self.codes > EMPTY) | (np.frombuffer(buffer, "u1")[starts[:, 0]] == ord("#"))
        return Words.columns(buffer, starts, stops, self.notations), self.codes, odd

    def told(self, i: int) -> tuple[str, str]:
        if self.codes[i] == words.QUOTE:
            column = f"column {self.columns[self.counts[i]]!r}" if self.counts[i] < len(self.columns) else "behind the last column"
            return "quote without end", column + "; " * bool(self.hint) + self.hint
        return "wrong field count", f"{self.counts[i]} for {len(self.columns)}"

    def some(self, found: list[Words], good: np.ndarray) -> list[Words]:
        return [column.take(good) for column in found]


def good_lines(records: Records, lines: Iterable[bytes], header: list[str], delimiter: str,
               parser: Parser, multiline: bool = False, skip: int = 0, encoding: str = "",
               comments: tuple[bytes, ...] = (b"#",)) -> Iterator[tuple[Any, np.ndarray, Words]]:
    """What `parser` finds in the good lines of a split, where each begins in the file, and the lines.

    A header may come again, as where files were joined; one of numbers alone is one on top only. `multiline`: quoted fields may go
    on over several lines; `skip`: how many lines on top of the file are no records; `encoding`: of the text, "" for UTF-8;
    `comments`: what a line that is one begins with. The places of lines of a wide one are those in UTF-8."""
    if encoding in WIDE:
        lines, encoding = narrowed(lines, encoding, records.file), ""
    headers = {line.encode("latin-1"): any(field and not is_number(field) for field in fields(line, delimiter)) for line in header}
    known = Words.of([*headers, *(BOM + line for line in headers)])
    offset, mark = first_line(records.file, records.start) if records.start else (0, 0)
    records.mark = lambda: mark
    left = _left(records.file, skip, offset + mark) if records.start and skip else skip
    top = left >= 0 if skip else not records.start      # nothing but comments has been read of the file
    if not top and not all(headers.values()):           # which also matters to a header of numbers alone in a later split
        top = _no_rows(records.file, offset + mark)
    if left > 0:
        lines, size, begun = _without(records.file, lines, left)
        mark = mark or len(BOM) * begun
        offset += size - len(BOM) * begun
    for number, (raw, stops) in enumerate(_batches(records.file, lines, parser, delimiter.encode() if multiline else None)):
        if top and raw.startswith(BOM):
            raw, mark = Long.of(raw[len(BOM):], raw.size - len(BOM)) if isinstance(raw, Long) else raw[len(BOM):], len(BOM)
            stops = stops - mark
        elif top and not number and "://" in records.file:
            records.mark = cache(lambda: first_line(records.file, 0)[1])        # Hadoop gives no line with it
        size = len(raw)
        if isinstance(raw, Long):
            records.reject("line too long", f"{raw.size:,} bytes; at most {LONGEST:,}", offset, raw)
            size, raw, stops, top = raw.size + 1, b"\n", np.zeros(1, "i8"), False
        starts = offset + np.concatenate([[0], stops[:-1] + 1])
        batch = lines_of(*recoded(raw, stops, encoding) if encoding else (raw, stops))
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
            elif line.lstrip(b" ").startswith(comments):
                codes[i] = EMPTY
                records.comments += 1
                continue
            elif codes[i] > EMPTY:
                records.reject(*parser.told(i), starts[i], line)
            top = False
        good = codes == GOOD
        if not good.all():
            found, batch, starts = parser.some(found, good), batch.take(good), starts[good]
        yield found, starts, batch
        offset += size


def first_line(file: str, start: int) -> tuple[int, int]:
    """Where the first line of a split that begins at `start` begins, not counting a byte order mark, and the bytes of that mark.

    As in Hadoop a split does not have the line that its first byte is in or that begins there."""
    with opened(file) as lines:
        mark = len(BOM) if lines.read(len(BOM)) == BOM else 0
        lines.seek(start)
        return start + skip_line(lines) - mark, mark


def _left(file: str, skip: int, start: int) -> int:
    """How many of the first `skip` lines of a file begin at byte `start` or behind it; -1: and neither does the one that follows."""
    with opened(file) as lines:
        begins = accumulate((skip_line(lines) for _ in range(skip)), initial=0)
        return sum(begin >= start for begin in begins) - 1


def _without(file: str, lines: Iterable[bytes], count: int) -> tuple[Lines, int, bool]:
    """The lines behind the first `count`, how many bytes these have, and whether they begin with a byte order mark."""
    pieces, size, begun = pieces_of(lines), 0, None
    while count:
        with whole(file):
            piece = next(pieces, None)
        if piece is None:
            break
        begun = piece.startswith(BOM) if begun is None else begun
        if isinstance(piece, Long):
            count, size = count - 1, size + piece.size + 1
        elif (more := piece.count(b"\n") - count) >= 0:
            rest = piece.split(b"\n", count)[count]
            pieces, count, size = chain([rest], pieces), 0, size + len(piece) - len(rest)
        else:
            count, size = -more - 1, size + len(piece) + 1
    return Lines(pieces, getattr(lines, "live", False)), size, bool(begun)


def _no_rows(file: str, stop: int) -> bool:
    """Whether a file begins with comments and blank lines alone, up to byte `stop`."""
    with opened(file) as lines:
        return all(not line.strip(b" \t\r") or line.lstrip(b" ").startswith(b"#")
                   for piece in read_pieces(lines, stop - 1) for line in piece.removeprefix(BOM).split(b"\n"))


def _batches(file: str, lines: Iterable[bytes], parser: Parser, quoted: bytes | None) -> Iterator[tuple[bytes | Long, np.ndarray]]:
    """Some lines at a time, each with its newline, and the places of these newlines; or a Long one. `quoted`: the delimiter, where
    quoted fields may go on over several lines."""
    pieces, most, least = pieces_of(lines), max(parser.rows, 1), 0 if getattr(lines, "live", False) else parser.size
    rest, over = b"", False                     # the begin of a record; whether all has been read
    while not over:
        some, size, long = [], 0, None
        with whole(file):
            for piece in pieces:
                if isinstance(piece, Long):
                    long = piece
                    break
                some.append(piece)
                size += len(piece)
                if size >= least or len(some) >= most:
                    break
            else:
                over = True
        text = rest + b"\n".join([*some, b""] if some else [])
        stops = line_ends(text) if quoted is None else record_ends(text, quoted, over or long is not None)
        start = 0
        for i in range(0, len(stops), most):
            own = stops[i:i + most]
            yield text[start:own[-1] + 1], own - start
            start = own[-1] + 1
        rest = text[start:]
        if long is not None:
            yield long, np.zeros(1, "i8")


def lines_of(text: bytes, stops: np.ndarray) -> Words:
    """The lines of a text, without carriage returns and newlines at their ends."""
    data = np.frombuffer(text, "u1")
    starts = np.concatenate([[0], stops[:-1] + 1])
    while (returns := (stops > starts) & (data[stops - 1] == ord("\r"))).any():
        stops = stops - returns
    return Words(text, starts, stops)
