"""Layers that contain other layers: Bidirectional, TimeDistributed."""
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from mrdl.config import lookup, need, shown
from mrdl.layers.core import Dense, Input
from mrdl.layers.layer import Layer
from mrdl.layers.normalization import BatchNormalization
from mrdl.layers.operation import Binding, Branch, Operation, Shape, Tensor
from mrdl.layers.recurrent import RECURRENT, Recurrent
from mrdl.layers.recurrent_operations import over_time
from mrdl.layers.registry import LAYERS
from mrdl.layers.sequences import CategoryEncoding, Embedding

MERGES = ("concat", "sum", "mul", "ave")

BACKWARD = 1 << 20              # added to the number of the backward layer, so that it has other random numbers


class EachStepOperation(Operation):
    """Applies the layer to T N columns: each step counts as an example."""

    def __init__(self, layer: "TimeDistributed", b: Binding):
        super().__init__(layer, b)
        T, one, N = b.shape[0], layer.layer, b.x.value.shape[1]
        self.x, self.y = (Tensor(b.k, math.prod(shape), T * N, b.x.value.dtype, b.training)
                          for shape in (b.shape[1:], one.shape_of_output(b.shape[1:])))
        self.inner = one.operation(one, replace(b, x=self.x, y=self.y, xs=[self.x], shape=b.shape[1:]))

    @staticmethod
    def by_step(a: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Views of a[T F, N] and columns[F, T N] with the same shape."""
        N = a.shape[1]
        T = columns.shape[1] // N
        return a.reshape(T, -1, N), columns.reshape(-1, T, N).transpose(1, 0, 2)

    def forward(self):
        given, x = self.by_step(self.b.x.value, self.x.value)
        x[:] = given
        self.x.fresh, self.y.fresh = set(), set()
        self.inner.forward()
        y, made = self.by_step(self.b.y.value, self.y.value)
        y[:] = made

    def backward(self, batch):
        dy, back = self.by_step(self.b.y.grad, self.y.grad)
        back[:] = dy
        self.inner.backward(self.x.value.shape[1])
        if not self.b.first:
            dx, found = self.by_step(self.b.x.grad, self.x.grad)
            dx[:] = found

    def gradients(self, place):
        for start, stop, fill in self.inner.gradients(place):
            yield start, stop, lambda batch, fill=fill: fill(self.x.value.shape[1])


@dataclass(frozen=True)
class TimeDistributed(Layer):
    """Applies a layer to each step of x[T, ...].

    `name`: see Layer.

    Args:
        layer: a layer with one input, whose output at a step does not depend on other steps or on
            other examples of the batch."""
    supports_masking: ClassVar[bool] = True
    layer: object
    name: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "layer", lookup(self.layer, LAYERS, "layer"))
        super().__post_init__()
        need(self.layer is not None, "TimeDistributed: layer is missing")
        need(not (self.layer.merges or isinstance(self.layer, (BatchNormalization, Embedding, CategoryEncoding, Input))),
             f"TimeDistributed: {type(self.layer).__name__} is not supported")
        for key in ("stateful", "return_state"):
            need(not getattr(self.layer, key, False), f"TimeDistributed: its layer's {key}=True is not supported")
        object.__setattr__(self, "layer", replace(self.layer, name=None))

    @property
    def operation(self) -> Callable[[Layer, Binding], Operation] | None:
        if isinstance(self.layer, Dense):       # Dense works on steps anyway
            return lambda layer, b: layer.layer.operation(layer.layer, b)
        return self.layer.operation and EachStepOperation

    @property
    def last_activation(self) -> str:
        return self.layer.last_activation

    def scratch(self, shape):
        one = self.layer.shape_of_output(shape[1:])
        return shape[0] * (math.prod(shape[1:]) + math.prod(one) + self.layer.scratch(shape[1:]))

    def shape_of_output(self, shape):
        need(len(shape) > 1, f"TimeDistributed: its input has the shape {shown(shape)}, not (steps, ...)")
        return (shape[0], *self.layer.shape_of_output(shape[1:]))

    def weights(self, shape: Shape):
        self.shape_of_output(shape)
        return self.layer.weights(shape[1:])


class BidirectionalOperation(Operation):
    """Each direction has its own branch of x, and its own output."""

    def __init__(self, layer: Layer, b: Binding):
        super().__init__(layer, b)
        self.ways, N, dtype = [], b.x.value.shape[1], b.x.value.dtype
        for number, (way, one) in enumerate(layer.ways()):
            y = Tensor(b.k, math.prod(one.shape_of_output(b.shape)), N, dtype, b.training)
            own = {name.removeprefix(way): name for name in b.w if name.startswith(way)}
            self.ways.append(one.operation(one, replace(
                b, x=Branch(b.x), y=y, w={k: b.w[v] for k, v in own.items()}, index=b.index + number * BACKWARD,
                offsets={k: b.offsets[v] for k, v in own.items()})))
        b.x.ids_only = all(way.takes_ids for way in self.ways)

    def results(self, part: str) -> list[np.ndarray]:
        """The values or gradients of both directions as [T, U, N], in the order of x."""
        steps = self.b.shape[0] if self.layer.layer.return_sequences else 1
        first, second = (over_time(getattr(way.b.y, part), steps) for way in self.ways)
        return [first, second[::-1]]

    def forward(self):
        for way in self.ways:
            way.forward()
        first, second = self.results("value")
        y, mode = over_time(self.b.y.value, len(first)), self.layer.merge_mode
        if mode == "concat":
            y[:, :first.shape[1]], y[:, first.shape[1]:] = first, second
        elif mode == "mul":
            np.multiply(first, second, out=y)
        else:
            np.add(first, second, out=y)
            if mode == "ave":
                y *= y.dtype.type(0.5)
        self.b.k.flush(self.b.y.value)

    def backward(self, batch):
        (first, second), (dfirst, dsecond) = self.results("value"), self.results("grad")
        dy, mode = over_time(self.b.y.grad, len(first)), self.layer.merge_mode
        if mode == "concat":
            dfirst[:], dsecond[:] = dy[:, :first.shape[1]], dy[:, first.shape[1]:]
        elif mode == "mul":
            np.multiply(dy, second, out=dfirst)
            np.multiply(dy, first, out=dsecond)
        else:
            dfirst[:] = dsecond[:] = dy * dy.dtype.type(0.5 if mode == "ave" else 1)
        for way in self.ways:
            self.b.k.flush(way.b.y.grad)
            way.backward(batch)
        if not self.b.first:
            np.add(*(way.b.x.grad for way in self.ways), out=self.b.x.grad)
            self.b.k.flush(self.b.x.grad)

    def gradients(self, place):
        for way in self.ways:
            yield from way.gradients(place)


@dataclass(frozen=True)
class Bidirectional(Layer):
    """Two recurrent layers, one that reads x forwards and one that reads it backwards (Schuster & Paliwal 1997).

    `name`: see Layer.

    Args:
        layer: the recurrent layer.
        merge_mode: how the two outputs are combined: "concat" (one after the other), "sum", "mul"
            (product) or "ave" (average).
        backward_layer: the layer that reads x backwards, with the same number of units and the
            opposite `go_backwards`. None: a copy of `layer`."""
    operation: ClassVar[type[Operation]] = BidirectionalOperation
    layer: object
    merge_mode: str | None = "concat"
    backward_layer: object = None
    name: str | None = None

    def __post_init__(self):
        for key in ("layer", "backward_layer"):
            object.__setattr__(self, key, lookup(getattr(self, key), RECURRENT, "recurrent layer"))
        super().__post_init__()
        need(self.layer is not None, "Bidirectional: layer is missing")
        for key in ("layer", "backward_layer"):                 # renamed, as Keras does
            if (one := getattr(self, key)) is not None:
                object.__setattr__(self, key, replace(
                    one, name=None, zero_output_for_mask=one.return_sequences))
        if self.backward_layer == replace(self.layer, go_backwards=not self.layer.go_backwards):
            object.__setattr__(self, "backward_layer", None)    # Keras's JSON always contains it
        need(not any(one and (one.stateful or one.return_state) for one in (self.layer, self.backward_layer)),
             "Bidirectional: stateful=True and return_state=True are not supported")
        need(self.merge_mode in MERGES, f"Bidirectional: merge_mode={shown(self.merge_mode)} is none of "
             f"{', '.join(MERGES)}")
        back = self.backward_layer
        need(back is None or (back.units, back.return_sequences, back.go_backwards) == (
            self.layer.units, self.layer.return_sequences, not self.layer.go_backwards),
            "Bidirectional: backward_layer must have the same units and return_sequences "
            "as layer, and the opposite go_backwards")

    @property
    def supports_masking(self) -> bool:
        return self.layer.return_sequences

    def ways(self) -> list[tuple[str, Recurrent]]:
        """The two layers, with the prefixes of their weights' names."""
        back = self.backward_layer or replace(self.layer, go_backwards=not self.layer.go_backwards)
        return [("forward_", self.layer), ("backward_", back)]

    def scratch(self, shape):
        return 2 * (self.layer.scratch(shape) + math.prod(self.layer.shape_of_output(shape)))

    def shape_of_output(self, shape):
        *steps, units = self.layer.shape_of_output(shape)
        return (*steps, 2 * units if self.merge_mode == "concat" else units)

    def weights(self, shape: Shape):
        return [replace(w, name=way + w.name) for way, one in self.ways() for w in one.weights(shape)]
