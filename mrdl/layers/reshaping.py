"""Layers that only move features: padding, cropping, up-sampling and so on, as in Keras (channels_last)."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Binding, Operation, Shape


class RowsOperation(Operation):
    def __init__(self, layer: "Rows", b: Binding):
        super().__init__(layer, b)
        self.source = layer.moved(np.arange(len(b.x.value)).reshape(b.shape)).ravel()

    def forward(self):
        self.b.k.take_rows(self.b.x.value, self.source, self.b.y.value)

    def backward(self, batch):
        if not self.b.first:
            self.b.k.add_rows(self.b.y.grad, self.source, self.b.x.grad)


@dataclass(frozen=True)
class Rows(Layer):
    """Each feature of y is a feature of x, or 0."""
    operation: ClassVar[type[Operation]] = RowsOperation

    def moved(self, index: np.ndarray) -> np.ndarray:
        """Rearranges `index`, the numbers of x's features in x's shape, to y's shape; -1 stands for 0. ConfigError if x does
        not fit."""
        raise NotImplementedError           # each layer has its own

    def shape_of_output(self, shape):
        return self.moved(np.broadcast_to(np.int64(0), shape)).shape        # a broadcast view takes no memory


def rank(layer: Layer, shape: Shape, wanted: str) -> None:
    need(len(shape) == len(wanted.split(", ")),
         f"{type(layer).__name__}: its input has the shape {shown(shape)}, not ({wanted})")


def pairs(layer: Layer, key: str, dimensions: int) -> None:
    """Expands Keras's short forms to (before, after) for each dimension: one number, one number per dimension, or pairs."""
    value = getattr(layer, key)
    given = value if isinstance(value, (list, tuple)) else (value,) * (dimensions if dimensions > 1 else 2)
    if dimensions == 1:
        given = (given,)
    made = tuple(tuple(v) if isinstance(v, (list, tuple)) else (v, v) for v in given)
    need(len(made) == dimensions and all(len(v) == 2 and all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 0 for n in v) for v in made),
        f"{type(layer).__name__}: {key}={shown(value)} must be numbers from 0 on, or pairs of them")
    object.__setattr__(layer, key, made[0] if dimensions == 1 else made)


@dataclass(frozen=True)
class ZeroPadding2D(Rows):
    """Rows and columns of zeros around an image.

    `name`: see Layer.

    Args:
        padding: ((top, bottom), (left, right)), or (rows, columns) on both sides, or one number for
            all."""
    padding: object = (1, 1)
    name: str | None = None

    def __post_init__(self):
        pairs(self, "padding", 2)
        super().__post_init__()

    def shape_of_output(self, shape):
        rank(self, shape, "height, width, channels")
        (top, bottom), (left, right) = self.padding
        return shape[0] + top + bottom, shape[1] + left + right, shape[2]

    def moved(self, index):
        rank(self, index.shape, "height, width, channels")
        return np.pad(index, (*self.padding, (0, 0)), constant_values=-1)


@dataclass(frozen=True)
class ZeroPadding1D(Rows):
    """Steps of zeros before and after a sequence.

    `name`: see Layer.

    Args:
        padding: (before, after), or one number for both."""
    padding: object = 1
    name: str | None = None

    def __post_init__(self):
        pairs(self, "padding", 1)
        super().__post_init__()

    def shape_of_output(self, shape):
        rank(self, shape, "steps, channels")
        return shape[0] + sum(self.padding), shape[1]

    def moved(self, index):
        rank(self, index.shape, "steps, channels")
        return np.pad(index, (self.padding, (0, 0)), constant_values=-1)


def cropped(layer: Layer, index: np.ndarray, cuts: list[tuple[int, int]]) -> np.ndarray:
    found = index[tuple(slice(a, n - b) for (a, b), n in zip(cuts, index.shape))]
    need(found.size > 0, f"{type(layer).__name__}: nothing is left of the shape {shown(index.shape)}")
    return found


@dataclass(frozen=True)
class Cropping2D(Rows):
    """An image without its edges.

    `name`: see Layer.

    Args:
        cropping: ((top, bottom), (left, right)), or (rows, columns) on both sides, or one number
            for all."""
    cropping: object = ((0, 0), (0, 0))
    name: str | None = None

    def __post_init__(self):
        pairs(self, "cropping", 2)
        super().__post_init__()

    def moved(self, index):
        rank(self, index.shape, "height, width, channels")
        return cropped(self, index, self.cropping)


@dataclass(frozen=True)
class Cropping1D(Rows):
    """A sequence without its ends.

    `name`: see Layer.

    Args:
        cropping: (before, after), or one number for both."""
    cropping: object = (1, 1)
    name: str | None = None

    def __post_init__(self):
        pairs(self, "cropping", 1)
        super().__post_init__()

    def moved(self, index):
        rank(self, index.shape, "steps, channels")
        return cropped(self, index, [self.cropping])


@dataclass(frozen=True)
class UpSampling2D(Rows):
    """Each pixel as a block of size[0] x size[1] (interpolation "nearest").

    `name`: see Layer.

    Args:
        size: rows and columns of the block, or one number for both."""
    fixed: ClassVar = {"interpolation": "nearest"}
    size: tuple[int, ...] = (2, 2)
    name: str | None = None

    def __post_init__(self):
        if isinstance(self.size, int):
            object.__setattr__(self, "size", (self.size,) * 2)
        super().__post_init__()
        need(len(self.size) == 2 and min(self.size) > 0,
             f"UpSampling2D: size={shown(self.size)} must be 2 numbers above 0")

    def shape_of_output(self, shape):
        rank(self, shape, "height, width, channels")
        return shape[0] * self.size[0], shape[1] * self.size[1], shape[2]

    def moved(self, index):
        rank(self, index.shape, "height, width, channels")
        return index.repeat(self.size[0], 0).repeat(self.size[1], 1)

    def get_config(self):
        return super().get_config() | self.fixed


@dataclass(frozen=True)
class UpSampling1D(Rows):
    """Each step `size` times.

    `name`: see Layer.

    Args:
        size: how often each step comes, 1 or more."""
    size: int = 2
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(self.size > 0, f"UpSampling1D: size={shown(self.size)} must be above 0")

    def shape_of_output(self, shape):
        rank(self, shape, "steps, channels")
        return shape[0] * self.size, shape[1]

    def moved(self, index):
        rank(self, index.shape, "steps, channels")
        return index.repeat(self.size, 0)


@dataclass(frozen=True)
class Permute(Rows):
    """Changes the order of the dimensions, which are counted from 1.

    `name`: see Layer.

    Args:
        dims: for each dimension of y, the number of the dimension of x."""
    dims: tuple[int, ...]
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(sorted(self.dims) == list(range(1, len(self.dims) + 1)),
             f"Permute: dims={shown(self.dims)} must be the numbers 1, 2, ... in any order")

    def moved(self, index):
        need(index.ndim == len(self.dims),
             f"Permute: dims={shown(self.dims)} does not fit the shape {shown(index.shape)}")
        return index.transpose([d - 1 for d in self.dims])


@dataclass(frozen=True)
class RepeatVector(Rows):
    """Repeats x for n steps: y[t] = x.

    `name`: see Layer.

    Args:
        n: the number of steps, 1 or more."""
    n: int
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(self.n > 0, f"RepeatVector: n={shown(self.n)} must be above 0")

    def shape_of_output(self, shape):
        rank(self, shape, "features")
        return self.n, *shape

    def moved(self, index):
        rank(self, index.shape, "features")
        return np.broadcast_to(index, (self.n, len(index)))
