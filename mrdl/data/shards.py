"""Rows in, a shard of blocks out: a reducer's side of prepare."""
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from mrdl.data import blocks
from mrdl.data.preparation import BLOCK, HASH, Plan


class Packing:
    """Packs a shard's rows, which come one after another, into blocks.

    Args:
        plan: says what the rows are like.
        shard: its number.
        role: None: as the plan says of the shard.
        content: of a corpus the sum of all ranges' digests.

    `n` counts the rows that were packed; `seals` are those of the blocks."""

    def __init__(self, plan: Plan, shard: int, role: str | None = None, content: int = 0):
        self.schema, self.dtype = plan.schema, np.dtype(plan.dtype).newbyteorder("<")
        self.named = {"dataset": plan.uid(content), "shard": shard, "role": role or plan.role(shard)}
        self.rows: list[bytes] = []
        self.size = self.n = 0
        self.seals: list[str] = []

    def add(self, row: bytes) -> bytes | None:
        """Takes a row; gives the line of a block, where those before it fill one."""
        line = self.end() if self.size + len(row) > BLOCK else None
        self.rows.append(row)
        self.size += len(row)
        return line

    def end(self) -> bytes | None:
        """The line of a block with the rows that are left; None: there are none."""
        if not self.rows:
            return None
        line = blocks.pack(self.schema.unpacked(self.rows, self.dtype), **self.named, index=len(self.seals),
                           before=self.seals[-1] if self.seals else "")
        self.n += len(self.rows)
        self.seals.append(blocks.unpack(line).seal)
        self.rows, self.size = [], 0
        return line


def shard_lines(plan: Plan, shard: int, values: Iterable[bytes]) -> Iterator[bytes]:
    """The block lines of a shard, from its rows in the order of their hashes; of a corpus behind the mappers' contents."""
    content = 0
    for is_content, some in groupby(values, key=lambda value: value.startswith(b"\t")):
        if is_content:
            content = sum(map(int, some))
            continue
        packing = Packing(plan, shard, content=content)
        for row in _sorted(some):
            if line := packing.add(row):
                yield line
        if line := packing.end():
            yield line


def _sorted(values: Iterable[bytes]) -> Iterator[bytes]:
    """The rows; those whose hashes are equal in the order of their bytes."""
    for _, same in groupby(values, key=lambda value: value[:HASH]):
        for value in sorted(same):                  # nearly always one
            yield a2b_base64(value[HASH + 1:])
