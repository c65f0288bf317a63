"""What forms of input with columns have in common: a table makes features of their fields."""
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any, ClassVar

import numpy as np

from mrdl.data.readers.encoding import WIDE
from mrdl.data.readers.lines import first_line
from mrdl.data.records import Records
from mrdl.data.rows import Batch, Rows, Some
from mrdl.data.schema import Recognised
from mrdl.data.sources import readable
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.inference import Inferred, infer
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.table import NAMED, Encoded, Table
from mrdl.data.tables.words import MISSING, Words
from mrdl.storage.partitions import values
from mrdl.storage.paths import opened
from mrdl.storage.pieces import Lines, read_lines

NONE = {word.encode() for word in MISSING}      # of a group


@dataclass(frozen=True, kw_only=True)
class Tabular(Recognised):
    """Rows of fields in columns."""
    tabular = True
    scored: ClassVar[str] = "csv"       # the format of scores, where the user does not say it
    delimiter: ClassVar[str] = ","      # of scores from a pipe, as CSV
    table: str = ""             # schema.json, by which fields become numbers; "": not decided yet
    kept: list = field(default_factory=list)    # columns that are wanted beside those of the table
    group: str | None = None    # the column of which rows with one value are held out together
    partitions: list = field(default_factory=list)      # the last columns: what they hold is in the names of a file's folders
    form: dict = field(default_factory=dict)    # how the files are written: a Form

    @property
    def encoding(self) -> str:
        """Of text; "" for UTF-8."""
        return self.form.get("encoding", "")

    @property
    def whole(self) -> bool:
        return self.encoding in WIDE

    @property
    def own(self) -> list[str]:
        """The columns that the files themselves have."""
        return self.columns[:len(self.columns) - len(self.partitions)]

    @abstractmethod
    def words(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, Sequence[bytes]]]:
        """Of the good rows in a mapper's lines the fields of each own column, where each row begins in its file, and its text, for
        samples; bad ones go to records.reject."""

    def rows(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, Sequence[bytes]]]:
        """The same, with the partitions' columns."""
        for columns, starts, batch in self.words(records, lines):
            yield columns | self.folders(records, len(starts)), starts, batch

    def folders(self, records: Records, n: int) -> dict[str, Words]:
        """The partitions' columns of n rows."""
        found = values(records.file) if self.partitions else {}
        zeros = np.zeros(n, "i8")
        return {name: Words(found[name], zeros, zeros + len(found[name])) for name in self.partitions}

    def apart(self, records: Records, lines: Iterable[bytes], label: str | None) -> Iterator[tuple[dict[str, Words], Words | None, int]]:
        """The fields of `rows` for what looks at each column alone: some or all columns of some rows, the labels of these rows, and how
        many of them come for the first time. Files that hold each column apart give few columns at a time."""
        for columns, starts, _ in self.rows(records, lines):
            yield columns, columns.get(label), len(starts)

    @classmethod
    def arriving(cls, where: str, top: bytes, columns: Sequence[str], delimiter: str | None, known: Table | None = None) -> "Tabular":
        """The schema of a pipe, of a form that is by_lines.

        Args:
            where: the pipe, for messages.
            top: its lines up to the first one that is neither blank nor a comment; b"" where `columns` are given.
            columns: what the user says that they are.
            delimiter: and what stands between fields.
            known: the table that it is to fit, which may say that."""
        raise NotImplementedError           # each form that is by_lines has its own; a pipe is of no other form

    def beyond(self, names: Sequence[str]) -> "Tabular":
        """The same input, with those columns of `names` that may be there though its first rows do not have them."""
        return self

    @cached_property
    def made(self) -> Table:
        """What is made of the columns."""
        return Table.load(self.table.encode())

    def by(self, table: Table, kept: Sequence[str] = ()) -> "Tabular":
        """The same files, read by a table. `kept`: columns whose fields are wanted as they are."""
        label, weight = table.label, table.weight
        return replace(self, table=table.dump().decode(), shape=[table.width], target=None if label is None else [],
                       label=label, weight=weight, kept=list(kept))

    @property
    def surveyed(self) -> "Tabular":
        """The same input, with the columns by whose statistics it is known what to make of it."""
        return self

    def inferred(self, statistics: Mapping[str, Statistics], asked: Asked) -> Inferred:
        """What is made of the columns, by those statistics."""
        return infer(statistics, asked)

    @cached_property
    def needed(self) -> list[str]:
        """The own columns whose fields are wanted."""
        wanted = {*self.made.needed(), *self.kept} if self.table else self.columns
        return [name for name in self.own if name in wanted]

    def here(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Of each file its path, and what a mapper that reads all of it gets: its lines, or those that name spans."""
        if self.by_lines:
            yield from ((path, Lines(_pieces(path))) for path in self.files)
        else:
            for index, spans in groupby(self.spans(), lambda span: span[0][0]):
                yield self.files[index], (b"%d\t%d\t%d" % places for places, _ in spans)

    def types(self, names: Sequence[str]) -> dict[str, str]:
        """Arrow's types of those of the columns that the files declare as numbers."""
        return {}

    def mark(self, file: str) -> int:
        """How many bytes of a file come before the first one that counts in the places of rows."""
        return first_line(file, 0)[1] if self.by_lines and file else 0

    def features(self) -> list[str]:
        if self.table and self.made.width > NAMED:
            return []
        return self.made.features if self.table else self.columns

    @property
    def room(self) -> int:
        """How many numbers are made of a row."""
        if not self.table:
            return len(self.features())
        return self.made.active if self.sparse else self.made.width

    @property
    def mostly_zero(self) -> bool:
        return bool(self.table) and self.made.sparse

    def classes(self) -> int | None:
        label = self.made.columns[self.label] if self.table and self.label is not None else None
        return len(label.classes) or None if label else None

    def decides(self) -> list:
        table = replace(self.made, form={}).dump().decode()     # the rows are the same, however the schema was found
        return [table, *[{"group": self.group}] * (self.group is not None), *[{"encoding": self.encoding}] * bool(self.encoding)]

    def described(self, facts: dict) -> dict[str, Any]:
        return {**super().described(facts), "table": json.loads(self.table) if self.table else None}

    def made_of(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[Encoded, np.ndarray, Sequence[bytes], Words | None]]:
        """What the table makes of `rows`, where each begins, its text, and of which group it is."""
        for columns, starts, batch in self.rows(records, lines):
            yield self.made.encode(columns, sparse=self.sparse, apart=True), starts, batch, None if self.group is None else columns[self.group]

    def read(self, rows: Rows, lines: Iterable[bytes]) -> Iterator[Batch]:
        """Each row by the table."""
        for made, starts, batch, groups in self.made_of(rows, lines):
            x, rest, good = made.x, made.rest, made.wrong == 0
            rows.unseen.update(dict(made.unseen))
            rows.refused(made, starts, batch)
            if not good.all():
                x, rest, starts, batch = x[good], rest[good], starts[good], Some(batch, np.flatnonzero(good))
                groups = groups and groups.take(good)
            yield from rows.encoded(x, rest, starts, batch, groups and [b"" if word in NONE else word for word in groups])


def _pieces(path: str) -> Iterator[bytes]:
    with opened(path) as file, readable(path):
        yield from read_lines(file).pieces
