"""What the rows of inputs look like, the same for every input."""
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mrdl.data import blocks
from mrdl.data.sources import demand
from mrdl.data.sparse import uncanonical
from mrdl.data.tables.words import Words
from mrdl.kernels import rows as kernel
from mrdl.storage import packing
from mrdl.storage.partitions import within

if TYPE_CHECKING:
    from mrdl.data.rows import Batch, Rows
    from mrdl.data.tables.table import Table


FIRST = 512                     # bytes of a file that tell its form
WRITTEN = ("header", "delimiter", "decimal", "skip")


@dataclass(frozen=True)
class Wanted:
    """What the user says of the inputs of rows."""
    label: str | None = None    # the column or array
    weight: str | None = None
    header: bool | None = None  # of a text, whether there is one; None: as the lines look
    delimiter: str | None = None                # of a text; None: as the lines look
    decimal: str | None = None  # of a text, before the fraction of numbers; None: as they look
    skip: int | None = None     # lines above the header of each text; None: there are none
    loose: bool = False         # whether there may be no rows
    multiline: bool = False     # whether quoted fields of a text may go on over several lines
    partitions: Sequence[str] = ()              # columns that the files' folders have: the last ones
    encoding: str = ""          # of a text; "": UTF-8

    @property
    def spoken(self) -> dict[str, str]:
        """The part of a text's form that JSON lines have too."""
        return {"encoding": self.encoding} if self.encoding else {}

    @property
    def of_text(self) -> list[str]:
        """What is said of how delimited text is written."""
        return [name for name in WRITTEN if getattr(self, name) is not None] + ["multiline"] * self.multiline


@dataclass(frozen=True, kw_only=True)
class Schema(ABC):
    """What a task must know to read the inputs: a class for each form of input (mrdl/data/readers)."""
    kind: ClassVar[str]
    by_lines: ClassVar[bool] = False    # a mapper gets lines of the files; else lines that name spans: file TAB start TAB stop
    tabular: ClassVar[bool] = False     # a table can make features of its columns (readers/tabular.py)
    by_content: ClassVar[bool] = False  # what the files hold decides the dataset's uid; else their names and sizes
    share: ClassVar[int] = 16 << 20     # bytes of spans, up to which they share a mapper
    unit: ClassVar[str] = "byte"        # what the place of a row in its file counts
    packages: ClassVar[tuple[str, ...]] = ()    # that tasks need to read it, beside those that they always have

    files: list                 # paths
    shape: list                 # of x, for one row
    target: list | None = None  # of y, for one row; None: there is no y
    columns: list = field(default_factory=list)
    label: str | None = None    # the column or array
    weight: str | None = None
    named: bool = False         # whether the columns have names of their own
    sparse: bool = False        # whether of rows only what is not 0 is stored
    notes: list = field(default_factory=list)   # what was decided about the input, for the user
    names: dict = field(default_factory=dict)   # of files that were made of pipes: what the user calls them

    @abstractmethod
    def read(self, rows: "Rows", lines: Iterable[bytes]) -> Iterator["Batch"]:
        """What rows.encoded makes of a mapper's lines; bad records go to rows.reject."""

    def decides(self) -> list:
        """What else of it, in JSON, decides which rows the dataset has."""
        return []

    def features(self) -> list[str]:
        """The names of x's columns, where there are columns; `named`: they are the user's own."""
        return []

    def classes(self) -> int | None:
        """How many classes y has, where the form says it."""
        return None

    def only(self, numbers: list[int]) -> "Schema":
        """The schema of some of the files, given by their numbers."""
        return replace(self, files=[self.files[number] for number in numbers])

    def copied(self, copy: Callable[[str], str]) -> "Schema":
        """The schema of copies of its files. `copy`: makes one, and gives its path."""
        copies = {path: copy(path) for path in self.files}
        return replace(self, files=[*copies.values()], names={copies[path]: self.name_of(path) for path in self.files})

    def name_of(self, file: str) -> str:
        """What the user calls a file that a task reads, where its path is that of a copy, or of what a pipe was written to."""
        if "://" in file and file not in self.files:    # a copy of a file of lines
            alike = [path for path in self.files if "://" not in path and within(path) == within(file)]
            file = alike[0] if len(alike) == 1 else file
        return self.names.get(file, file)

    def paths(self) -> list[str]:
        """All files, each once."""
        return self.files

    @property
    def whole(self) -> bool:
        """Whether one mapper must read all of a file."""
        return False

    @property
    def needs(self) -> tuple[str, ...]:
        """The packages of tasks that read these files."""
        return (*self.packages, *packing.packages(self.paths()))

    def spans(self) -> list[tuple[tuple[int, int, int], int]]:
        """((file, start, stop), bytes) of what a mapper reads at a time, where it is not by_lines."""
        raise NotImplementedError(f"{type(self).__name__} needs by_lines = True, or spans")

    @property
    def widths(self) -> tuple[int, int]:
        """How many numbers a row has in x; in y and its weight together."""
        y = 0 if self.target is None else prod(self.target)
        return prod(self.shape), y + (self.weight is not None)

    def unpacked(self, rows: Words, dtype: np.dtype) -> dict[str, np.ndarray]:
        """The arrays of rows, in the bytes that Rows.encoded made of them."""
        x = uncanonical(list(rows), prod(self.shape), dtype)[0] if self.sparse else self._dense(rows, dtype)
        size = 8 * self.widths[1]
        rest = _cut(rows, rows.lengths - size, size).view("<f8")
        found = {"x": x}
        if self.target is not None:
            y = rest[:, :prod(self.target)].reshape(-1, *self.target)
            found["y"] = blocks.narrow(y, dtype.name, labels=True)
        if self.weight is not None:
            found["w"] = rest[:, -1].astype(dtype)
        return found

    def _dense(self, rows: Words, dtype: np.dtype) -> np.ndarray:
        """x of rows."""
        small = np.frombuffer(rows.data, "u1")[rows.starts] == ord("u")
        x = np.empty((len(rows), prod(self.shape)), np.uint8 if small.all() else dtype)
        for own, these in ((np.dtype("u1"), small), (dtype, ~small)):
            if these.any():
                x[these] = _cut(rows.take(these), 1, x.shape[1] * own.itemsize).view(own)
        return x.reshape(-1, *self.shape)

    @property
    def mostly_zero(self) -> bool:
        """Whether it is known of its rows that they are better stored as what is not 0."""
        return False

    def stored(self, sparse: bool | None) -> "Schema":
        """The same, with it decided how rows are stored. `sparse`: what the user says."""
        sparse = self.mostly_zero if sparse is None else sparse
        demand(not sparse or len(self.shape) == 1, f"sparse: only possible with rows of numbers, not with examples of shape {self.shape}")
        return replace(self, sparse=sparse, notes=[*self.notes, *[
            f"sparse: of the {prod(self.shape):,} features of a row, those that are not 0 are stored"] * sparse])

    def described(self, facts: dict) -> dict[str, Any]:
        """What data.json says of this form alone."""
        return {"text": None, "unknown": {}, "table": None}

    def dump(self) -> dict:
        return {"kind": self.kind, **asdict(self)}


def _cut(rows: Words, offset: int | np.ndarray, size: int) -> np.ndarray:
    """uint8[n, size]: some bytes of each row."""
    out = np.empty((len(rows), size), "u1")
    kernel.cut(rows.data, rows.starts + offset, rows.stops, out)
    return out


class Recognised(Schema):
    """A form that a file is seen to have: rows of numbers. (Any text may be a corpus: the user must say so.)"""

    @classmethod
    @abstractmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        """Whether a file is of this form, by its name and its FIRST bytes."""

    @classmethod
    @abstractmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> "Recognised":
        """The one schema of all inputs; DataError where they do not agree, or lack what is wanted."""

    @classmethod
    def fitting(cls, paths: list[str], wanted: Wanted, known: "Table") -> "Recognised":
        """The same, of inputs that are to have the columns of a table, which may say how they are written."""
        return cls.sniffed(paths, wanted)
