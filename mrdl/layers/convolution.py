"""Convolutions over [H][W][C] images and [steps][C] sequences, as in Keras (channels_last)."""
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from mrdl.config import need, shown
from mrdl.layers.activations import activation
from mrdl.layers.convolution_operations import ConvOperation, conv_operation, tiled
from mrdl.layers.geometry import (
    Geometry,
    Sizes,
    check_sizes,
    flat,
    image,
    planned,
    possible,
    sizes,
)
from mrdl.layers.layer import Layer, Weight
from mrdl.layers.operation import Binding, Operation, Shape, Tensor


@dataclass(frozen=True)
class Convolution(Layer):
    """What all convolutions have in common. The kernel is [O][kh kw C/groups] in the flat vector.

    `name`: see Layer.

    Args:
        kernel_size: places of the window in each dimension, or one number for all.
        strides: places that the window moves on in each dimension, or one number for all.
        padding: "valid": the window stays inside; "same": zeros around it make y as large as x (by
            strides of 1); "causal" (Conv1D): all zeros come before.
        dilation_rate: the distance of the window's places in each dimension, or one number for all.
        activation: its name. None: linear.
        use_bias: whether there is a bias.
        bias_initializer: how the bias starts.
        bias_regularizer: the penalty on the bias. None: there is none.
        bias_constraint: what the bias is made to obey after each update. None: nothing."""
    operation: ClassVar[type[Operation]] = ConvOperation
    rank: ClassVar[int] = 2
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    dilation_rate: Sizes = field(default=(1, 1), kw_only=True)
    activation: str | None = field(default=None, kw_only=True)
    use_bias: bool = field(default=True, kw_only=True)
    bias_initializer: object = field(default="zeros", kw_only=True)
    bias_regularizer: object = field(default=None, kw_only=True)
    bias_constraint: object = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self):
        sizes(self, "kernel_size", "strides", "dilation_rate")
        object.__setattr__(self, "activation", activation(self.activation))
        super().__post_init__()
        check_sizes(self, "kernel_size", "strides", "dilation_rate")
        need(self.padding in self.paddings,
             f"{type(self).__name__}: padding={shown(self.padding)} is none of {', '.join(self.paddings)}")
        for key in ("filters", "groups", "depth_multiplier"):
            need(getattr(self, key, 1) > 0, f"{type(self).__name__}: {key} must be above 0")

    def channels(self, C: int) -> tuple[int, int]:
        """How many channels come out of C, and in how many groups."""
        groups = getattr(self, "groups", 1)
        need(C % groups == 0 and self.filters % groups == 0,
             f"{type(self).__name__}: {groups} groups do not divide {C} channels and {self.filters} filters")
        return self.filters, groups

    def geometry(self, shape: Shape) -> Geometry:
        H, W, C = image(self, shape)
        outputs, before = planned(self, shape[:-1], self.kernel_size, self.strides, self.dilation_rate)
        O, groups = self.channels(C)
        pad = (0,) * (2 - self.rank)
        return possible(self, (H, W, C, *flat(self.rank, outputs), O, *flat(
            self.rank, self.kernel_size, self.strides, self.dilation_rate), *pad, *before, groups))

    def shape_of_output(self, shape):
        g = self.geometry(shape)
        return (*g[3:5][2 - self.rank:], g[5])

    def weights(self, shape):
        g = self.geometry(shape)
        return self.weights_of("kernel", g[5], (*self.kernel_size, g[2] // g[-1], g[5]))

    def weights_of(self, part: str, rows: int, keras: Shape, filters: int | None = None) -> list[Weight]:
        """The kernel, whose fields begin with `part`, and the bias."""
        kernel = self.weight(part, (rows, math.prod(keras) // rows), keras, transposed=True)
        bias = [self.weight("bias", (filters or rows,))] if self.use_bias else []
        return [replace(kernel, name="kernel"), *bias]


@dataclass(frozen=True)
class Filters(Convolution):
    """Each filter meets all channels of its group.

    The other arguments: see mrdl.layers.convolution.Convolution.

    Args:
        filters: channels of y, 1 or more.
        groups: so many parts of the channels that are convolved by themselves; it divides the
            channels of x and y.
        kernel_initializer: how the kernel starts. "glorot_uniform", as in Keras.
        kernel_regularizer: the penalty on the kernel. None: there is none.
        kernel_constraint: what the kernel is made to obey after each update. None: nothing."""
    operation: ClassVar[Callable[[Layer, Binding], Operation]] = staticmethod(conv_operation)
    filters: int
    kernel_size: Sizes
    strides: Sizes = (1, 1)
    padding: str = "valid"
    groups: int = field(default=1, kw_only=True)
    kernel_initializer: object = field(default="glorot_uniform", kw_only=True)
    kernel_regularizer: object = field(default=None, kw_only=True)
    kernel_constraint: object = field(default=None, kw_only=True)

    def scratch(self, shape):
        return tiled(self.geometry(shape))


@dataclass(frozen=True)
class Conv2D(Filters):
    """A convolution over images.

    y[h, w, o] = activation(sum of x[h s + i d, w s + j d, c] kernel[i, j, c, o] + bias[o]).

    The other arguments: see Filters and Convolution in mrdl.layers.convolution.

    Args:
        filters: channels o of y, 1 or more.
        kernel_size: height and width of the window, or one number for both.
        strides: rows and columns that the window moves on, or one number for both.
        padding: "valid": the window stays inside the image; "same": zeros around it."""


@dataclass(frozen=True)
class Conv1D(Filters):
    """Conv2D over the steps of a sequence; padding "causal": y[t] sees nothing after x[t].

    The other arguments: see Filters and Convolution in mrdl.layers.convolution.

    Args:
        filters: channels of y, 1 or more.
        kernel_size: steps of the window.
        strides: steps that the window moves on.
        padding: "valid": the window stays inside; "same": zeros around it; "causal": zeros before
            it.
        dilation_rate: the distance of the window's steps."""
    rank: ClassVar[int] = 1
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same", "causal")
    strides: Sizes = 1
    dilation_rate: Sizes = field(default=1, kw_only=True)


@dataclass(frozen=True)
class DepthwiseConv2D(Convolution):
    """Each channel is convolved with `depth_multiplier` kernels of its own.

    The other arguments: see mrdl.layers.convolution.Convolution.

    Args:
        depth_multiplier: channels of y for each of x, 1 or more.
        depthwise_initializer: how the kernel starts. "glorot_uniform", as in Keras.
        depthwise_regularizer: the penalty on the kernel. None: there is none.
        depthwise_constraint: what the kernel is made to obey after each update. None: nothing."""
    kernel_size: Sizes
    strides: Sizes = (1, 1)
    padding: str = "valid"
    depth_multiplier: int = 1
    depthwise_initializer: object = field(default="glorot_uniform", kw_only=True)
    depthwise_regularizer: object = field(default=None, kw_only=True)
    depthwise_constraint: object = field(default=None, kw_only=True)

    def channels(self, C):
        return C * self.depth_multiplier, C

    def weights(self, shape):
        _, _, C, _, _, O, *_ = self.geometry(shape)
        return self.weights_of("depthwise", O, (*self.kernel_size, C, self.depth_multiplier))


class SeparableOperation(Operation):
    """A depthwise convolution, then one of 1 x 1."""

    def __init__(self, layer, b):
        super().__init__(layer, b)
        first, second = layer.stages()
        shape = first.shape_of_output(b.shape)
        between = Tensor(b.k, math.prod(shape), b.x.value.shape[1], b.x.value.dtype, b.training)
        self.first = ConvOperation(first, replace(
            b, y=between, w={"kernel": b.w["depthwise_kernel"]},
            offsets={"kernel": b.offsets["depthwise_kernel"]}, linear=False))
        self.second = ConvOperation(second, replace(
            b, x=between, shape=shape, first=False,
            w={"kernel": b.w["pointwise_kernel"], **{n: w for n, w in b.w.items() if n == "bias"}},
            offsets={**b.offsets, "kernel": b.offsets["pointwise_kernel"]}))

    def forward(self):
        self.first.forward()
        self.second.forward()

    def backward(self, batch):
        self.second.backward(batch)
        self.first.backward(batch)

    def gradients(self, place):
        yield from self.first.gradients(place)
        yield from self.second.gradients(place)


@dataclass(frozen=True)
class SeparableConv2D(Convolution):
    """A depthwise convolution without bias or activation, then one of 1 x 1 over its channels.

    The other arguments: see mrdl.layers.convolution.Convolution.

    Args:
        filters: channels of y, 1 or more.
        depth_multiplier: channels between the two for each of x, 1 or more.
        depthwise_initializer: how the first kernel starts. "glorot_uniform", as in Keras.
        pointwise_initializer: how the second one starts.
        depthwise_regularizer: the penalty on the first kernel. None: there is none.
        depthwise_constraint: what the first kernel is made to obey after each update. None:
            nothing.
        pointwise_regularizer: the penalty on the second kernel. None: there is none.
        pointwise_constraint: what the second kernel is made to obey after each update. None:
            nothing."""
    operation: ClassVar[type[Operation]] = SeparableOperation
    filters: int
    kernel_size: Sizes
    strides: Sizes = (1, 1)
    padding: str = "valid"
    depth_multiplier: int = field(default=1, kw_only=True)
    depthwise_initializer: object = field(default="glorot_uniform", kw_only=True)
    pointwise_initializer: object = field(default="glorot_uniform", kw_only=True)
    depthwise_regularizer: object = field(default=None, kw_only=True)
    depthwise_constraint: object = field(default=None, kw_only=True)
    pointwise_regularizer: object = field(default=None, kw_only=True)
    pointwise_constraint: object = field(default=None, kw_only=True)

    def stages(self) -> tuple[DepthwiseConv2D, Conv2D]:
        return (DepthwiseConv2D(
            self.kernel_size, self.strides, self.padding, self.depth_multiplier, use_bias=False,
            dilation_rate=self.dilation_rate, depthwise_initializer=self.depthwise_initializer,
            depthwise_regularizer=self.depthwise_regularizer, depthwise_constraint=self.depthwise_constraint), Conv2D(
            self.filters, 1, activation=self.activation, use_bias=self.use_bias,
            kernel_initializer=self.pointwise_initializer, kernel_regularizer=self.pointwise_regularizer,
            kernel_constraint=self.pointwise_constraint, bias_initializer=self.bias_initializer,
            bias_regularizer=self.bias_regularizer, bias_constraint=self.bias_constraint))

    def shape_of_output(self, shape):
        image(self, shape)
        first, second = self.stages()
        return second.shape_of_output(first.shape_of_output(shape))

    def weights(self, shape):
        image(self, shape)
        first, second = self.stages()
        (depthwise,), pointwise = first.weights(shape), second.weights(first.shape_of_output(shape))
        return [replace(depthwise, name="depthwise_kernel"), replace(pointwise[0], name="pointwise_kernel"),
                *pointwise[1:]]
