"""Blocks in windows whose rows are permuted together."""
from collections.abc import Iterator
from itertools import groupby

import numpy as np

from mrdl.data.blocks import Block
from mrdl.data.sparse import Csr, joined

WINDOW = 8                      # blocks whose rows are permuted together
Arrays = dict[str, np.ndarray | Csr]


def windows(blocks: Iterator[Block], wanted: range) -> Iterator[tuple[int, Arrays | None]]:
    """(rows, arrays) of each window; arrays only where a row of it is wanted."""
    row = 0
    for _, group in groupby(blocks, lambda b: b.index // WINDOW):
        group = list(group)
        n = sum(block.n for block in group)
        arrays = None
        if row < wanted.stop and row + n > wanted.start:
            arrays = joined(block.arrays() for block in group)
        yield n, arrays
        row += n
