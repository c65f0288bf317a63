"""A reducer's side of prepare: rows in, a shard of blocks out."""
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from mrdl.data import blocks
from mrdl.data.preparation import BLOCK, HASH, Plan


def shard_lines(plan: Plan, shard: int, values: Iterable[bytes]) -> Iterator[bytes]:
    """The block lines of a shard, from its rows in the order of their hashes; of a corpus behind the mappers' contents."""
    role = "train" if shard < plan.shards - plan.validation else "validation"
    content, wide = 0, np.dtype(plan.dtype).newbyteorder("<")
    for is_content, some in groupby(values, key=lambda value: value.startswith(b"\t")):
        if is_content:
            content = sum(map(int, some))
            continue
        before = ""
        for index, rows in enumerate(_runs(some)):
            line = blocks.pack(plan.schema.unpacked(rows, wide), dataset=plan.uid(content), shard=shard, index=index, role=role,
                               before=before)
            before = blocks.unpack(line).seal
            yield line


def _runs(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    """A block's rows at a time; rows whose hashes are equal in the order of their bytes."""
    rows, size = [], 0
    for _, same in groupby(values, key=lambda value: value[:HASH]):
        for value in sorted(same):                  # nearly always one
            row = a2b_base64(value[HASH + 1:])
            if rows and size + len(row) > BLOCK:
                yield rows
                rows, size = [], 0
            rows.append(row)
            size += len(row)
    if rows:
        yield rows
