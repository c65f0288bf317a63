"""Layers with several inputs, as in Keras. All except Dot and Concatenate broadcast: along an axis, inputs are of one size or of 1.

A step of y is unmasked if it is unmasked in any input; if an input has no mask, y has none."""
import itertools
import math
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError, need, shown
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Operation, Shape, mask_of


class Spread:
    """An input of a merge among others: `seen` is an array of it with as many axes as y has, and size 1 where it is repeated.

    Of an input that is repeated, `taken` gives room for a gradient with y's shape, and `sums` adds it up over the repeated axes."""

    def __init__(self, shape: Shape, whole: Shape, like: np.ndarray, training: bool):
        self.shape = (*(1,) * (len(whole) - len(shape)), *shape, like.shape[1])
        N, kinds = like.shape[1], [own != size for own, size in zip(self.shape, whole)]
        self.room: list[np.ndarray] = []            # before each sum: [.., the places to sum over, ..]
        sizes = list(whole)
        for start, stop in reversed([(run[0], run[-1] + 1) for kind, group in itertools.groupby(
                range(len(whole)), kinds.__getitem__) if kind for run in [list(group)]]):
            if training:
                self.room.append(np.zeros((math.prod(sizes[:start]), math.prod(sizes[start:stop]), math.prod(sizes[stop:]) * N), like.dtype))
            sizes[start:stop] = [1] * (stop - start)

    def seen(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(self.shape)

    def taken(self, grad: np.ndarray) -> np.ndarray:
        """Where the gradient of this input goes before it is summed."""
        return self.room[0] if self.room else grad

    def sums(self, grad: np.ndarray) -> None:
        for x, y in zip(self.room, [*self.room[1:], grad]):
            np.add.reduce(x, 1, out=y.reshape(len(x), -1))      # row after row, as the last axis has many columns: same bits everywhere


class MergeOperation(Operation):
    def __init__(self, layer, b):
        super().__init__(layer, b)
        whole = np.broadcast_shapes(*b.shape)
        self.spreads = [Spread(shape, whole, x.value, x.grad is not None) for x, shape in zip(b.xs, b.shape)]
        self.whole = (*whole, b.y.value.shape[1])
        self.masks = [mask_of(x, shape) for x, shape in zip(b.xs, b.shape)]
        if all(mask is not None for mask in self.masks):
            b.y.mask = np.zeros_like(max(self.masks, key=len))
        # the inputs, and which of their values are unmasked; None: all
        self.xs: list[np.ndarray] = [spread.seen(x.value) for x, spread in zip(b.xs, self.spreads)]
        self.counts: list[np.ndarray | None] = [None] * len(b.xs)

    def forward(self):
        b, layer = self.b, self.layer
        y = b.y.value.reshape(self.whole)
        if b.y.mask is not None:
            b.y.mask[:] = reduce(np.maximum, self.masks)
        if layer.neutral is not None:
            for i, (x, mask, spread) in enumerate(zip(b.xs, self.masks, self.spreads)):
                if mask is None:
                    continue
                if not i and b.y.mask is not None and layer.first_of_none:
                    mask = np.where(b.y.mask, mask, 1)
                self.counts[i] = spread.seen(np.repeat(mask != 0, len(x.value) // len(mask), 0))
                self.xs[i] = np.where(self.counts[i], spread.seen(x.value), x.value.dtype.type(layer.neutral))
        layer.merge(self.xs, y)
        if layer.neutral is not None and b.y.mask is not None:
            y[np.broadcast_to(~reduce(np.logical_or, self.counts), y.shape)] = 0
        b.k.flush(b.y.value)

    def backward(self, batch):
        y, dy = (array.reshape(self.whole) for array in (self.b.y.value, self.b.y.grad))
        for i, (x, counts, spread) in enumerate(zip(self.b.xs, self.counts, self.spreads)):
            if x.grad is not None:
                dx = spread.taken(x.grad)
                self.layer.slope(self.xs, y, dy, i, dx.reshape(self.whole))
                spread.sums(x.grad)
                if counts is not None:
                    x.grad *= counts.reshape(x.grad.shape)
                self.b.k.flush(x.grad)


@dataclass(frozen=True)
class Merge(Layer):
    """y of inputs x_i. Along an axis, inputs are of one size or of 1, and those of 1 are repeated; a shape with fewer axes than
    another has 1 for the first of them, as in Keras."""
    operation: ClassVar[type[Operation]] = MergeOperation
    merges: ClassVar[bool] = True
    supports_masking: ClassVar[bool] = True
    neutral: ClassVar[float | None] = None      # the value that replaces masked steps of an input; None: they are not replaced
    first_of_none: ClassVar[bool] = False       # where all inputs are masked: True: y is x_1; False: y is 0
    name: str | None = None

    def shape_of_output(self, shapes):
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            raise ConfigError(f"{type(self).__name__}: its inputs must have the same shape, or 1 where they are to be repeated, "
                              f"not {', '.join(map(shown, shapes))}") from None

    def merge(self, xs: list[np.ndarray], y: np.ndarray) -> None:
        raise NotImplementedError           # each merge has its own

    def slope(self, xs: list[np.ndarray], y: np.ndarray, dy: np.ndarray, i: int, dx: np.ndarray) -> None:
        """Computes the gradient of input i."""
        dx[:] = dy


@dataclass(frozen=True)
class Add(Merge):
    """y = x_1 + x_2 + ..."""

    def merge(self, xs, y):
        y[:] = reduce(np.add, xs)


@dataclass(frozen=True)
class Subtract(Merge):
    """y = x_1 - x_2."""

    def shape_of_output(self, shapes):
        need(len(shapes) == 2, f"Subtract takes two inputs, not {len(shapes)}")
        return super().shape_of_output(shapes)

    def merge(self, xs, y):
        np.subtract(*xs, out=y)

    def slope(self, xs, y, dy, i, dx):
        np.multiply(dy, dy.dtype.type(1 - 2 * i), out=dx)


@dataclass(frozen=True)
class Multiply(Merge):
    """y = x_1 x_2 ...; masked steps are left out."""
    neutral: ClassVar[float] = 1.0

    def merge(self, xs, y):
        y[:] = reduce(np.multiply, xs)

    def slope(self, xs, y, dy, i, dx):
        dx[:] = reduce(np.multiply, xs[:i] + xs[i + 1:], dy)


@dataclass(frozen=True)
class Average(Merge):
    """y = (x_1 + x_2 + ...) / n."""

    def merge(self, xs, y):
        np.divide(reduce(np.add, xs), y.dtype.type(len(xs)), out=y)

    def slope(self, xs, y, dy, i, dx):
        np.divide(dy, dy.dtype.type(len(xs)), out=dx)


@dataclass(frozen=True)
class Extreme(Merge):
    first_of_none: ClassVar[bool] = True

    def slope(self, xs, y, dy, i, dx):
        taken = reduce(np.logical_or, (x == y for x in xs[:i]), np.zeros(y.shape, bool))
        dx[:] = np.where((xs[i] == y) & ~taken, dy, 0)


@dataclass(frozen=True)
class Maximum(Extreme):
    """y = the largest of x_1, x_2, ... that are unmasked; if several are equal, the first gets the gradient."""
    neutral: ClassVar[float] = -math.inf

    def merge(self, xs, y):
        y[:] = reduce(np.maximum, xs)


@dataclass(frozen=True)
class Minimum(Extreme):
    """y = the smallest of x_1, x_2, ... that are unmasked; if several are equal, the first gets the gradient."""
    neutral: ClassVar[float] = math.inf

    def merge(self, xs, y):
        y[:] = reduce(np.minimum, xs)


class ConcatenateOperation(Operation):
    def __init__(self, layer, b):
        super().__init__(layer, b)
        at = layer.places(b.shape[0])
        self.before = math.prod(b.shape[0][:at])
        ends = itertools.accumulate((math.prod(shape[at:]) for shape in b.shape), initial=0)
        self.parts = [slice(*ends) for ends in itertools.pairwise(ends)]        # of each of `before` blocks of y, what is input i's
        masks = [mask_of(x, shape) for x, shape in zip(b.xs, b.shape)]
        # True: the steps of one input follow those of another
        self.along = layer.places(b.shape[0]) == 0
        if self.along and any(mask is not None for mask in masks):
            masks = [np.ones((shape[0], x.value.shape[1]), x.value.dtype) if mask is None else mask
                     for mask, x, shape in zip(masks, b.xs, b.shape)]
        self.masks = masks if all(mask is not None for mask in masks) else []
        if self.masks:
            b.y.mask = np.zeros((sum(map(len, masks)) if self.along else len(masks[0]), masks[0].shape[1]), masks[0].dtype)

    def forward(self):
        for x, part in zip(self.b.xs, self.parts):
            self.blocks(self.b.y.value)[:, part] = self.blocks(x.value)
        if self.masks:
            self.b.y.mask[:] = np.concatenate(self.masks) if self.along else reduce(np.maximum, self.masks)

    def backward(self, batch):
        for x, part in zip(self.b.xs, self.parts):
            if x.grad is not None:
                self.blocks(x.grad)[:] = self.blocks(self.b.y.grad)[:, part]

    def blocks(self, a):
        return a.reshape(self.before, -1, a.shape[1])


@dataclass(frozen=True)
class Concatenate(Layer):
    """The inputs one after the other along an axis; axis 0 is the batch.

    `name`: see Layer.

    Args:
        axis: the axis along which they are joined; their other axes must be equal. -1, the last
            axis."""
    operation: ClassVar[type[Operation]] = ConcatenateOperation
    merges: ClassVar[bool] = True
    supports_masking: ClassVar[bool] = True
    axis: int = -1
    name: str | None = None

    def places(self, shape) -> int:
        """The number of the axis in the shape of an example."""
        return self.axis - 1 if self.axis > 0 else self.axis + len(shape)

    def shape_of_output(self, shapes):
        at = self.places(shapes[0])
        rest = {(*s[:at], *s[at + 1:]) for s in shapes if len(s) == len(shapes[0])}
        need(self.axis != 0 and 0 <= at < len(shapes[0]) and len(rest) == 1 == len({len(s) for s in shapes}),
             f"Concatenate: inputs of the shapes {', '.join(map(shown, shapes))} do not fit along axis {self.axis}")
        return (*shapes[0][:at], sum(s[at] for s in shapes), *shapes[0][at + 1:])


class DotOperation(Operation):
    """Takes x_i as [rows, K, columns, N], where K is the axis to sum over; y is [rows_1 columns_1, rows_2 columns_2, N]."""

    def __init__(self, layer, b):
        super().__init__(layer, b)
        self.shapes = [(math.prod(s[:a]), s[a], math.prod(s[a + 1:])) for s, a in zip(b.shape, layer.summed(b.shape))]

    def parts(self, arrays):
        """Yields, for each k, x_1[.., k, ..] as [M_1, 1, N] and x_2[.., k, ..] as [1, M_2, N]."""
        a, b = (x.reshape(*shape, -1) for x, shape in zip(arrays, self.shapes))
        N = a.shape[-1]
        for k in range(self.shapes[0][1]):
            yield a[:, k].reshape(-1, 1, N), b[:, k].reshape(1, -1, N)

    def forward(self):
        y = self.b.y.value.reshape(*(r * c for r, _, c in self.shapes), -1)
        y[:] = 0
        for a, b in self.parts([x.value for x in self.b.xs]):
            y += a * b
        self.b.k.flush(self.b.y.value)

    def backward(self, batch):
        dy = self.b.y.grad.reshape(*(r * c for r, _, c in self.shapes), -1)
        for i, x in enumerate(self.b.xs):
            if x.grad is None:
                continue
            rows, _, columns = self.shapes[i]
            dx = x.grad.reshape(*self.shapes[i], -1)
            for k, pair in enumerate(self.parts([x.value for x in self.b.xs])):
                found = sum_along(dy * pair[1 - i], 1 - i)
                dx[:, k] = found.reshape(rows, columns, -1)
            self.b.k.flush(x.grad)


def sum_along(a: np.ndarray, axis: int) -> np.ndarray:
    """The sum along an axis, in its order, so that the bits are the same everywhere."""
    return reduce(np.add, np.moveaxis(a, axis, 0))


@dataclass(frozen=True)
class Dot(Layer):
    """The dot product of two inputs: the sum of their products over one axis of each.

    `name`: see Layer.

    Args:
        axes: the axis to sum over: one number for both inputs, or one for each; counted from 1, or
            from -1 backwards (0 is the batch)."""
    operation: ClassVar[type[Operation]] = DotOperation
    merges: ClassVar[bool] = True
    axes: object
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        axes = self.axes if isinstance(self.axes, (list, tuple)) else (self.axes,) * 2
        need(len(axes) == 2 and all(isinstance(a, int) and not isinstance(a, bool) and a != 0 for a in axes),
             f"Dot: axes={shown(self.axes)} must be one or two whole numbers, and not 0, which is the batch")
        object.__setattr__(self, "axes", tuple(axes) if isinstance(self.axes, (list, tuple)) else self.axes)

    def summed(self, shapes) -> list[int]:
        axes = self.axes if isinstance(self.axes, tuple) else (self.axes,) * 2
        return [a - 1 if a > 0 else a + len(s) for a, s in zip(axes, shapes)]

    def shape_of_output(self, shapes):
        need(len(shapes) == 2, f"Dot takes two inputs, not {len(shapes)}")
        at = self.summed(shapes)
        need(all(0 <= a < len(s) for a, s in zip(at, shapes)) and shapes[0][at[0]] == shapes[1][at[1]],
             f"Dot: axes={shown(self.axes)} do not fit inputs of the shapes {', '.join(map(shown, shapes))}")
        rest = [n for a, s in zip(at, shapes) for n in (*s[:a], *s[a + 1:])]
        return tuple(rest) or (1,)
