"""The layers behind mrdl.ops that Keras has as operations only: functions of numbers, ratios, reductions, slices.

Users have them from mrdl.ops and from operators on symbols; for what Keras has a layer, those take the layer."""
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError, need, shown
from mrdl.kernels import typed
from mrdl.layers.layer import Layer
from mrdl.layers.merging import Merge
from mrdl.layers.operation import Operation, Shape
from mrdl.layers.reshaping import Rows


def logarithm(x: np.ndarray) -> np.ndarray:
    """log x by operations that are exact everywhere, so that the bits are the same on each CPU: 2^e m, log m = 2 atanh((m - 1) / (m + 1)),
    as the series of atanh in float64."""
    m, e = np.frexp(x.astype(np.float64))
    low = m < 0.5 ** 0.5
    m, e = np.where(low, m + m, m), np.where(low, e - 1, e)
    s = (m - 1) / (m + 1)
    square, sum_ = s * s, np.zeros_like(s)
    for n in range(23, 0, -2):
        sum_ = sum_ * square + 1 / n
    found = e * math.log(2) + 2 * s * sum_
    return np.where(x > 0, np.where(np.isinf(x), x, found), np.where(x == 0, -np.inf, np.nan)).astype(x.dtype)


def power(x: np.ndarray, p: float) -> np.ndarray:
    """x^p: by products if p is a whole number, by roots too if 2 p is one, else e^(p log x)."""
    if p < 0:
        return 1 / power(x, -p)
    if not (2 * p).is_integer():
        y = np.multiply(logarithm(x.astype(np.float64)), p)
        typed(np.float64).activation_forward("exponential", y, y)
        return y.astype(x.dtype)
    y, whole, square = np.ones_like(x) if p.is_integer() else np.sqrt(x), int(p), x
    while whole:
        if whole & 1:
            y = y * square
        whole >>= 1
        square = square * square if whole else square
    return y


#: name -> (value of x and the function's numbers, slope at x, of the same numbers, how many numbers there are)
FUNCTIONS: dict[str, tuple[Callable, Callable, int]] = {
    "absolute": (np.abs, np.sign, 0),
    "square": (np.square, lambda x: x + x, 0),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), 0),
    "rsqrt": (lambda x: 1 / np.sqrt(x), lambda x: -0.5 / (x * np.sqrt(x)), 0),
    "reciprocal": (np.reciprocal, lambda x: -1 / (x * x), 0),
    "log": (logarithm, np.reciprocal, 0),
    "power": (power, lambda x, p: power(x, p - 1) * x.dtype.type(p) if p else np.zeros_like(x), 1),
    "maximum": (np.maximum, np.greater, 1), "minimum": (np.minimum, np.less, 1),
    "clip": (np.clip, lambda x, low, high: (x >= low) & (x <= high), 2),
}


class FunctionOperation(Operation):
    def __init__(self, layer, b):
        super().__init__(layer, b)
        self.value, self.slope, _ = FUNCTIONS[layer.function]

    def forward(self):
        with np.errstate(all="ignore"):         # padding may hold anything
            self.b.y.value[:] = self.value(self.b.x.value, *self.layer.numbers)
        self.b.k.flush(self.b.y.value)

    def backward(self, batch):
        x, dy, dx = self.b.x.value, self.b.y.grad, self.b.x.grad
        with np.errstate(all="ignore"):
            np.multiply(dy, self.slope(x, *self.layer.numbers), out=dx)
        dx[dy == 0] = 0                         # also where the slope is infinite, as in padding
        self.b.k.flush(dx)


@dataclass(frozen=True)
class Function(Layer):
    """y = function(x) of each number.

    `name`: see Layer.

    Args:
        function: its name in FUNCTIONS, as mrdl.ops has it.
        numbers: what it takes besides x: the exponent of power, the other number of maximum and minimum,
            both ends of clip."""
    operation: ClassVar[type[Operation]] = FunctionOperation
    function: str
    numbers: tuple[float, ...] = ()
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(self.function in FUNCTIONS, f"unknown function {shown(self.function)}; there are {', '.join(FUNCTIONS)}")
        count = FUNCTIONS[self.function][2]
        need(len(self.numbers) == count, f"{self.function} takes {count} numbers besides x, not {shown(self.numbers)}")


@dataclass(frozen=True)
class Divide(Merge):
    """y = x_1 / x_2."""

    def shape_of_output(self, shapes):
        need(len(shapes) == 2, f"Divide takes two inputs, not {len(shapes)}")
        return super().shape_of_output(shapes)

    def merge(self, xs, y):
        with np.errstate(all="ignore"):         # padding may hold anything
            np.divide(*xs, out=y)

    def slope(self, xs, y, dy, i, dx):
        with np.errstate(all="ignore"):
            np.divide(dy * -y if i else dy, xs[1], out=dx)
        dx[dy == 0] = 0


class ReduceOperation(Operation):
    """Reduces one axis after the other, each as the middle one of [.., size, ..]: row after row, so that the bits are the same everywhere."""

    def __init__(self, layer, b):
        super().__init__(layer, b)
        self.axes = layer.places(b.shape)
        self.kept = tuple(1 if i in self.axes else size for i, size in enumerate(b.shape))
        self.join = np.add if layer.function in ("sum", "mean") else np.maximum if layer.function == "max" else np.minimum
        self.share = b.x.value.dtype.type(1 / math.prod(b.shape[i] for i in self.axes) if layer.function == "mean" else 1)

    def reduced(self, a: np.ndarray) -> np.ndarray:
        for i in self.axes:
            a = self.join.reduce(a, i, keepdims=True)
        return a

    def forward(self):
        x, y = self.b.x.value.reshape(*self.b.shape, -1), self.b.y.value.reshape(*self.kept, -1)
        np.multiply(self.reduced(x), self.share, out=y)
        self.b.k.flush(self.b.y.value)

    def backward(self, batch):
        b = self.b
        x, dx = (a.reshape(*b.shape, -1) for a in (b.x.value, b.x.grad))
        y, dy = (a.reshape(*self.kept, -1) for a in (b.y.value, b.y.grad))
        if self.join is np.add:
            dx[:] = dy * self.share
        else:                                   # equal ones share the gradient
            taken = (x == y).astype(dx.dtype)
            np.multiply(taken, dy / np.maximum(np.add.reduce(taken, self.axes, keepdims=True), 1), out=dx)
        b.k.flush(b.x.grad)


@dataclass(frozen=True)
class Reduce(Layer):
    """The sum, mean, largest or smallest number along axes; if several are the largest, they share the gradient.

    `name`: see Layer.

    Args:
        function: "sum", "mean", "max" or "min".
        axis: the axes, counted from 1 (0 is the batch), or from -1 backwards.
        keepdims: whether y has these axes with the size 1, or has them no more."""
    operation: ClassVar[type[Operation]] = ReduceOperation
    function: str
    axis: Shape
    keepdims: bool = False
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(self.function in ("sum", "mean", "max", "min"), f"Reduce: function={shown(self.function)} must be sum, mean, max or min")

    def places(self, shape: Shape) -> tuple[int, ...]:
        """The numbers of the axes in the shape of an example."""
        found = tuple(sorted({a - 1 if a > 0 else a + len(shape) for a in self.axis}, reverse=True))
        need(found != () and 0 not in self.axis and all(0 <= a < len(shape) for a in found),
             f"{self.function}: axis={shown(self.axis)} does not fit an example of the shape {shown(shape)}: axes are counted from 1, "
             "as 0 is the batch")
        return found

    def shape_of_output(self, shape):
        places = self.places(shape)
        return tuple(1 if i in places else size for i, size in enumerate(shape) if self.keepdims or i not in places)


@dataclass(frozen=True)
class GetItem(Rows):
    """A part of x, as NumPy's x[key] of an example.

    `name`: see Layer.

    Args:
        key: for each axis of an example a number, which takes the axis away, or (start, stop, step), each a
            number or None; None makes a new axis of size 1."""
    key: object
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()

        def number(value):
            return value is None or isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))

        def item(value):
            value = (value.start, value.stop, value.step) if isinstance(value, slice) else value
            parts = value if isinstance(value, (list, tuple)) and len(value) == 3 else (value,)
            need(all(map(number, parts)) and (len(parts) < 3 or parts[2] != 0),
                 f"a part of x is taken by numbers and slices of numbers, not by {shown(value)}")
            made = tuple(None if n is None else int(n) for n in parts)
            return made if len(made) == 3 else made[0]
        need(isinstance(self.key, (list, tuple)), f"GetItem: key={shown(self.key)} must be a list")
        object.__setattr__(self, "key", tuple(map(item, self.key)))

    def moved(self, index):
        try:
            found = np.asarray(index[tuple(slice(*part) if isinstance(part, tuple) else part for part in self.key)])
        except IndexError as error:
            raise ConfigError(f"x[{shown(self.key)}]: {error}, in an example of the shape {shown(index.shape)}") from None
        need(found.size > 0, f"x[{shown(self.key)}]: nothing is left of the shape {shown(index.shape)}")
        return found


OPERATORS: list[type[Layer]] = [Function, Divide, Reduce, GetItem]
