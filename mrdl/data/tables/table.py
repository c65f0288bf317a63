"""The columns of a table by name, as schema.json has them; words in, the features of rows out."""
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mrdl.data.sources import DataError
from mrdl.data.sparse import Csr, beside_each_other
from mrdl.data.tables.form import checked
from mrdl.data.tables.kinds import DROPPED, KINDS, REASONS, UNSEEN, Id, Ignore, Kind, Label, Weight
from mrdl.data.tables.onehot import Apart
from mrdl.data.tables.words import Words
from mrdl.printing import alike, few
from mrdl.storage.sealed import OtherFormat, parsed, shown

SCHEMA = "schema.json"
FORMAT = 1
NAMED = 1 << 16                 # features, up to which they have names in a dataset
WIDE, SHARE = 1024, 4           # features, and how many times those that are not 0 in a row, above which rows are stored as these


class Reason(NamedTuple):
    """Why rows are not used."""
    text: str                   # "not a number"
    column: str
    dropped: bool               # the schema leaves such rows out: they are not bad


class Encoded(NamedTuple):
    """Rows as numbers."""
    x: np.ndarray | Csr | Apart         # float64[n, features]
    rest: np.ndarray            # float64[n, y w]: label and weight, where there are such columns
    wrong: np.ndarray           # int32[n]: 0: the row is good; k: reasons[k - 1] says why not, of its first wrong column
    reasons: list[Reason]
    unseen: tuple[tuple[str, int], ...] = ()    # columns, and how many rows have a value there that the schema does not know
    values: Mapping[int, bytes] = {}            # what those of the rows that are not good have in their first wrong column


@dataclass(frozen=True)
class Table:
    """What mrdl makes of the rows of a table.

    Args:
        columns: the kind of each by name, in the order of the features.
        form: how delimited input was written, for the reader of others (Form)."""
    columns: dict[str, Kind]
    form: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for kind in (Label, Weight):
            of = [name for name, column in self.columns.items() if isinstance(column, kind)]
            if len(of) > 1:
                raise DataError(f"there can be one {kind.kind}, but it is said of several columns: {few(of)}")
        if self.width >= 2**31:
            raise DataError(f"the columns become {self.width:,} features, and up to {2**31 - 1:,} are possible: hash to fewer")

    @cached_property
    def features(self) -> list[str]:
        """The names of x's columns, each another one."""
        return distinct([feature for name, kind in self.columns.items() for feature in kind.features(name)])

    def feature(self, i: int) -> str:
        """The name of feature i; where there are more than NAMED, not by the names of all."""
        if self.width <= NAMED:
            return self.features[i]
        for name, kind in self.columns.items():
            if i < kind.width:
                break
            i -= kind.width
        return kind.features(name)[i] if kind.width <= NAMED else f"{name}#{kind.first + i}"

    @cached_property
    def width(self) -> int:
        """How many features there are."""
        return sum(kind.width for kind in self.columns.values())

    @cached_property
    def active(self) -> int:
        """How many of them are not 0 in a row, at most."""
        return sum(kind.active for kind in self.columns.values())

    @property
    def sparse(self) -> bool:
        """Whether rows take less room where they hold only what is not 0."""
        return self.width > WIDE and self.width > SHARE * self.active

    def of(self, kind: type[Kind]) -> str | None:
        """The name of the column of a kind that there is once: Label, Weight."""
        return next((name for name, column in self.columns.items() if isinstance(column, kind)), None)

    @cached_property
    def label(self) -> str | None:
        return self.of(Label)

    @cached_property
    def weight(self) -> str | None:
        return self.of(Weight)

    def needed(self, rest: bool = True) -> list[str]:
        """The columns without which rows cannot be encoded; `rest`: the label and the weight too."""
        unused = (Id, Ignore) if rest else (Id, Ignore, Label, Weight)
        return [name for name, kind in self.columns.items() if not isinstance(kind, unused)]

    def match(self, names: list[str], where: str, rest: bool = True) -> list[str]:
        """The extra columns among an input's, which are ignored. DataError names all that are missing there, or several times
        there. `where`: the input, for the message."""
        needed = self.needed(rest)
        lost, twice = [n for n in needed if n not in names], [n for n in needed if names.count(n) > 1]
        features, label = [n for n in lost if n != self.label], [n for n in lost if n == self.label]
        causes = [f"{few(some)} ({cause})" for some, cause in (
            (features, "missing"), (label, "the label, missing"), (twice, "several times")) if some]
        if causes:
            raise DataError(f"{where}: its columns do not fit the schema: {'; '.join(causes)}{alike(lost, names)}; there are {few(names)}")
        return [name for name in names if name not in self.columns]

    def encode(self, columns: Mapping[str, Words], rest: bool = True, sparse: bool = False, apart: bool = False) -> Encoded:
        """The rows of some columns, of which those that the schema does not know are ignored. `rest`: with label and weight;
        without, rows that lack them are good. `sparse`: x is a Csr; `apart`: else it may be Apart."""
        names = self.needed(rest)
        sides = [name for name in (self.label, self.weight) if name in names]
        n = len(columns[names[0]]) if names else 0
        hot = {name for name in names if apart and not sparse and self.columns[name].one_hot}
        width = 0 if sparse else sum(self.columns[name].width for name in names if name not in hot)
        x, beside = np.empty((n, width), order="F"), np.empty((n, len(sides)), order="F")
        wrong, ones = np.zeros(n, "i4"), []
        parts, unseen, places = [], [], []
        at = 0
        for place, name in enumerate(names):
            kind = self.columns[name]
            if name in sides:
                codes = kind.encode(columns[name], beside[:, sides.index(name):sides.index(name) + 1])
            elif sparse and kind.width:
                part, codes = kind.sparse(columns[name])
                parts.append(part)
            elif name in hot:
                ids, codes = kind.places(columns[name])
                ones.append(np.where(ids < 0, -1, ids + at))
            else:
                codes = kind.encode(columns[name], x[:, len(places):len(places) + kind.width])
                places.extend(range(at, at + kind.width))
            at += kind.width
            if codes.any():
                if (new := codes == UNSEEN).any():
                    unseen.append((name, int(new.sum())))
                    codes[new] = 0
                first = (codes != 0) & (wrong == 0)
                wrong[first] = place * len(REASONS) + codes[first].astype("i4")
        if sparse:
            x = beside_each_other(parts)
        elif hot:
            x = Apart(x, np.array(places, "i8"), np.array(ones, "i4"), at)
        if not wrong.any():
            return Encoded(x, beside, wrong, [], tuple(unseen))
        found, index = np.unique(np.append(wrong, 0), return_inverse=True)
        reasons = [Reason(REASONS[code % len(REASONS)], names[code // len(REASONS)], code % len(REASONS) == DROPPED)
                   for code in found[1:].tolist()]
        index = index[:-1].astype("i4")
        values = {i: columns[reasons[index[i] - 1].column][i] for i in np.flatnonzero(index).tolist()}
        return Encoded(x, beside, index, reasons, tuple(unseen), values)

    def written(self, missing: Sequence[str] = (), decimal: str | None = None) -> "Table":
        """The same for values that are written otherwise: `missing` are more words that mean in any column that a value is missing,
        `decimal` is what stands before the fraction of numbers (None: as the columns say)."""
        return replace(self, columns={name: replace(kind, missing_words=(*kind.missing_words, *missing), **kind.marks(decimal))
                                      for name, kind in self.columns.items()})

    def dump(self) -> bytes:
        """schema.json: a line for each column; the same bytes for the same table."""
        lines = ",\n".join("  " + json.dumps({"name": name, **kind.config()}) for name, kind in self.columns.items())
        form = json.dumps(self.form, sort_keys=True)
        return f'{{"format": {FORMAT},\n "form": {form},\n "columns": [\n{lines}\n ]}}\n'.encode()

    @classmethod
    def load(cls, data: bytes, where: str = SCHEMA) -> "Table":
        """The table that a schema.json describes, which users may have edited.

        DataError has a line for each column in which something is wrong; OtherFormat: it is of another version of mrdl."""
        try:
            facts = parsed(data)
        except ValueError as error:
            raise DataError(f"{where}: cannot be read: {error}") from None
        if facts.get("format") != FORMAT:
            raise OtherFormat(f"{where}: format is {shown(facts.get('format'))}, and this version of mrdl reads {FORMAT}; make the schema "
                              "again with: mrdl describe INPUT.. --out schema.json")
        odd = sorted(set(facts) ^ {"format", "form", "columns"})
        if odd:
            raise DataError(f"{where}: has {'no' if odd[0] not in facts else 'an unknown'} {odd[0]!r}")
        if type(facts["form"]) is not dict or type(facts["columns"]) is not list:
            raise DataError(f"{where}: form must be an object, and columns a list")
        wrong = []
        try:
            checked(facts["form"])
        except ValueError as error:
            wrong.append(f"{where}: {error}")
        columns: dict[str, Kind] = {}
        for number, config in enumerate(facts["columns"], 1):
            name = config.get("name") if type(config) is dict else None
            if type(name) is not str:
                wrong.append(f"{where}: column {number} has no name")
            elif name in columns:
                wrong.append(f"{where}: column {name!r}: is there twice")
            else:
                columns[name] = Ignore()
                try:
                    columns[name] = kind_of({key: value for key, value in config.items() if key != "name"})
                except DataError as error:
                    wrong.append(f"{where}: column {name!r}: {error}")
        if wrong:
            raise DataError("\n".join(wrong))
        try:
            return cls(columns, facts["form"])
        except DataError as error:
            raise DataError(f"{where}: {error}") from None


def distinct(names: list[str]) -> list[str]:
    """The names; those that are there already get a number: a column "sex=m" beside the value "m" of "sex" is "sex=m (2)"."""
    known, found = set(names), {}
    if len(known) == len(names):
        return names
    for name in names:
        own, k = name, 1
        while own in found or k > 1 and own in known:
            k += 1
            own = f"{name} ({k})"
        found[own] = None
    return [*found]


def kind_of(config: dict[str, Any]) -> Kind:
    """The kind that one column of schema.json describes."""
    kind = config.get("kind")
    if type(kind) is not str or kind not in KINDS:
        raise DataError(f"kind is {shown(kind)}; there are {', '.join(KINDS)}" if "kind" in config else
                        f"kind is not given; there are {', '.join(KINDS)}")
    return KINDS[kind].from_config(config)
