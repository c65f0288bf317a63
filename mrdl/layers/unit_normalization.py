"""UnitNormalization, as in Keras."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Binding, Operation

SMALLEST = 1e-12                # shorter rows are divided by this


class UnitOperation(Operation):
    def __init__(self, layer: "UnitNormalization", b: Binding):
        super().__init__(layer, b)
        self.axes = layer.axes(len(b.shape))
        self.whole = (*b.shape, b.x.value.shape[1])

    def forward(self):
        x, y = self.b.x.value.reshape(self.whole), self.b.y.value.reshape(self.whole)
        length = np.sqrt((x * x).sum(self.axes, keepdims=True))
        self.short = length < SMALLEST
        self.inverse = 1 / np.maximum(length, x.dtype.type(SMALLEST))
        np.multiply(x, self.inverse, out=y)
        self.b.k.flush(self.b.y.value)

    def backward(self, batch):
        b = self.b
        if b.first:
            return
        y, dy, dx = (a.reshape(self.whole) for a in (b.y.value, b.y.grad, b.x.grad))
        along = np.where(self.short, 0, (dy * y).sum(self.axes, keepdims=True))
        np.multiply(dy - y * along, self.inverse, out=dx)
        b.x.grad[:, batch:] = 0
        b.k.flush(b.x.grad)


@dataclass(frozen=True)
class UnitNormalization(Layer):
    """y = x / its length: the root of the sum of squares along an axis is 1.

    `name`: see Layer.

    Args:
        axis: the axis, or several, along which squares are summed; the first of an example is 1, the last also -1."""
    operation: ClassVar[type[Operation]] = UnitOperation
    supports_masking: ClassVar[bool] = True
    axis: object = -1
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        axes = self.axis if isinstance(self.axis, (list, tuple)) else (self.axis,)
        need(axes and all(type(a) is int and a != 0 for a in axes),
             f"UnitNormalization: axis={shown(self.axis)} must be whole numbers that are not 0, the batch's axis")
        if isinstance(self.axis, list):
            object.__setattr__(self, "axis", tuple(self.axis))

    def axes(self, rank: int) -> tuple[int, ...]:
        """The axes, counted from 0 in one example of this rank."""
        given = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        found = tuple(a - 1 if a > 0 else a + rank for a in given)
        need(all(0 <= a < rank for a in found) and len(set(found)) == len(found),
             f"UnitNormalization: axis={shown(self.axis)} does not fit an example of {rank} axes")
        return found

    def shape_of_output(self, shape):
        self.axes(len(shape))
        return shape
