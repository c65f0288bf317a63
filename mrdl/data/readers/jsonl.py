"""JSON lines: an object a line; its fields, and those of objects and arrays in it, are columns."""
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from shlex import quote
from typing import Any

import numpy as np

from mrdl.data.corpus import BOM
from mrdl.data.readers.encoding import ANOTHER, utf8
from mrdl.data.readers.json_paths import Path, Tree, leaves, name_of, path_of
from mrdl.data.readers.lines import FEATURES, FIELDS, good_lines
from mrdl.data.readers.tabular import Tabular
from mrdl.data.records import Records
from mrdl.data.schema import Wanted
from mrdl.data.sources import DataError, demand, readable
from mrdl.data.tables.table import Table
from mrdl.data.tables.words import Words
from mrdl.kernels import jsonl
from mrdl.printing import few
from mrdl.storage.paths import opened
from mrdl.storage.pieces import LONGEST

HEAD, LEAST = 1 << 20, 1 << 16  # bytes of all inputs together that show which fields there are; of each one at least
LIST = 16                       # places of an array that become columns, where lengths differ
VECTOR = 4096                   # and where all of a field have one length
MOST = 10_000                   # columns
BEGIN = re.compile(rb"""\s*(\{\s*(["'}]|$)|\[\s*([{[]|$))""")
COMMENTS = b"#", b"//"          # begin lines that are left out
ABOVE = re.compile(rb"(?:[ \t\r]*(?:(?:#|//)[^\n]*)?\n)*")
WRONG = {jsonl.SYNTAX: "invalid JSON", jsonl.OBJECT: "no JSON object", jsonl.DEEP: "nested too deep", jsonl.UTF8: "not UTF-8"}


@dataclass(frozen=True, kw_only=True)
class Jsonl(Tabular):
    """JSON lines."""
    kind = "jsonl"
    by_lines = True
    scored = "jsonl"
    arrays: list = field(default_factory=list)      # the fields whose arrays are left out
    lists: list = field(default_factory=list)       # all fields that are arrays

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        first = below_comments(first)
        return bool(BEGIN.match(first)) or isinstance(_value(first.partition(b"\n")[0]), list)

    @classmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> "Jsonl":
        demand(not wanted.of_text,
               f"{paths[0]}: is JSON lines, which name their fields in each line: leave out {', '.join(wanted.of_text)}")
        found = Found()
        for path in paths:
            for value in _objects(path, max(HEAD // len(paths), LEAST), wanted.encoding):
                found.add(value)
        return found.schema(paths[0], paths, wanted)

    @classmethod
    def arriving(cls, where: str, top: bytes, columns: Sequence[str], delimiter: str | None, known: Table | None = None) -> "Jsonl":
        demand(not columns and delimiter is None, f"{where} is JSON lines, which name their fields in each line: leave out columns, delimiter")
        found = Found()
        for value in _good(top.removeprefix(BOM))[0]:
            found.add(value)
        return found.schema(where, [], Wanted(loose=True))

    def beyond(self, names: Sequence[str]) -> "Jsonl":
        """Places in arrays; of a pipe any."""
        more = [name for name in dict.fromkeys(names) if name not in self.columns and (not self.files or _above(name) in self.lists)]
        above = {name_of(path_of(name)[:i]) for name in more for i in range(len(path_of(name)))}
        notes = [f"not in the first line, so missing where a line does not have it: {few(more)}"] if more and not self.files else []
        return replace(self, columns=[*self.own, *more, *self.partitions], arrays=[name for name in self.arrays if name not in above],
                       notes=[*self.notes, *notes])

    def words(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, Words]]:
        """The fields of good lines by column, where each line begins in its file, and the lines."""
        columns = self.needed
        for (found, others), starts, batch in good_lines(records, lines, [], "", Objects(columns, self.arrays, self.room),
                                                         encoding=self.encoding, comments=COMMENTS):
            if records.others is not None and others.any():
                records.noted(field for i in np.flatnonzero(others).tolist() for field in self._others(batch[i]))
            yield dict(zip(columns, found)), starts, batch

    @cached_property
    def _known(self) -> tuple[set[Path], set[Path]]:
        """The columns, and the arrays that are left out."""
        return {*map(path_of, self.columns)}, {*map(path_of, self.arrays)}

    def _others(self, line: bytes) -> set[str]:
        """The fields in a line that are no columns."""
        columns, arrays = self._known
        paths = [path for path, value in leaves(_value(line)) if value is not None and path not in columns]
        return {name for path in paths if not any(path[:i] in arrays for i in range(1, len(path) + 1))
                and (name := name_of(path)) not in self.columns}


class Objects:
    """The fields of some columns, as words; and which lines have others."""
    size = 1 << 22              # keys take most of it, and each call of a statistic costs

    def __init__(self, columns: list[str], left_out: Iterable[str] = (), features: int = 0):
        """`features`: how many are made of each line."""
        self.tree, self.width = Tree.of(columns, left_out), len(columns)
        self.rows = min(FIELDS // max(len(columns), 16), FEATURES // max(features, 1))

    def parse(self, lines: Words) -> tuple[tuple[list["Values"], np.ndarray], np.ndarray, np.ndarray]:
        """Words of each column, and bool[n]."""
        buffer = bytearray(lines.data)
        starts, stops = np.empty((2, len(lines), self.width), "i8")
        others, self.codes, self.faults = np.empty(len(lines), "u1"), np.empty(len(lines), np.intc), np.empty(len(lines), "i8")
        jsonl.split(buffer, *self.tree, starts, stops, self.codes, self.faults, others)
        found = [Values(buffer, *places) for places in zip(starts.T.copy(), stops.T.copy())]        # a column at a time is read
        return (found, others.view(bool)), self.codes, self.codes > jsonl.EMPTY

    def told(self, i: int) -> tuple[str, str]:
        code = self.codes[i]
        return WRONG[code], f"more than {jsonl.DEPTH} levels" if code == jsonl.DEEP else f"byte {self.faults[i]} of the line"

    def some(self, found: tuple[list["Values"], np.ndarray], good: np.ndarray) -> tuple[list["Values"], np.ndarray]:
        return [column.take(good) for column in found[0]], found[1][good]


class Values(Words):
    """Fields of JSON, in lines out of which jsonl.split has taken the escapes."""

    def json(self) -> list[str]:
        strings = np.frombuffer(self.data, "u1")[self.starts - 1] == ord('"')
        return [quoted if string else "null" if not start or quoted[1] in "NI" or quoted[1:3] == "-I" else quoted[1:-1]
                for quoted, string, start in zip(super().json(), strings.tolist(), self.starts.tolist())]


class Found:
    """The fields that objects have."""

    def __init__(self):
        self.rows = 0
        self.tree: dict[str, dict] = {}                         # the fields in each, in the order in which they come
        self.filled: dict[Path, bool] = {}                      # of each that is no object or array whether one is not null
        self.lengths: dict[Path, set[int]] = defaultdict(set)   # of arrays

    def add(self, value: dict) -> None:
        """Takes in an object."""
        self.rows += 1
        self._add(value, (), self.tree)

    def _add(self, value: Any, path: Path, tree: dict[str, dict]) -> None:
        if isinstance(value, list):
            self.lengths[path].add(len(value))
            value = {str(place): inner for place, inner in enumerate(value[:VECTOR])}
        if isinstance(value, dict):
            for key, inner in value.items():
                self._add(inner, (*path, key), tree.setdefault(key, {}))
        else:
            self.filled[path] = self.filled.get(path, False) or value is not None

    def schema(self, where: str, paths: list[str], wanted: Wanted) -> Jsonl:
        """That of files whose first objects these are. `where`: the first one, for messages."""
        wide = {path: max(lengths) for path, lengths in self.lengths.items()
                if max(lengths) > (VECTOR if len(lengths - {0}) == 1 else LIST) and not self.filled.get(path)}
        above = {path[:i] for path, filled in self.filled.items() for i in range(len(path))}
        columns = [name_of(path) for path in _within(self.tree) if path in self.filled and (self.filled[path] or path not in above)
                   and not any(path[:i] in wide for i in range(len(path)))]
        if len(columns) > MOST:
            raise DataError(f"{where}: has more than {MOST:,} different fields in its first lines ({few(columns)}): are they values "
                            "that stand for keys? Make them values, for example with jq's to_entries")
        wide = {path: most for path, most in wide.items() if not any(path[:i] in wide for i in range(len(path)))}
        notes = [f"left out: {name_of(path)!r}, whose arrays have up to {most:,} values" for path, most in wide.items()]
        if not columns and not wanted.loose:
            raise DataError(f"{where}: {'no fields' if self.rows else 'no rows'} in its first lines")
        columns += wanted.partitions
        return Jsonl(files=paths, columns=columns, named=True, shape=[len(columns)], arrays=[*map(name_of, wide)],
                     lists=[*map(name_of, self.lengths)], partitions=list(wanted.partitions), notes=notes, form=wanted.spoken)


def below_comments(text: bytes) -> bytes:
    """What stands below the blank lines and comments that a text begins with."""
    text = text.removeprefix(BOM)
    below = text[ABOVE.match(text).end():].lstrip()
    return b"" if below.startswith(COMMENTS) else below        # one without a newline


def _within(tree: dict[str, dict], above: Path = ()) -> Iterator[Path]:
    """The fields in a field, and those in them."""
    for key, inner in tree.items():
        yield (*above, key)
        yield from _within(inner, (*above, key))


def _above(column: str) -> str | None:
    """The array that a column is a place of, or None."""
    *above, last = path_of(column)
    return name_of(above) if last.isdecimal() else None


def _value(line: bytes) -> Any:
    """What is in a line; None where it is no JSON."""
    try:
        return json.loads(line.decode(), parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None


def _good(text: bytes) -> tuple[list[dict], "Objects"]:
    """The objects in good lines, and what tells of the others."""
    lines, objects = text.split(b"\n"), Objects([])
    _, codes, _ = objects.parse(Words(text + b"\n", *np.zeros((2, len(lines)), "i8")))
    return [_value(line) for line, code in zip(lines, codes) if code == jsonl.GOOD], objects


def _objects(path: str, size: int, encoding: str) -> Iterator[dict]:
    """The objects in the first lines of a file; DataError where there are lines and no object."""
    with opened(path) as file, readable(path):
        head = file.read(size)
        if len(head) == size:                       # the last line is not cut off
            head += file.readline(LONGEST)
    head = utf8(head, encoding) if encoding else head
    text = below_comments(head).strip()
    if text.startswith(b"["):
        listed = text[1:].lstrip()[:1] in (b"{", b"")
        raise DataError(f"{path}: is a JSON array, and must be JSON lines, an object in each; " + (
            f"convert it with: jq -c '.[]' {quote(path)} > lines.jsonl" if listed else "its rows are arrays, which do not name their fields"))
    found, objects = _good(text)
    if text and not found:
        line = text.partition(b"\n")[0]
        demand(line == text or line.rstrip()[-1:] not in b"{[,", f"{path}: is JSON, but an object takes several lines, and must take one; "
               f"convert it with: jq -c . {quote(path)} > lines.jsonl")
        raise DataError(f"{path}: no JSON object in its first lines; of the first one: {'{} ({})'.format(*objects.told(0))}"
                        + f"; {ANOTHER}" * int(objects.codes[0] == jsonl.UTF8))
    yield from found
