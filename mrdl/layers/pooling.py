"""Pooling over [H][W][C] images and [steps][C] sequences, as in Keras (channels_last)."""
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.geometry import Geometry, Sizes, check_sizes, flat, image, planned, possible, sizes
from mrdl.layers.layer import LARGEST, Layer
from mrdl.layers.operation import Binding, Operation, Shape


class PoolOperation(Operation):
    def __init__(self, layer: "Pooling", b: Binding):
        super().__init__(layer, b)
        self.geometry = layer.geometry(b.shape)
        b.x.masked = b.x.relu and not b.first and layer.largest     # this layer's backward pass applies x's ReLU

    def forward(self):
        b = self.b
        pool = b.k.max_pool_forward if self.layer.largest else b.k.average_pool_forward
        pool(b.x.value, b.y.value, self.geometry)

    def backward(self, batch):
        b = self.b
        if b.first:
            return
        if self.layer.largest:
            b.k.max_pool_backward(b.x.value, b.y.value, b.y.grad, b.x.grad, self.geometry, b.x.masked)
        else:
            b.k.average_pool_backward(b.y.grad, b.x.grad, self.geometry)


@dataclass(frozen=True)
class Pooling(Layer):
    """The largest value, or the mean, of each window.

    `name`: see Layer.

    Args:
        pool_size: the window's size in each dimension, or one number for all. 2 for MaxPooling, as
            in Keras; AveragePooling has no default.
        strides: how far the window moves in each dimension, or one number for all. None: by its
            size.
        padding: "valid": the window stays inside the image; "same": it may extend beyond the edge,
            where it contains nothing."""
    operation: ClassVar[type[Operation]] = PoolOperation
    rank: ClassVar[int] = 2
    largest: ClassVar[bool] = True
    pool_size: Sizes
    strides: Sizes = None
    padding: str = "valid"
    name: str | None = None

    def __post_init__(self):
        if self.strides is None:
            object.__setattr__(self, "strides", self.pool_size)
        sizes(self, "pool_size", "strides")
        super().__post_init__()
        check_sizes(self, "pool_size", "strides")
        need(self.padding in ("valid", "same"),
             f"{type(self).__name__}: padding={shown(self.padding)} must be valid or same")

    def geometry(self, shape: Shape) -> Geometry:
        H, W, C = image(self, shape)
        outputs, before = planned(self, shape[:-1], self.pool_size, self.strides, (1,) * self.rank)
        return possible(self, (H, W, C, *flat(self.rank, outputs), C, *flat(self.rank, self.pool_size, self.strides),
                               1, 1, *(0,) * (2 - self.rank), *before, 1))

    def shape_of_output(self, shape):
        g = self.geometry(shape)
        return (*g[3:5][2 - self.rank:], g[5])


@dataclass(frozen=True)
class MaxPooling2D(Pooling):
    """y[h, w, c] = the largest x of the window.

    The arguments: see mrdl.layers.pooling.Pooling."""
    pool_size: Sizes = (2, 2)


@dataclass(frozen=True)
class MaxPooling1D(Pooling):
    """y[t, c] = the largest x of the window.

    The arguments: see mrdl.layers.pooling.Pooling."""
    rank: ClassVar[int] = 1
    pool_size: Sizes = 2


@dataclass(frozen=True)
class AveragePooling2D(Pooling):
    """y[h, w, c] = the mean of x over the window, padding left out.

    The arguments: see mrdl.layers.pooling.Pooling."""
    largest: ClassVar[bool] = False


class AveragePooling1D(Pooling):
    """y[t, c] = the mean of x over the window, padding left out.

    The arguments: see mrdl.layers.pooling.Pooling."""
    rank, largest = 1, False


@dataclass(frozen=True)
class GlobalPooling(Layer):
    """The largest value, or the mean, of each channel.

    `name`: see Layer.

    Args:
        keepdims: whether y keeps the axes, with size 1."""
    operation: ClassVar[type[Operation]] = PoolOperation
    rank: ClassVar[int] = 2
    largest: ClassVar[bool] = True
    keepdims: bool = False
    name: str | None = None

    def geometry(self, shape: Shape) -> Geometry:
        *size, C = image(self, shape)
        H, W = math.prod(size[:-1]), size[-1]
        return possible(self, (H, W, C, 1, 1, C, H, W, 1, 1, 1, 1, 0, 0, 1), LARGEST)

    def shape_of_output(self, shape):
        self.geometry(shape)
        return (*(1,) * (self.rank if self.keepdims else 0), shape[-1])


class GlobalMaxPooling2D(GlobalPooling):
    """y[c] = the largest x[h, w, c].

    `keepdims`: see mrdl.layers.pooling.GlobalPooling."""


class GlobalMaxPooling1D(GlobalPooling):
    """y[c] = the largest x[t, c].

    `keepdims`: see mrdl.layers.pooling.GlobalPooling."""
    rank = 1


class GlobalAveragePooling2D(GlobalPooling):
    """y[c] = the mean of x[h, w, c].

    `keepdims`: see mrdl.layers.pooling.GlobalPooling."""
    largest = False


class StepsPoolOperation(PoolOperation):
    """The mean over the unmasked steps; 0 if all are masked."""

    def forward(self):
        mask, x = self.x_mask, self.b.x.value
        if mask is None:
            return super().forward()
        self.share = mask / np.maximum(mask.sum(0), 1)
        np.einsum("tcn,tn->cn", x.reshape(len(mask), -1, x.shape[1]), self.share, out=self.b.y.value)
        self.b.k.flush(self.b.y.value)

    def backward(self, batch):
        if self.x_mask is None:
            return super().backward(batch)
        dx, dy = self.b.x.grad, self.b.y.grad
        if not self.b.first:
            np.multiply(dy, self.share[:, None], out=dx.reshape(len(self.share), *dy.shape))
            self.b.k.flush(dx)


class GlobalAveragePooling1D(GlobalPooling):
    """y[c] = the mean of x[t, c] over the unmasked steps t.

    `keepdims`: see mrdl.layers.pooling.GlobalPooling."""
    operation: ClassVar[type[Operation]] = StepsPoolOperation
    rank, largest = 1, False
