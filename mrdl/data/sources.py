"""Input paths in; open files out, and arrays (in .npz and IDX files) by ranges of rows."""
import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from mrdl.storage.base import CHUNK, Storage, named
from mrdl.storage.packing import suffix
from mrdl.storage.partitions import is_partition
from mrdl.storage.paths import head, is_folder, opened, place, size
from mrdl.storage.schemes import store_at

# IDX, the format of MNIST: two zero bytes, a type, the count of axes, their sizes, the values
IDX_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
AXES = 32                       # that every NumPy takes
UNREADABLE = (ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
              SyntaxError, TypeError, ValueError, lzma.LZMAError, struct.error, tokenize.TokenError,
              zipfile.BadZipFile, zlib.error)


HEAD = 1 << 18                  # bytes of a file that show how long its lines are
PIPES: dict[str, str] = {}      # files that were made of pipes, and what the user calls them


class DataError(ValueError):
    """Input or a dataset that cannot be used; the message is for the user, in one line or few."""


def pipes(paths: list[str]) -> dict[str, str]:
    """Those of the files that were made of pipes, and what the user calls them."""
    return {path: PIPES[path] for path in paths if path in PIPES}


def as_given(text: str) -> str:
    """A message that names pipes instead of the files that were made of them."""
    for made, pipe in PIPES.items():
        text = text.replace(made, pipe)
    return text


def demand(fine: bool, message: str) -> None:
    if not fine:
        raise DataError(message)


def about(path: str, total: int) -> int:
    """About how many rows files of text have, of `total` bytes, by the length of the first one's first lines; 0: that is not known."""
    first = head(path, HEAD)
    return 0 if suffix(path) or b"\0" in first else total * first.count(b"\n") // max(len(first), 1)


def listed(inputs: Any) -> list[Any]:
    """The paths that are given for inputs, one or several; DataError for rows in memory."""
    if isinstance(inputs, (str, os.PathLike)):
        return [inputs]
    paths = None if hasattr(inputs, "columns") else list(inputs)
    demand(paths is not None and all(isinstance(path, (str, os.PathLike)) for path in paths),
           f"inputs are paths, not a {type(inputs).__name__}: write the rows to a file, as with to_csv or to_parquet of a DataFrame")
    return paths


def expand(inputs: list[str]) -> list[str]:
    """Each input that is a folder or a pattern, replaced by its files, also those in Hive's partition folders; hidden files left
    out."""
    found = [file for path in map(os.fspath, inputs) for file in _files(path)]
    demand(found != [], "no input was given")
    known: dict[str, str] = {}
    for file in found:
        own = file if "://" in file else os.path.realpath(file)
        demand(own not in known, f"{file}: is the same file as {known.get(own)}: a file is given twice, and its rows would count twice")
        known[own] = file
    return found


def _files(path: str) -> list[str]:
    folder, name = place(path)
    if is_folder(path):
        found, missing = _inside(store_at(path)), "an empty folder"
    elif folder.exists(name):
        return [folder.path(name)]
    else:
        if not folder.is_folder():              # the pattern begins further up
            parts = path.rstrip("/").split("/")
            first = next((i for i, part in enumerate(parts) if set(part) & set("*?[")), len(parts) - 1)
            folder, name = store_at("/".join(parts[:first]) or ("/" if first else ".")), "/".join(parts[first:])
        found, missing = _matching(folder, name), "no such input"
    demand(found != [], f"{path}: {missing}")
    for link in filter(os.path.islink, found):
        demand(os.path.exists(link), f"{link}: a link to {os.readlink(link)}, which is not there")
    return found


def _matching(folder: Storage, pattern: str) -> list[str]:
    names = [name for name in folder.list(pattern) if not any(part[0] in "._" for part in name.split("/"))]
    found = []
    for name in map(named, names):
        path = folder.path(name)
        if is_folder(path):
            demand(is_partition(path), f"{path}: a folder among the inputs; name its files, or a pattern")
            found += _inside(store_at(path))
        else:
            found.append(path)
    return found


def _inside(folder: Storage) -> list[str]:
    return _matching(folder, "*")


def read(file, path: str, count: int) -> bytes:
    with readable(path):
        return file.read(count)


@contextmanager
def readable(path: str):
    """Turns what zipfile, gzip and NumPy raise at damaged bytes into a DataError."""
    try:
        yield
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


@contextmanager
def whole(path: str):
    """Turns what unpacking raises at damaged bytes into a DataError. What a disk or the network raises has a number."""
    try:
        yield
    except (EOFError, OSError, lzma.LZMAError, zipfile.BadZipFile, zlib.error) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise DataError(f"{path}: cannot be read ({error})") from None


def members(path: str) -> list[str]:
    """The names of the arrays in an .npz file."""
    with opened(path) as file, readable(path), zipfile.ZipFile(file) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


class ArrayFile:
    """An array in a file (`member` of an .npz, or an IDX file), read by ranges of rows."""

    def __init__(self, path: str, member: str | None = None):
        self.path = path if member is None else f"{path}: {member}"
        with ExitStack() as stack:      # closed again if what follows fails
            self.file = stack.enter_context(opened(path))
            stack.enter_context(readable(self.path))
            length = None
            if member is not None:
                archive = stack.enter_context(zipfile.ZipFile(self.file))
                length = archive.getinfo(member + ".npy").file_size
                self.file = stack.enter_context(archive.open(member + ".npy"))
            elif not suffix(path):
                length = size(path)
            self.packed = length is None or member is not None
            self.dtype, self.shape = (self._idx if member is None else self._npy)()
            if self.dtype.kind not in "biuf" or not 0 < len(self.shape) <= AXES:
                raise DataError(f"{self.path}: {len(self.shape)} axes of {self.dtype}; "
                                f"must be an array of numbers, of {AXES} axes at most")
            self.start = self.file.tell()
            self.stride = math.prod(self.shape[1:]) * self.dtype.itemsize
            if length is not None and length != self.start + self.shape[0] * self.stride:
                raise DataError(f"{self.path}: {length} bytes, but its header promises "
                                f"{self.start + self.shape[0] * self.stride}")
            self.close = stack.pop_all().close

    def _idx(self) -> tuple[np.dtype, tuple]:
        head = self.file.read(4)
        sizes = self.file.read(4 * head[3])
        if head[2] not in IDX_DTYPES or len(sizes) != 4 * head[3]:
            raise DataError(f"{self.path}: no IDX file, it starts with {head!r}")
        return np.dtype(IDX_DTYPES[head[2]]), struct.unpack(f">{head[3]}I", sizes)

    def _npy(self) -> tuple[np.dtype, tuple]:
        form = np.lib.format
        header = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
        shape, fortran, dtype = header[form.read_magic(self.file)](self.file)
        if fortran and len(shape) > 1:
            raise DataError(f"{self.path}: in Fortran order; save np.ascontiguousarray of it")
        return dtype, shape

    def verify(self) -> None:
        """Reads a packed array to its end: DataError where it is damaged or holds not what its header promises."""
        promised, found = self.shape[0] * self.stride, 0
        with readable(self.path):
            while self.packed and found <= promised and (data := self.file.read(CHUNK)):
                found += len(data)
        if self.packed and found != promised:
            raise DataError(f"{self.path}: holds {f'{found:,}' if found < promised else 'more'} bytes, but its header "
                            f"promises {promised:,}")

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows start..stop, each one flat."""
        with readable(self.path):
            self.file.seek(self.start + start * self.stride)
            data = self.file.read((stop - start) * self.stride)
        if len(data) != (stop - start) * self.stride:
            raise DataError(f"{self.path}: ends before row {stop}")
        return np.frombuffer(data, self.dtype).reshape(stop - start, -1)
