"""Codings of changes: how a worker writes the change of its weights in fewer bytes.

A coding turns a vector into bytes and back. All is computed value by value, or from order statistics and whole numbers, so that
the bytes are the same on every machine. Each coding has a number, by which a message names it (mrdl.rounds.coded)."""
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from mrdl.config import Configured, described, lookup, need

BLOCK = 4096                    # values of which topk sends the largest
STEPS = 1 << 20                 # magnitudes are whole numbers up to this where topk chooses levels, so that sums are exact
ROW = 256                       # values that share a scale in int8
Draw = Callable[[int], np.ndarray]      # n -> n random 16-bit numbers, the same ones for the same change


@dataclass(frozen=True)
class Coding(Configured):
    """A way to write a vector in fewer bytes."""
    keras_module: ClassVar[str] = "mrdl.codings"
    number: ClassVar[int]
    feedback: ClassVar[bool] = False    # does a worker keep what was not sent (its residual), and add it to the next change?

    def __str__(self):
        return " ".join([type(self).__name__.lower(), *(f"{f.name} {getattr(self, f.name)}" for f in fields(self))])

    def encode(self, values: np.ndarray, draw: Draw) -> bytes:
        """The vector in bytes.

        Args:
            values: [n], float32 or float64, all finite and not all 0.
            draw: gives the random numbers of codings that round at random."""
        raise NotImplementedError           # each coding has its own

    @staticmethod
    def decode(data: np.ndarray, n: int, dtype: np.dtype) -> np.ndarray:
        """The vector that `encode` wrote.

        Args:
            data: uint8, what `encode` returned.
            n: the length of the vector.
            dtype: the type of its values.

        Raises:
            ValueError: the bytes are damaged."""
        raise NotImplementedError           # each coding has its own


class Zeros(Coding):
    """All values are 0: weights that are not trained take no bytes."""
    number = 0

    def encode(self, values, draw):
        return b""

    @staticmethod
    def decode(data, n, dtype):
        parts(data)
        return np.zeros(n, dtype)


class Exact(Coding):
    """The values as they are."""
    number = 1

    def encode(self, values, draw):
        return values.astype(values.dtype.newbyteorder("<")).tobytes()

    @staticmethod
    def decode(data, n, dtype):
        return parts(data, (dtype.newbyteorder("<"), n))[0].astype(dtype)


@dataclass(frozen=True)
class Float16(Coding):
    """11 significant bits a value, half of float32's bytes. Each weight's changes are scaled by a power of 2, so that none
    overflows."""
    number: ClassVar[int] = 2

    def encode(self, values, draw):
        scale = np.ldexp(1.0, max(math.frexp(float(abs(values).max()))[1] - 15, -100))
        return np.array(scale, "<f4").tobytes() + (values / values.dtype.type(scale)).astype("<f2").tobytes()

    @staticmethod
    def decode(data, n, dtype):
        scale, values = parts(data, ("<f4", 1), ("<f2", n))
        return values.astype(dtype) * scale.astype(dtype)


@dataclass(frozen=True)
class BFloat16(Coding):
    """8 significant bits a value, half of float32's bytes."""
    number: ClassVar[int] = 3

    def encode(self, values, draw):
        words = values.astype("<f4").view("<u4")
        return ((words + (0x7FFF + (words >> 16 & 1))) >> 16).astype("<u2").tobytes()      # to the nearest, ties to even

    @staticmethod
    def decode(data, n, dtype):
        (words,) = parts(data, ("<u2", n))
        return (words.astype("<u4") << 16).view("<f4").astype(dtype)


class Truncated(BFloat16):
    """BFloat16, rounded towards 0: for the updater's state, as what must not be negative stays so. (The change of a value that
    is at least 0 can only become smaller.)"""

    def encode(self, values, draw):
        words = values.astype("<f4").view("<u4")
        if values.dtype == np.float64:          # the conversion to float32 may have rounded up
            words = words - (abs(words.view("<f4").astype(float)) > abs(values))
        return (words >> 16).astype("<u2").tobytes()


@dataclass(frozen=True)
class Int8(Coding):
    """Whole numbers from -127 to 127 with a float32 scale a row of 256 values: a quarter of float32's bytes. Rounded up or down at
    random, so that the mean is right; the random numbers depend on seed, shard and minibatch alone."""
    number: ClassVar[int] = 4

    def encode(self, values, draw):
        n, dtype = len(values), values.dtype.type
        rows = np.zeros((-(-n // ROW), ROW), dtype)
        rows.reshape(-1)[:n] = values
        scales = (abs(rows).max(axis=1) / 127).astype("<f4")
        shares = rows / np.where(scales > 0, scales, 1)[:, None].astype(dtype)
        shares = shares.reshape(-1)[:n] + (draw(n).astype(dtype) + dtype(0.5)) / dtype(1 << 16)
        return scales.tobytes() + np.clip(np.floor(shares), -127, 127).astype("i1").tobytes()

    @staticmethod
    def decode(data, n, dtype):
        scales, shares = parts(data, ("<f4", -(-n // ROW)), ("i1", n))
        return shares.astype(dtype) * np.repeat(scales.astype(dtype), ROW)[:n]


@dataclass(frozen=True)
class TopK(Coding):
    """The largest values of each block of 4096 (SparseLoCo: 2508.15706). What is not sent is kept by the worker as its residual, and
    added to its next change: residual = decay residual + change - sent.

    With 2 bits a value is a sign and one of two magnitudes, which are chosen for each block. A place takes 5 bits where 8 % are sent,
    7 where 2 % are.

    Args:
        share: how many of the values are sent, above 0 and at most 1; at least one of each block. With 0.08
            a message takes a fiftieth of float32's bytes.
        bits: of a value: 2, or 32 for values as they are.
        decay: the share of the old residual that is kept, from 0 to 1. With 1 nothing is ever lost;
            SparseLoCo has 0.95."""
    number: ClassVar[int] = 5
    feedback: ClassVar[bool] = True
    share: float = 0.08
    bits: int = 2
    decay: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        need(0 < self.share <= 1, "compress topk: share must be above 0 and at most 1")
        need(self.bits in (2, 32), "compress topk: bits must be 2 or 32")
        need(0 <= self.decay <= 1, "compress topk: decay must be from 0 to 1")

    def encode(self, values, draw):
        full = len(values) // BLOCK * BLOCK
        found = [_largest(rows, max(1, math.floor(self.share * rows.shape[1] + 0.5)))
                 for rows in (values[:full].reshape(-1, BLOCK), values[None, full:]) if rows.size]
        places, kept = (np.concatenate([part[i].reshape(-1) for part in found]) for i in (0, 1))
        each = [part[0].shape for part in found]
        places += np.repeat(np.arange(len(values[::BLOCK])) * BLOCK, [n for rows, n in each for _ in range(rows)])
        head = np.array([self.bits, each[0][1] if full else 0, each[-1][1] if full < len(values) else 0], "<u2")
        if self.bits == 32:
            body = kept.astype(kept.dtype.newbyteorder("<")).tobytes()
        else:
            levels, upper = zip(*(_levels(abs(part[1])) for part in found))
            upper = np.concatenate([part.reshape(-1) for part in upper])
            body = np.concatenate(levels).astype("<f4").tobytes() + np.packbits(np.stack([kept < 0, upper], 1)).tobytes()
        return head.tobytes() + body + _gaps(places, len(values))

    @staticmethod
    def decode(data, n, dtype):
        bits, k, tail = parts(data[:6], ("<u2", 3))[0].tolist()
        blocks, rest = divmod(n, BLOCK)
        if bits not in (2, 32) or k > BLOCK or tail > rest or bool(tail) != bool(rest):
            raise ValueError("coded values of topk do not fit their number")
        count, rows = blocks * k + tail, blocks + bool(tail)
        sizes = [dtype.itemsize * count] if bits == 32 else [8 * rows, -(-count // 4)]
        *body, packed = np.split(data[6:], np.cumsum(sizes))
        places = _places(packed, count, n)
        if bits == 32:
            (kept,) = parts(body[0], (dtype.newbyteorder("<"), count))
        else:
            levels, codes = (parts(part, kind)[0] for part, kind in zip(body, (("<f4", 2 * rows), ("u1", sizes[1]))))
            signs, upper = np.unpackbits(codes, count=2 * count).reshape(-1, 2).T
            row = np.concatenate([np.repeat(np.arange(blocks), k), np.full(tail, blocks)]).astype(np.int64)
            kept = levels.astype(dtype)[2 * row + upper] * (1 - 2 * signs.astype(dtype))
        return _filled(n, places, kept)


@dataclass(frozen=True)
class Threshold(Coding):
    """Where a magnitude reaches a threshold, the threshold with the value's sign (Strom 2015; DL4J's SharedTrainingMaster). What is not
    sent is kept by the worker, as with topk.

    For each weight tensor the threshold is raised or lowered until not more than `most` and not less than `least` of the values reach
    it, as DL4J's adaptive rule does over several steps. A place takes 8 bits where 1 % are sent.

    Args:
        threshold: the magnitude, above 0.
        least: the least share of values that is sent, from 0 to `most`.
        most: the largest share of values that is sent, at most 1; at least one value is sent.
        decay: the share of the old residual that is kept, from 0 to 1."""
    number: ClassVar[int] = 6
    feedback: ClassVar[bool] = True
    threshold: float = 1e-3
    least: float = 1e-4
    most: float = 1e-2
    decay: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        need(self.threshold > 0, "compress threshold: threshold must be above 0")
        need(0 <= self.least <= self.most <= 1, "compress threshold: least and most must be from 0 to 1, least not above most")
        need(0 <= self.decay <= 1, "compress threshold: decay must be from 0 to 1")

    def encode(self, values, draw):
        sizes, n = abs(values), len(values)
        level, some = np.float32(self.threshold), int(np.count_nonzero(values))
        least, most = (max(1, min(some, math.floor(share * n + 0.5))) for share in (self.least, self.most))
        hits = int(np.count_nonzero(sizes >= level))
        if not least <= hits <= most:
            level = np.partition(sizes, -(wanted := most if hits > most else least))[-wanted]
        places = np.flatnonzero((sizes >= level) & (sizes > 0))
        return (np.array(level, "<f4").tobytes() + np.array(len(places), "<u4").tobytes() + np.packbits(values[places] < 0).tobytes()
                + _gaps(places, n))

    @staticmethod
    def decode(data, n, dtype):
        level, (count,) = parts(data[:8], ("<f4", 1), ("<u4", 1))
        (signs,) = parts(data[8:8 + -(-int(count) // 8)], ("u1", -(-int(count) // 8)))
        places = _places(data[8 + len(signs):], int(count), n)
        return _filled(n, places, level.astype(dtype) * (1 - 2 * np.unpackbits(signs, count=len(places)).astype(dtype)))


def _largest(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The places [B, k] of the k largest magnitudes of each row [B, n], rising, and the values there. Of equal magnitudes the first
    ones are taken, so that the order in which a sort leaves them does not matter."""
    sizes = abs(rows)
    least = np.partition(sizes, -k, axis=1)[:, -k, None]
    taken, ties = sizes > least, sizes == least
    left = k - taken.sum(axis=1, keepdims=True)
    if (ties.sum(axis=1, keepdims=True) > left).any():
        ties &= np.cumsum(ties, axis=1) <= left
    places = np.nonzero(taken | ties)[1].reshape(len(rows), k)
    return places, np.take_along_axis(rows, places, 1)


def _levels(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two magnitudes [B, 2] for each row of sizes [B, k], the means of two groups, and which sizes are in the upper group: 2-means,
    in whole numbers."""
    top = sizes.max(axis=1, keepdims=True).astype(float)
    steps = np.rint(sizes / np.where(top > 0, top, 1) * STEPS).astype(np.int64)
    cut = steps.mean(axis=1, keepdims=True)
    for _ in range(3):
        upper = steps > cut
        high, low = (np.where(group, steps, 0).sum(axis=1, keepdims=True) / np.maximum(group.sum(axis=1, keepdims=True), 1)
                     for group in (upper, ~upper))
        cut = (low + high) / 2
    return np.concatenate([low, high], 1) * (top / STEPS), upper


def _low(count: int, n: int) -> int:
    """How many bits of a gap between `count` of n places are written as they are (Golomb 1966, Rice 1971)."""
    return (481 * n // (1000 * max(count, 1))).bit_length()


def _gaps(places: np.ndarray, n: int) -> bytes:
    """Rising places below n, by the gaps between them: the low bits of all gaps, then for each the rest, as so many zeros and a one."""
    gaps, low = np.diff(places, prepend=-1) - 1, _low(len(places), n)
    ends = np.cumsum((gaps >> low) + 1)
    rest = np.zeros(ends[-1], bool)
    rest[ends - 1] = True
    return np.packbits(gaps[:, None] >> np.arange(low) & 1).tobytes() + np.packbits(rest).tobytes()


def _places(packed: np.ndarray, count: int, n: int) -> np.ndarray:
    """The places that `_gaps` packed; ValueError for others, or places behind the end."""
    low = _low(count, n)
    cut = -(-count * low // 8)
    ends = np.flatnonzero(np.unpackbits(packed[cut:]))
    if len(ends) != count or not packed[-1:].any():
        raise ValueError(f"{len(packed)} bytes of coded values do not have {count} places")
    gaps = np.unpackbits(packed[:cut], count=count * low).reshape(count, low) @ (1 << np.arange(low))
    places = np.cumsum(gaps + (np.diff(ends, prepend=-1) - 1 << low) + 1) - 1
    if places[-1] >= n:
        raise ValueError("coded values have places behind their end")
    return places


def _filled(n: int, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """n values, those at these places, and 0 elsewhere."""
    found = np.zeros(n, values.dtype)
    found[places] = values
    return found


CODINGS = [Float16, BFloat16, Int8, TopK, Threshold]
KINDS: dict[int, type[Coding]] = {kind.number: kind for kind in (Zeros, Exact, *CODINGS)}
GRAMMAR = f"none, {', '.join(kind.__name__.lower() for kind in CODINGS)}; settings behind it, as in \"topk 0.02 bits 2 decay 0.95\""


def parts(data: np.ndarray, *kinds: tuple[Any, int]) -> list[np.ndarray]:
    """Cuts bytes into arrays.

    Args:
        data: uint8.
        kinds: (dtype, length) of each array.

    Raises:
        ValueError: the bytes are not as many as the arrays have."""
    ends = np.cumsum([np.dtype(dtype).itemsize * n for dtype, n in kinds], dtype=np.int64).tolist()
    if len(data) != (ends or [0])[-1]:
        raise ValueError(f"{len(data)} bytes of coded values, not {(ends or [0])[-1]}")
    return [data[start:end].view(dtype) for (dtype, _), start, end in zip(kinds, [0, *ends], ends)]


def coding(value: Any) -> Coding | None:
    """The coding for `value`: itself, its name with settings behind it, or its dict.

    Returns:
        The coding; None: workers send their weights as they are.

    Raises:
        ConfigError: there is no such coding or setting, or a setting is out of its range."""
    if isinstance(value, str):
        if value.strip().lower() == "none":
            return None
        value = described(value, "compress", GRAMMAR, {"topk": "share", "threshold": "threshold"})
    return lookup(value, CODINGS, "coding", ("none",))
