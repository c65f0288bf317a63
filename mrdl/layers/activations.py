"""Activations, with Keras's names, and the layers that apply them."""
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from mrdl import kernels
from mrdl.config import function_name, need, shown, typed
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Operation, Shape


def gated(k: SimpleNamespace):
    """x hard_sigmoid(x), as MobileNetV3 has it (Howard et al. 2019)."""
    def gate(x):
        y = np.empty_like(x)
        k.activation_forward("hard_sigmoid", x, y)
        return y
    return lambda x: x * gate(x), lambda x: gate(x) + np.where(abs(x) < 3, x * x.dtype.type(1 / 6), 0)


def shrunk(k: SimpleNamespace):
    """x - tanh(x)."""
    def tanh(x):
        y = np.empty_like(x)
        k.activation_forward("tanh", x, y)
        return y
    return lambda x: x - tanh(x), lambda x: tanh(x) ** 2


def log_sigmoid(k: SimpleNamespace):
    """log sigmoid(x) = -softplus(-x)."""
    def made(name, x):
        y = np.empty_like(x)
        k.activation_forward(name, np.negative(x), y)
        return y
    return lambda x: -made("softplus", x), lambda x: made("sigmoid", x)


def root(x: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + 4)


def plain(value, slope):
    return lambda k: (value, slope)


#: activations without a kernel of their own, made of others and of operations that are exact everywhere: name ->
#: (kernels -> (value of x, slope at x))
COMPOSED = {
    "hard_silu": gated, "tanh_shrink": shrunk, "log_sigmoid": log_sigmoid,
    "hard_tanh": plain(lambda x: np.clip(x, -1, 1), lambda x: abs(x) <= 1),
    "hard_shrink": plain(lambda x: np.where(abs(x) > 0.5, x, 0), lambda x: abs(x) > 0.5),
    "soft_shrink": plain(lambda x: np.where(x > 0.5, x - 0.5, np.where(x < -0.5, x + 0.5, 0)).astype(x.dtype), lambda x: abs(x) > 0.5),
    "sparse_plus": plain(lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)).astype(x.dtype),
                         lambda x: np.clip((x + 1) / 2, 0, 1)),
    "squareplus": plain(lambda x: (x + root(x)) / 2, lambda x: (1 + x / root(x)) / 2),
}
ACTIVATIONS = (*kernels.ACTIVATIONS, *COMPOSED, "softmax")
ALIASES = {"swish": "silu", "hard_swish": "hard_silu", "celu": "elu"}       # CELU and ELU are one where alpha is 1


def activation(name: str | dict | None) -> str:
    """Keras's name of an activation; ConfigError, which lists the known names, if there is no such activation."""
    if isinstance(name, dict):
        name = name.get("config") if isinstance(name.get("config"), str) else name.get("class_name")
    if name is None:
        return "linear"
    name = function_name(name)
    name = ALIASES.get(name, name) if isinstance(name, str) else name
    need(isinstance(name, str) and name in ACTIVATIONS,
         f"unknown activation {shown(name)}; there are {', '.join(ACTIVATIONS)}")
    return name


def of_output(layer: Layer, *names: str) -> None:
    """ConfigError if one of the layer's activations has a slope that is not computed from its output."""
    for name in names:
        need(kernels.ACTIVATIONS.get(name) == "y", f"{type(layer).__name__}: its activation cannot be {name!r}; "
             f"{', '.join(n for n, of in kernels.ACTIVATIONS.items() if of == 'y')} can")


def bound(k: SimpleNamespace, name: str, parameters: tuple[float, ...] | None = None, steps: int = 1):
    """Returns forward(x, y), backward(s, dy, dx), and "x" or "y": which of them s is. Softmax is applied to each step."""
    if name == "softmax":
        def by_step(kernel):
            def each(*arrays):
                for step in zip(*(a.reshape(steps, -1, a.shape[1]) for a in arrays)):
                    kernel(*step)
            return kernel if steps == 1 else each
        return by_step(k.softmax_forward), by_step(k.softmax_backward), "y"
    if name in COMPOSED:
        value, slope = COMPOSED[name](k)

        def forward(x, y):
            y[:] = value(x)
            k.flush(y)

        def backward(s, dy, dx):
            np.multiply(dy, slope(s), out=dx)
            k.flush(dx)
        return forward, backward, "x"
    return (lambda x, y: k.activation_forward(name, x, y, parameters),
            lambda s, dy, dx: k.activation_backward(name, s, dy, dx, parameters),
            kernels.ACTIVATIONS[name])


class ActivationOperation(Operation):
    def __init__(self, layer, b):
        super().__init__(layer, b)
        self.act, self.slope, source = bound(b.k, "linear" if b.linear else layer.activation,
                                             layer.parameters, math.prod(b.shape[:-1]))
        self.s = b.x.value if source == "x" else b.y.value

    def forward(self):
        self.act(self.b.x.value, self.b.y.value)

    def backward(self, batch):
        self.slope(self.s, self.b.y.grad, self.b.x.grad)


@dataclass(frozen=True)
class Elementwise(Layer):
    """y = activation(x), with `parameters` if they differ from the activation's defaults."""
    operation: ClassVar[type[Operation]] = ActivationOperation
    supports_masking: ClassVar[bool] = True
    parameters: ClassVar[tuple[float, ...] | None] = None

    def not_negative(self, *fields: str) -> None:
        for field in fields:
            value = getattr(self, field)
            need(value >= 0, f"{type(self).__name__}: {field}={shown(value)} must be 0 or more")


@dataclass(frozen=True)
class Activation(Elementwise):
    """y = activation(x); softmax runs over the last axis.

    `name`: see Layer.

    Args:
        activation: its name, such as "relu" (mrdl.layers.activations.ACTIVATIONS has them all)."""
    activation: str
    name: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "activation", activation(self.activation))
        super().__post_init__()


@dataclass(frozen=True)
class ReLU(Elementwise):
    """y = min(x, max_value) where x > threshold, else negative_slope (x - threshold).

    `name`: see Layer.

    Args:
        max_value: the largest y, above 0. None: no limit.
        negative_slope: the slope for x below the threshold, 0 or more.
        threshold: x above this is passed on unchanged; 0 or more."""
    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        self.not_negative("negative_slope", "threshold")
        need(self.max_value is None or self.max_value > 0,
             f"ReLU: max_value={shown(self.max_value)} must be above 0 or none")

    @property
    def activation(self) -> str:
        return "relu" if self == ReLU(name=self.name) else "leaky_relu"

    @property
    def parameters(self):
        most = float("inf") if self.max_value is None else self.max_value
        return self.negative_slope, most, self.threshold


@dataclass(frozen=True)
class LeakyReLU(Elementwise):
    """y = x where x > 0, else negative_slope x (Maas et al. 2013).

    `name`: see Layer.

    Args:
        negative_slope: the slope for x below 0; 0 or more. 0.3, as in Keras."""
    activation: ClassVar[str] = "leaky_relu"
    negative_slope: float = 0.3
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        self.not_negative("negative_slope")

    @property
    def parameters(self):
        return self.negative_slope, float("inf")


@dataclass(frozen=True)
class ELU(Elementwise):
    """y = x where x > 0, else alpha (e^x - 1) (Clevert et al. 2016).

    `name`: see Layer.

    Args:
        alpha: for very negative x, y approaches -alpha; 0 or more."""
    activation: ClassVar[str] = "elu"
    alpha: float = 1.0
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        self.not_negative("alpha")

    @property
    def parameters(self):
        return self.alpha, 1.0


@dataclass(frozen=True)
class Softmax(Elementwise):
    """y = e^x / sum of e^x over the last axis.

    `name`: see Layer.

    Args:
        axis: -1, the last axis; or 1 if that is the last axis."""
    activation: ClassVar[str] = "softmax"
    axis: int = -1
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(self.axis in (-1, 1), f"Softmax: axis={self.axis} is not supported; give -1, the last axis")


class PReLUOperation(Operation):
    def __init__(self, layer, b):
        super().__init__(layer, b)
        shape = layer.weights(b.shape)[0].shape
        self.alpha = b.w["alpha"].reshape(-1)
        places = np.arange(self.alpha.size).reshape(shape)
        self.of = np.broadcast_to(places, b.shape).reshape(-1).astype(np.int64)     # of each feature

    def forward(self):
        self.b.k.prelu_forward(self.b.x.value, self.alpha, self.of, self.b.y.value)

    def backward(self, batch):
        b = self.b
        b.k.prelu_backward(b.x.value, b.y.grad, self.alpha, self.of, b.x.grad)

    def gradients(self, place):
        b, start = self.b, self.b.offsets["alpha"]
        g = place(start, start + self.alpha.size)
        yield start, start + g.size, lambda batch: b.k.prelu_gradient(b.x.value, b.y.grad, self.of, g)


@dataclass(frozen=True)
class PReLU(Layer):
    """y = x where x > 0, else alpha x; alpha has x's shape, with size 1 in the shared axes (He et al. 2015).

    `name`: see Layer.

    Args:
        alpha_initializer: the initial alpha. "Zeros": the layer starts as a ReLU.
        alpha_regularizer: the penalty on alpha. None: no penalty.
        alpha_constraint: the constraint on alpha. None: no constraint.
        shared_axes: the axes along which alpha is the same, counted from 1 (0 is the batch). None:
            each feature has its own alpha."""
    operation: ClassVar[type[Operation]] = PReLUOperation
    supports_masking: ClassVar[bool] = True
    alpha_initializer: object = "Zeros"
    alpha_regularizer: object = None
    alpha_constraint: object = None
    shared_axes: object = None                  # counted from 1: axis 0 is the batch
    name: str | None = None

    def __post_init__(self):
        if self.shared_axes is not None:
            axes = (self.shared_axes,) if isinstance(self.shared_axes, int) else self.shared_axes
            object.__setattr__(self, "shared_axes", typed(axes, Shape, "PReLU: shared_axes"))
            need(min(self.shared_axes, default=1) > 0,
                 f"PReLU: shared_axes={shown(self.shared_axes)} must be 1 or more")
        super().__post_init__()

    def shape_of_output(self, shape):
        need(max(self.shared_axes or (0,)) <= len(shape),
             f"PReLU: shared_axes={shown(self.shared_axes)} do not fit an input of shape {shown(shape)}")
        return shape

    def weights(self, shape):
        alpha = tuple(1 if i in (self.shared_axes or ()) else d for i, d in enumerate(shape, 1))
        return [self.weight("alpha", alpha)]
