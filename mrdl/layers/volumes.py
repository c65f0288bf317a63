"""Pooling, padding, cropping and up-sampling of [D][H][W][C] volumes, as in Keras (channels_last)."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.kernels import zeros
from mrdl.layers.geometry import AXES, Geometry, Sizes, check_sizes, image, planned, possible, sizes
from mrdl.layers.operation import Binding, Operation, Shape
from mrdl.layers.pooling import GlobalPooling, Pooling
from mrdl.layers.reshaping import Rows, cropped, pairs, rank

VOLUME = AXES[3]


class VolumePoolOperation(Operation):
    """Pools each slice, and what comes out over the depth."""

    def __init__(self, layer: "VolumePooling", b: Binding):
        super().__init__(layer, b)
        self.plane, self.depth = layer.geometries(b.shape)
        D, N, dtype = b.shape[0], b.x.value.shape[1], b.x.value.dtype
        size = int(np.prod(self.plane[3:6]))
        self.between = zeros((D * size, N), dtype)
        self.slope = zeros((D * size, N), dtype) if b.training and not b.first else None

    def slices(self, *arrays: np.ndarray) -> zip:
        return zip(*(a.reshape(self.b.shape[0], -1, a.shape[1]) for a in arrays))

    def forward(self):
        b = self.b
        pool = b.k.max_pool_forward if self.layer.largest else b.k.average_pool_forward
        for x, y in self.slices(b.x.value, self.between):
            pool(x, y, self.plane)
        pool(self.between, b.y.value, self.depth)

    def backward(self, batch):
        b, k = self.b, self.b.k
        if b.first:
            return
        if self.layer.largest:
            k.max_pool_backward(self.between, b.y.value, b.y.grad, self.slope, self.depth, False)
            for x, y, dy, dx in self.slices(b.x.value, self.between, self.slope, b.x.grad):
                k.max_pool_backward(x, y, dy, dx, self.plane, False)
            return
        k.average_pool_backward(b.y.grad, self.slope, self.depth)
        for dy, dx in self.slices(self.slope, b.x.grad):
            k.average_pool_backward(dy, dx, self.plane)


class VolumePooling(Pooling):
    """Pooling of volumes; its arguments: see mrdl.layers.pooling.Pooling."""
    operation = VolumePoolOperation
    rank = 3

    def geometries(self, shape: Shape) -> tuple[Geometry, Geometry]:
        """Those of a slice [H][W][C], and of the depth, where the rest of a volume is one row of channels."""
        D, H, W, C = image(self, shape)
        (OD, *outputs), (front, *before) = planned(self, shape[:-1], self.pool_size, self.strides, (1, 1, 1))
        (kd, *kernel), (sd, *strides) = self.pool_size, self.strides
        rest = int(np.prod(outputs)) * C
        return (possible(self, (H, W, C, *outputs, C, *kernel, *strides, 1, 1, *before, 1)),
                possible(self, (D, 1, rest, OD, 1, rest, kd, 1, sd, 1, 1, 1, front, 0, 1)))

    def shape_of_output(self, shape):
        plane, depth = self.geometries(shape)
        return depth[3], *plane[3:6]

    def scratch(self, shape):
        return shape[0] * int(np.prod(self.geometries(shape)[0][3:6]))


@dataclass(frozen=True)
class MaxPooling3D(VolumePooling):
    """y[d, h, w, c] = the largest x of the window.

    The arguments: see mrdl.layers.pooling.Pooling."""
    pool_size: Sizes = (2, 2, 2)


class AveragePooling3D(VolumePooling):
    """y[d, h, w, c] = the mean of x over the window, padding left out.

    The arguments: see mrdl.layers.pooling.Pooling."""
    largest = False


class GlobalMaxPooling3D(GlobalPooling):
    """y[c] = the largest x[d, h, w, c].

    `keepdims`: see mrdl.layers.pooling.GlobalPooling."""
    rank = 3


class GlobalAveragePooling3D(GlobalPooling):
    """y[c] = the mean of x[d, h, w, c].

    `keepdims`: see mrdl.layers.pooling.GlobalPooling."""
    rank, largest = 3, False


@dataclass(frozen=True)
class ZeroPadding3D(Rows):
    """Zeros around a volume.

    `name`: see Layer.

    Args:
        padding: ((front, back), (top, bottom), (left, right)), or (slices, rows, columns) on both sides, or one number for all."""
    padding: object = ((1, 1), (1, 1), (1, 1))
    name: str | None = None

    def __post_init__(self):
        pairs(self, "padding", 3)
        super().__post_init__()

    def shape_of_output(self, shape):
        rank(self, shape, VOLUME)
        return (*(n + before + after for n, (before, after) in zip(shape, self.padding)), shape[3])

    def moved(self, index):
        rank(self, index.shape, VOLUME)
        return np.pad(index, (*self.padding, (0, 0)), constant_values=-1)


@dataclass(frozen=True)
class Cropping3D(Rows):
    """A volume without its edges.

    `name`: see Layer.

    Args:
        cropping: ((front, back), (top, bottom), (left, right)), or (slices, rows, columns) on both sides, or one number for all."""
    cropping: object = ((1, 1), (1, 1), (1, 1))
    name: str | None = None

    def __post_init__(self):
        pairs(self, "cropping", 3)
        super().__post_init__()

    def moved(self, index):
        rank(self, index.shape, VOLUME)
        return cropped(self, index, self.cropping)


@dataclass(frozen=True)
class UpSampling3D(Rows):
    """Each value as a block of size[0] x size[1] x size[2].

    `name`: see Layer.

    Args:
        size: slices, rows and columns of the block, or one number for all."""
    rank: ClassVar[int] = 3
    size: Sizes = (2, 2, 2)
    name: str | None = None

    def __post_init__(self):
        sizes(self, "size")
        super().__post_init__()
        check_sizes(self, "size")

    def shape_of_output(self, shape):
        rank(self, shape, VOLUME)
        return (*(n * s for n, s in zip(shape, self.size)), shape[3])

    def moved(self, index):
        self.shape_of_output(index.shape)
        for axis, n in enumerate(self.size):
            index = index.repeat(n, axis)
        return index
