"""What a worker emits and what averaging means: (worker, n, values) of a chunk -> their weighted mean.

A partial line is `chunk TAB worker TAB n TAB base64(values)`. Chunks are fixed ranges of the state's
vector, the shuffle's keys; a chunk whose name starts with "record" carries JSON and is not averaged.
"""
import binascii
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mrdl import kernels
from mrdl.kernels.text import decode64

# values a chunk: small enough that each uses the memory of the one before (fresh pages cost more than
# the sums), large enough that a line is mostly values
CHUNK = 1 << 17
RECORD = "record"


class PartialError(ValueError):
    """A damaged partial, or partials that do not belong together."""


class Partial(NamedTuple):
    """One worker's part of a chunk; after the merge, `worker` says how many were merged.

    Args:
        worker: the worker's number, from 0.
        n: the examples, or steps that count, that the values are of: their weight in the mean.
        values: an array [values of the chunk]; a dict in a chunk whose name begins with
            "record"."""
    worker: int
    n: int
    values: np.ndarray | dict


class PartialProtocol:
    """The line: worker and n zero-padded, so that bytes sort as numbers do.

    Args:
        dtype: "float32" or "float64", of the values. float32, as the weights are."""

    def __init__(self, dtype: str = "float32"):
        self.dtype = np.dtype(dtype).newbyteorder("<")

    def write(self, chunk: str, partial: Partial) -> bytes:
        """The line of a chunk's part.

        Args:
            chunk: the chunk's name, the shuffle's key.
            partial: the part.

        Returns:
            The line, without its end."""
        data = json.dumps(partial.values).encode() if chunk.startswith(RECORD) else \
            np.ascontiguousarray(partial.values, self.dtype)
        return b"%s\t%06d\t%012d\t%s" % (chunk.encode(), partial.worker, partial.n,
                                         binascii.b2a_base64(data, newline=False))

    def read(self, line: bytes) -> tuple[str, Partial]:
        """The chunk's name and part in a line.

        Args:
            line: the line, without its end.

        Raises:
            PartialError: the line is not whole."""
        try:
            head = line[:line.index(b"\t", line.index(b"\t", line.index(b"\t") + 1) + 1) + 1]
            fields = head.split(b"\t")
            chunk, worker, n = fields[0].decode("ascii"), int(fields[1]), int(fields[2])
            data = _decoded(memoryview(line)[len(head):])
            if worker < 0 or n < 0:
                raise ValueError("its numbers are below 0")
            if chunk.startswith(RECORD):
                values = json.loads(data.tobytes())
                if not isinstance(values, dict):
                    raise ValueError("a record must be an object")
            else:
                values = data.view(self.dtype)
        except (ValueError, IndexError, RecursionError) as error:
            raise PartialError(f"damaged partial line ({error}): {line[:60]!r}") from None
        return chunk, Partial(worker, n, values)


def _decoded(text: memoryview) -> np.ndarray:
    """The bytes of base64; ValueError for anything else. Only its last group may be padded."""
    tail = binascii.a2b_base64(text[-4:])
    data = np.empty(max(0, len(text) // 4 - 1) * 3 + len(tail), np.uint8)
    body = data[:len(data) - len(tail)]
    if binascii.b2a_base64(tail, newline=False) != text[-4:] or not decode64(text[:-4], body):
        raise ValueError("its values are not base64")
    data[len(body):] = np.frombuffer(tail, np.uint8)
    return data


def pieces(size: int) -> int:
    """How many chunks a vector has."""
    return -(-size // CHUNK)


def ranges(size: int, keys: list[str]) -> list[tuple[int, int]]:
    """The (start, stop) range of each chunk of a vector, by its `chunk_keys`; lengths differ by at most one."""
    count = len(keys) - 1
    cuts = [size * i // max(count, 1) for i in range(count + 1)]
    return list(itertools.pairwise(cuts))


def merge(chunk: str, partials: Iterable[Partial]) -> Iterator[tuple[str, Partial]]:
    """The n-weighted mean of a chunk, summed in float64 in worker order.

    A single partial stays as it is, and so does the first where all have learned from n = 0.
    Records pass through.

    Args:
        chunk: the chunk's name.
        partials: those of the chunk, by rising number of the worker (`SORT_VALUES = True` of a
            job).

    Yields:
        The name and the mean, whose `worker` says how many were merged.

    Raises:
        PartialError: a worker comes twice, or lengths differ."""
    if chunk.startswith(RECORD):
        yield from ((chunk, p) for p in partials)
        return
    partials = iter(partials)
    first = next(partials)
    total, count, n, last = None, 1, first.n, first.worker
    for p in partials:
        if p.worker <= last:
            raise PartialError(f"chunk {chunk}: worker {p.worker} after worker {last}: "
                               "partials must come once each, in worker order")
        if len(p.values) != len(first.values):
            raise PartialError(f"chunk {chunk}: {len(p.values)} values from worker {p.worker}, "
                               f"{len(first.values)} from worker {first.worker}")
        k = kernels.typed(first.values.dtype)
        if total is None:
            total = np.zeros(len(first.values))
            k.accumulate(total, first.values, first.n)
        k.accumulate(total, p.values, p.n)
        count, n, last = count + 1, n + p.n, p.worker
    values = first.values
    if total is not None and n:
        values = np.empty_like(values)
        kernels.typed(values.dtype).mean(total, n, values)
    yield chunk, Partial(count, n, values)


Emitted = Iterator[tuple[str, Partial]]
