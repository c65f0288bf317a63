"""What forms of input have in common whose files declare their columns and the types of these."""
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import ClassVar

from mrdl.data.readers.tabular import Tabular
from mrdl.data.schema import Wanted
from mrdl.data.sources import DataError, demand
from mrdl.data.tables.words import Words
from mrdl.printing import few
from mrdl.storage.paths import OPENERS

FEATURES = 1 << 22              # that are made at once, at most: 32 MB


@dataclass(frozen=True, kw_only=True)
class Declared(Tabular):
    """Rows of columns with names and types; a package reads them, span by span."""
    extra: ClassVar[str]        # of mrdl, that brings the package
    counts: list                # of each file how much there is in each of its parts

    @classmethod
    @abstractmethod
    def seen(cls, path: str) -> tuple[list[tuple[str, str]], list[int]]:
        """The names of a file's columns, and of those that cannot be used what their values are; and its counts."""

    def only(self, numbers: list[int]) -> "Declared":
        return replace(super().only(numbers), counts=[self.counts[number] for number in numbers])

    @classmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> "Declared":
        demand(not wanted.of_text, f"{paths[0]}: names its columns itself: leave out {', '.join(wanted.of_text)}")
        try:
            import_module(cls.packages[0])
        except ModuleNotFoundError:
            raise DataError(f"{paths[0]}: to read {cls.kind} files: pip install 'mrdl[{cls.extra}]'") from None
        columns, counts, notes = [], [], []
        for path in paths:
            demand(not path.endswith(tuple(OPENERS)), f"{path}: {cls.kind} files are compressed inside: unpack this one")
            found, rows = cls.seen(path)
            names = [name for name, unused in found if not unused]
            if not columns:
                columns, first = names, path
                notes += [f"column {name!r} is left out: its values are {unused}" for name, unused in found if unused]
                demand(bool(columns), f"{path}: no column has values that can be used: {'; '.join(notes) or 'it has none'}")
            lacking, more = ([name for name in some if name not in others] for some, others in ((columns, names), (names, columns)))
            demand(not lacking, f"{path}: has no column {few(lacking)}, and {first} has: all inputs must agree")
            if more:
                notes.append(f"left out, as {first} does not have them: {few(more)} of {path}")
            counts.append(rows)
        demand(wanted.loose or any(map(sum, counts)), f"{paths[0]}: no rows" + f", nor in {len(paths) - 1} more inputs" * (len(paths) > 1))
        columns += wanted.partitions
        return cls(files=paths, columns=columns, shape=[len(columns)], named=True, notes=notes, counts=counts,
                   partitions=list(wanted.partitions))


class Shown:
    """The text of rows, made where it is asked for."""

    def __init__(self, columns: dict[str, Words]):
        self.columns = columns

    def __getitem__(self, i: int) -> bytes:
        return b", ".join(column[i] for column in self.columns.values())


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns what a package raises at damaged bytes, which may be anything, into a DataError. What a disk or the network raises has a
    number."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
