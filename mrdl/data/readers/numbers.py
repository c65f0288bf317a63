"""Lines of numbers as programs write them: what a table makes of them, without a word in between."""
import numpy as np

from mrdl.data.readers.lines import EMPTY, GOOD, Fields, lines_of
from mrdl.data.readers.quoted import line_ends
from mrdl.data.tables.kinds import Kind, Label, Numeric
from mrdl.data.tables.kinds.base import Written
from mrdl.data.tables.table import Encoded, Table
from mrdl.data.tables.words import USUAL, Doubles, Words
from mrdl.kernels import cells, text

MANY = 0.25                     # share of lines that hold words, above which all are taken so


class Numbers:
    """Parses lines for a table of numbers, to the same bits as by their words; lines that hold anything else are taken by these.

    Args:
        fields: what parses lines that hold something else.
        table: what is made of the columns."""
    size, rows = 1 << 20, 1 << 14

    def __init__(self, fields: Fields, table: Table):
        self.fields, self.table, self.quick = fields, table, True
        needed, sides = table.needed(), [name for name in (table.label, table.weight) if name is not None]
        self.x = [name for name in needed if name not in sides]
        place = {name: i for i, name in enumerate([*self.x, *sides])}
        self.places = np.array([place.get(name, -1) for name in fields.columns], np.intc)
        self.width = len(place)
        self.at, odd = place, {name: table.columns[name] for name in place if not _as_it_is(table.columns[name])}
        affine = {name: kind.affine for name, kind in odd.items() if isinstance(kind, Numeric) and kind.affine is not None}
        self.shift, self.by = np.array([affine.get(name, (0.0, 1.0)) for name in place]).reshape(-1, 2).T.copy()
        self.others, self.unlike = Table({name: kind for name, kind in odd.items() if name not in affine}), Table(odd)

    @staticmethod
    def possible(table: Table, delimiter: str) -> bool:
        """Whether a table's rows can be read so."""
        return delimiter.encode() not in text.NO_DELIMITERS and all(_numeric(table.columns[name]) for name in table.needed())

    def parse(self, lines: Words) -> tuple[Encoded, np.ndarray, np.ndarray]:
        """What the table makes of them."""
        values, codes = np.empty((len(lines), self.width)), np.full(len(lines), text.NUMBER, np.intc)
        if self.quick:
            text.parse(lines.data, ord(self.fields.delimiter), self.places, values, codes)
        self.worded = np.flatnonzero(codes > EMPTY)
        self.quick = self.quick and len(self.worded) <= MANY * len(lines)
        values[codes != GOOD] = 0
        made = self._made(values)
        odd = codes > EMPTY
        if len(self.worded):
            some = b"\n".join([*lines.take(self.worded), b""])
            words, codes[self.worded], _ = self.fields.parse(lines_of(some, line_ends(some)))
            good = codes[self.worded] == GOOD
            made = _with(made, self.worded[good], self.table.encode(dict(zip(self.fields.columns, self.fields.some(words, good)))))
        return made, codes, odd

    def _made(self, values: np.ndarray) -> Encoded:
        """Of float64[n, features and rest]."""
        scaled, others = values, self.others
        if len(self.unlike.columns) > len(others.columns):
            scaled = np.empty_like(values)
            if not cells.scale(values, self.shift, self.by, scaled):
                others = self.unlike
        made = Encoded(scaled[:, :len(self.x)], scaled[:, len(self.x):], np.zeros(len(values), "i4"), [])
        if others.columns:
            places = [self.at[name] for name in others.columns]
            own = others.encode({name: Doubles(values[:, i].copy()) for name, i in zip(others.columns, places)})
            made.x[:, [i for i in places if i < len(self.x)]] = own.x
            made.rest[:, [i - len(self.x) for i in places if i >= len(self.x)]] = own.rest
            made = own._replace(x=made.x, rest=made.rest)
        return made

    def told(self, i: int) -> tuple[str, str]:
        return self.fields.told(int(np.searchsorted(self.worded, i)))

    def some(self, found: Encoded, good: np.ndarray) -> Encoded:
        values = found.values and {place: found.values[i] for place, i in enumerate(np.flatnonzero(good).tolist()) if i in found.values}
        return found._replace(x=found.x[good], rest=found.rest[good], wrong=found.wrong[good], values=values)


def _numeric(kind: Kind) -> bool:
    """Whether all numbers of a column, and no words but those for missing values, can become one feature, or what stands
    beside features."""
    return (isinstance(kind, Written) and kind.notation == USUAL and not kind.numeric_words and len(kind.features("")) <= 1
            and not (isinstance(kind, Label) and kind.named))


def _as_it_is(kind: Written) -> bool:
    """Whether a number stays what it is."""
    return getattr(kind, "scale", "none") == "none" and not getattr(kind, "classes", ())


def _with(made: Encoded, rows: np.ndarray, others: Encoded) -> Encoded:
    """With some rows replaced."""
    made.x[rows], made.rest[rows] = others.x, others.rest
    made.wrong[rows] = np.where(others.wrong, others.wrong + len(made.reasons), 0)
    return made._replace(reasons=made.reasons + others.reasons, values={**made.values, **{int(rows[i]): value for i, value in others.values.items()}})
