"""Rows of arrays in files: ranges of rows in, canonical bytes out."""
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np

from mrdl.data.readers.columns import few
from mrdl.data.rows import Rows
from mrdl.data.schema import Schema
from mrdl.data.sources import ArrayFile, DataError, members
from mrdl.storage.paths import exists

BATCH = 1 << 18                 # bytes that are read at once


def read(rows: Rows, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each line names rows: file TAB start TAB stop."""
    schema = rows.plan.schema
    for line in lines:
        index, start, stop = map(int, line.split(b"\t"))
        rows.file = str(schema.files[index] if schema.kind == "npz" else schema.files[index][0])
        with schema.arrays(index) as arrays:
            x = arrays.pop("x")
            step = max(1, BATCH // max(x.stride, 1))
            for begin in range(start, stop, step):
                end = min(begin + step, stop)
                rest = [array.rows(begin, end).astype("f8") for array in arrays.values()]
                rest = np.concatenate([np.empty((end - begin, 0)), *rest], axis=1)
                starts = x.start + np.arange(begin, end) * x.stride
                names = [b"row %d" % row for row in range(begin, end)]
                yield from rows.encoded(x.rows(begin, end), rest, starts, names)


def npz(paths: list[str], label: str | None, weight: str | None) -> Schema:
    schemas = []
    for path in paths:
        names = members(path)
        y = label or next((name for name in ("y", "y_train") if name in names), None)
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
        schemas.append(Schema("npz", [path], names, [], None, x=x, label=y, weight=weight))
    return _agreed(schemas)


def idx(paths: list[str], label: str | None, weight: str | None) -> Schema:
    if weight is not None or label is not None:
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
    return _agreed([Schema("idx", [pair], [], [], None, label="labels" if pair[1] else None)
                    for pair in pairs])


def _twin(images: str) -> str | None:
    """The labels that stand beside the images, by MNIST's way to name them."""
    folder, slash, name = images.rpartition("/")
    twin = re.sub(r"idx\d", "idx1", name.replace("images", "labels"))
    stem = twin.removesuffix(".gz")
    found = [n for n in (twin, stem, stem + ".gz") if n != name and exists(folder + slash + n)]
    return folder + slash + found[0] if found else None


def _agreed(schemas: list[Schema]) -> Schema:
    """One schema of all files, with the shapes and counts that their arrays have."""
    shaped = []
    for schema in schemas:
        with schema.arrays(0) as arrays:
            for array in arrays.values():
                array.verify()
            shapes = {name: list(array.shape) for name, array in arrays.items()}
        path = schema.files[0] if schema.kind == "npz" else schema.files[0][0]
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
            if getattr(shaped[-1], name) != getattr(first, name):
                raise DataError(f"{path}: {name} {getattr(shaped[-1], name)}, but before "
                                f"{getattr(first, name)}; all inputs must agree")
    if not any(schema.counts[0] for schema in shaped):
        raise DataError(f"{path}: no rows")
    return replace(first, files=[schema.files[0] for schema in shaped],
                   counts=[schema.counts[0] for schema in shaped])
