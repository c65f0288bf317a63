"""What the user says of a table's columns; they are named by their names, or by their numbers."""
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from shlex import quote
from typing import Any

from mrdl.config import several
from mrdl.data.sources import DataError
from mrdl.data.tables.kinds import KINDS, Categorical, Label, Numeric, Weight
from mrdl.data.tables.words import USUAL, Notation
from mrdl.printing import alike, few
from mrdl.storage.sealed import shown

LABELS = Label.kind, Numeric.kind, Categorical.kind     # that a label can be asked to be


@dataclass(frozen=True)
class Asked:
    """What the user says of columns.

    Args:
        label: the column to predict.
        weight: that of the rows' weights.
        ids: columns that name a row.
        drop: columns to leave out.
        columns: the features; None: all that are nothing else.
        kinds: of columns, the name of a kind, or what schema.json would say of it.
        missing: words for missing values, beside the usual ones.
        group: the column of which rows with one value are held out together; an id, where nothing else is said of it.
        amount: whether a label that looks like a number is one, and no name of a class.
        decimal: what stands before the fraction of numbers; None: as they look."""
    label: str | None = None
    weight: str | None = None
    ids: Sequence[str] = ()
    drop: Sequence[str] = ()
    columns: Sequence[str] | None = None
    kinds: Mapping[str, str | dict[str, Any]] = field(default_factory=dict)
    missing: Sequence[str] = ()
    group: str | None = None
    amount: bool = False
    decimal: str | None = None

    def __post_init__(self):
        for name in ("ids", "drop", "columns", "missing"):
            object.__setattr__(self, name, several(getattr(self, name)))

    def among(self, names: list[str]) -> "Asked":
        """The same of columns that are given by their names, or by their numbers from 0 (-1 is the last one); DataError as of
        `check`."""
        def named(some: Iterable[Any]) -> list[str]:
            return [column(name, names) for name in some]
        label, weight, group = (None if name is None else column(name, names) for name in (self.label, self.weight, self.group))
        found = replace(self, label=label, weight=weight, group=group, ids=named(self.ids), drop=named(self.drop),
                        columns=None if self.columns is None else named(self.columns),
                        kinds=dict(zip(named(self.kinds), self.kinds.values())))
        found.check(names)
        return found

    def check(self, names: Iterable[str]) -> None:
        """DataError names all columns that are not there, or several times, all that are asked to be several things, and all whose
        kinds cannot be what is asked."""
        count = Counter(list(names))
        roles: dict[str, list[str]] = {}
        for role, some in (("the label", [self.label]), ("the weight", [self.weight]), ("an id", self.ids),
                           ("dropped", self.drop), ("a feature", self.columns or [])):
            for name in some:
                if name is not None:
                    roles.setdefault(name, []).append(role)
        lost = sorted({*roles, *self.kinds, *([] if self.group is None else [self.group])} - {*count})
        wrong = [f"no column {few(lost)}{alike(lost, list(count))}; there are {few(list(count))}"] if lost else []
        wrong += [f"column {name!r} is asked to be {' and '.join(some)}" for name, some in roles.items() if len(some) > 1]
        twice = [name for name in (count if self.columns is None else roles) if count[name] > 1 and name not in self.drop]
        if twice:
            wrong.append(f"several columns have the name {few(twice)}: give each a name of its own, or leave them out with: --drop "
                         f"{quote(twice[0])}; if the first line is a row: --header no")
        for name, given in self.kinds.items():
            try:
                self._check_kind(name, {"kind": given} if isinstance(given, str) else given)
            except DataError as error:
                wrong.append(f"column {name!r}: {error}")
        if wrong:
            raise DataError("\n".join(wrong))

    def _check_kind(self, name: str, given: Mapping[str, Any]) -> None:
        """DataError where what is said of a column makes no sense, whatever it holds."""
        fields = {**given}
        kind = fields.pop("kind", None)
        if kind is None:
            return
        if type(kind) is not str or kind not in KINDS:
            raise DataError(f"kind is {shown(kind)}; there are {', '.join(KINDS)}")
        for role, own, may in (("label", self.label, LABELS), ("weight", self.weight, (Weight.kind,))):
            if name == own and kind not in may:
                raise DataError(f"is named for the {role}, so its kind can be {' or '.join(may)}, not {kind}")
        KINDS[Label.kind if name == self.label else kind].given(fields)

    def written(self) -> dict[str, Notation]:
        """Of the columns of which the user says how their numbers are written, how."""
        found = {}
        for name, given in self.kinds.items():
            said = {key: given[key] for key in Notation._fields if key in given} if isinstance(given, Mapping) else {}
            if said:
                said = {"decimal": self.decimal or USUAL.decimal} | said
                with suppress(DataError):       # which `infer` gives, with all others
                    found[name] = Numeric(missing="refuse", **Numeric.given(said)).notation
        return found


def column(wanted: Any, names: list[str]) -> str:
    """The name of a column that is given by its name or number; by that which pandas gives it, where it has none. As it is
    given, where there is no such column."""
    name = str(wanted)
    if name not in names and re.fullmatch(r"-?\d+", name) and -len(names) <= int(name) < len(names):
        return names[int(name)]
    if name not in names:
        return next((other for i, other in enumerate(names) if {other, name} == {"", f"Unnamed: {i}"}), name)
    return name
