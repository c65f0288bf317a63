"""Parquet and ORC: groups of rows in files, of which a mapper reads the columns that it needs."""
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np

from mrdl.data.readers.columns import one, ordered
from mrdl.data.readers.tabular import Tabular
from mrdl.data.records import Records
from mrdl.data.schema import Wanted
from mrdl.data.sources import DataError, demand, readable
from mrdl.data.tables.table import Table
from mrdl.data.tables.words import Words
from mrdl.printing import few
from mrdl.storage.paths import OPENERS, opened, size

VALUES = 1 << 19                # fields that are taken at once
BYTES = 16 << 20                # of them, as far as is known before; and of a span
BUFFER = 1 << 18                # bytes of a column of Parquet that are read at once
CODE = 1.5                      # bytes of a string in Parquet, below which it is the number of one of few
FEATURES = 1 << 23              # features that are made at once, at most: 64 MB


@dataclass(frozen=True, kw_only=True)
class Columnar(Tabular):
    """Rows of columns in files that pyarrow reads, in groups: a span is some groups that follow each other."""
    unit = "row"
    packages = ("pyarrow",)
    bare = plain = False        # a table says what is made of columns
    order: list                 # the places of the features' columns; none where a table says what is made of them
    counts: list                # of each file the rows of each group

    @staticmethod
    @abstractmethod
    def open(file):
        """pyarrow's reader of an open file."""

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
    def batches(reader, groups: range, names: list[str], rows: int) -> Iterator:
        """The named columns of groups as record batches of so many rows at most, where the form can give them so."""

    def by(self, table: Table, kept=()) -> "Columnar":
        return replace(super().by(table, kept), order=[])

    def only(self, numbers: list[int]) -> "Columnar":
        return replace(super().only(numbers), counts=[self.counts[number] for number in numbers])

    def features(self) -> list[str]:
        return super().features() if self.table else [self.columns[i] for i in self.order]

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

    def words(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, "Shown"]]:
        """The fields of spans by column; a row's place is its number in the file."""
        from mrdl.data.readers import arrow
        records.unit = self.unit
        most = max(1, min(VALUES // max(len(self.needed), 1), FEATURES // max(len(self.features()), 1)))
        for line in lines:
            index, start, stop = map(int, line.split(b"\t"))
            records.file = path = self.files[index]
            place = sum(self.counts[index][:start])
            with _opened(type(self), path) as reader:
                found = {leaf.name: leaf for leaf, _ in arrow.leaves(self.schema(reader))}
                taken = [found[name] for name in self.needed]
                names = [*dict.fromkeys(".".join(leaf.fields) for leaf in taken)]
                for batch in _read(path, self.batches(reader, range(start, stop), names, most)):
                    for part in (batch.slice(at, most) for at in range(0, len(batch), most)):
                        columns = {leaf.name: arrow.column(part, leaf) for leaf in taken}
                        yield columns, np.arange(place, place + len(part)), Shown(columns)
                        place += len(part)

    @classmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> "Columnar":
        demand(wanted.header is None and wanted.delimiter is None,
               f"{paths[0]}: names its columns itself: leave out header and delimiter")
        try:
            arrow = import_module("mrdl.data.readers.arrow")
        except ModuleNotFoundError:
            raise DataError(f"{paths[0]}: to read {cls.kind} files: pip install 'mrdl[arrow]'") from None
        columns, counts, notes = [], [], []
        for path in paths:
            demand(not path.endswith(tuple(OPENERS)), f"{path}: {cls.kind} files are compressed inside: unpack this one")
            with _opened(cls, path) as reader, readable(path):
                found, rows = [*arrow.leaves(cls.schema(reader))], cls.sizes(reader)
            names = [leaf.name for leaf, unused in found if not unused]
            if not columns:
                columns, first = names, path
                notes += [f"column {leaf.name!r} is left out: its values are {unused}" for leaf, unused in found if unused]
                demand(bool(columns), f"{path}: no column has values that can be used: {'; '.join(notes) or 'it has none'}")
            lacking, more = ([name for name in some if name not in others] for some, others in ((columns, names), (names, columns)))
            demand(not lacking, f"{path}: has no column {few(lacking)}, and {first} has: all inputs must agree")
            if more:
                notes.append(f"left out, as {first} does not have them: {few(more)} of {path}")
            counts.append(rows)
        demand(wanted.loose or any(map(sum, counts)), f"{paths[0]}: no rows" + f", nor in {len(paths) - 1} more inputs" * (len(paths) > 1))
        columns += wanted.partitions
        label, weight = one(wanted.label, columns, "label"), one(wanted.weight, columns, "weight")
        demand(label is None or label != weight,
               f"column {label!r} is named both for the label and for the weight: they must be two columns")
        taken = {name: what for name, what in ((label, "the label"), (weight, "the weight")) if name is not None}
        order, more = ordered(paths[0], columns, True, taken, wanted)
        return cls(files=paths, columns=columns, shape=[len(order)], target=None if label is None else [], label=label,
                   weight=weight, named=True, notes=notes + more, order=order, counts=counts, partitions=list(wanted.partitions))


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
        metadata = ParquetFile(file).metadata
        first = metadata.row_group(0) if metadata.num_row_groups else None
        chunks = [first.column(i) for i in range(first.num_columns)] if first else []
        return ParquetFile(file, metadata=metadata, buffer_size=BUFFER, pre_buffer=False, read_dictionary=[
            chunk.path_in_schema for chunk in chunks if chunk.physical_type == "BYTE_ARRAY" and chunk.has_dictionary_page
            and chunk.total_uncompressed_size < CODE * chunk.num_values])

    @staticmethod
    def schema(reader):
        return reader.schema_arrow

    @staticmethod
    def sizes(reader) -> list[int]:
        return [reader.metadata.row_group(i).num_rows for i in range(reader.metadata.num_row_groups)]

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
    def open(file):
        from pyarrow.orc import ORCFile
        return ORCFile(file)

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
    def batches(reader, groups: range, names: list[str], rows: int) -> Iterator:
        return (reader.read_stripe(i, names) for i in groups)


class Shown:
    """The text of rows, made where it is asked for."""

    def __init__(self, columns: dict[str, Words]):
        self.columns = columns

    def __getitem__(self, i: int) -> bytes:
        return b", ".join(column[i] for column in self.columns.values())


@contextmanager
def _opened(form: type[Columnar], path: str) -> Iterator:
    with opened(path) as file:
        with readable(path):
            reader = form.open(file)
        yield reader


def _read(path: str, batches: Iterable) -> Iterator:
    with readable(path):
        yield from batches
