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
        if len(matrix.shape) != 2:
            raise ValueError(f"a sparse array of the shape {matrix.shape}; its rows must be examples, as of the shape (1, {matrix.shape[0]})")
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

    def features(self, start: int, stop: int) -> "Csr":
        """The rows with a range of their features."""
        there = (self.ids >= start) & (self.ids < stop)
        return Csr(np.concatenate([[0], np.cumsum(there)])[self.starts], self.ids[there] - np.int32(start), self.values[there], stop - start)

    def dense(self, dtype: np.dtype) -> np.ndarray:
        """The rows as an array [n, width]."""
        found = np.zeros(self.shape, dtype)
        found[np.repeat(np.arange(len(self)), self.counts), self.ids] = self.values
        return found


    def stored(self, dtype: np.dtype) -> "Csr":
        """The rows as a dataset of the dtype has them: a value that becomes 0 is none."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = self.values.astype(dtype)
        if values.all():
            return Csr(self.starts, self.ids, values, self.width)
        there = values != 0
        return Csr(np.concatenate([[0], np.cumsum(there)])[self.starts], self.ids[there], values[there], self.width)

    def largest(self) -> np.ndarray:
        """float64[n]: of each row the value that is farthest from 0; NaN where one is NaN."""
        found, there = np.zeros(len(self)), self.counts > 0
        if there.any():
            found[there] = np.maximum.reduceat(np.abs(self.values.astype("f8")), self.starts[:-1][there])
        return found

    def canonical(self) -> list[bytes]:
        """Each row as bytes that equal rows share: b"b" (values as uint8) or b"c", how many features, their ids, the values."""
        with np.errstate(invalid="ignore"):
            small = self.values.astype("u1")
        odd = np.concatenate([[0], np.cumsum(small != self.values)])[self.starts]
        whole, counts = (odd[1:] == odd[:-1]).tolist(), self.counts.astype("<u4").tobytes()
        ids, values, small, size = self.ids.astype("<i4").tobytes(), self.values.tobytes(), small.tobytes(), self.values.itemsize
        starts = self.starts.tolist()
        return [b"".join((b"b" if own else b"c", counts[4 * i:4 * i + 4], ids[4 * start:4 * stop],
                          small[start:stop] if own else values[size * start:size * stop]))
                for i, (own, start, stop) in enumerate(zip(whole, starts, starts[1:]))]


def uncanonical(rows: Sequence[bytes], width: int, dtype: np.dtype) -> tuple[Csr, list[bytes]]:
    """The rows of which each begins with what `canonical` made of one in this dtype, and what follows. Values are bytes where all
    of them are."""
    ids, values, rest, counts = [], [], [], []
    small = all(row[0] == ord("b") for row in rows)
    for row in rows:
        own, count = np.dtype("u1") if row[0] == ord("b") else dtype, int.from_bytes(row[1:5], "little")
        ids.append(row[5:5 + 4 * count])
        values.append(np.frombuffer(row, own, count, 5 + 4 * count))
        rest.append(row[5 + (4 + own.itemsize) * count:])
        counts.append(count)
    values = np.concatenate(values).astype("u1" if small else dtype)
    return Csr(ends(counts), np.frombuffer(b"".join(ids), "<i4").astype("i4"), values, width), rest


def flat(arrays: dict[str, np.ndarray | Csr]) -> dict[str, np.ndarray]:
    """The arrays; in the place of sparse rows x their x.counts, x.ids and x.values."""
    found = dict(arrays)
    if isinstance(x := found.get("x"), Csr):
        del found["x"]
        found |= {"x.counts": x.counts.astype("i4"), "x.ids": x.ids, "x.values": x.values}
    return found


def unflat(arrays: dict[str, np.ndarray], width: int | None) -> dict[str, np.ndarray | Csr]:
    """The arrays that `flat` was given. `width`: of sparse rows; None: there are none. ValueError where they are no such rows."""
    if width is None:
        return arrays
    found = dict(arrays)
    counts, ids, values = (found.pop(f"x.{name}") for name in ("counts", "ids", "values"))
    starts = ends(counts)
    falls = ids[1:] <= ids[:-1]
    falls[starts[1:-1][(starts[1:-1] > 0) & (starts[1:-1] < len(ids))] - 1] = False     # from a row to the next one
    if (counts < 0).any() or starts[-1] != len(ids) or falls.any() or len(ids) and not (ids.min() >= 0 and ids.max() < width):
        raise ValueError(f"the features of its rows are not rising numbers below {width}")
    return found | {"x": Csr(starts, ids, values, width)}


def ends(counts: np.ndarray) -> np.ndarray:
    """Where each run of so many begins, and where the last one ends: int64[n + 1]."""
    return np.concatenate([[0], np.cumsum(counts, dtype="i8")])


def together(parts: Sequence[np.ndarray | Csr]) -> np.ndarray | Csr:
    """The rows of all parts, one after the other."""
    if not isinstance(parts[0], Csr):
        return np.concatenate(parts)
    return Csr(ends(np.concatenate([part.counts for part in parts])), np.concatenate([part.ids for part in parts]),
               np.concatenate([part.values for part in parts]), parts[0].width)


def beside_each_other(parts: Sequence[Csr]) -> Csr:
    """Rows of the features of all parts, which have the same number of rows."""
    counts = np.array([part.counts for part in parts])
    starts = ends(counts.sum(0))
    first = starts[:-1] + np.cumsum(counts, 0) - counts         # of each part, where its features of each row begin
    ids, values, width = np.empty(starts[-1], "i4"), np.empty(starts[-1]), 0
    for part, count, at in zip(parts, counts, first):
        places = np.arange(len(part.ids)) + np.repeat(at - part.starts[:-1], count)
        ids[places], values[places] = part.ids + width, part.values
        width += part.width
    return Csr(starts, ids, values, width)


def joined(parts: Iterable[dict]) -> dict:
    """The rows of all parts, which have the same arrays."""
    parts = list(parts)
    return parts[0] if len(parts) == 1 else {name: together([part[name] for part in parts]) for name in parts[0]}
