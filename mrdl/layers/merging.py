"""Layers of several inputs, as in Keras; all but Dot and Concatenate want inputs of one shape."""
import math
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.layer import Layer, Operation


class MergeOperation(Operation):
    def forward(self):
        self.layer.merge([x.value for x in self.b.xs], self.b.y.value)

    def backward(self, batch):
        xs, y = [x.value for x in self.b.xs], self.b.y
        for i, x in enumerate(self.b.xs):
            if x.grad is not None:
                self.layer.slope(xs, y.value, y.grad, i, x.grad)


@dataclass(frozen=True)
class Merge(Layer):
    """y[F] of inputs x_i[F]."""
    operation: ClassVar[type[Operation]] = MergeOperation
    merges: ClassVar[bool] = True
    supports_masking: ClassVar[bool] = True
    name: str | None = None

    def output(self, shapes):
        need(len(set(shapes)) == 1,
             f"{type(self).__name__}: its inputs have the shapes {', '.join(map(shown, shapes))}, not one")
        return shapes[0]

    def merge(self, xs: list[np.ndarray], y: np.ndarray) -> None:
        raise NotImplementedError

    def slope(self, xs: list[np.ndarray], y: np.ndarray, dy: np.ndarray, i: int, dx: np.ndarray) -> None:
        """Fills the gradient of input i."""
        dx[:] = dy


@dataclass(frozen=True)
class Add(Merge):
    """y = x_1 + x_2 + ..."""

    def merge(self, xs, y):
        y[:] = reduce(np.add, xs)


@dataclass(frozen=True)
class Subtract(Merge):
    """y = x_1 - x_2."""

    def output(self, shapes):
        need(len(shapes) == 2, f"Subtract takes two inputs, not {len(shapes)}")
        return super().output(shapes)

    def merge(self, xs, y):
        np.subtract(*xs, out=y)

    def slope(self, xs, y, dy, i, dx):
        np.multiply(dy, dy.dtype.type(1 - 2 * i), out=dx)


@dataclass(frozen=True)
class Multiply(Merge):
    """y = x_1 x_2 ..."""

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
    def slope(self, xs, y, dy, i, dx):
        taken = reduce(np.logical_or, (x == y for x in xs[:i]), np.zeros(y.shape, bool))
        dx[:] = np.where((xs[i] == y) & ~taken, dy, 0)


@dataclass(frozen=True)
class Maximum(Extreme):
    """y = the largest of x_1, x_2, ...; of equal ones the first takes the gradient."""

    def merge(self, xs, y):
        y[:] = reduce(np.maximum, xs)


@dataclass(frozen=True)
class Minimum(Extreme):
    """y = the smallest of x_1, x_2, ...; of equal ones the first takes the gradient."""

    def merge(self, xs, y):
        y[:] = reduce(np.minimum, xs)


class ConcatenateOperation(Operation):
    def __init__(self, layer, b):
        super().__init__(layer, b)
        marks = [np.full(shape, i) for i, shape in enumerate(b.shape)]
        which = np.concatenate(marks, layer.places(b.shape[0])).ravel()
        self.rows = [np.flatnonzero(which == i) for i in range(len(marks))]     # of y, that are input i's

    def forward(self):
        for x, rows in zip(self.b.xs, self.rows):
            self.b.y.value[rows] = x.value

    def backward(self, batch):
        for x, rows in zip(self.b.xs, self.rows):
            if x.grad is not None:
                x.grad[:] = self.b.y.grad[rows]


@dataclass(frozen=True)
class Concatenate(Layer):
    """The inputs one after the other along an axis; axis 0 is the batch."""
    operation: ClassVar[type[Operation]] = ConcatenateOperation
    merges: ClassVar[bool] = True
    axis: int = -1
    name: str | None = None

    @property
    def supports_masking(self) -> bool:
        return self.axis == -1          # else the steps are others

    def places(self, shape) -> int:
        """The axis of an example."""
        return self.axis - 1 if self.axis > 0 else self.axis + len(shape)

    def output(self, shapes):
        at = self.places(shapes[0])
        rest = {(*s[:at], *s[at + 1:]) for s in shapes if len(s) == len(shapes[0])}
        need(self.axis != 0 and 0 <= at < len(shapes[0]) and len(rest) == 1 == len({len(s) for s in shapes}),
             f"Concatenate: inputs of the shapes {', '.join(map(shown, shapes))} do not fit along axis {self.axis}")
        return (*shapes[0][:at], sum(s[at] for s in shapes), *shapes[0][at + 1:])


class DotOperation(Operation):
    """x_i as [rows, K, columns, N], K the axis that is summed over; y[rows_1 columns_1, rows_2 columns_2, N]."""

    def __init__(self, layer, b):
        super().__init__(layer, b)
        self.shapes = [(math.prod(s[:a]), s[a], math.prod(s[a + 1:])) for s, a in zip(b.shape, layer.summed(b.shape))]

    def parts(self, arrays):
        """For each k: x_1[.., k, ..] as [M_1, 1, N] and x_2[.., k, ..] as [1, M_2, N]."""
        a, b = (x.reshape(*shape, -1) for x, shape in zip(arrays, self.shapes))
        N = a.shape[-1]
        for k in range(self.shapes[0][1]):
            yield a[:, k].reshape(-1, 1, N), b[:, k].reshape(1, -1, N)

    def forward(self):
        y = self.b.y.value.reshape(*(r * c for r, _, c in self.shapes), -1)
        y[:] = 0
        for a, b in self.parts([x.value for x in self.b.xs]):
            y += a * b

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


def sum_along(a: np.ndarray, axis: int) -> np.ndarray:
    """In the order of the axis: the same bits everywhere."""
    return reduce(np.add, np.moveaxis(a, axis, 0))


@dataclass(frozen=True)
class Dot(Layer):
    """y = the sum over one axis of each input of their products."""
    operation: ClassVar[type[Operation]] = DotOperation
    merges: ClassVar[bool] = True
    axes: object
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        axes = self.axes if isinstance(self.axes, (list, tuple)) else (self.axes,) * 2
        need(len(axes) == 2 and all(isinstance(a, int) and not isinstance(a, bool) and a != 0 for a in axes),
             f"Dot: axes={shown(self.axes)} must be one or two whole numbers, not 0: that is the batch")
        object.__setattr__(self, "axes", tuple(axes) if isinstance(self.axes, (list, tuple)) else self.axes)

    def summed(self, shapes) -> list[int]:
        axes = self.axes if isinstance(self.axes, tuple) else (self.axes,) * 2
        return [a - 1 if a > 0 else a + len(s) for a, s in zip(axes, shapes)]

    def output(self, shapes):
        need(len(shapes) == 2, f"Dot takes two inputs, not {len(shapes)}")
        at = self.summed(shapes)
        need(all(0 <= a < len(s) for a, s in zip(at, shapes)) and shapes[0][at[0]] == shapes[1][at[1]],
             f"Dot: axes={shown(self.axes)} do not fit inputs of the shapes {', '.join(map(shown, shapes))}")
        rest = [n for a, s in zip(at, shapes) for n in (*s[:a], *s[a + 1:])]
        return tuple(rest) or (1,)
