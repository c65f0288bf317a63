"""The names of a table's columns in; out comes which of them are the label, the weight and the features."""
import re
from collections import Counter
from collections.abc import Sequence
from shlex import quote

from mrdl.data.readers.header import ROWS, Top
from mrdl.data.schema import Wanted
from mrdl.data.sources import DataError
from mrdl.printing import few


def ordered(path: str, names: list[str], named: bool, taken: dict[str, str], wanted: Wanted) -> tuple[list[int], list[str]]:
    """The places of the columns that make x, and what the user should know of those that do not. `taken`: what the columns
    that are none of x are."""
    dropped = {place for name in wanted.drop for place in _places(name, names, "drop")}
    both = {names[place] for place in dropped} & taken.keys()
    if both:
        raise DataError(f"column {min(both)!r} is named to be dropped, and for the label or the weight")
    free = [i for i, name in enumerate(names) if i not in dropped and name not in taken]
    count = Counter(names[i] for i in free)
    if wanted.like is None:
        twice = [name for name in count if count[name] > 1]
        if twice and not wanted.loose:
            raise DataError(f"{path}: several columns have the name {few(twice)}: give each a name of its own, or leave them "
                            f"out with: --drop {quote(twice[0])}")
        return free, []
    if not named:
        raise DataError(f"{path}: has no header, so its columns cannot be matched by name with those of --like; "
                        "if its first line has their names: --header yes")
    causes: dict[str, list[str]] = {}
    for name in wanted.like:
        if count[name] != 1:
            cause = ("several times here" if count[name] else f"{taken[name]} here" if name in taken else
                     "dropped here" if name in names else "missing here")
            causes.setdefault(cause, []).append(name)
    if causes:
        found = "; ".join(f"{few(some)} ({cause})" for cause, some in causes.items())
        raise DataError(f"{path}: the dataset of --like has columns that cannot be taken: {found}; there are {few(names)}")
    extra = [names[i] for i in free if names[i] not in wanted.like]
    return [next(i for i in free if names[i] == name) for name in wanted.like], [
        f"left out, as the dataset of --like does not have them: {few(extra)}"] if extra else []


def apart(path: str, names: list[str], partitions: Sequence[str]) -> None:
    """DataError where a folder of the file has the name of one of its columns."""
    if clash := [name for name in partitions if name in names]:
        raise DataError(f"{path}: {few(clash)} is the name of a column, and of a folder above the file ({clash[0]}=..): rename one of them")


def indices(found: Top, order: list[int]) -> bool:
    """Whether a column seems to number the rows."""
    rows = [row for row in found.rows if len(row) == len(found.names)]
    for i in order:
        values = [row[i] for row in rows]
        if re.fullmatch(r"(Unnamed: \d+)?", found.names[i]) or len(values) >= ROWS and all(
                re.fullmatch(r"\d{1,15}", value) for value in values) and all(
                int(value) == int(values[0]) + k for k, value in enumerate(values)):
            return True
    return False


def one(wanted: str | None, names: list[str], what: str) -> str | None:
    """The name of a column that no other has, by its name or number; None where none is wanted."""
    if wanted is None:
        return None
    name = names[_places(wanted, names, what)[0]]
    if names.count(name) > 1:
        raise DataError(f"{what}: several columns {name!r}; there are {few(names)}")
    return name


def _places(wanted: str, names: list[str], what: str) -> list[int]:
    """Where a column is: several places where several have its name. By its number too (-1 is the last); one without a
    name by that which pandas gives it."""
    name = str(wanted)
    found = [i for i, other in enumerate(names) if other == name]
    if not found and re.fullmatch(r"-?\d+", name) and -len(names) <= int(name) < len(names):
        found = [int(name) % len(names)]
    found = found or [i for i, other in enumerate(names) if {other, name} == {"", f"Unnamed: {i}"}]
    if not found:
        raise DataError(f"{what}: no column {name!r}; there are {few(names)}")
    return found
