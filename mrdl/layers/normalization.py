"""BatchNormalization, LayerNormalization and Normalization, as in Keras."""
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError, lookup, need, shown
from mrdl.initializers import INITIALIZERS
from mrdl.layers.layer import Layer, Weight
from mrdl.layers.operation import Binding, Operation, Shape


class Normalized(Operation):
    """Has gamma and beta (1 and 0 if the layer does not have them), and their gradients, which `backward` computes."""

    def __init__(self, layer: Layer, b: Binding, channels: int):
        super().__init__(layer, b)
        dtype = b.x.value.dtype
        self.gamma = b.w.get("gamma", np.ones(channels, dtype)).ravel()
        self.beta = b.w.get("beta", np.zeros(channels, dtype)).ravel()
        self.dgamma, self.dbeta = np.zeros(channels, dtype), np.zeros(channels, dtype)

    def gradients(self, place):
        for name, found in (("gamma", self.dgamma), ("beta", self.dbeta)):
            if name in self.b.w:
                start = self.b.offsets[name]
                g = place(start, start + len(found))
                yield start, start + len(found), lambda batch, g=g, found=found: np.copyto(g, found)


class BatchNormOperation(Normalized):
    def __init__(self, layer: "BatchNormalization", b: Binding):
        super().__init__(layer, b, b.shape[-1])
        need(self.x_mask is None, "BatchNormalization cannot handle masked steps; use LayerNormalization")
        self.mean, self.variance = np.zeros_like(self.gamma), np.zeros_like(self.gamma)
        self.inverse = np.zeros_like(self.gamma)
        self.learns = b.training and not b.frozen
        self.by_batch = self.learns             # True in training and in recalibration (mrdl.training.moments)

    def forward(self):
        b, dtype = self.b, self.gamma.dtype.type
        moving = b.w["moving_mean"], b.w["moving_variance"]
        mean, variance = moving
        if self.by_batch:
            mean, variance = self.mean, self.variance
            b.k.channel_moments(b.x.value, b.draws.batch, mean, variance)
        if self.learns:
            for kept, new in zip(moving, (mean, variance)):
                kept *= dtype(self.layer.momentum)
                kept += new * dtype(1 - self.layer.momentum)
                b.k.flush(kept[None])
        self.inverse[:] = 1 / np.sqrt(variance + dtype(self.layer.epsilon))
        b.k.channel_affine(b.x.value, mean, self.gamma * self.inverse, self.beta, b.y.value)

    def backward(self, batch):
        b = self.b
        if b.frozen:                            # the mean and the variance do not depend on x
            if not b.first:
                zero = np.zeros_like(self.beta)
                b.k.channel_affine(b.y.grad, zero, self.gamma * self.inverse, zero, b.x.grad)
            return
        b.k.batch_norm_gradient(b.x.value, b.y.grad, batch, self.mean, self.inverse, self.dgamma, self.dbeta)
        if not b.first:
            b.k.batch_norm_backward(b.x.value, b.y.grad, batch, self.mean, self.inverse,
                                    self.gamma * self.inverse, self.dgamma, self.dbeta, b.x.grad)


def scale_and_offset(layer: Layer, shape: Shape) -> list[Weight]:
    return [layer.weight(part, shape) for part, wanted in (("gamma", layer.scale), ("beta", layer.center)) if wanted]


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axis (Ioffe & Szegedy 2015).

    In training, mean and variance are those of the minibatch. The moving mean and variance continue
    from the state that the round begins with; averaging merges them: mean = sum p m, variance =
    sum p (v + m^2) - mean^2 (mrdl.rounds.variances).

    `name`: see Layer.

    Args:
        axis: -1: each channel of the last axis has its own mean and variance.
        momentum: the share of the moving mean and variance that is kept at each minibatch, from 0
            to 1. 0.99, as in Keras.
        epsilon: keeps the divisor above 0; above 0.
        center: whether there is a beta.
        scale: whether there is a gamma.
        beta_initializer: how beta starts.
        gamma_initializer: how gamma starts.
        moving_mean_initializer: how the moving mean starts.
        moving_variance_initializer: how the moving variance starts.
        beta_regularizer: the penalty on beta. None: there is none.
        gamma_regularizer: the penalty on gamma. None: there is none.
        beta_constraint: what beta is made to obey after each update. None: nothing.
        gamma_constraint: what gamma is made to obey after each update. None: nothing."""
    operation: ClassVar[type[Operation]] = BatchNormOperation
    fixed: ClassVar = {"renorm_momentum": 0.99}     # Keras writes it even if `renorm` is off
    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: object = "zeros"
    gamma_initializer: object = "ones"
    moving_mean_initializer: object = "zeros"
    moving_variance_initializer: object = "ones"
    beta_regularizer: object = None
    gamma_regularizer: object = None
    beta_constraint: object = None
    gamma_constraint: object = None
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(0 <= self.momentum <= 1 and self.epsilon > 0,
             f"BatchNormalization: momentum={self.momentum} must be from 0 to 1, epsilon={self.epsilon} above 0")

    def shape_of_output(self, shape):
        need(shape != () and self.axis in (-1, len(shape)),
             f"BatchNormalization: axis={self.axis} of {shown(shape)} is not supported; the last is -1")
        return shape

    def weights(self, shape):
        self.shape_of_output(shape)
        C = shape[-1:]
        return [*scale_and_offset(self, C),
                self.weight("moving_mean", C, trainable=False), self.weight("moving_variance", C, trainable=False)]


def plain_axes(layer: Layer) -> None:
    """Sets the layer's axis to a number, or to a tuple: Keras's JSON has [-1] for -1, and [] for None."""
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else (layer.axis,)
    need(all(isinstance(a, int) and not isinstance(a, bool) for a in axes),
         f"{type(layer).__name__}: axis={shown(layer.axis)} must be whole numbers")
    object.__setattr__(layer, "axis", axes[0] if len(axes) == 1 else tuple(axes))


def last_axes(layer: Layer, shape: Shape) -> Shape:
    """The sizes of the axes that the layer's `axis` names; ConfigError if they are not the last axes."""
    axes = layer.axis if isinstance(layer.axis, tuple) else (layer.axis,)
    rank, count = len(shape), len(axes)
    need(count <= rank and sorted(a - 1 if a > 0 else a + rank for a in axes) == list(range(rank - count, rank)),
         f"{type(layer).__name__}: axis={shown(layer.axis)} of the shape {shown(shape)} is not supported; "
         "the last axes are")
    return shape[rank - count:]


class LayerNormOperation(Normalized):
    def __init__(self, layer: "LayerNormalization", b: Binding):
        super().__init__(layer, b, math.prod(layer.normalized(b.shape)))
        x = b.x.value
        self.xhat = np.zeros_like(x)
        self.inverse = np.zeros((len(x) // len(self.gamma), x.shape[1]), x.dtype)

    def forward(self):
        b = self.b
        b.k.layer_norm_forward(b.x.value, self.gamma, self.beta, self.layer.epsilon, self.xhat, self.inverse,
                               b.y.value)

    def backward(self, batch):
        b, C = self.b, len(self.gamma)
        zero, one = np.zeros(C, self.xhat.dtype), np.ones(C, self.xhat.dtype)
        b.k.batch_norm_gradient(self.xhat, b.y.grad, batch, zero, one, self.dgamma, self.dbeta)
        if not b.first:
            b.k.layer_norm_backward(self.xhat, self.inverse, self.gamma, b.y.grad, b.x.grad)


@dataclass(frozen=True)
class LayerNormalization(Layer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axes (Ba, Kiros & Hinton 2016).

    `name`: see Layer.

    Args:
        axis: the last axis, or several last axes; mean and variance are computed over them.
        epsilon: keeps the divisor above 0; above 0.
        center: whether there is a beta.
        scale: whether there is a gamma.
        beta_initializer: how beta starts.
        gamma_initializer: how gamma starts.
        beta_regularizer: the penalty on beta. None: there is none.
        gamma_regularizer: the penalty on gamma. None: there is none.
        beta_constraint: what beta is made to obey after each update. None: nothing.
        gamma_constraint: what gamma is made to obey after each update. None: nothing."""
    operation: ClassVar[type[Operation]] = LayerNormOperation
    supports_masking: ClassVar[bool] = True
    axis: object = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: object = "zeros"
    gamma_initializer: object = "ones"
    beta_regularizer: object = None
    gamma_regularizer: object = None
    beta_constraint: object = None
    gamma_constraint: object = None
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        plain_axes(self)
        need(self.axis != (), "LayerNormalization: axis=() must be whole numbers")
        need(self.epsilon > 0, f"LayerNormalization: epsilon={self.epsilon} must be above 0")

    def normalized(self, shape: Shape) -> Shape:
        """The sizes of the axes that mean and variance are computed over."""
        return last_axes(self, shape)

    def shape_of_output(self, shape):
        self.normalized(shape)
        return shape

    def weights(self, shape):
        return scale_and_offset(self, self.normalized(shape))


class NormalizationOperation(Operation):
    def __init__(self, layer: "Normalization", b: Binding):
        super().__init__(layer, b)
        self.moments = layer.given(b.shape, b.x.value.dtype) or [
            b.w[name].reshape(-1) for name in ("mean", "variance")]
        self.zero = np.zeros_like(self.moments[0])

    def factor(self) -> np.ndarray:
        """The factor of x."""
        deviation = np.maximum(np.sqrt(self.moments[1]), self.zero.dtype.type(1e-7))
        return deviation if self.layer.invert else 1 / deviation

    def forward(self):
        b, mean = self.b, self.moments[0]
        b.k.channel_affine(b.x.value, *((self.zero, self.factor(), mean) if self.layer.invert else
                                        (mean, self.factor(), self.zero)), b.y.value)

    def backward(self, batch):
        b = self.b
        if not b.first:
            b.k.channel_affine(b.y.grad, self.zero, self.factor(), self.zero, b.x.grad)


@dataclass(frozen=True)
class Normalization(Layer):
    """y = (x - mean) / max(sqrt(variance), 1e-7) over the last axes; `invert`: y = mean + x max(sqrt(variance), 1e-7).

    If `mean` and `variance` are not given, they are weights, which `adapt` sets (mrdl.training.moments)
    and training does not change.

    `name`: see Layer.

    Args:
        axis: the last axis, or several last axes; each position along them has its own mean and
            variance. None: all of x has one mean and variance.
        mean: the mean at each position, in units of x. None: `adapt` computes it.
        variance: the variance at each position, in units of x squared, 0 or more. None: `adapt`
            computes it.
        invert: whether the layer does the reverse: from normalized values to the original ones."""
    operation: ClassVar[type[Operation]] = NormalizationOperation
    supports_masking: ClassVar[bool] = True
    axis: object = -1
    mean: object = None
    variance: object = None
    invert: bool = False
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.axis is None:
            object.__setattr__(self, "axis", ())
        plain_axes(self)
        need((self.mean is None) == (self.variance is None), "Normalization: give both mean and variance, or neither")
        for key in ("mean", "variance"):
            if (value := getattr(self, key)) is not None:
                try:
                    numbers = np.asarray(value, "f8")
                except (TypeError, ValueError):
                    raise ConfigError(f"Normalization: {key}={shown(value)} must be numbers") from None
                need(bool(np.isfinite(numbers).all()) and (key == "mean" or bool((numbers >= 0).all())),
                     f"Normalization: {key}={shown(value)} must be finite" + ", and not below 0" * (key == "variance"))
                object.__setattr__(self, key, frozen(numbers.tolist()))
        need(np.shape(self.mean or 0) == np.shape(self.variance or 0),
             f"Normalization: mean={shown(self.mean)} and variance={shown(self.variance)} must have the same shape")

    def adapt(self, data) -> None:
        """Sets mean and variance to those of arrays, in all models that have the layer.

        Args:
            data: [n, ...], of the shape of the layer's input.

        Raises:
            ConfigError: mean and variance are given, or the data have no rows, or another shape."""
        x = np.asarray(data, "f8")
        need(self.mean is None, "Normalization: its mean and variance are given, so there is nothing to adapt")
        need(x.ndim > 0 and len(x) > 0, "Normalization: there are no rows to adapt to")
        kept = last_axes(self, x.shape[1:])
        self.build(x.shape)
        over = tuple(range(x.ndim - len(kept)))
        self.set_weights([x.mean(over), x.var(over), np.asarray(len(x))])

    def given(self, shape: Shape, dtype="f4") -> list[np.ndarray]:
        """[mean[C], variance[C]] if they are given; [] if they are weights."""
        kept = last_axes(self, shape)
        try:
            return [] if self.mean is None else [
                np.broadcast_to(np.asarray(value, dtype), kept).flatten() for value in (self.mean, self.variance)]
        except ValueError:
            raise ConfigError(f"Normalization: mean={shown(self.mean)} and variance={shown(self.variance)} do not fit "
                              f"the shape {shown(kept)}") from None

    def shape_of_output(self, shape):
        self.given(shape)
        return shape

    def weights(self, shape):
        if self.given(shape):
            return []
        kept = last_axes(self, shape)
        return [Weight(name, s, s, lookup(start, INITIALIZERS, "initializer"), trainable=False)
                for name, s, start in (("mean", kept, "zeros"), ("variance", kept, "ones"), ("count", (), "zeros"))]


def frozen(value):
    """Turns lists into tuples, at all levels."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value
