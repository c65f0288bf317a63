"""What a worker emits, a partial (worker, n, values) for each chunk, and how partials are averaged.

A partial line is `chunk TAB worker TAB n TAB base64(values)`. Chunks are fixed ranges of the state's
vector; their names are the keys of the shuffle. Where values are coded (mrdl.rounds.coded), it is
`coded:` and base64(message), and the values are changes. A chunk whose name starts with "record" has JSON
instead of values, and is not averaged.
"""
import binascii
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mrdl import kernels
from mrdl.kernels.text import decode64
from mrdl.rounds.coded import Coded, values_of

# values in a chunk: few enough that a chunk can reuse the memory of the one before it (touching new pages
# takes longer than summing), many enough that a line consists mostly of values
CHUNK = 1 << 17
RECORD = "record"
CODED = b"coded:"               # no base64 begins so


class PartialError(ValueError):
    """A partial is damaged, or partials do not belong together."""


class Partial(NamedTuple):
    """One worker's values for one chunk; after the merge, `worker` is the number of workers merged.

    Args:
        worker: the worker's number, from 0.
        n: the number of examples (or of unmasked steps) that the worker trained on: the weight
            of its values in the mean.
        values: a 1-D array with the chunk's values; a dict in a chunk whose name begins with
            "record"; a message where the worker's values are coded."""
    worker: int
    n: int
    values: np.ndarray | dict | Coded


class PartialProtocol:
    """Reads and writes partial lines. The worker and n are zero-padded, so that lines sort as numbers do.

    Args:
        dtype: "float32" or "float64", the type of the values. The default is float32, the type
            of weights."""

    def __init__(self, dtype: str = "float32"):
        self.dtype = np.dtype(dtype).newbyteorder("<")

    def write(self, chunk: str, partial: Partial) -> bytes:
        """Makes the line of a partial.

        Args:
            chunk: the chunk's name, the key of the shuffle.
            partial: the partial.

        Returns:
            The line, without a line end."""
        coded = isinstance(partial.values, Coded)
        data = json.dumps(partial.values).encode() if chunk.startswith(RECORD) else \
            partial.values if coded else np.ascontiguousarray(partial.values, self.dtype)
        return b"%s\t%06d\t%012d\t%s%s" % (chunk.encode(), partial.worker, partial.n, CODED if coded else b"",
                                           binascii.b2a_base64(data, newline=False))

    def read(self, line: bytes) -> tuple[str, Partial]:
        """Parses a line to the chunk's name and the partial, whose values are decoded.

        Args:
            line: the line, without a line end.

        Raises:
            PartialError: the line is damaged or truncated."""
        try:
            head = line[:line.index(b"\t", line.index(b"\t", line.index(b"\t") + 1) + 1) + 1]
            fields = head.split(b"\t")
            chunk, worker, n = fields[0].decode("ascii"), int(fields[1]), int(fields[2])
            coded = line.startswith(CODED, len(head))
            data = _decoded(memoryview(line)[len(head) + coded * len(CODED):])
            if worker < 0 or n < 0:
                raise ValueError("its numbers are below 0")
            if chunk.startswith(RECORD):
                values = json.loads(data.tobytes())
                if not isinstance(values, dict):
                    raise ValueError("a record must be an object")
            else:
                values = values_of(data, self.dtype) if coded else data.view(self.dtype)
        except (ValueError, IndexError, RecursionError) as error:
            raise PartialError(f"damaged partial line ({error}): {line[:60]!r}") from None
        return chunk, Partial(worker, n, values)


def _decoded(text: memoryview) -> np.ndarray:
    """Decodes base64; ValueError for anything else. Only the last group may be padded."""
    tail = binascii.a2b_base64(text[-4:])
    data = np.empty(max(0, len(text) // 4 - 1) * 3 + len(tail), np.uint8)
    body = data[:len(data) - len(tail)]
    if binascii.b2a_base64(tail, newline=False) != text[-4:] or not decode64(text[:-4], body):
        raise ValueError("its values are not base64")
    data[len(body):] = np.frombuffer(tail, np.uint8)
    return data


def pieces(size: int) -> int:
    """The number of chunks of a vector with `size` values."""
    return -(-size // CHUNK)


def ranges(size: int, keys: list[str]) -> list[tuple[int, int]]:
    """The (start, stop) range of each chunk of a vector, by its `chunk_keys`; lengths differ by at most one."""
    count = len(keys) - 1
    cuts = [size * i // max(count, 1) for i in range(count + 1)]
    return list(itertools.pairwise(cuts))


def merge(chunk: str, partials: Iterable[Partial]) -> Iterator[tuple[str, Partial]]:
    """The mean of a chunk's partials, weighted by n, summed in float64 in the order of workers.

    A single partial is returned unchanged. If n is 0 in all partials, the first is returned.
    Records are passed on unchanged.

    Args:
        chunk: the chunk's name.
        partials: the chunk's partials, sorted by worker (a job has them in this order if it
            sets `SORT_VALUES = True`).

    Yields:
        The chunk's name and the mean, whose `worker` is the number of workers merged.

    Raises:
        PartialError: a worker occurs twice, or the lengths differ."""
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


def averaged(partials: list[Partial], out: np.ndarray) -> Partial:
    """The mean of partials that are all at hand, with the bits of `merge`.

    Args:
        partials: those of one range of values, sorted by worker.
        out: [P], takes the mean; memory of none of the partials.

    Returns:
        A partial whose `worker` is the number of workers merged, and whose values are `out`."""
    n = tuple(p.n for p in partials)
    if len(n) > 1 and sum(n):
        kernels.typed(out.dtype).means([p.values for p in partials], n, out)
    else:
        out[:] = partials[0].values
    return Partial(len(n), sum(n), out)


Emitted = Iterator[tuple[str, Partial]]
