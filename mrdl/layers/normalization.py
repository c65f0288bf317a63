"""BatchNormalization and LayerNormalization, as in Keras."""
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.layer import Binding, Layer, Operation, Shape, Weight


class Normalized(Operation):
    """gamma and beta where the layer has them, else 1 and 0; their gradients are there after `backward`."""

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
        self.mean, self.variance = np.zeros_like(self.gamma), np.zeros_like(self.gamma)
        self.inverse = np.zeros_like(self.gamma)

    def forward(self):
        b, dtype = self.b, self.gamma.dtype.type
        moving = b.w["moving_mean"], b.w["moving_variance"]
        mean, variance = moving
        if b.training:
            mean, variance = self.mean, self.variance
            b.k.channel_moments(b.x.value, b.draws.batch, mean, variance)
            for kept, new in zip(moving, (mean, variance)):
                kept *= dtype(self.layer.momentum)
                kept += new * dtype(1 - self.layer.momentum)
        self.inverse[:] = 1 / np.sqrt(variance + dtype(self.layer.epsilon))
        b.k.channel_affine(b.x.value, mean, self.gamma * self.inverse, self.beta, b.y.value)

    def backward(self, batch):
        b = self.b
        b.k.batch_norm_gradient(b.x.value, b.y.grad, batch, self.mean, self.inverse, self.dgamma, self.dbeta)
        if not b.first:
            b.k.batch_norm_backward(b.x.value, b.y.grad, batch, self.mean, self.inverse,
                                    self.gamma * self.inverse, self.dgamma, self.dbeta, b.x.grad)


def scale_and_offset(layer: Layer, shape: Shape) -> list[Weight]:
    return [layer.weight(part, shape) for part, wanted in (("gamma", layer.scale), ("beta", layer.center)) if wanted]


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axis (Ioffe & Szegedy 2015).

    In training the moments are the minibatch's, and the moving ones go on from the round's incoming state;
    averaging merges them as mean = sum p m, variance = sum p (v + m^2) - mean^2 (mrdl.partial)."""
    operation: ClassVar[type[Operation]] = BatchNormOperation
    fixed: ClassVar = {"renorm_momentum": 0.99}     # Keras writes it also where `renorm` is off
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

    def output(self, shape):
        need(shape != () and self.axis in (-1, len(shape)),
             f"BatchNormalization: axis={self.axis} of {shown(shape)} is not supported; the last is -1")
        return shape

    def weights(self, shape):
        self.output(shape)
        C = shape[-1:]
        return [*scale_and_offset(self, C),
                self.weight("moving_mean", C, trainable=False), self.weight("moving_variance", C, trainable=False)]


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
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axes (Ba, Kiros & Hinton 2016)."""
    operation: ClassVar[type[Operation]] = LayerNormOperation
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
        axes = self.axis if isinstance(self.axis, (list, tuple)) else (self.axis,)
        need(axes and all(isinstance(a, int) and not isinstance(a, bool) for a in axes),
             f"LayerNormalization: axis={shown(self.axis)} must be whole numbers")
        object.__setattr__(self, "axis", tuple(axes) if len(axes) > 1 else axes[0])    # Keras writes [-1]
        need(self.epsilon > 0, f"LayerNormalization: epsilon={self.epsilon} must be above 0")

    def normalized(self, shape: Shape) -> Shape:
        """The axes that moments are taken over."""
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        rank = len(shape)
        places = sorted(a - 1 if a > 0 else a + rank for a in axes)
        need(shape != () and places == list(range(rank - len(places), rank)),
             f"LayerNormalization: axis={shown(self.axis)} of the shape {shown(shape)} is not supported; "
             "the last axes are")
        return shape[places[0]:]

    def output(self, shape):
        self.normalized(shape)
        return shape

    def weights(self, shape):
        return scale_and_offset(self, self.normalized(shape))
