"""The operations of recurrent layers: the common part, and each kind of cell."""
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from mrdl import seeds
from mrdl.kernels import pad, zeros
from mrdl.layers.core import by_rows
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Binding, Operation


def over_time(a: np.ndarray, steps: int) -> np.ndarray:
    """[T F, N] as [T, F, N]."""
    return a.reshape(steps, -1, a.shape[1])


class RecurrentOperation(Operation):
    """Computes x's contribution to all gates and steps by one convolution of width 1, then all steps by one call of the
    cell's kernel.

    `h` begins with the state before the first step, which is 0 unless `carry` is True."""
    scratch: ClassVar[int]              # rows per unit that the kernel's backward pass needs

    def __init__(self, layer: Layer, b: Binding):
        super().__init__(layer, b)
        (self.T, F), U, rows = b.shape, layer.units, layer.gates * layer.units
        self.w, self.r = b.w["kernel"], b.w["recurrent_kernel"]
        self.bias = b.w["bias"] if "bias" in b.w else zeros(rows, self.w.dtype)
        self.geometry = (self.T, 1, F, self.T, 1, rows, *(1,) * 6, 0, 0, 1)
        self.acts, self.carry = layer.acts(), False
        self.back = None                # through how many of the last steps gradients flow back; None: all
        # with input dropout the input is no longer one-hot, so ids cannot replace it
        self.takes_ids = b.x.ids_only = b.x.ids is not None and not (b.training and layer.dropout)
        self.z, self.h, self.seen = self.new(self.T * rows), self.new((self.T + 1) * U), self.new(self.T * U)
        self.x = self.new(self.T * F) if layer.go_backwards or (b.training and layer.dropout) else b.x.value
        self.kept = self.new(F) if b.training and layer.dropout else None       # dropout factors of x, the same in all steps
        self.drop = self.new(U) if b.training and layer.recurrent_dropout else None
        if not layer.zero_output_for_mask:
            b.y.value = self.output
        if b.training:
            self.dz, self.work = self.new(self.T * rows), self.new(self.scratch * U)
            whole = layer.return_sequences and not layer.zero_output_for_mask
            self.dy = b.y.grad if whole else self.new(self.T * U)
            self.turned = zeros(self.w.shape[::-1], self.w.dtype)
            # the vectors that r multiplies, batch-major, step by step: without dropout, the outputs of the step before
            N = b.x.value.shape[1]
            states = zeros(((self.T + 1) * N, pad(U)), self.w.dtype)
            self.h_rows, self.shares = states[:-N], whole and self.drop is None
            if self.shares:
                b.y.give_storage(self.T, states[N:])
            self.x_rows = b.x.storage(self.T) if self.x is b.x.value else zeros((self.T * N, pad(F)), self.w.dtype)

    def new(self, rows: int) -> np.ndarray:
        return zeros((rows, self.b.x.value.shape[1]), self.b.x.value.dtype)

    @property
    def output(self) -> np.ndarray:
        """The layer's output, as a view of h."""
        return self.h[self.layer.units if self.layer.return_sequences else -self.layer.units:]

    @property
    def states(self) -> list[np.ndarray]:
        """The states before the first step, [U, N] each."""
        return [self.h[:self.layer.units]]

    @property
    def finals(self) -> list[np.ndarray]:
        """The states after the last step."""
        return [self.h[-self.layer.units:]]

    def go_on(self, before: "RecurrentOperation") -> None:
        """Makes the next sequence begin with the last states of `before`, which may be this operation itself."""
        self.carry = True
        for state, final in zip(self.states, before.finals):
            state[:] = final

    def reset(self) -> None:
        """Makes the next sequence begin with state 0, also if the layer is stateful."""
        for final in self.finals:
            final[:] = 0

    def last(self, a: np.ndarray | None, each: int) -> np.ndarray | None:
        """The part of `a`, which has `each` rows per step, that gradients flow through; for states, with the state before."""
        return a if a is None or self.back is None else a[max(0, self.T - self.back) * each:]

    @property
    def state_grads(self) -> list[np.ndarray]:
        """The gradients of the states, in the kernel's `work`: before the call those of the last states, after it those of
        the first ones."""
        U = self.layer.units
        return [self.work[i * U:(i + 1) * U] for i in range(len(self.states))]

    def in_order(self, a: np.ndarray | None) -> np.ndarray | None:
        """The array [T ...] in the order in which steps are read."""
        return np.ascontiguousarray(a[::-1]) if a is not None and self.layer.go_backwards else a

    def forward(self):
        b, k, layer = self.b, self.b.k, self.layer
        if not self.carry:
            for state, final in zip(self.states, self.finals):
                state[:] = final if layer.stateful else 0
            for state, tensor in zip(self.states, b.xs[1:]):
                state[:] = tensor.value
        if layer.go_backwards:
            over_time(self.x, self.T)[:] = over_time(b.x.value, self.T)[::-1]
        self.ids, self.mask = self.in_order(b.x.ids if self.takes_ids else None), self.in_order(self.x_mask)
        self.draw()
        if self.kept is not None:
            k.multiply(self.x if layer.go_backwards else b.x.value, self.kept, self.x)
        if self.ids is None:
            k.conv_forward(self.w, self.bias, self.x, self.z, self.geometry, False)
        else:
            k.ids_forward(self.w, self.bias, self.ids, self.z)
        self.steps()
        for tensor, final in zip(b.parts, self.finals):
            tensor.value[:] = final
        if layer.zero_output_for_mask:
            b.y.value[:] = self.output
            if self.zeroed:
                self.zero(b.y.value)

    @property
    def zeroed(self) -> bool:
        """True if masked outputs are 0; False if they repeat the step before."""
        return self.layer.zero_output_for_mask and self.mask is not None

    def zero(self, a: np.ndarray) -> None:
        """Writes 0 at masked steps of a[T U, N], or of a[U, N], which has only the last step."""
        if self.layer.return_sequences:
            over_time(a, self.T)[:] *= self.mask[:, None]
        else:
            a *= self.mask[-1]

    def draw(self) -> None:
        """Draws the minibatch's dropout factors for the input and the state."""
        draws, layer = self.b.draws, self.layer
        for mask, rate, name in ((self.kept, layer.dropout, "dropout"), (self.drop, layer.recurrent_dropout, "recurrent")):
            if mask is not None:
                key = seeds.key(draws.key, name, *(() if layer.seed is None else (layer.seed,)))
                self.b.k.dropout_mask(mask, key, self.b.index, draws.minibatch, rate)

    def backward(self, batch):
        b, k, layer = self.b, self.b.k, self.layer
        dy = self.dy if layer.return_sequences else self.dy[-layer.units:]
        if self.dy is not b.y.grad:
            dy[:] = b.y.grad
        if self.zeroed:
            self.zero(dy)
        self.work[:] = 0
        for tensor, given in zip(b.parts, self.state_grads):
            given[:] = tensor.grad
        self.steps_back()
        for tensor, found in zip(b.xs[1:], self.state_grads):
            if tensor.grad is not None:
                tensor.grad[:] = found
        if self.back is not None:
            self.dz[:max(0, self.T - self.back) * layer.gates * layer.units] = 0
        if self.shares:
            b.y.rows(self.T)
            k.transpose(self.states[0], self.h_rows[:len(self.h_rows) // self.T])
        else:
            k.transpose_steps(self.multiplied, self.T, self.h_rows)
        if self.ids is not None:
            return
        if self.x is b.x.value:
            b.x.rows(self.T)
        else:
            k.transpose_steps(self.x, self.T, self.x_rows)
        if b.first or b.x.grad is None:
            return
        k.transpose(self.w, self.turned)
        k.conv_backward(self.turned, self.dz, None, b.x.grad, self.geometry)
        if self.kept is not None:
            k.multiply(b.x.grad, self.kept, b.x.grad)
        if layer.go_backwards:
            over_time(b.x.grad, self.T)[:] = over_time(b.x.grad, self.T)[::-1].copy()

    def steps(self) -> None:
        """Computes all steps, by the cell's kernel."""
        raise NotImplementedError           # each cell has its own

    def steps_back(self) -> None:
        """Computes the backward pass of all steps."""
        raise NotImplementedError           # each cell has its own

    def input_gradient(self, batch: int, first: int, g: np.ndarray, ahead: np.ndarray | None = None) -> None:
        if self.ids is None:
            self.b.k.dense_gradient(self.dz, self.x_rows, batch, g, self.T, first, ahead)
        else:
            self.b.k.ids_gradient(self.dz, self.ids, batch, first, g)

    def recurrent_gradient(self, batch: int, first: int, g: np.ndarray, ahead: np.ndarray | None = None) -> None:
        self.b.k.dense_gradient(self.dz, self.h_rows, batch, g, self.T, first, ahead)

    @property
    def multiplied(self) -> np.ndarray:
        """The vectors that the recurrent kernel multiplied, for each step."""
        return self.h[:-self.layer.units] if self.drop is None else self.seen

    def gradients(self, place):
        b = self.b
        for name, fill in (("kernel", self.input_gradient), ("recurrent_kernel", self.recurrent_gradient)):
            yield from by_rows(place, b.offsets[name], b.w[name].shape, self.w.itemsize, fill)
        for name, row, fill in self.vectors():
            size = b.w[name].shape[-1]
            start = b.offsets[name] + row * size
            g = place(start, start + size)
            yield start, start + size, lambda batch, fill=fill, g=g: fill(g)

    def vectors(self) -> list[tuple[str, int, Callable[[np.ndarray], None]]]:
        """The other weights: (name, row, function that fills the gradient)."""
        return [("bias", 0, lambda g: self.b.k.channel_sums(self.dz, g))] if "bias" in self.b.w else []


class SimpleRNNOperation(RecurrentOperation):
    scratch = 2

    def steps(self):
        self.b.k.simple_rnn_forward(self.r, self.mask, self.drop, self.seen, self.z, self.h, self.acts)

    def steps_back(self):
        U, last = self.layer.units, self.last
        self.b.k.simple_rnn_backward(self.r, last(self.mask, 1), self.drop, last(self.z, U), last(self.h, U),
                                     last(self.dy, U), last(self.dz, U), self.work, self.acts)


class LSTMOperation(RecurrentOperation):
    scratch = 4

    def __init__(self, layer, b):
        super().__init__(layer, b)
        self.dz = self.z                # they share memory, because touching more memory takes time
        self.peephole = b.w.get("peephole")
        self.c, self.made = self.new((self.T + 1) * layer.units), self.new(self.T * layer.units)

    @property
    def states(self):
        return [*super().states, self.c[:self.layer.units]]

    @property
    def finals(self):
        return [*super().finals, self.c[-self.layer.units:]]

    def steps(self):
        self.b.k.lstm_forward(self.r, self.peephole, self.mask, self.drop, self.seen, self.z, self.c, self.made, self.h,
                              self.acts)

    def steps_back(self):
        U, last = self.layer.units, self.last
        self.b.k.lstm_backward(self.r, self.peephole, last(self.mask, 1), self.drop, last(self.z, 4 * U), last(self.c, U),
                               last(self.made, U), last(self.dy, U), last(self.dz, 4 * U), self.work, self.acts)

    def vectors(self):
        peephole = [("peephole", 0, lambda g: self.b.k.peephole_gradient(self.dz, self.c, g))]
        return [*super().vectors(), *(peephole if self.peephole is not None else [])]


class GRUOperation(RecurrentOperation):
    scratch = 3

    def __init__(self, layer, b):
        super().__init__(layer, b)
        rows = 3 * layer.units
        self.after = None
        if layer.reset_after:
            self.bias, self.after = b.w["bias"] if "bias" in b.w else zeros((2, rows), self.w.dtype)
        self.q = self.new(self.T * rows)
        if b.training:
            self.dq = self.new(self.T * rows)

    def steps(self):
        self.b.k.gru_forward(self.r, self.after, self.mask, self.drop, self.seen, self.z, self.q, self.h, self.acts)

    def steps_back(self):
        U, last = self.layer.units, self.last
        self.b.k.gru_backward(self.r, self.after is None, last(self.mask, 1), self.drop, last(self.z, 3 * U),
                              last(self.q, 3 * U), last(self.h, U), last(self.seen, U), last(self.dy, U), last(self.dz, 3 * U),
                              last(self.dq, 3 * U), self.work, self.acts)
        if self.back is not None:
            self.dq[:max(0, self.T - self.back) * 3 * U] = 0

    def recurrent_gradient(self, batch, first, g, ahead=None):
        k, U = self.b.k, self.layer.units
        if self.after is not None:
            k.dense_gradient(self.dq, self.h_rows, batch, g, self.T, first, ahead)
            return
        gated = max(0, min(len(g), 2 * U - first))      # the rows of the gates; the candidate's rows multiply r h instead
        if gated:
            k.dense_gradient(self.dz, self.h_rows, batch, g[:gated], self.T, first)
        if gated < len(g):
            reset = np.ascontiguousarray(over_time(self.q, self.T)[:, :U]).reshape(-1, self.q.shape[1])
            k.transpose_steps(reset, self.T, self.h_rows)       # the gates' rows have been computed before
            k.dense_gradient(self.dz, self.h_rows, batch, g[gated:], self.T, first + gated)

    def vectors(self):
        own = super().vectors()
        return [*own, ("bias", 1, lambda g: self.b.k.channel_sums(self.dq, g))] if own and self.after is not None else own
