"""Keeps the rows of shards that a resident worker has read: in memory up to a limit, the rest on local disk."""
import math
import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import BinaryIO

import numpy as np

from mrdl import limits
from mrdl.data.blocks import Block
from mrdl.data.sparse import flat, unflat
from mrdl.data.sparse import joined as together
from mrdl.data.windows import WINDOW, Arrays

MEMORY, DISK = 256 << 20, 16 << 30      # bytes


def room() -> int:
    """How many bytes of rows a worker may keep in memory: MEMORY, and at most a quarter of its memory."""
    return min(MEMORY, limits.task() // 4)


@dataclass
class Rows:
    """The rows of a window's blocks, decoded and joined. It can be used in place of a Block."""
    dataset: str
    shard: int
    index: int                          # number of the window's first block
    n: int
    seal: str                           # the seal of the window's last block
    kept: Arrays | None                 # None: the arrays are on disk
    layout: dict = field(default_factory=dict)      # name -> (dtype, shape)
    width: int | None = None            # of sparse rows
    file: BinaryIO | None = None
    place: int = 0

    @property
    def size(self) -> int:
        return sum(math.prod(shape) * np.dtype(dtype).itemsize for dtype, shape in self.layout.values())

    def arrays(self) -> Arrays:
        """Returns name -> array; OSError if the file on disk is shorter than what was written."""
        if self.kept is not None:
            return self.kept
        found, place = {}, self.place
        for name, (dtype, shape) in self.layout.items():
            found[name] = np.empty(shape, dtype)
            view = memoryview(found[name].reshape(-1).view(np.uint8))
            if os.preadv(self.file.fileno(), [view], place) != len(view):
                raise OSError(f"{self.file.name}: ends before byte {place + len(view)}")
            place += len(view)
        return unflat(found, self.width)

    def put_down(self, file: BinaryIO) -> None:
        """Appends the arrays to a file, and frees their memory."""
        self.file, self.place = file, file.seek(0, os.SEEK_END)
        file.writelines(np.ascontiguousarray(array) for array in flat(self.kept).values())
        file.flush()
        self.kept = None


def joined(blocks: Iterable[Block]) -> Iterator[Rows]:
    """Joins a shard's blocks, one window at a time."""
    for _, group in groupby(blocks, lambda b: b.index // WINDOW):
        group = list(group)
        arrays = together(block.arrays() for block in group)
        first = group[0]
        yield Rows(first.dataset, first.shard, first.index, sum(block.n for block in group), group[-1].seal, arrays,
                   {name: (array.dtype.str, array.shape) for name, array in flat(arrays).items()}, first.width)


class Shelf:
    """Maps a shard's path to its rows. When the disk limit is reached, it drops the least recently used shard."""

    def __init__(self, memory: int | None = None, disk: int = DISK, folder: str | None = None):
        self.memory, self.disk, self.folder = room() if memory is None else memory, disk, folder
        self.shards: OrderedDict[str, list[Rows]] = OrderedDict()
        self.files: dict[str, BinaryIO] = {}    # files of shards that are not completely in memory
        self.read = 0                   # how often a shard was read

    def rows(self, path: str, blocks: Iterable[Block]) -> list[Rows]:
        """The shard's rows. `blocks`, which reads the shard, is consumed only if they are not kept here."""
        if path not in self.shards:
            self.read += 1
            found, held = [], self._used(True)
            try:
                for rows in joined(blocks):
                    if held + rows.size > self.memory:
                        if path not in self.files:
                            self.files[path] = tempfile.TemporaryFile(  # noqa: SIM115 - see _remove
                                dir=self.folder)
                        rows.put_down(self.files[path])
                    else:
                        held += rows.size
                    found.append(rows)
            except BaseException:
                self._remove(path)
                raise
            self.shards[path] = found
            while self._used(False) > self.disk and len(self.shards) > 1:
                self._remove(next(iter(self.shards)))
        self.shards.move_to_end(path)
        return self.shards[path]

    def _used(self, memory: bool) -> int:
        return sum(rows.size for shard in self.shards.values() for rows in shard
                   if (rows.kept is not None) == memory)

    def _remove(self, path: str) -> None:
        self.shards.pop(path, None)
        if path in self.files:
            self.files.pop(path).close()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        for path in [*self.shards]:
            self._remove(path)
