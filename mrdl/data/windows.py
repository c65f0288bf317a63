"""Blocks in windows whose rows are permuted together."""
from collections.abc import Iterator
from itertools import groupby

import numpy as np

from mrdl.data.blocks import Block

WINDOW = 8                      # blocks whose rows are permuted together
Arrays = dict[str, np.ndarray]


def windows(blocks: Iterator[Block], wanted: range) -> Iterator[tuple[int, Arrays | None]]:
    """(rows, arrays) of each window; arrays only where a row of it is wanted."""
    row = 0
    for _, group in groupby(blocks, lambda b: b.index // WINDOW):
        group = list(group)
        n = sum(block.n for block in group)
        arrays = None
        if row < wanted.stop and row + n > wanted.start:
            parts = [block.arrays() for block in group]
            arrays = parts[0] if len(parts) == 1 else {
                key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
        yield n, arrays
        row += n
