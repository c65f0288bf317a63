"""ConvLSTM2D over sequences of images [steps][H][W][C], as in Keras (channels_last)."""
import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.kernels import zeros
from mrdl.layers.activations import activation, bound, of_output
from mrdl.layers.convolution import Conv2D
from mrdl.layers.core import by_rows
from mrdl.layers.geometry import Geometry, Sizes, check_sizes, sizes
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Binding, Operation, Shape
from mrdl.layers.recurrent import ForgetBias


class ConvLSTMOperation(Operation):
    """Arrays of all steps stand in the order of reading; `h` and `c` begin with the state 0 before the first."""

    def __init__(self, layer: "ConvLSTM2D", b: Binding):
        super().__init__(layer, b)
        need(self.x_mask is None, "ConvLSTM2D cannot handle masked steps")
        self.of_x, self.of_h = layer.geometries(b.shape)
        T, N, dtype, units = b.shape[0], b.x.value.shape[1], b.x.value.dtype, layer.filters
        pixels = math.prod(self.of_h[:2])
        self.w, self.u = b.w["kernel"], b.w["recurrent_kernel"]
        self.none = zeros(4 * units, dtype)
        self.bias = b.w.get("bias", self.none)
        self.order = list(range(T))[::-1 if layer.go_backwards else 1]
        self.whole = (pixels, 4, units, N)
        self.h, self.c = (zeros((T + 1, pixels * units, N), dtype) for _ in range(2))
        self.active = zeros((T, pixels * units, N), dtype)                  # the activation of c
        self.gates = zeros((T, 4, pixels * units, N), dtype)                # i f g o
        self.z, self.zh = (zeros((4 * pixels * units, N), dtype) for _ in range(2))
        gate, self.state = bound(b.k, layer.recurrent_activation), bound(b.k, layer.activation)
        self.acts = gate, gate, self.state, gate
        if b.training:
            self.dz = zeros((T, *self.z.shape), dtype)
            self.dh, self.dc, self.grad, self.da = (zeros((pixels * units, N), dtype) for _ in range(4))
            self.turned_w, self.turned_u = (zeros(w.shape[::-1], dtype) for w in (self.w, self.u))

    def steps(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(self.order), -1, x.shape[1])

    def forward(self):
        b, k, x = self.b, self.b.k, self.steps(self.b.x.value)
        for s, t in enumerate(self.order):
            k.conv_forward(self.w, self.bias, x[t], self.z, self.of_x, False)
            if s:
                k.conv_forward(self.u, self.none, self.h[s], self.zh, self.of_h, False)
                self.z += self.zh
            for q, (gate, (act, *_)) in enumerate(zip(self.gates[s], self.acts)):
                gate.reshape(self.whole[0], *self.whole[2:])[:] = self.z.reshape(self.whole)[:, q]
                act(gate, gate)
            i, f, g, o = self.gates[s]
            np.multiply(f, self.c[s], out=self.c[s + 1])
            self.c[s + 1] += i * g
            k.flush(self.c[s + 1])
            self.state[0](self.c[s + 1], self.active[s])
            k.multiply(o, self.active[s], self.h[s + 1])
        if self.layer.return_sequences:
            self.steps(b.y.value)[:] = self.h[1:]
        else:
            b.y.value[:] = self.h[-1]

    def backward(self, batch):
        b, k = self.b, self.b.k
        k.transpose(self.w, self.turned_w)
        k.transpose(self.u, self.turned_u)
        self.dh[:] = 0 if self.layer.return_sequences else b.y.grad
        self.dc[:] = 0
        for s in reversed(range(len(self.order))):
            if self.layer.return_sequences:
                self.dh += self.steps(b.y.grad)[s]
            i, f, g, o = self.gates[s]
            np.multiply(self.dh, o, out=self.da)
            self.state[1](self.active[s], self.da, self.da)
            self.dc += self.da
            for q, (d, factor) in enumerate(((self.dc, g), (self.dc, self.c[s]), (self.dc, i), (self.dh, self.active[s]))):
                k.multiply(d, factor, self.grad)
                self.acts[q][1](self.gates[s, q], self.grad, self.grad)
                self.dz[s].reshape(self.whole)[:, q] = self.grad.reshape(self.whole[0], *self.whole[2:])
            k.multiply(self.dc, f, self.dc)
            if not b.first:
                k.conv_backward(self.turned_w, self.dz[s], None, self.steps(b.x.grad)[self.order[s]], self.of_x)
            if s:
                k.conv_backward(self.turned_u, self.dz[s], None, self.dh, self.of_h)

    def summed(self, pairs: list[tuple[np.ndarray, np.ndarray]], first: int, g: np.ndarray, geometry: Geometry) -> None:
        """g = the sum of the kernel's gradients over the steps; pairs: the gradient of z, and what the kernel multiplied."""
        part = np.zeros_like(g)
        g[:] = 0
        for dz, x in pairs:
            self.b.k.conv_gradient(dz, x, first, part, geometry)
            g += part
        self.b.k.flush(g)

    def gradients(self, place):
        b, x = self.b, self.steps(self.b.x.value)
        of_x = [(dz, x[t]) for dz, t in zip(self.dz, self.order)]
        of_h = list(zip(self.dz, self.h))[1:]
        for name, w, pairs, geometry in (("kernel", self.w, of_x, self.of_x), ("recurrent_kernel", self.u, of_h, self.of_h)):
            yield from by_rows(place, b.offsets[name], w.shape, w.itemsize, lambda batch, first, g, ahead, pairs=pairs, geometry=geometry:
                               self.summed(pairs, first, g, geometry))
        if "bias" in b.w:
            start = b.offsets["bias"]
            g = place(start, start + len(self.bias))
            yield start, start + g.size, lambda batch: b.k.channel_sums(self.dz.reshape(-1, self.dz.shape[2]), g)


@dataclass(frozen=True)
class ConvLSTM2D(Layer):
    """An LSTM whose products are convolutions: its states are images (Shi et al. 2015).

    Gates i f g o of conv(x_t, kernel) + conv(h_(t-1), recurrent_kernel) + bias; c_t = f c_(t-1) + i g, h_t = o activation(c_t).
    The second convolution has strides of 1 and the padding "same".

    `name`: see Layer.

    Args:
        filters: channels of the state, 1 or more.
        kernel_size: height and width of the window, or one number for both.
        strides: rows and columns that the window moves on over x, or one number for both.
        padding: "valid": the window stays inside x; "same": zeros around it.
        dilation_rate: the distance of the window's places in x, or one number for both.
        activation: the activation of the state; its slope must be computable from its output, as for "tanh".
        recurrent_activation: the activation of the gates, likewise.
        use_bias: whether there is a bias.
        kernel_initializer: how the kernel for x starts.
        recurrent_initializer: how the kernel for the state starts. "orthogonal", as in Keras.
        bias_initializer: how the bias starts.
        unit_forget_bias: whether the forget gate's bias starts at 1.
        kernel_regularizer: the penalty on the kernel for x. None: there is none.
        recurrent_regularizer: the penalty on the kernel for the state. None: there is none.
        bias_regularizer: the penalty on the bias. None: there is none.
        kernel_constraint: what the kernel for x is made to obey after each update. None: nothing.
        recurrent_constraint: what the kernel for the state is made to obey after each update. None: nothing.
        bias_constraint: what the bias is made to obey after each update. None: nothing.
        return_sequences: whether y has the states of all steps. False: the last.
        go_backwards: whether x is read from its end; y then has the steps in the order of reading."""
    operation: ClassVar[type[Operation]] = ConvLSTMOperation
    rank: ClassVar[int] = 2
    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    dilation_rate: Sizes = 1
    activation: str | None = "tanh"
    recurrent_activation: str = "sigmoid"
    use_bias: bool = True
    kernel_initializer: object = "glorot_uniform"
    recurrent_initializer: object = "orthogonal"
    bias_initializer: object = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: object = None
    recurrent_regularizer: object = None
    bias_regularizer: object = None
    kernel_constraint: object = None
    recurrent_constraint: object = None
    bias_constraint: object = None
    return_sequences: bool = False
    go_backwards: bool = False
    name: str | None = None

    def __post_init__(self):
        sizes(self, "kernel_size", "strides", "dilation_rate")
        for key in ("activation", "recurrent_activation"):
            object.__setattr__(self, key, activation(getattr(self, key)))
        super().__post_init__()
        check_sizes(self, "kernel_size", "strides", "dilation_rate")
        of_output(self, self.activation, self.recurrent_activation)
        self.convolution()

    @property
    def last_activation(self) -> str:
        return "linear"                 # the next step needs the activated value

    def convolution(self) -> Conv2D:
        """That of x, for all gates."""
        return Conv2D(4 * self.filters, self.kernel_size, self.strides, self.padding, dilation_rate=self.dilation_rate)

    def geometries(self, shape: Shape) -> tuple[Geometry, Geometry]:
        """Those of the convolutions of x and of the state."""
        need(len(shape) == 4, f"ConvLSTM2D: its input has the shape {shown(shape)}, not (steps, height, width, channels)")
        of_x = self.convolution().geometry(shape[1:])
        return of_x, Conv2D(4 * self.filters, self.kernel_size, 1, "same").geometry((*of_x[3:5], self.filters))

    def shape_of_output(self, shape):
        return (*shape[:1] * self.return_sequences, *self.geometries(shape)[1][:3])

    def weights(self, shape):
        self.geometries(shape)
        rows, found = 4 * self.filters, []
        for part, name, n in (("kernel", "kernel", shape[3]), ("recurrent", "recurrent_kernel", self.filters)):
            keras = (*self.kernel_size, n, rows)
            found.append(replace(self.weight(part, (rows, math.prod(keras) // rows), keras, transposed=True), name=name))
        bias = self.weight("bias", (rows,))
        if self.unit_forget_bias:
            bias = replace(bias, initializer=ForgetBias(bias.initializer, self.filters))
        return [*found, bias] if self.use_bias else found

    def scratch(self, shape):
        return shape[0] * math.prod(self.geometries(shape)[1][:3]) * 7
