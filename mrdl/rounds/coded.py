"""Messages with coded values: how workers write the change of the state's vector, and the driver a coded broadcast, in pieces, each
by a coding of its own.

A message is the number of its pieces, for each piece (coding's number, values, bytes), then the pieces' bytes. All numbers are
32-bit, little-endian."""
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from mrdl import seeds
from mrdl.codings import KINDS, Coding, Exact, Zeros

MOST = 1 << 20                  # values; no chunk has more (checked before memory is taken)
Cut = tuple[int, int, Coding]   # start, stop and the coding of what is between
PIECE = np.dtype([("coding", "<u4"), ("values", "<u4"), ("bytes", "<u4")])


class Coded(bytes):
    """A message, in place of a partial's values."""

    @property
    def nbytes(self) -> int:
        return len(self)

    @property
    def count(self) -> int:
        """The number of values; ValueError if the message is damaged."""
        return int(_heads(np.frombuffer(self, np.uint8))[0]["values"].sum())


def cuts_of(places: Iterable[tuple[Any, Any, int]], rows: int, kind: Coding, slots: Coding, frozen: bool) -> Iterator[Cut]:
    """The parts of a state's vector: the weights, then the updater's slots, weight by weight.

    Args:
        places: of the weights, as from the model's `places()`.
        rows: one for the weights, and one for each of the updater's slots.
        kind: the coding of weights that are trained. Others, such as moving means of data, are exact.
        slots: that of the updater's slots.
        frozen: whether the vector has those of frozen layers."""
    weights, begin = sorted((start, weight.size, weight.trainable and not weight.frozen) for _, weight, start in places if frozen or not weight.frozen), 0
    for row in range(rows):
        for _, size, trained in weights:
            yield begin, begin + size, slots if row else kind if trained else Exact()
            begin += size


def within(cuts: Iterable[Cut], start: int, stop: int) -> list[Cut]:
    """The cuts of start..stop, counted from start."""
    return [(max(a, start) - start, min(b, stop) - start, kind) for a, b, kind in cuts if a < stop and b > start]


def message(values: np.ndarray, cuts: list[Cut], *key: int | str) -> Coded:
    """Writes values in pieces.

    Args:
        values: [n].
        cuts: (start, stop, coding) of the pieces, which follow one another from 0 to n.
        key: the key of the random numbers of codings that round at random."""
    heads, bodies = np.zeros(len(cuts), PIECE), []
    for head, (start, stop, coding) in zip(heads, cuts):
        part = values[start:stop]
        if not part.any():
            coding = Zeros()
        elif not np.isfinite(part).all():       # the driver must see that
            coding = Exact()
        with np.errstate(all="ignore"):
            bodies.append(coding.encode(part, partial(_drawn, seeds.key(*key, start))))
        head["coding"], head["values"], head["bytes"] = coding.number, stop - start, len(bodies[-1])
    return Coded(b"".join([np.array(len(cuts), "<u4").tobytes(), heads.tobytes(), *bodies]))


def values_of(data: bytes | np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values of a message; ValueError if it is damaged.

    Args:
        data: the message, as bytes or uint8.
        dtype: the type of the values."""
    data = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    heads, start = _heads(data)
    found, place = np.empty(int(heads["values"].sum()), dtype), 0
    for number, n, size in heads.tolist():
        if number not in KINDS:
            raise ValueError(f"this version does not know coding {number}")
        found[place:place + n] = KINDS[number].decode(data[start:start + size], n, found.dtype)
        place, start = place + n, start + size
    return found


def _heads(data: np.ndarray) -> tuple[np.ndarray, int]:
    """The heads of the pieces, and where the first piece begins."""
    start = 4 + (int(data[:4].view("<u4")[0]) * PIECE.itemsize if len(data) >= 4 else 0)
    if len(data) < start:
        raise ValueError("its coded values are cut off")
    heads = data[4:start].view(PIECE)
    if start + int(heads["bytes"].sum(dtype=np.uint64)) != len(data):
        raise ValueError(f"{len(data)} bytes of coded values do not fit their pieces")
    if int(heads["values"].sum(dtype=np.uint64)) > MOST:
        raise ValueError("its coded values are more than a chunk has")
    return heads, start


def _drawn(key: int, n: int) -> np.ndarray:
    """The first n 16-bit numbers of the random stream with this key."""
    return np.random.Philox(key=key).random_raw(-(-n // 4)).astype("<u8").view("<u2")[:n]
