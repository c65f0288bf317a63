"""Sparse rows: of each only the features that are not 0."""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Csr:
    """Rows of which most features are 0 (compressed sparse rows): those of row i that are not are ids[starts[i]:starts[i + 1]],
    rising, with their values beside them.

    Args:
        starts: int64[n + 1].
        ids: int32: numbers of features, below `width`.
        values: none of them 0.
        width: how many features a row has."""
    starts: np.ndarray
    ids: np.ndarray
    values: np.ndarray
    width: int

    @classmethod
    def of(cls, matrix) -> "Csr":
        """The rows of one of scipy's sparse matrices, or of what has `tocsr` as they have. Values of one place are added."""
        if isinstance(matrix, cls):
            return matrix
        matrix = matrix.tocsr()
        if not matrix.has_canonical_format or not matrix.data.all():
            matrix = matrix.copy()
            matrix.sum_duplicates()
            matrix.eliminate_zeros()
        if matrix.shape[1] >= 2 ** 31:
            raise ValueError(f"a sparse matrix of {matrix.shape[1]:,} columns; up to {2 ** 31 - 1:,} are possible")
        return cls(matrix.indptr.astype("i8"), matrix.indices.astype("i4", copy=False), np.ascontiguousarray(matrix.data), matrix.shape[1])

    @classmethod
    def from_dense(cls, rows: np.ndarray) -> "Csr":
        """The rows of an array [n, width]."""
        there = rows != 0
        return cls(ends(there.sum(1)), np.nonzero(there)[1].astype("i4"), rows[there], rows.shape[1])

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.width

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    @property
    def counts(self) -> np.ndarray:
        """How many features each row has that are not 0."""
        return np.diff(self.starts)

    def __getitem__(self, which: np.ndarray | slice) -> "Csr":
        """Some of the rows, by their numbers, a mask or a slice."""
        first, counts = self.starts[:-1][which], self.counts[which]
        starts = ends(counts)
        places = np.arange(starts[-1]) + np.repeat(first - starts[:-1], counts)
        return Csr(starts, self.ids[places], self.values[places], self.width)

    def dense(self, dtype: np.dtype) -> np.ndarray:
        """The rows as an array [n, width]."""
        found = np.zeros(self.shape, dtype)
        found[np.repeat(np.arange(len(self)), self.counts), self.ids] = self.values
        return found


def ends(counts: np.ndarray) -> np.ndarray:
    """Where each run of so many begins, and where the last one ends: int64[n + 1]."""
    return np.concatenate([[0], np.cumsum(counts, dtype="i8")])


def together(parts: Sequence[np.ndarray | Csr]) -> np.ndarray | Csr:
    """The rows of all parts, one after the other."""
    if not isinstance(parts[0], Csr):
        return np.concatenate(parts)
    return Csr(ends(np.concatenate([part.counts for part in parts])), np.concatenate([part.ids for part in parts]),
               np.concatenate([part.values for part in parts]), parts[0].width)


def joined(parts: Iterable[dict]) -> dict:
    """The rows of all parts, which have the same arrays."""
    parts = list(parts)
    return parts[0] if len(parts) == 1 else {name: together([part[name] for part in parts]) for name in parts[0]}
