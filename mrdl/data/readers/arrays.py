"""Rows of arrays in files."""
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from mrdl.data.corpus import ENCODINGS
from mrdl.data.rows import Batch, Rows
from mrdl.data.schema import Recognised, Wanted
from mrdl.data.sources import ArrayFile, DataError, demand, members
from mrdl.printing import few
from mrdl.storage.packing import OPENERS, suffix
from mrdl.storage.paths import exists

BATCH = 1 << 18                 # bytes that are read at once
RANGE = 16 << 20                # bytes of arrays that make a mapper
SPANS = 10_000                  # mappers at most, or one a file


@dataclass(frozen=True, kw_only=True)
class Arrays(Recognised):
    """Arrays in files, a row of each for an example."""
    counts: list = field(default_factory=list)  # rows of each file

    @abstractmethod
    def located(self, index: int) -> dict[str, tuple[str, str | None]]:
        """(path, array) of x, and where there are y and w, in file `index`."""

    def only(self, numbers: list[int]) -> "Arrays":
        return replace(super().only(numbers), counts=[self.counts[number] for number in numbers])

    @contextmanager
    def arrays(self, index: int):
        """x, and where there are y and w: the arrays of file `index`, open."""
        with ExitStack() as stack:
            yield {name: stack.enter_context(closing(ArrayFile(path, member)))
                   for name, (path, member) in self.located(index).items()}

    def read(self, rows: Rows, lines: Iterable[bytes]) -> Iterator[Batch]:
        for line in lines:
            index, start, stop = map(int, line.split(b"\t"))
            rows.file = self.located(index)["x"][0]
            with self.arrays(index) as arrays:
                x = arrays.pop("x")
                step = max(1, BATCH // max(x.stride, 1))
                for begin in range(start, stop, step):
                    end = min(begin + step, stop)
                    rest = [array.rows(begin, end).astype("f8") for array in arrays.values()]
                    rest = np.concatenate([np.empty((end - begin, 0)), *rest], axis=1)
                    starts = x.start + np.arange(begin, end) * x.stride
                    names = [b"row %d" % row for row in range(begin, end)]
                    yield from rows.encoded(x.rows(begin, end), rest, starts, names)

    def spans(self) -> list[tuple[tuple[int, int, int], int]]:
        strides = []
        for index in range(len(self.counts)):
            with self.arrays(index) as arrays:
                strides.append(sum(array.stride for array in arrays.values()))
        most = max(RANGE, sum(count * stride for count, stride in zip(self.counts, strides)) // SPANS)
        return [((index, start, stop), (stop - start) * stride)
                for index, (count, stride) in enumerate(zip(self.counts, strides))
                for step in [max(1, most // stride)] for start in range(0, count, step) for stop in [min(start + step, count)]]


@dataclass(frozen=True, kw_only=True)
class Npz(Arrays):
    """Arrays by their names in .npz files."""
    kind = "npz"
    x: str                      # the array of the features

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        return path.endswith(".npz")

    def located(self, index: int) -> dict[str, tuple[str, str | None]]:
        members = {"x": self.x, "y": self.label, "w": self.weight}
        return {name: (self.files[index], member) for name, member in members.items() if member is not None}

    def decides(self) -> list:
        return [self.x]

    @classmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> Arrays:
        _no_columns(paths, wanted)
        schemas, weight = [], wanted.weight
        for path in paths:
            names = members(path)
            y = wanted.label or next((name for name in ("y", "y_train") if name in names), None)
            x = "x" + y[1:] if y and y[0] == "y" else "x"
            others = [name for name in names if name not in (y, weight)]
            if x not in names and len(others) == 1:
                x = others[0]
            if y is not None and y == weight:
                raise DataError(f"{path}: array {y!r} is named both for the label and for the weight: they must be two arrays")
            for name, what in ((x, "x"), (y, "label"), (weight, "weight")):
                if name is not None and name not in names:
                    raise DataError(f"{path}: {what}: no array {name!r}; there are {few(names)} "
                                    "(wanted: x and y, or the name of the labels' array)")
            schemas.append(cls(files=[path], columns=names, shape=[], x=x, label=y, weight=weight))
        return _agreed(schemas)


@dataclass(frozen=True, kw_only=True)
class Idx(Arrays):
    """IDX files, MNIST's; a file is [images, labels or None]."""
    kind = "idx"

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        return len(first) >= 4 and first[:2] == b"\0\0" and first[:4] not in ENCODINGS

    def located(self, index: int) -> dict[str, tuple[str, str | None]]:
        return {name: (path, None) for name, path in zip("xy", self.files[index]) if path}

    def paths(self) -> list[str]:
        return [path for pair in self.files for path in pair if path]

    def copied(self, copy: Callable[[str], str]) -> "Idx":
        return replace(self, files=[[path and copy(path) for path in pair] for pair in self.files])

    @classmethod
    def sniffed(cls, paths: list[str], wanted: Wanted) -> Arrays:
        _no_columns(paths, wanted)
        if wanted.weight is not None or wanted.label is not None:
            raise DataError("IDX files have no columns: leave out the label and the weight")
        flat = {}
        for path in paths:
            with closing(ArrayFile(path)) as array:
                flat[path] = len(array.shape) == 1
        images, labels = [p for p in paths if not flat[p]], [p for p in paths if flat[p]]
        if len(images) == len(labels) == 1:
            pairs = [[images[0], labels[0]]]
        else:
            pairs = [[path, _twin(path)] for path in images]
        lone = set(labels) - {y for _, y in pairs}
        if lone:
            raise DataError(f"{min(lone)}: labels without their images")
        return _agreed([cls(files=[pair], shape=[], label="labels" if pair[1] else None) for pair in pairs])


def _no_columns(paths: list[str], wanted: Wanted) -> None:
    demand(not wanted.of_text, f"{paths[0]}: has no columns: leave out {', '.join(wanted.of_text)}")


def _twin(images: str) -> str | None:
    """The labels that stand beside the images, by MNIST's way to name them."""
    folder, slash, name = images.rpartition("/")
    twin = re.sub(r"idx\d", "idx1", name.replace("images", "labels"))
    if twin == name:                            # which does not say that it is of images
        return None
    stem = twin.removesuffix(suffix(twin))
    found = [n for n in (twin, stem, *(stem + end for end in OPENERS)) if exists(folder + slash + n)]
    return folder + slash + found[0] if found else None


def _agreed(schemas: list[Arrays]) -> Arrays:
    """One schema of all files, with the shapes and counts that their arrays have."""
    shaped = []
    for schema in schemas:
        with schema.arrays(0) as arrays:
            for array in arrays.values():
                array.verify()
            shapes = {name: list(array.shape) for name, array in arrays.items()}
        path = schema.paths()[0]
        lengths = {shape[0] for shape in shapes.values()}
        if len(lengths) > 1 or len(shapes.get("w", [0])) > 1:
            raise DataError(f"{path}: its arrays do not fit each other, their shapes are {shapes}")
        for name, shape in shapes.items():
            if 0 in shape[1:]:
                raise DataError(f"{path}: {name} has the shape {shape}")
        target = shapes["y"][1:] if "y" in shapes else None
        target = [] if target == [1] else target
        shaped.append(replace(schema, shape=shapes["x"][1:] or [1], target=target,
                              counts=list(lengths)))
        first = shaped[0]
        for name in ("shape", "target", "label", "x", "weight"):
            own, others = getattr(shaped[-1], name, None), getattr(first, name, None)
            if own != others:
                raise DataError(f"{path}: {name} {own}, but before {others}; all inputs must agree")
    if not any(schema.counts[0] for schema in shaped):
        raise DataError(f"{path}: no rows")
    return replace(first, files=[schema.files[0] for schema in shaped],
                   counts=[schema.counts[0] for schema in shaped])
