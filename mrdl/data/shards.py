"""A reducer's side of prepare: rows in, a shard of blocks out."""
import math
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from mrdl.data import blocks
from mrdl.data.preparation import BLOCK, HASH, Plan
from mrdl.data.tokenizer import SMALL


def shard_lines(plan: Plan, shard: int, values: Iterable[bytes]) -> Iterator[bytes]:
    """The block lines of a shard, from its rows in the order of their hashes; of a corpus behind the mappers' contents."""
    role = "train" if shard < plan.shards - plan.validation else "validation"
    content = 0
    for is_content, some in groupby(values, key=lambda value: value.startswith(b"\t")):
        if is_content:
            content = sum(map(int, some))
            continue
        before = ""
        for index, rows in enumerate(_runs(some)):
            line = blocks.pack(_unpacked(plan, rows), dataset=plan.uid(content), shard=shard, index=index, role=role,
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


def _unpacked(plan: Plan, rows: list[bytes]) -> dict[str, np.ndarray]:
    """The arrays of canonical rows."""
    schema, wide = plan.schema, np.dtype(plan.dtype).newbyteorder("<")
    if schema.kind == "corpus":
        ids = np.frombuffer(b"".join(row[1:] for row in rows), "u1" if len(schema.vocabulary) <= SMALL else "<u2")
        ids = ids.reshape(len(rows), -1)
        return {"x": ids[:, :-1], "y": ids[:, 1:]}
    small = all(row[0] == ord("u") for row in rows)
    x = np.empty((len(rows), math.prod(schema.shape)), np.uint8 if small else wide)
    rest = []
    for i, row in enumerate(rows):
        dtype = np.dtype("u1") if row[0] == ord("u") else wide
        x[i] = np.frombuffer(row, dtype, x.shape[1], 1)
        rest.append(row[1 + x.shape[1] * dtype.itemsize:])
    rest = np.frombuffer(b"".join(rest), "<f8").reshape(len(rows), -1)
    found = {"x": x.reshape(-1, *schema.shape)}
    if schema.target is not None:
        y = rest[:, :math.prod(schema.target)].reshape(-1, *schema.target)
        found["y"] = blocks.narrow(y, plan.dtype, labels=True)
    if schema.weight is not None:
        found["w"] = rest[:, -1].astype(wide)
    return found
