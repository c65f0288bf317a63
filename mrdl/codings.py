"""Codings of changes: how a worker writes the change of its weights in fewer bytes.

A coding turns a vector into bytes and back. All is computed value by value, or from order statistics and whole numbers, so that
the bytes are the same on every machine. Each coding has a number, by which a message names it (mrdl.rounds.coded)."""
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from mrdl.config import Configured, described, lookup

ROW = 256                       # values that share a scale in int8
Draw = Callable[[int], np.ndarray]      # n -> n random 16-bit numbers, the same ones for the same change


@dataclass(frozen=True)
class Coding(Configured):
    """A way to write a vector in fewer bytes."""
    keras_module: ClassVar[str] = "mrdl.codings"
    number: ClassVar[int]

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


CODINGS = [Float16, BFloat16, Int8]
KINDS: dict[int, type[Coding]] = {kind.number: kind for kind in (Zeros, Exact, *CODINGS)}
GRAMMAR = f"none, {', '.join(kind.__name__.lower() for kind in CODINGS)}"


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
        value = described(value, "compress", GRAMMAR)
    return lookup(value, CODINGS, "coding", ("none",))
