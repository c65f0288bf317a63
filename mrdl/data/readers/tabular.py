"""What forms of input with columns have in common: a table makes features of their fields."""
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import Any

import numpy as np

from mrdl.data.records import Records
from mrdl.data.rows import Rows
from mrdl.data.schema import Recognised
from mrdl.data.tables.table import Table
from mrdl.data.tables.words import Words


@dataclass(frozen=True, kw_only=True)
class Tabular(Recognised):
    """Rows of fields in columns."""
    tabular = True
    table: str = ""             # schema.json, by which fields become numbers; "": not decided yet

    @abstractmethod
    def words(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, list[bytes]]]:
        """Of the good rows in a mapper's lines the fields by column, where each row begins in its file, and its text, for samples;
        bad ones go to records.reject."""

    @cached_property
    def made(self) -> Table:
        """What is made of the columns."""
        return Table.load(self.table.encode())

    def by(self, table: Table) -> "Tabular":
        """The same files, read by a table."""
        label, weight = table.label, table.weight
        return replace(self, table=table.dump().decode(), shape=[len(table.features)], target=None if label is None else [],
                       label=label, weight=weight)

    def features(self) -> list[str]:
        return self.made.features if self.table else [name for name in self.columns if name not in (self.label, self.weight)]

    def classes(self) -> int | None:
        label = self.made.columns[self.label] if self.table and self.label is not None else None
        return len(label.classes) or None if label else None

    def left_out(self) -> list[str]:
        """The columns that are neither features nor label nor weight."""
        kept = {*self.features(), self.label, self.weight}
        return [name for name in self.columns if name not in kept]

    def decides(self) -> list:
        return [self.table]

    def described(self, facts: dict) -> dict[str, Any]:
        return {**super().described(facts), "table": json.loads(self.table) if self.table else None}

    def read(self, rows: Rows, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Each row by the table."""
        for columns, starts, batch in self.words(rows, lines):
            x, rest, wrong, reasons = self.made.encode(columns)
            rows.refused(wrong, reasons, starts, batch)
            good = wrong == 0
            if not good.all():
                x, rest, starts, batch = x[good], rest[good], starts[good], list(compress(batch, good))
            yield from rows.encoded(x, rest, starts, batch)
