"""A model bound to buffers for up to N examples: rows in, outputs, and the gradient of the loss."""
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from functools import reduce

import numpy as np

from mrdl import kernels
from mrdl.config import need
from mrdl.kernels import LANES
from mrdl.layers.layer import Binding, Branch, Draws, Operation, Part, Tensor, pad

MEMORY = 128 << 20             # bytes of activations that inference holds at most


def at_once(model, batch: int) -> int:
    """How many examples inference takes at once: `batch`, or what fits; decided by the model alone."""
    features = math.prod(model.input_shape) + sum(
        math.prod(step.output) + step.layer.scratch(step.shapes[0]) for step in model.stack() if step.layer.operation)
    fits = MEMORY // (features * model.dtype.itemsize) // LANES * LANES
    return min(batch, max(fits, LANES))


class Join:
    """Where a tensor goes into several operations: its gradient is the sum of theirs."""

    def __init__(self, tensor: Tensor, branches: list[Branch]):
        self.tensor, self.branches = tensor, branches

    def forward(self) -> None:
        pass

    def backward(self, batch: int) -> None:
        self.tensor.grad[:] = reduce(np.add, (branch.grad for branch in self.branches))

    def gradients(self, place) -> Iterator:
        return iter(())


class Network:
    """Forward and backward of one minibatch; activations are [feature][N], N = batch padded to 16.

    `weights` is the flat vector and stays the caller's. With heads, an output activation that a loss
    contains is computed by the loss. `outputs`: [F, N] of each output."""

    def __init__(self, model, batch: int, weights: np.ndarray, heads: list = (), training: bool = False):
        self.k, self.N, self.draws = kernels.typed(model.dtype), pad(batch), Draws()
        self.scale, self.offset = 1.0, 0.0
        fused = [head.loss.fuses(activation) for head, activation in zip(heads, model.output_activations())]
        stack, inputs = model.stack(), [math.prod(shape) for shape in model.input_shapes()]
        self.x = Tensor(self.k, sum(inputs), self.N, model.dtype, training)
        cuts = list(itertools.accumulate(inputs, initial=0))
        # by their numbers: the inputs, then what each step gives
        tensors = [self.x] if len(inputs) == 1 else [Part(self.x, *cut) for cut in itertools.pairwise(cuts)]
        self.tensors = [t for t in tensors if t is not self.x]
        given = set(map(id, tensors))
        ends = model.output_tensors()
        takers = self._takers(stack, len(tensors), ends)
        self.operations: list[Operation] = []
        linear = {self._made_by(stack, len(inputs), end) for end, yes in zip(ends, fused) if yes}
        need(all(takers[number] < 2 for number in linear), "an output goes into other layers too: give it no "
             "activation, and its loss from_logits=True")
        branches: dict[int, list[Branch]] = {}

        def taken(number: int) -> Tensor:
            """The tensor for one who takes it."""
            tensor = tensors[number]
            if id(tensor) in given or takers[self._made_by(stack, len(inputs), number)] == 1:
                return tensor
            branches.setdefault(id(tensor), []).append(Branch(tensor))
            return branches[id(tensor)][-1]

        folded = (len(inputs) == 1 and stack and type(stack[0].layer).__name__ == "Rescaling"
                  and sum(step.inputs.count(0) for step in stack) == 1)
        for i, step in enumerate(stack):
            number = len(inputs) + i
            if step.layer.operation is None:
                tensors.append(tensors[step.inputs[0]])
                continue
            if folded and not i:                # into the gather
                self.scale, self.offset = step.layer.scale, step.layer.offset
                tensors.append(self.x)
                continue
            xs = [taken(t) for t in step.inputs]
            y = Tensor(self.k, math.prod(step.output), self.N, model.dtype, training)
            views = {w.name: weights[o:o + w.size].reshape(w.shape)
                     for w, o in zip(step.weights, step.offsets)}
            self.operations.append(step.layer.operation(step.layer, Binding(
                self.k, xs[0], y, views,
                {w.name: o for w, o in zip(step.weights, step.offsets)}, step.index,
                step.shapes if step.layer.merges else step.shapes[0], training,
                linear=number in linear, first=all(id(x) in given for x in xs), draws=self.draws, xs=xs)))
            self.tensors.append(y)
            tensors.append(y)
            if takers[number] > 1:
                self.operations.append(Join(y, branches.setdefault(id(y), [])))
        found = list(map(taken, ends))
        self.outputs, self.heads = [tensor.value for tensor in found], list(heads)
        self.computed, self.penalty = [], 0.0
        for i, (head, tensor) in enumerate(zip(heads, found)):
            values, compute = head.loss.bind(self.k, tensor.value, tensor.grad, (head.shape or (1,))[-1])
            if not getattr(head.loss, "from_logits", False):
                self.outputs[i] = values
            self.computed.append(compute)
        if heads:
            if not training:            # a learner adds the penalties with their gradients
                self.penalty = self._penalty(model, weights)
            widths = [1 if head.loss.sparse else len(t.value) for head, t in zip(heads, found)]
            self.cuts = list(itertools.pairwise(itertools.accumulate(widths, initial=0)))
            self.target_rows = np.zeros((self.N, pad(sum(widths))), model.dtype)
            self.targets = np.zeros((sum(widths), self.N), model.dtype)

    @staticmethod
    def _made_by(stack, inputs: int, number: int) -> int | None:
        """The tensor that one is another shape of; None for an input."""
        while number >= inputs and stack[number - inputs].layer.operation is None:
            number, = stack[number - inputs].inputs
        return number if number >= inputs else None

    def _takers(self, stack, inputs: int, ends: list[int]) -> Counter:
        """How many take each tensor that a step makes."""
        taken = [number for step in stack if step.layer.operation for number in step.inputs]
        return Counter(self._made_by(stack, inputs, number) for number in [*taken, *ends])

    def _penalty(self, model, weights) -> float:
        """The penalty on these weights."""
        penalty = 0.0
        for _, weight, start in model.places():
            if weight.regularizer is not None:
                w = weights[start:start + weight.size]
                penalty += self.k.regularize(w, np.zeros_like(w), *weight.regularizer.factors)
        return penalty

    def compute(self, targets: list[np.ndarray], weight: np.ndarray, scale: float) -> tuple[float, list[float]]:
        """-> the sum of weight * loss, with the penalty for each example as Keras counts it, and each
        output's share; fills the gradients of scale times their sum."""
        losses = [compute(t, weight, scale * head.weight)
                  for compute, head, t in zip(self.computed, self.heads, targets)]
        whole = sum(head.weight * loss for head, loss in zip(self.heads, losses))
        return whole + self.penalty * len(weight), losses

    def read(self, x: np.ndarray, index: np.ndarray) -> None:
        """Takes rows `index` of x[n, ...] as the minibatch."""
        self.k.gather(x.reshape(len(x), -1), index, self.scale, self.offset, self.x.storage)
        self.x.fresh = True
        self.draws.batch = len(index)
        self.k.transpose_columns(self.x.storage, self.x.value)
        for tensor in self.tensors:
            tensor.fresh = False

    def target(self, y: np.ndarray, index: np.ndarray) -> list[np.ndarray]:
        """Rows `index` of the targets as each loss takes them: t[B], or t[C, N]."""
        y = y.reshape(len(y), -1)
        if not all(head.loss.sparse for head in self.heads):
            self.k.gather(y, index, 1.0, 0.0, self.target_rows)
            self.k.transpose_columns(self.target_rows, self.targets)
        return [y[index, start].astype(np.int32) if head.loss.sparse else self.targets[start:stop]
                for head, (start, stop) in zip(self.heads, self.cuts)]

    def forward(self) -> None:
        for operation in self.operations:
            operation.forward()
