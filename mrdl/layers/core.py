"""Input, Dense, Rescaling, Flatten and Reshape, as in Keras."""
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError, need, shown
from mrdl.kernels import LANES, pad, zeros
from mrdl.layers.activations import activation, bound
from mrdl.layers.layer import Layer, Symbol
from mrdl.layers.operation import Binding, Operation, Piece, Place, Shape, SparseTensor

# bytes of the gradient to compute at once: they are applied while they are still in the L2 cache
BLOCK = 1 << 19
WORTH = 7 / 8       # if the share of features in use is below this, leaving out the others is faster


@dataclass(frozen=True)
class Input(Layer):
    """The shape of one example; Keras calls it InputLayer in its JSON.

    Args:
        shape: of one example, without the batch: a tuple, or a number for one axis. (): an example
            is one number.
        sparse: whether most features of an example are 0: x may then be sparse rows (docs/sparse.md),
            and only Dense layers take it, which read and update the weights of the others alone.
        name: the input's name, by which x may be given in a dict. None: "input_layer", with the
            first free number."""
    shape: Shape = ()
    sparse: bool = field(default=False, kw_only=True)
    name: str | None = None

    @classmethod
    def taking(cls, given, rest):
        if rest.get("batch_shape") is not None:
            need("shape" not in given, "Input: give shape or batch_shape, not both")
            given["shape"] = tuple(rest["batch_shape"])[1:]
        if given.get("sparse", False) is None:
            del given["sparse"]
        return given

    def __post_init__(self):
        if isinstance(self.shape, int):
            object.__setattr__(self, "shape", (self.shape,))
        super().__post_init__()
        need(min(self.shape, default=1) > 0,
             f"Input: the shape {shown(self.shape)} must be positive numbers")
        need(math.prod(self.shape) < 2 ** 63, f"Input: the shape {shown(self.shape)} is too large")
        need(not self.sparse or len(self.shape) == 1 and self.shape[0] < 2 ** 31,
             f"Input: with sparse=True, an example must be one row of less than 2^31 features, not {shown(self.shape)}")

    @cached_property
    def symbol(self) -> Symbol:
        """The symbol of this input, with which layers are called."""
        return Symbol(self, (), self.shape)


def by_rows(place: Place, start: int, shape: Shape, itemsize: int,
            fill: Callable[[int, int, np.ndarray, np.ndarray | None], None]) -> Iterator[Piece]:
    """Cuts the gradient of a matrix into pieces, each of as many rows as fit into the cache. A piece is computed by
    fill(batch, first row, g[rows, columns], addresses of what its update reads)."""
    rows, columns = shape
    step = max(1, BLOCK // (columns * itemsize))
    for o in range(0, rows, step):
        n, begin = min(step, rows - o), start + o * columns
        g = place(begin, begin + n * columns).reshape(n, columns)
        ahead = place.ahead(begin, begin + g.size)
        yield begin, begin + g.size, lambda batch, o=o, g=g, ahead=ahead: fill(batch, o, g, ahead)


class Activated(Operation):
    """An operation that multiplies by a kernel, adds a bias and applies an activation."""
    axis: ClassVar[int] = 0                         # of the kernel, whose size is that of the bias

    def __init__(self, layer: Layer, b: Binding):
        super().__init__(layer, b)
        kind = "linear" if b.linear else layer.activation
        self.relu = kind == "relu"                  # the product itself applies it
        self.w = b.w["kernel"]
        units = self.w.shape[self.axis]
        self.bias = b.w["bias"] if "bias" in b.w else zeros(units, self.w.dtype)
        b.y.relu = self.relu
        b.x.masked = b.x.relu and not b.first       # this layer's product with the weights applies x's ReLU to the gradient
        self.act, self.derivative, source = bound(b.k, kind, steps=len(b.y.value) // units)
        self.act = None if kind in ("linear", "relu") else self.act
        self.derivative = None if kind == "linear" else self.derivative
        # the values before the activation, if its slope is computed from them
        self.z = zeros(b.y.value.shape, self.w.dtype) if source == "x" and b.training else b.y.value

    def activate(self) -> None:
        if self.act:
            self.act(self.z, self.b.y.value)

    def slope(self) -> None:
        """Replaces the gradient of y by that of z."""
        grad = self.b.y.grad
        if self.derivative and not self.b.y.masked:
            self.derivative(self.z, grad, grad)

    def gradient(self, batch: int, first: int, g: np.ndarray, ahead: np.ndarray | None = None) -> None:
        """Computes rows of the kernel's gradient, beginning with `first`; `ahead`: see Place.ahead."""
        raise NotImplementedError           # each product has its own

    def kernel_gradients(self, place: Place) -> Iterator[Piece]:
        yield from by_rows(place, self.b.offsets["kernel"], self.w.shape, self.w.itemsize, self.gradient)

    def gradients(self, place):
        b = self.b
        yield from self.kernel_gradients(place)
        if "bias" in b.w:
            start = b.offsets["bias"]
            g = place(start, start + len(self.bias))
            yield start, start + g.size, lambda batch: b.k.channel_sums(b.y.grad, g)


class GeometricOperation(Activated):
    """A product over a geometry (kernels/geometry.pxi): a convolution, or Dense over steps."""

    def __init__(self, layer: Layer, b: Binding, geometry: tuple[int, ...]):
        super().__init__(layer, b)
        self.geometry = geometry
        self.turned = zeros(self.w.shape[::-1], self.w.dtype)

    def forward(self):
        b = self.b
        b.k.conv_forward(self.w, self.bias, b.x.value, self.z, self.geometry, self.relu)
        self.activate()

    def backward(self, batch):
        b = self.b
        self.slope()
        if not b.first:
            b.k.transpose(self.w, self.turned)
            b.k.conv_backward(self.turned, b.y.grad, b.x.value if b.x.masked else None, b.x.grad, self.geometry)


class DenseOperation(Activated):
    """Leaves out input features that are 0 in the whole minibatch, such as borders of images, if that is faster. The
    result is the same, because they would add exact zeros."""

    def __init__(self, layer: Layer, b: Binding):
        super().__init__(layer, b)
        F = len(b.x.value)
        self.used = np.zeros(pad(F) // LANES, np.uint16) if b.first else None
        self.packed = zeros((b.x.value.shape[1], pad(F)), self.w.dtype) if b.first and b.training else None
        self.some = False

    def forward(self):
        b = self.b
        self.some = b.first and b.k.used_features(b.x.value, self.used) < WORTH * len(b.x.value)
        if self.some:
            b.k.used_forward(self.w, self.bias, b.x.value, self.used, self.z, self.relu)
        else:
            b.k.dense_forward(self.w, self.bias, b.x.value, self.z, self.relu)
        self.activate()

    def backward(self, batch):
        b = self.b
        self.slope()
        rows = b.x.rows()
        if self.some:
            b.k.pack_used(rows, self.used, len(b.x.value), self.packed)
        if not b.first:
            b.k.dense_backward(self.w, b.y.grad, b.x.value if b.x.masked else None, b.x.grad)

    def gradient(self, batch, first, g, ahead=None):
        dy = self.b.y.grad[first:first + len(g)]
        if self.some:
            self.b.k.used_gradient(dy, self.packed, batch, self.used, g, ahead)
        else:
            self.b.k.dense_gradient(dy, self.b.x.storage(), batch, g, 1, 0, ahead)


class SparseDenseOperation(Activated):
    """Dense over a sparse minibatch. Its kernel is stored as [features][units]. In training, the rows of the features that are
    there are copied out: `own`; their gradient is `g`."""
    axis = 1
    in_place = False                    # True: `descend` takes the place of `fill`, and nothing is copied

    def forward(self):
        b, x, w, ids = self.b, self.b.x, self.w, self.b.x.ids
        if b.training and not self.in_place:
            rows, ids = x.distinct(w)
            w = self.own = self.rows_of("own", rows)
            b.k.csr_take(self.w, rows, w)
        b.k.csr_forward(w, self.bias, x.bounds, ids, x.values, self.z, self.relu)
        self.activate()

    def descend(self, rate: float) -> None:
        """Subtracts the gradient times the rate from the kernel."""
        x = self.b.x
        self.b.k.csr_descend(self.b.y.grad, x.bounds, x.ids, x.values, rate, self.w)

    def rows_of(self, name: str, rows: np.ndarray) -> np.ndarray:
        """An array with a row of units for each feature."""
        units = self.w.shape[1]
        return self.b.x.buffer(f"{name} {self.b.index}", len(rows) * units, self.w.dtype).reshape(len(rows), units)

    def backward(self, batch):
        self.slope()

    def kernel_gradients(self, place):
        start = self.b.offsets["kernel"]
        yield start, start + self.w.size, self.fill

    def fill(self, batch: int) -> np.ndarray:
        """Computes `g`, and returns the features that its rows are of."""
        x = self.b.x
        rows, slots = x.distinct(self.w)
        self.g = self.rows_of("g", rows)
        self.b.k.csr_gradient(self.b.y.grad, x.bounds, slots, x.values, self.g)
        return rows


class StepsOperation(GeometricOperation):
    """Dense over the last axis of [..., I], computed as a convolution of width 1."""

    def __init__(self, layer: Layer, b: Binding):
        self.steps = math.prod(b.shape[:-1])
        O, I = b.w["kernel"].shape
        super().__init__(layer, b, (self.steps, 1, I, self.steps, 1, O, *(1,) * 6, 0, 0, 1))

    def gradient(self, batch, first, g, ahead=None):
        self.b.k.dense_gradient(self.b.y.grad, self.b.x.rows(self.steps), batch, g, self.steps, first, ahead)


def dense_operation(layer: Layer, b: Binding) -> Operation:
    if isinstance(b.x, SparseTensor):
        return SparseDenseOperation(layer, b)
    return (DenseOperation if len(b.shape) == 1 else StepsOperation)(layer, b)


@dataclass(frozen=True)
class Dense(Layer):
    """y[..., O] = activation(x[..., I] . kernel[I, O] + bias[O]).

    `name`: see Layer.

    Args:
        units: O, 1 or more.
        activation: its name. None: linear.
        use_bias: whether there is a bias.
        kernel_initializer: how the kernel starts. "glorot_uniform", as in Keras.
        bias_initializer: how the bias starts.
        kernel_regularizer: the penalty on the kernel. None: there is none.
        bias_regularizer: the penalty on the bias. None: there is none.
        kernel_constraint: what the kernel is made to obey after each update. None: nothing.
        bias_constraint: what the bias is made to obey after each update. None: nothing."""
    operation: ClassVar[Callable[[Layer, Binding], Operation]] = staticmethod(dense_operation)
    supports_masking: ClassVar[bool] = True
    takes_sparse: ClassVar[bool] = True
    units: int
    activation: str | None = None
    use_bias: bool = True
    kernel_initializer: object = "glorot_uniform"
    bias_initializer: object = "zeros"
    kernel_regularizer: object = None
    bias_regularizer: object = None
    kernel_constraint: object = None
    bias_constraint: object = None
    name: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "activation", activation(self.activation))
        super().__post_init__()
        need(self.units > 0, f"Dense: units={shown(self.units)} must be above 0")

    def shape_of_output(self, shape):
        need(shape != (), "Dense: its input must have at least one axis, "
             "but an example is a single number: put Reshape((1,)) before it")
        return (*shape[:-1], self.units)

    def weights(self, shape):
        self.shape_of_output(shape)
        kernel = self.weight("kernel", (self.units, shape[-1]), (shape[-1], self.units), transposed=True)
        return [kernel, self.weight("bias", (self.units,))] if self.use_bias else [kernel]


class RescalingOperation(Operation):
    def forward(self):
        b, layer = self.b, self.layer
        np.multiply(b.x.value, b.x.value.dtype.type(layer.scale), out=b.y.value)
        b.y.value += b.x.value.dtype.type(layer.offset)
        b.k.flush(b.y.value)

    def backward(self, batch):
        np.multiply(self.b.y.grad, self.b.x.grad.dtype.type(self.layer.scale), out=self.b.x.grad)
        self.b.k.flush(self.b.x.grad)


@dataclass(frozen=True)
class Rescaling(Layer):
    """y = x * scale + offset.

    `name`: see Layer.

    Args:
        scale: factor of x.
        offset: the number that is added."""
    operation: ClassVar[type[Operation]] = RescalingOperation
    supports_masking: ClassVar[bool] = True
    scale: float
    offset: float = 0.0
    name: str | None = None


@dataclass(frozen=True)
class Flatten(Layer):
    """Makes one row of all features of an example.

    `name`: see Layer."""
    name: str | None = None

    def shape_of_output(self, shape):
        return (math.prod(shape),)


@dataclass(frozen=True)
class Reshape(Layer):
    """Gives an example another shape; one size may be -1, which is computed.

    `name`: see Layer.

    Args:
        target_shape: the shape of y, without the batch."""
    target_shape: Shape
    name: str | None = None

    def shape_of_output(self, shape):
        size, target = math.prod(shape), self.target_shape
        if target.count(-1) == 1:
            known = math.prod(d for d in target if d != -1)
            target = tuple(size // known if d == -1 else d for d in target) if known else target
        if math.prod(target) != size or min(target, default=1) < 1:
            raise ConfigError(f"Reshape: {size} features do not fit {shown(self.target_shape)}")
        return target
