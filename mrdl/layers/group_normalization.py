"""GroupNormalization, as in Keras: by the kernels of LayerNormalization, on features in another order."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.layer import Layer
from mrdl.layers.normalization import Normalized, scale_and_offset
from mrdl.layers.operation import Binding, Operation, Shape


class GroupNormOperation(Normalized):
    """`by_group` has the features of each group together, `by_place` puts them back."""

    def __init__(self, layer: "GroupNormalization", b: Binding):
        super().__init__(layer, b, b.shape[-1])
        x, groups = b.x.value, layer.groups_of(b.shape)
        self.by_group = np.arange(len(x)).reshape(-1, groups, b.shape[-1] // groups).swapaxes(0, 1).ravel()
        self.by_place = np.argsort(self.by_group)
        size = len(x) // groups
        self.one, self.zero = np.ones(size, x.dtype), np.zeros(size, x.dtype)
        self.grouped, self.normal, self.xhat = (np.zeros_like(x) for _ in range(3))
        self.inverse = np.zeros((groups, x.shape[1]), x.dtype)

    def forward(self):
        b, k = self.b, self.b.k
        k.take_rows(b.x.value, self.by_group, self.grouped)
        k.layer_norm_forward(self.grouped, self.one, self.zero, self.layer.epsilon, self.normal, self.inverse, self.grouped)
        k.take_rows(self.normal, self.by_place, self.xhat)
        k.channel_affine(self.xhat, np.zeros_like(self.beta), self.gamma, self.beta, b.y.value)

    def backward(self, batch):
        b, k = self.b, self.b.k
        zero = np.zeros_like(self.beta)
        k.batch_norm_gradient(self.xhat, b.y.grad, batch, zero, zero + 1, self.dgamma, self.dbeta)
        if not b.first:
            k.channel_affine(b.y.grad, zero, self.gamma, zero, b.x.grad)
            k.take_rows(b.x.grad, self.by_group, self.grouped)
            k.layer_norm_backward(self.normal, self.inverse, self.one, self.grouped, self.grouped)
            k.take_rows(self.grouped, self.by_place, b.x.grad)


@dataclass(frozen=True)
class GroupNormalization(Layer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta (Wu & He 2018).

    Mean and variance are those of a group of channels in one example; gamma and beta are of each channel.

    `name`: see Layer.

    Args:
        groups: the number of groups; it divides the channels. -1: each channel is a group. 32, as in Keras.
        axis: -1: channels are the last axis.
        epsilon: keeps the divisor above 0; above 0.
        center: whether there is a beta.
        scale: whether there is a gamma.
        beta_initializer: how beta starts.
        gamma_initializer: how gamma starts.
        beta_regularizer: the penalty on beta. None: there is none.
        gamma_regularizer: the penalty on gamma. None: there is none.
        beta_constraint: what beta is made to obey after each update. None: nothing.
        gamma_constraint: what gamma is made to obey after each update. None: nothing."""
    operation: ClassVar[type[Operation]] = GroupNormOperation
    supports_masking: ClassVar[bool] = True
    groups: int = 32
    axis: int = -1
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
        need(self.groups > 0 or self.groups == -1, f"GroupNormalization: groups={shown(self.groups)} must be above 0, or -1")
        need(self.epsilon > 0, f"GroupNormalization: epsilon={self.epsilon} must be above 0")

    def groups_of(self, shape: Shape) -> int:
        """The number of groups of an example's channels."""
        need(shape != () and self.axis in (-1, len(shape)),
             f"GroupNormalization: axis={self.axis} of {shown(shape)} is not supported; the last is -1")
        groups = shape[-1] if self.groups == -1 else self.groups
        need(shape[-1] % groups == 0, f"GroupNormalization: {groups} groups do not divide {shape[-1]} channels")
        return groups

    def shape_of_output(self, shape):
        self.groups_of(shape)
        return shape

    def weights(self, shape):
        self.groups_of(shape)
        return scale_and_offset(self, shape[-1:])

    def scratch(self, shape):
        return 3 * int(np.prod(shape))
