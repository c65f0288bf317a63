"""Features of rows of which many are columns of names: of each such column only the place of the one that is 1."""
from itertools import groupby

import numpy as np

from mrdl.kernels import rows as kernel
from mrdl.kernels.known import mark


class Apart:
    """Rows of features.

    Args:
        dense: float64[n, d], best column by column: features that are numbers.
        places: the d features that these are, rising.
        ones: int32[k, n]: of each column of names the feature that is 1 in each row, -1: none is; its others are 0.
        width: how many features there are."""

    def __init__(self, dense: np.ndarray, places: np.ndarray, ones: np.ndarray, width: int):
        self.dense, self.places, self.ones, self.width = dense, places, ones, width

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.dense), self.width

    def __len__(self) -> int:
        return len(self.dense)

    def __getitem__(self, rows: np.ndarray | slice | int) -> "Apart | np.ndarray":
        """The features of one row, or some rows, by a mask or a slice."""
        if isinstance(rows, (np.ndarray, slice)):
            return Apart(self.dense[rows], self.places, np.ascontiguousarray(self.ones[:, rows]), self.width)
        row, ones = np.zeros(self.width), self.ones[:, rows]
        row[self.places], row[ones[ones >= 0]] = self.dense[rows], 1.0
        return row

    def store(self, out: np.ndarray, flags: np.ndarray) -> None:
        """out[n, width], flags[3, n]: as kernels' `rows.store` fills them."""
        out[:], flags[:] = 0, 1
        own = np.empty_like(flags)
        for _, run in groupby(enumerate(self.places.tolist()), lambda item: item[1] - item[0]):
            run = list(run)
            (first, place), size = run[0], len(run)
            kernel.store(self.dense[:, first:first + size], out[:, place:place + size], *own)
            flags &= own
        mark(self.ones, out)
