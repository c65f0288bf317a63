"""Transposed convolutions over [H][W][C] images and [steps][C] sequences, as in Keras (channels_last)."""
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from mrdl.layers.convolution import Convolution
from mrdl.layers.convolution_operations import ConvOperation
from mrdl.layers.geometry import Sizes, flat, image, possible
from mrdl.layers.operation import Operation


class ConvTransposeOperation(ConvOperation):
    """The sums of a convolution's gradient; the geometry is that convolution's, from y to x."""

    def __init__(self, layer, b):
        super().__init__(layer, b)
        b.x.masked = False
        self.none = np.zeros(len(self.w), self.w.dtype)

    def forward(self):
        b = self.b
        b.k.transpose(self.w, self.turned)
        b.k.conv_transpose_forward(self.turned, self.bias, b.x.value, self.z, self.geometry, self.relu)
        self.activate()

    def backward(self, batch):
        b = self.b
        self.slope()
        if not b.first:
            b.k.conv_forward(self.w, self.none, b.y.grad, b.x.grad, self.geometry, False)

    def gradient(self, batch, first, g, ahead=None):
        self.b.k.conv_gradient(self.b.x.value, self.b.y.grad, first, g, self.geometry)


@dataclass(frozen=True)
class Conv2DTranspose(Convolution):
    """What a convolution with these sizes would have had as its input: it enlarges by the strides.

    The other arguments: see mrdl.layers.convolution.Convolution.

    Args:
        filters: channels of y, 1 or more.
        kernel_initializer: how the kernel starts. "glorot_uniform", as in Keras.
        kernel_regularizer: the penalty on the kernel. None: there is none.
        kernel_constraint: what the kernel is made to obey after each update. None: nothing."""
    operation: ClassVar[type[Operation]] = ConvTransposeOperation
    filters: int
    kernel_size: Sizes
    strides: Sizes = (1, 1)
    padding: str = "valid"
    kernel_initializer: object = field(default="glorot_uniform", kw_only=True)
    kernel_regularizer: object = field(default=None, kw_only=True)
    kernel_constraint: object = field(default=None, kw_only=True)

    def geometry(self, shape):
        H, W, C = image(self, shape)
        large, before = [], []
        kernel, strides, dilation = (flat(self.rank, n) for n in (self.kernel_size, self.strides, self.dilation_rate))
        for n, k, s, d in zip((H, W), kernel, strides, dilation):
            reach = (k - 1) * d + 1
            out = n * s + (max(reach - s, 0) if self.padding == "valid" else 0)
            large.append(out)
            before.append(0 if self.padding == "valid" else max((n - 1) * s + reach - out, 0) // 2)
        return possible(self, (*large, self.filters, H, W, C, *kernel, *strides, *dilation, *before, 1))

    def shape_of_output(self, shape):
        return self.geometry(shape)[2 - self.rank:3]

    def weights(self, shape):
        *_, C = image(self, shape)
        return self.weights_of("kernel", C, (*self.kernel_size, self.filters, C), self.filters)


@dataclass(frozen=True)
class Conv1DTranspose(Conv2DTranspose):
    """Conv2DTranspose over the steps of a sequence.

    The other arguments: see Conv2DTranspose and mrdl.layers.convolution.Convolution.

    Args:
        filters: channels of y, 1 or more.
        kernel_size: steps of the window.
        strides: steps of y for each of x.
        dilation_rate: the distance of the window's steps."""
    rank: ClassVar[int] = 1
    strides: Sizes = 1
    dilation_rate: Sizes = field(default=1, kw_only=True)
