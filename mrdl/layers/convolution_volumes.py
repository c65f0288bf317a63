"""Conv3D over [D][H][W][C] volumes, as in Keras (channels_last): by the kernels for images."""
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from mrdl.kernels import zeros
from mrdl.layers.convolution import Filters
from mrdl.layers.core import Activated
from mrdl.layers.geometry import Geometry, Sizes, image, planned, possible
from mrdl.layers.operation import Binding, Operation, Shape


class VolumeConvOperation(Activated):
    """A slice of y is an image, which is convolved from the slices of x in its window: their channels stand side by side in
    `window`, and `kernel` is ordered likewise."""

    def __init__(self, layer: "Conv3D", b: Binding):
        super().__init__(layer, b)
        b.x.masked = False
        self.plane, (self.outputs, self.front) = layer.plane(b.shape), layer.depth(b.shape)
        (D, H, W, C), groups, N = b.shape, self.plane[-1], b.x.value.shape[1]
        kd, kh, kw = layer.kernel_size
        self.order = np.arange(self.w.shape[1]).reshape(kd, kh * kw, -1).swapaxes(0, 1).ravel()
        self.kernel, self.turned = zeros(self.w.shape, self.w.dtype), zeros(self.w.shape[::-1], self.w.dtype)
        self.window = zeros((H * W * kd * C, N), self.w.dtype)
        self.parts = self.window.reshape(H * W, groups, kd, C // groups, N)
        self.whole = (D, H * W, groups, C // groups, N)

    def slices(self, d: int) -> list[tuple[int, int | None]]:
        """(place in the window, slice of x, or None where there is only padding) for slice d of y."""
        layer = self.layer
        at = [d * layer.strides[0] - self.front + i * layer.dilation_rate[0] for i in range(layer.kernel_size[0])]
        return [(i, n if 0 <= n < self.whole[0] else None) for i, n in enumerate(at)]

    def gather(self, d: int) -> np.ndarray:
        x = self.b.x.value.reshape(self.whole)
        for i, n in self.slices(d):
            self.parts[:, :, i] = 0 if n is None else x[n]
        return self.window

    def of_slices(self, y: np.ndarray) -> np.ndarray:
        return y.reshape(self.outputs, -1, y.shape[1])

    def forward(self):
        np.take(self.w, self.order, axis=1, out=self.kernel)
        for d, z in enumerate(self.of_slices(self.z)):
            self.b.k.conv_forward(self.kernel, self.bias, self.gather(d), z, self.plane, self.relu)
        self.activate()

    def backward(self, batch):
        b = self.b
        self.slope()
        if b.first:
            return
        b.k.transpose(self.kernel, self.turned)
        dx = b.x.grad.reshape(self.whole)
        dx[:] = 0
        for d, dy in enumerate(self.of_slices(b.y.grad)):
            b.k.conv_backward(self.turned, dy, None, self.window, self.plane)
            for i, n in self.slices(d):
                if n is not None:
                    dx[n] += self.parts[:, :, i]
        b.k.flush(b.x.grad)

    def gradient(self, batch, first, g, ahead=None):
        b, total = self.b, np.zeros_like(g)
        part = np.zeros_like(g)
        for d, dy in enumerate(self.of_slices(b.y.grad)):
            b.k.conv_gradient(dy, self.gather(d), first, part, self.plane)
            total += part
        b.k.flush(total)
        g[:, self.order] = total


@dataclass(frozen=True)
class Conv3D(Filters):
    """A convolution over volumes.

    y[d, h, w, o] = activation(sum of x[d s + i r, h s + j r, w s + k r, c] kernel[i, j, k, c, o] + bias[o]).

    The other arguments: see Filters and Convolution in mrdl.layers.convolution.

    Args:
        filters: channels o of y, 1 or more.
        kernel_size: depth, height and width of the window, or one number for all.
        strides: slices, rows and columns that the window moves on, or one number for all.
        padding: "valid": the window stays inside the volume; "same": zeros around it.
        dilation_rate: the distance of the window's places, in each dimension or one number for all."""
    operation: ClassVar[type[Operation]] = VolumeConvOperation
    rank: ClassVar[int] = 3
    strides: Sizes = (1, 1, 1)
    dilation_rate: Sizes = field(default=(1, 1, 1), kw_only=True)

    def planned(self, shape: Shape) -> tuple[list[int], list[int]]:
        image(self, shape)
        return planned(self, shape[:-1], self.kernel_size, self.strides, self.dilation_rate)

    def depth(self, shape: Shape) -> tuple[int, int]:
        """How many slices y has, and how many slices of padding come before x."""
        outputs, before = self.planned(shape)
        return outputs[0], before[0]

    def plane(self, shape: Shape) -> Geometry:
        """That of a slice of y, from the slices of x in its window."""
        outputs, before = self.planned(shape)
        O, groups = self.channels(shape[-1])
        return possible(self, (*shape[1:3], self.kernel_size[0] * shape[3], *outputs[1:], O, *self.kernel_size[1:],
                               *self.strides[1:], *self.dilation_rate[1:], *before[1:], groups))

    def shape_of_output(self, shape):
        return self.depth(shape)[0], *self.plane(shape)[3:6]

    def weights(self, shape):
        O, groups = self.plane(shape)[5], self.plane(shape)[-1]
        return self.weights_of("kernel", O, (*self.kernel_size, shape[3] // groups, O))

    def scratch(self, shape):
        return int(np.prod(self.plane(shape)[:3]))
