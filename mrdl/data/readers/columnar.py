"""Parquet and ORC: groups of rows in files, of which a mapper reads the columns that it needs."""
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from mrdl.data.readers.declared import FEATURES, Declared, Shown, reading
from mrdl.data.readers.protobuf import fields
from mrdl.data.records import Records
from mrdl.data.sources import demand
from mrdl.data.tables.words import Words
from mrdl.storage.paths import opened, size

VALUES = 1 << 19                # fields that are taken at once
BYTES = 16 << 20                # of them, as far as is known before; and of a span
BUFFERS = 8 << 20               # bytes of all columns of Parquet that are read at once, about
BUFFER = 1 << 16, 1 << 20       # of one column at least and at most
FOOTER, TYPE, PRECISION = 2, 4, 5       # ORC's numbers: in the tail of a file, in its footer, in a type
DIGITS = 38                     # of a decimal in Arrow, at most
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
    def open(file, names: Sequence[str], group: int):
        """pyarrow's reader of an open file, of which the named columns are to be read from a group on."""

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
        from mrdl.data.readers import arrow
        records.unit = self.unit
        most = max(1, min(VALUES // max(len(self.needed), 1), FEATURES // max(self.room, 1)))
        for line in lines:
            index, start, stop = map(int, line.split(b"\t"))
            records.file = path = self.files[index]
            place = sum(self.counts[index][:start])
            with opened(path) as file:
                with reading(path):
                    reader = self.open(file, (), start)
                found = {leaf.name: leaf for leaf, _ in arrow.leaves(self.schema(reader))}
                taken = [found[name] for name in self.needed]
                names = [*dict.fromkeys(".".join(leaf.fields) for leaf in taken or [found[self.own[0]]])]     # one tells how many rows
                with reading(path):
                    reader = self.open(file, names, start)
                for batch in _read(path, self.batches(reader, range(start, stop), names, most)):
                    for part in (batch.slice(at, most) for at in range(0, len(batch), most)):
                        columns = {leaf.name: arrow.column(part, leaf) for leaf in taken}
                        yield columns, np.arange(place, place + len(part)), Shown(columns)
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
    def open(file, names: Sequence[str], group: int):
        from pyarrow.parquet import ParquetFile
        size = min(max(BUFFERS // max(len(names), 1), BUFFER[0]), BUFFER[1])
        reader = ParquetFile(file, buffer_size=size, pre_buffer=False, page_checksum_verification=True)
        columns = [reader.schema.column(i) for i in range(len(reader.schema))] if names else []
        texts = {i: own.path for i, own in enumerate(columns) if own.physical_type == "BYTE_ARRAY" and own.path in names}
        if not texts:
            return reader
        next(reader.iter_batches(1, [group], [*texts.values()], use_threads=False), None)   # metadata that is damaged would end the process below
        chunks = map(reader.metadata.row_group(group).column, texts)
        return ParquetFile(file, metadata=reader.metadata, buffer_size=size, pre_buffer=False, page_checksum_verification=True, read_dictionary=[
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
        groups = [reader.metadata.row_group(i) for i in groups], [*groups]
        wide = max(group.total_byte_size // max(group.num_rows, 1) for group in groups[0])
        return reader.iter_batches(max(1, min(rows, BYTES // max(wide, 1))), groups[1], names, use_threads=False)


@dataclass(frozen=True, kw_only=True)
class Orc(Columnar):
    """ORC: a group is a stripe, which is read as one."""
    kind = "orc"

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        return first.startswith(b"ORC") or path.endswith(".orc")

    @staticmethod
    def open(file, names: Sequence[str], group: int):
        from pyarrow.orc import ORCFile
        made = ORCFile(file)
        footer = dict(fields(made.reader.serialized_file_tail()))[FOOTER]
        digits = max(dict(fields(kind)).get(PRECISION, 0) for number, kind in fields(footer) if number == TYPE)
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


@contextmanager
def _opened(form: type[Columnar], path: str) -> Iterator:
    with opened(path) as file:
        with reading(path):
            reader = form.open(file, (), 0)
        yield reader


def _read(path: str, batches: Iterable) -> Iterator:
    with reading(path):
        yield from batches


def _promised(path: str, found: int, promised: int) -> None:
    demand(found == promised, f"{path}: is damaged: up to here {found:,} rows, but its metadata promises {promised:,}")
