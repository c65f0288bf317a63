"""Resizing and CenterCrop, as in Keras: each pixel of y is a weighted sum of pixels of x."""
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Binding, Operation, Shape
from mrdl.layers.reshaping import rank

INTERPOLATIONS = ("nearest", "bilinear")
# pixels along an axis that make up those of y, and their weights: two arrays [pixels of y]
Taps = list[tuple[np.ndarray, np.ndarray]]


def resized(size: int, target: int, interpolation: str, start: int = 0) -> Taps:
    """Resizes pixels start .. start + size - 1 of an axis to `target` pixels; what lies outside them has no weight."""
    at = (np.arange(target) + 0.5) * size / target
    if interpolation == "nearest":
        return [(start + at.astype(int), np.ones(target))]
    low = np.floor(at - 0.5)
    share = at - 0.5 - low
    return [(start + np.clip(low + k, 0, size - 1).astype(int), weight) for k, weight in ((0, 1 - share), (1, share))]


def fitting(shape: Shape, height: int, width: int, interpolation: str) -> tuple[Taps, Taps]:
    """Crops the middle with the wanted ratio of height to width, and resizes it."""
    H, W, _ = shape
    h, w = max(min(H, int(W * height / width)), 1), max(min(W, int(H * width / height)), 1)
    return (resized(h, height, interpolation, int((H - h) / 2)), resized(w, width, interpolation, int((W - w) / 2)))


class TapsOperation(Operation):
    """y = the sum of x[source] * weight over all pairs of a row and a column; with a single pair, the weights are 1."""

    def __init__(self, layer: "Resampled", b: Binding):
        super().__init__(layer, b)
        _, W, C = b.shape
        rows, columns = layer.taps(b.shape)
        self.taps = [(((i[:, None] * W + j)[:, :, None] * C + np.arange(C)).ravel(),
                      np.repeat(u[:, None] * v, C)[:, None].astype(b.x.value.dtype))
                     for (i, u), (j, v) in product(rows, columns)]
        self.part = np.zeros_like(b.y.value)
        self.back = np.zeros_like(b.x.value) if b.training and not b.first else None

    def forward(self):
        b, y = self.b, self.b.y.value
        if len(self.taps) == 1:
            b.k.take_rows(b.x.value, self.taps[0][0], y)
            return
        y[:] = 0
        for source, weight in self.taps:
            b.k.take_rows(b.x.value, source, self.part)
            self.part *= weight
            y += self.part
        b.k.flush(y)

    def backward(self, batch):
        b = self.b
        if b.first:
            return
        b.x.grad[:] = 0
        for source, weight in self.taps:
            np.multiply(b.y.grad, weight, out=self.part)
            b.k.add_rows(self.part, source, self.back)
            b.x.grad += self.back
        b.k.flush(b.x.grad)


@dataclass(frozen=True)
class Resampled(Layer):
    """An image of another size."""
    operation: ClassVar[type[Operation]] = TapsOperation
    height: ClassVar[int]
    width: ClassVar[int]

    def __post_init__(self):
        super().__post_init__()
        need(min(self.height, self.width) > 0,
             f"{type(self).__name__}: height={shown(self.height)} and width={shown(self.width)} must be above 0")

    def taps(self, shape: Shape) -> tuple[Taps, Taps]:
        """Of which pixels of x the rows and the columns of y are made."""
        raise NotImplementedError           # each layer has its own

    def shape_of_output(self, shape):
        rank(self, shape, "height, width, channels")
        return self.height, self.width, shape[2]

    def scratch(self, shape):
        return int(np.prod(self.shape_of_output(shape)))


@dataclass(frozen=True)
class Resizing(Resampled):
    """An image of another size. Its pixels are those of x that lie nearest, or lie between two rows and columns of x ("bilinear").

    `name`: see Layer.

    Args:
        height: rows of y, 1 or more.
        width: columns of y, 1 or more.
        interpolation: "bilinear" or "nearest".
        crop_to_aspect_ratio: whether x is cropped first, so that its ratio of height to width is that of y."""
    fixed: ClassVar = {"fill_mode": "constant"}
    height: int
    width: int
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(self.interpolation in INTERPOLATIONS,
             f"Resizing: interpolation={shown(self.interpolation)} is none of {', '.join(INTERPOLATIONS)}")

    def taps(self, shape):
        if self.crop_to_aspect_ratio:
            return fitting(shape, self.height, self.width, self.interpolation)
        return tuple(resized(n, m, self.interpolation) for n, m in zip(shape, (self.height, self.width)))


@dataclass(frozen=True)
class CenterCrop(Resampled):
    """The middle of an image. If the image is smaller, as much of its middle as has the wanted ratio is enlarged (bilinear).

    `name`: see Layer.

    Args:
        height: rows of y, 1 or more.
        width: columns of y, 1 or more."""
    height: int
    width: int
    name: str | None = None

    def taps(self, shape):
        if shape[0] < self.height or shape[1] < self.width:
            return fitting(shape, self.height, self.width, "bilinear")
        return tuple([((n - m) // 2 + np.arange(m), np.ones(m))] for n, m in zip(shape, (self.height, self.width)))
