"""Rows of text in the order of their lines, those that cannot be read too, each with the reason."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mrdl.data.records import Records
from mrdl.data.rows import as_stored
from mrdl.data.sparse import Csr
from mrdl.data.tables.table import Table
from mrdl.data.tables.words import Words


class Kept(Records):
    """Keeps the rows that are rejected, until they are taken."""

    def __init__(self, file: str = "", start: int = 0, called: Callable[[str], str] = str):
        super().__init__(file, start, called)
        self.lost: list[tuple[int, str]] = []       # where the row begins, and what is wrong with it

    def reject(self, reason: str, detail: str, offset: int, line: bytes) -> None:
        super().reject(reason, detail, offset, line)
        self.lost.append((int(offset), f"{reason} ({detail})"))

    def taken(self) -> list[tuple[int, str]]:
        lost, self.lost = self.lost, []
        return lost


@dataclass(frozen=True)
class Ordered:
    """n rows in the order in which they were read.

    Args:
        starts: int64[n], where each begins in its file.
        errors: of each row why it cannot be used; "": it can.
        x: the features of those that can, in the dtype that was asked for.
        rest: float64[rows that can be used, y w].
        columns: the fields by column, of the rows that have fields.
        parsed: the places of these rows."""
    starts: np.ndarray
    errors: list[str]
    x: np.ndarray | Csr
    rest: np.ndarray
    columns: dict[str, Words]
    parsed: np.ndarray

    def words(self, column: str) -> Words:
        """The fields of a column; an empty one of a row that has none."""
        return self.columns[column].spread(self.parsed, len(self.errors))

    def texts(self, column: str) -> list[str]:
        """The fields of a column; "" of a row that has none."""
        return self._of_all(self.columns[column].texts(), "")

    def json(self, column: str) -> list[str]:
        """The fields of a column as JSON; null of a row that has none."""
        return self._of_all(self.columns[column].json(), "null")

    def _of_all(self, parsed: list[str], nothing: str) -> list[str]:
        found = [nothing] * len(self.errors)
        for i, field in zip(self.parsed.tolist(), parsed):
            found[i] = field
        return found


#: which rows are wrong by their label and weight, float64[n, y w]: (reason, bool[n]) of each rule
Rules = Callable[[np.ndarray], Iterable[tuple[str, np.ndarray]]]


def in_order(schema, records: Kept, lines: Iterable[bytes], dtype: np.dtype, rules: Rules | None = None) -> Iterator[Ordered]:
    """The rows in lines of a file, by the table of its schema. `rules`: for labels and weights; None: these are not wanted."""
    for columns, starts, batch in schema.rows(records, lines):
        yield encoded(schema.made, records, columns, starts, batch, dtype, rules)


def encoded(table: Table, records: Kept, columns: dict[str, Words], starts: np.ndarray, batch: Sequence[bytes], dtype: np.dtype,
            rules: Rules | None = None) -> Ordered:
    """Rows of words that begin at `starts` and read `batch`, and those that `records` has lost beside them, in order."""
    lost = records.taken()
    made = table.encode(columns, rules is not None, table.sparse, apart=True)
    records.unseen.update(dict(made.unseen))
    reasons = [""] * len(starts)
    for i, reason in records.refused(made, starts, batch).items():
        reasons[i] = reason
    good = made.wrong == 0
    (x, *_, fits), beside = as_stored(made.x, dtype), made.rest + 0.0
    for reason, odd, told in ((f"beyond {dtype.name}", ~fits,
                               lambda i: f"feature {table.feature(_infinite(x, i))!r}"),
                              *((reason, odd, lambda i: ", ".join(f"{value:g}" for value in beside[i]))
                                for reason, odd in (rules(beside) if rules else ()))):
        for i in np.flatnonzero(good & odd):
            records.reject(reason, told(i), starts[i], batch[i])
            reasons[i] = f"{reason} ({told(i)})"
        good &= ~odd
    records.taken()
    everywhere = np.concatenate([starts, np.array([start for start, _ in lost], "i8")]).astype("i8")
    order = np.argsort(everywhere, kind="stable")
    errors = reasons + [reason for _, reason in lost]
    return Ordered(everywhere[order], [errors[i] for i in order], x[good] if isinstance(x, Csr) else np.ascontiguousarray(x[good]), beside[good], columns,
                   np.argsort(order, kind="stable")[:len(starts)])


def _infinite(x: np.ndarray | Csr, i: int) -> int:
    """The first feature of row i that is not finite."""
    if not isinstance(x, Csr):
        return np.flatnonzero(~np.isfinite(x[i]))[0]
    row = x[i:i + 1]
    return row.ids[np.flatnonzero(~np.isfinite(row.values))[0]]
