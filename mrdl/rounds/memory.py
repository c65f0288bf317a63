"""The memory that a driver and its resident workers share if they run on one machine: rows for values, boxes for messages.

Its pages belong to no file system: they are gone when the last process that uses them has ended, whatever it died of."""
import mmap
import os
import struct
from contextlib import suppress
from hashlib import blake2b

import numpy as np

MEANS = 4                       # rows for means: each round's means take the place of the oldest, so the last states are at hand
BOX = 1 << 16                   # bytes of a box
HEAD = struct.Struct("<8sQQ")   # of a box: a hash of what follows, the message's number, its length


class Memory:
    """Rows of bytes: some for means, one for each worker, one for a state that is no mean. Then boxes, each with one message.

    Args:
        path: where processes open it.
        workers: their number.
        length: of a row, in bytes.
        boxes: their number."""

    def __init__(self, path: str, workers: int, length: int, boxes: int):
        self.facts = [path, workers, length, boxes]
        self.state, self.length = MEANS + workers, length
        first = -(-(self.state + 1) * length // mmap.PAGESIZE) * mmap.PAGESIZE
        with open(path, "r+b", buffering=0) as file:
            self.whole = mmap.mmap(file.fileno(), first + boxes * BOX)
        self.rows = np.frombuffer(self.whole, np.uint8, (self.state + 1) * length).reshape(-1, length)
        self.boxes = [first + box * BOX for box in range(boxes)]
        self.file: int | None = None    # in the process that made it: the descriptor by which others open it

    @classmethod
    def made(cls, workers: int, length: int, boxes: int) -> "Memory | None":
        """New memory; None if this machine has none, or not so much."""
        if not hasattr(os, "memfd_create"):
            return None
        with suppress(OSError):
            file = os.memfd_create("mrdl")
            try:
                # an error now, and no signal later
                os.posix_fallocate(file, 0, (MEANS + workers + 1) * length + mmap.PAGESIZE + boxes * BOX)
                memory = cls(f"/proc/{os.getpid()}/fd/{file}", workers, length, boxes)
            except OSError:
                os.close(file)
                raise
            memory.file = file
            return memory
        return None

    def of(self, worker: int) -> int:
        """The number of a worker's row."""
        return MEANS + worker

    def row(self, number: int, dtype: np.dtype | str) -> np.ndarray:
        return self.rows[number].view(dtype)

    def number(self, values: np.ndarray) -> int | None:
        """The number of the row that has these values; None if they lie elsewhere."""
        offset = values.ctypes.data - self.rows.ctypes.data
        return offset // self.length if 0 <= offset < self.rows.size and offset % self.length == 0 else None

    def put(self, box: int, number: int, message: bytes) -> bool:
        """Replaces the message in a box; False if it is too long."""
        if len(message) > BOX - HEAD.size:
            return False
        place = self.boxes[box] + HEAD.size
        self.whole[place:place + len(message)] = message
        HEAD.pack_into(self.whole, self.boxes[box], _hash(number, message), number, len(message))
        return True

    def get(self, box: int, wanted: int | None = None) -> tuple[int, bytes] | None:
        """The message in a box, and its number; None if there is none, if it is just being replaced, or if another number is `wanted`."""
        check, number, length = HEAD.unpack_from(self.whole, self.boxes[box])
        if wanted not in (None, number):
            return None
        place = self.boxes[box] + HEAD.size
        message = self.whole[place:place + min(length, BOX - HEAD.size)]
        return (number, message) if check == _hash(number, message) else None

    def close(self) -> None:
        """No process can open it any more; those that have it keep it."""
        if self.file is not None:
            os.close(self.file)
            self.file = None


def _hash(number: int, message: bytes) -> bytes:
    return blake2b(message, digest_size=8, key=b"%d" % number).digest()
