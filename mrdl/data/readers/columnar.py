"""Parquet and ORC: groups of rows in files, of which a mapper reads the columns that it needs."""
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np

from mrdl.data.readers.declared import FEATURES, Declared, Shown, reading
from mrdl.data.readers.protobuf import numbered
from mrdl.data.records import Records
from mrdl.data.sources import demand
from mrdl.data.tables.words import Words
from mrdl.storage.paths import opened, size

VALUES = 3 << 18                # fields that are taken at once
BYTES = 16 << 20                # of them, as far as is known before; and of a span
TOGETHER, ROWS = 8, 1 << 15     # columns of a file that are read at once, where each counts alone, as pyarrow holds about 1 MB of each; and rows
BUFFERS = 8 << 20               # bytes of all columns of Parquet that are read at once, about
BUFFER = 1 << 16, 1 << 20       # of one column at least and at most
FOOTER, TYPE, PRECISION = 2, 4, 5       # ORC's numbers: in the tail of a file, in its footer, in a type
DIGITS = 38                     # of a decimal in Arrow, at most
NUMBER = 8                      # bytes of one
CODE = 1.5                      # bytes of a string in Parquet, below which it is the number of one of few


@dataclass(frozen=True, kw_only=True)
class Columnar(Declared):
    """Columns in files that pyarrow reads, in groups of rows: a span is some groups that follow each other. counts: of each file the
    rows of each group."""
    unit = "row"
    share = 128 << 20
    packages = ("pyarrow",)
    extra = "arrow"

    @staticmethod
    @abstractmethod
    def open(file):
        """pyarrow's reader of an open file."""

    @staticmethod
    def narrowed(reader, file, names: Sequence[str], group: int):
        """A reader of the named columns of the same file from a group on."""
        return reader

    @staticmethod
    @abstractmethod
    def schema(reader):
        """Arrow's schema of a file."""

    @staticmethod
    @abstractmethod
    def sizes(reader) -> list[int]:
        """How many rows each group has."""

    @staticmethod
    @abstractmethod
    def total(reader) -> int:
        """How many rows the file says that it has."""

    @staticmethod
    @abstractmethod
    def batches(reader, groups: range, names: list[str], rows: int) -> Iterator:
        """The named columns of groups as record batches of so many rows at most, where the form can give them so."""

    def spans(self) -> list[tuple[tuple[int, int, int], int]]:
        found = []
        for index, counts in enumerate(self.counts):
            each = size(self.files[index]) / max(sum(counts), 1)        # bytes of a row
            start = held = 0
            for group, rows in enumerate(counts):
                if held and held + rows * each > BYTES:
                    found.append(((index, start, group), int(held)))
                    start, held = group, 0
                held += rows * each
            if held:
                found.append(((index, start, len(counts)), int(held)))
        return found

    def types(self, names: Sequence[str]) -> dict[str, str]:
        from mrdl.data.readers import arrow
        with _opened(type(self), self.files[0]) as reader:
            return arrow.numeric(self.schema(reader), names)

    def words(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, Shown]]:
        """The fields of spans by column; a row's place is its number in the file."""
        most = FEATURES // max(self.room, 1)
        for line in lines:
            for columns, starts, _ in self._span(records, line, lambda taken: [taken], most):
                yield columns, starts, Shown(columns)

    def apart(self, records: Records, lines: Iterable[bytes], label: str | None) -> Iterator[tuple[dict[str, Words], Words | None, int]]:
        """Span by span, TOGETHER columns at a time."""
        for line in lines:
            for columns, starts, part in self._span(records, line, lambda taken: _parts(taken, label), ROWS):
                folders = self.folders(records, len(starts))
                labels = (columns | folders).get(label)
                if part:
                    columns.pop(label, None)
                yield columns if part else columns | folders, labels, 0 if part else len(starts)

    def _span(self, records: Records, line: bytes, parts: Callable[[list], list[list]],
              most: int) -> Iterator[tuple[dict[str, Words], np.ndarray, int]]:
        """The fields of a span by column, the rows' places, and which of the parts of the columns they are, one part after the other."""
        from mrdl.data.readers import arrow
        records.unit = self.unit
        index, start, stop = map(int, line.split(b"\t"))
        records.file = path = self.files[index]
        with opened(path) as file:
            with reading(path):
                whole = self.open(file)
            found = {leaf.name: leaf for leaf, _ in arrow.leaves(self.schema(whole))}
            known = {}
            for number, taken in enumerate(parts([found[name] for name in self.needed])):
                rows = max(1, min(most, VALUES // max(len(taken), 1)))
                names = [*dict.fromkeys(".".join(leaf.fields) for leaf in taken or [found[self.own[0]]])]     # one tells how many rows
                place = sum(self.counts[index][:start])
                with reading(path):
                    reader = self.narrowed(whole, file, names, start)
                for batch in _read(path, self.batches(reader, range(start, stop), names, rows)):
                    for part in (batch.slice(at, rows) for at in range(0, len(batch), rows)):
                        with reading(path):
                            columns = {leaf.name: arrow.column(part, leaf, known) for leaf in taken}
                        yield columns, np.arange(place, place + len(part)), number
                        place += len(part)
                _promised(path, place, sum(self.counts[index][:stop]))

    @classmethod
    def seen(cls, path: str) -> tuple[list[tuple[str, str]], list[int]]:
        from mrdl.data.readers import arrow
        with _opened(cls, path) as reader, reading(path):
            counts = cls.sizes(reader)
            _promised(path, sum(counts), cls.total(reader))
            return [(leaf.name, unused) for leaf, unused in arrow.leaves(cls.schema(reader))], counts


@dataclass(frozen=True, kw_only=True)
class Parquet(Columnar):
    """Parquet: a group is a row group, which is read batch by batch."""
    kind = "parquet"

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        return first.startswith((b"PAR1", b"PARE")) or path.endswith(".parquet")

    @staticmethod
    def open(file):
        from pyarrow.parquet import ParquetFile
        return ParquetFile(file, page_checksum_verification=True)

    @staticmethod
    def narrowed(reader, file, names: Sequence[str], group: int):
        options = {"metadata": reader.metadata, "buffer_size": min(max(BUFFERS // len(names), BUFFER[0]), BUFFER[1]), "pre_buffer": False,
                   "page_checksum_verification": True}
        narrow, unsized = type(reader)(file, **options), _unsized(reader, names)
        if unsized:                                 # what their metadata are asked below would end the process where these are damaged
            next(narrow.iter_batches(1, [group], [*unsized.values()], use_threads=False), None)
        texts = [i for i, path in unsized.items() if path in names]
        if not texts:
            return narrow
        chunks = map(reader.metadata.row_group(group).column, texts)
        return type(reader)(file, **options, read_dictionary=[
            chunk.path_in_schema for chunk in chunks if chunk.has_dictionary_page and chunk.total_uncompressed_size < CODE * chunk.num_values])

    @staticmethod
    def schema(reader):
        return reader.schema_arrow

    @staticmethod
    def sizes(reader) -> list[int]:
        return [reader.metadata.row_group(i).num_rows for i in range(reader.metadata.num_row_groups)]

    @staticmethod
    def total(reader) -> int:
        return reader.metadata.num_rows

    @staticmethod
    def batches(reader, groups: range, names: list[str], rows: int) -> Iterator:
        first = reader.metadata.row_group(groups[0])
        wide = NUMBER * len(names) + sum(first.column(i).total_uncompressed_size for i in _unsized(reader, names)) // max(first.num_rows, 1)
        return reader.iter_batches(max(1, min(rows, BYTES // max(wide, 1))), [*groups], names, use_threads=False)


@dataclass(frozen=True, kw_only=True)
class Orc(Columnar):
    """ORC: a group is a stripe, which is read as one."""
    kind = "orc"

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        return first.startswith(b"ORC") or path.endswith(".orc")

    @staticmethod
    def open(file):
        from pyarrow.orc import ORCFile
        made = ORCFile(file)
        footer = dict(numbered(made.reader.serialized_file_tail()))[FOOTER]
        digits = max((dict(numbered(kind)).get(PRECISION, 0) for number, kind in numbered(footer) if number == TYPE), default=0)
        if digits > DIGITS:                         # the schema would end the process
            raise ValueError(f"a decimal of {digits} digits")
        return made

    @staticmethod
    def schema(reader):
        return reader.schema

    @staticmethod
    def sizes(reader) -> list[int]:
        """By a narrow column, if there is one: pyarrow does not say it otherwise."""
        from pyarrow.types import is_primitive
        narrow = min(reader.schema, key=lambda own: own.type.bit_width if is_primitive(own.type) else sys.maxsize)
        return [reader.read_stripe(i, [narrow.name]).num_rows for i in range(reader.nstripes)]

    @staticmethod
    def total(reader) -> int:
        return reader.nrows

    @staticmethod
    def batches(reader, groups: range, names: list[str], rows: int) -> Iterator:
        return (reader.read_stripe(i, names) for i in groups)


def _parts(leaves: list, label: str | None) -> list[list]:
    """The same leaves, those of TOGETHER of a file's columns at a time, the label with each."""
    columns = [[*own] for _, own in groupby(leaves, lambda leaf: leaf.fields)]
    parts = [[*chain.from_iterable(columns[at:at + TOGETHER])] for at in range(0, len(columns), TOGETHER)]
    labels = [leaf for leaf in leaves if leaf.name == label]
    return [[*part, *(leaf for leaf in labels if leaf not in part)] for part in parts] or [[]]


@contextmanager
def _opened(form: type[Columnar], path: str) -> Iterator:
    with opened(path) as file:
        with reading(path):
            reader = form.open(file)
        yield reader


def _read(path: str, batches: Iterable) -> Iterator:
    with reading(path):
        yield from batches


def _unsized(reader, names: Sequence[str]) -> dict[int, str]:
    """The columns of Parquet that have one of the names, or are lists' below them, whose values are of any size: numbers and paths."""
    above, columns = tuple(f"{name}." for name in names), [reader.schema.column(i) for i in range(len(reader.schema))]
    return {i: own.path for i, own in enumerate(columns) if f"{own.path}.".startswith(above) and (
        own.physical_type == "BYTE_ARRAY" or own.max_repetition_level)}


def _promised(path: str, found: int, promised: int) -> None:
    demand(found == promised, f"{path}: is damaged: up to here {found:,} rows, but its metadata promises {promised:,}")
