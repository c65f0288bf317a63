"""A model bound to buffers for up to N examples: rows in, outputs, and the gradient of the loss."""
import itertools
import math

import numpy as np

from mrdl import kernels, limits
from mrdl.config import need
from mrdl.kernels import LANES, pad
from mrdl.layers.operation import Binding, Draws, Operation, Shape, Tensor, mask_of
from mrdl.training import wiring
from mrdl.training.outputs import Output
from mrdl.training.protocol import Head, LayeredModel, Step
from mrdl.training.wiring import Join, Wires

MEMORY = 128 << 20             # bytes of activations that inference holds at most


def at_once(model: LayeredModel, batch: int) -> int:
    """How many examples inference takes at once: `batch`, or what fits; decided by the model alone."""
    if model.stateful:
        return batch                # row i of a minibatch goes on with row i of the one before
    fits = MEMORY // (limits.features(model) * model.dtype.itemsize) // LANES * LANES
    return min(batch, max(fits, LANES))


def widened(a: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that the kernels gather, and their numbers: of two-byte ids, which have no kernel, only these, as int32."""
    return (a[index].astype(np.int32), np.arange(len(index))) if a.dtype.name == "uint16" else (a, index)


class Network:
    """Forward and backward of one minibatch; activations are [feature][N], N = batch padded to 16.

    `weights` is the flat vector and stays the caller's. With heads, an output activation that a loss
    contains is computed by the loss. `outputs`: [F, N] of each output, without such an activation."""

    def __init__(self, model: LayeredModel, batch: int, weights: np.ndarray, heads: list[Head] = (), training: bool = False):
        self.k, self.N, self.dtype, self.training = kernels.typed(model.dtype), pad(batch), model.dtype, training
        self.draws, self.scale, self.offset = Draws(), 1.0, 0.0
        stack, inputs = model.stack(), [math.prod(shape) for shape in model.input_shapes()]
        ends = model.output_tensors()
        sources = wiring.sources(stack, len(inputs))
        takers = wiring.takers(stack, ends, sources)
        fused = [head.loss.fuses(activation) for head, activation in zip(heads, model.output_activations())]
        linear = wiring.left_to_losses(ends, fused, sources, takers)
        scaled = wiring.scaled_input(stack, len(inputs))
        if scaled:                              # by the gather
            self.scale, self.offset = scaled.layer.scale, scaled.layer.offset
        self.wires = Wires(self._tensor, inputs, sources, takers, wiring.reshaped(stack, len(inputs)))
        self.operations: list[Operation | Join] = []
        for number, step in enumerate(stack, len(inputs)):
            if step.layer.operation is None or step is scaled:
                self.wires.same(number, step.inputs[0])
            else:
                self.operations += self._bound(number, step, weights, number in linear)
        found = list(map(self.wires.taken, ends))
        self.x, self.outputs = self.wires.x, [tensor.value for tensor in found]
        self.heads = [Output(self.k, *each) for each in zip(heads, found, fused)]
        # a learner adds the penalties with their gradients
        self.penalty = self._penalty(model, weights) if heads and not training else 0.0
        widths = [h.steps if h.head.loss.sparse else len(h.values) for h in self.heads]
        self.cuts = list(itertools.pairwise(itertools.accumulate(widths, initial=0)))
        self.target_rows = np.zeros((self.N, pad(sum(widths))), self.dtype)
        self.targets = np.zeros((sum(widths), self.N), self.dtype)

    def _tensor(self, shape: Shape) -> Tensor:
        return Tensor(self.k, math.prod(shape), self.N, self.dtype, self.training)

    def _bound(self, number: int, step: Step, weights: np.ndarray, linear: bool) -> list[Operation | Join]:
        """The operation of a step on its buffers, and a Join for each tensor of its that several take."""
        xs = [self.wires.taken(source) for source in step.inputs]
        y, parts = self._tensor(step.output), {part: self._tensor(shape) for part, shape in step.parts}
        places = list(zip(step.weights, step.offsets))
        operation = step.layer.operation(step.layer, Binding(
            self.k, xs[0], y, {w.name: weights[o:o + w.size].reshape(w.shape) for w, o in places},
            {w.name: o for w, o in places}, step.index, step.shapes if step.layer.merges else step.shapes[0],
            self.training, linear=linear, first=all(map(self.wires.is_input, xs)), draws=self.draws, xs=xs,
            parts=list(parts.values())))
        if step.layer.supports_masking and not step.layer.merges and y.mask is None:
            y.mask = mask_of(xs[0], step.shapes[0])
        return [operation, *self.wires.made({number: y, **parts})]

    def _penalty(self, model: LayeredModel, weights: np.ndarray) -> float:
        """The penalty on these weights."""
        penalty = 0.0
        for _, weight, start in model.places():
            if weight.regularizer is not None:
                w = weights[start:start + weight.size]
                penalty += self.k.regularize(w, np.zeros_like(w), *weight.regularizer.factors)
        return penalty

    def compute(self, targets: list[np.ndarray], weight: np.ndarray, one: float | None = None):
        """-> (whole, n, [(loss, n) of each output]): the sum of weight * loss over n terms, which are the examples, or
        the steps that count where the outputs are sequences; in `whole` the outputs' weighted losses, and the penalty
        for each term as Keras counts it. n is the first output's.

        Fills the gradients of the means over each output's terms, or of `one` times the sums."""
        losses = [output.compute(t, weight, one) for output, t in zip(self.heads, targets)]
        n = losses[0][1]
        whole = sum(output.head.weight * loss * (n / max(terms, 1)) for output, (loss, terms) in zip(self.heads, losses))
        return whole + self.penalty * n, n, losses

    def read(self, x: np.ndarray, index: np.ndarray) -> None:
        """Takes rows `index` of x[n, ...] as the minibatch."""
        x, index = widened(x, index)
        self.k.gather(x.reshape(len(x), -1), index, self.scale, self.offset, self.x.storage())
        self.x.fresh = {1}
        self.draws.batch = len(index)
        self.k.transpose_columns(self.x.storage(), self.x.value)
        for tensor in self.wires.others:
            tensor.fresh = set()

    def target(self, y: np.ndarray, index: np.ndarray) -> list[np.ndarray]:
        """Rows `index` of the targets as each loss takes them: t[B], t[steps, B] or t[C, N]."""
        y = y.reshape(len(y), -1)
        need(y.shape[1] == self.cuts[-1][1], f"{y.shape[1]} targets an example, not {self.cuts[-1][1]}")
        y, index = widened(y, index)
        if not all(output.head.loss.sparse for output in self.heads):
            self.k.gather(y, index, 1.0, 0.0, self.target_rows)
            self.k.transpose_columns(self.target_rows, self.targets)

        def classes(output: Output, start: int, stop: int) -> np.ndarray:
            found = np.ascontiguousarray(y[index, start:stop].T, np.int32)
            return found[0] if output.whole else found
        return [classes(output, start, stop) if output.head.loss.sparse else self.targets[start:stop]
                for output, (start, stop) in zip(self.heads, self.cuts)]

    def forward(self) -> None:
        for operation in self.operations:
            operation.forward()
