"""A model bound to buffers for up to N examples: rows in, outputs, and the gradient of the loss."""
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from functools import reduce

import numpy as np

from mrdl import kernels, limits
from mrdl.config import need
from mrdl.kernels import LANES, pad
from mrdl.layers.layer import Binding, Branch, Draws, Operation, Part, Tensor, View, mask_of

MEMORY = 128 << 20             # bytes of activations that inference holds at most


def at_once(model, batch: int) -> int:
    """How many examples inference takes at once: `batch`, or what fits; decided by the model alone."""
    if model.stateful:
        return batch                # row i of a minibatch goes on with row i of the one before
    fits = MEMORY // (limits.features(model) * model.dtype.itemsize) // LANES * LANES
    return min(batch, max(fits, LANES))


def widened(a: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that the kernels gather, and their numbers: of two-byte ids, which have no kernel, only these, as int32."""
    return (a[index].astype(np.int32), np.arange(len(index))) if a.dtype.name == "uint16" else (a, index)


class Join:
    """Where a tensor goes into several operations: its gradient is the sum of theirs."""

    def __init__(self, tensor: Tensor, branches: list[Branch]):
        self.tensor, self.branches = tensor, branches

    def forward(self) -> None:
        pass

    def backward(self, batch: int) -> None:
        self.tensor.grad[:] = reduce(np.add, (branch.grad for branch in self.branches))
        self.tensor.k.flush(self.tensor.grad)

    def gradients(self, place) -> Iterator:
        return iter(())


class Output:
    """An output and its loss, step by step where each step has a loss of its own or some do not count."""

    def __init__(self, k, head, tensor: Tensor, fused: bool):
        self.head, z, self.mask = head, tensor.value, mask_of(tensor, head.shape)
        self.steps = head.loss.steps(head.shape)
        if self.mask is not None:
            self.steps = math.lcm(self.steps, len(self.mask))
        self.units = len(z) // self.steps
        self.values = np.empty_like(z) if fused else z
        spare = np.empty((self.units, z.shape[1]), z.dtype)     # where nobody wants gradients
        last = (head.shape or (1,))[-1]
        self.whole = self.steps == 1 and self.mask is None      # an example is one term
        if self.whole:
            self.each = [head.loss.bind(k, z, tensor.grad, last, self.values if fused else None)]
        else:
            cuts = [slice(s * self.units, (s + 1) * self.units) for s in range(self.steps)]
            self.each = [head.loss.bind(k, z[cut], spare if tensor.grad is None else tensor.grad[cut], last,
                                        self.values[cut] if fused else spare) for cut in cuts]

    def counts(self, B: int) -> np.ndarray | None:
        """Which steps of B examples count, [steps, B]; None: all do."""
        if self.mask is None:
            return None
        return np.repeat(self.mask[:, :B] != 0, self.steps // len(self.mask), 0)

    def compute(self, t: np.ndarray, weight: np.ndarray, one: float | None) -> tuple[float, int]:
        """-> the sum of weight * loss over the terms, and their number; fills the gradient of the mean over them,
        or of `one` times the sum."""
        B = len(weight)
        counts = self.counts(B)
        n = B * self.steps if counts is None else int(np.count_nonzero(counts))
        scale = (1.0 / max(n, 1) if one is None else one) * self.head.weight
        if not self.whole and not self.head.loss.sparse:
            t = t.reshape(self.steps, self.units, -1)
        if counts is not None:                  # whatever stands there, -1 or NaN
            np.moveaxis(t[..., :B], -1, 1)[~counts] = 0
        self.head.loss.check_range(t[..., :B])
        if self.whole:
            return self.each[0](t, weight, scale), n
        return sum(compute(t[s], weight if counts is None else weight * counts[s], scale)
                   for s, compute in enumerate(self.each)), n

    def rows(self, t: np.ndarray, B: int) -> tuple[np.ndarray, np.ndarray]:
        """Outputs and targets of the terms that count, as a metric takes them: y[..., K, n]."""
        if self.whole:
            shape = self.head.shape[-1:] if self.head.loss.activation == "softmax" else self.head.shape or (1,)
            y = self.values[:, :B].reshape(*shape, B)
            return y, t if t.ndim == 1 else t[:, :B].reshape(y.shape)
        counts = self.counts(B)
        counts = np.ones((self.steps, B), bool) if counts is None else counts

        def kept(a):
            return a.reshape(self.steps, self.units, -1)[:, :, :B].transpose(1, 0, 2)[:, counts]
        shape = (-1, (self.head.shape or (1,))[-1], np.count_nonzero(counts))
        y = kept(self.values).reshape(shape if self.units > shape[1] else shape[1:])
        return y, t[counts] if self.head.loss.sparse else kept(t).reshape(y.shape)


class Network:
    """Forward and backward of one minibatch; activations are [feature][N], N = batch padded to 16.

    `weights` is the flat vector and stays the caller's. With heads, an output activation that a loss
    contains is computed by the loss. `outputs`: [F, N] of each output, without such an activation."""

    def __init__(self, model, batch: int, weights: np.ndarray, heads: list = (), training: bool = False):
        self.k, self.N, self.draws = kernels.typed(model.dtype), pad(batch), Draws()
        self.scale, self.offset = 1.0, 0.0
        fused = [head.loss.fuses(activation) for head, activation in zip(heads, model.output_activations())]
        stack, inputs = model.stack(), [math.prod(shape) for shape in model.input_shapes()]
        self.x = Tensor(self.k, sum(inputs), self.N, model.dtype, training)
        cuts = list(itertools.accumulate(inputs, initial=0))
        # by their numbers: the inputs, then what each step gives
        first = [self.x] if len(inputs) == 1 else [Part(self.x, *cut) for cut in itertools.pairwise(cuts)]
        tensors = dict(enumerate(first))
        self.tensors = [t for t in first if t is not self.x]
        given = set(map(id, first))
        ends, sources = model.output_tensors(), self._sources(stack, len(inputs))
        takers = Counter(sources.get(number, number) for number in itertools.chain(
            ends, *(step.inputs for step in stack if step.layer.operation)))
        self.operations: list[Operation] = []
        linear = {sources.get(end, end) for end, yes in zip(ends, fused) if yes}
        need(all(takers[number] < 2 for number in linear), "an output goes into other layers too: give it no "
             "activation, and its loss from_logits=True")
        branches: dict[int, list[Branch]] = {}

        def taken(number: int) -> Tensor:
            """The tensor for one who takes it."""
            tensor = tensors[number]
            if id(tensor) not in given and takers[sources.get(number, number)] > 1:
                branches.setdefault(id(tensor), []).append(Branch(tensor))
                tensor = branches[id(tensor)][-1]
            return View(tensor) if number in reshaped and (tensor.mask is not None or tensor.ids is not None) else tensor

        reshaped = {number for number, step in enumerate(stack, len(inputs))
                 if step.layer.operation is None and not step.layer.supports_masking}
        folded = (len(inputs) == 1 and stack and type(stack[0].layer).__name__ == "Rescaling"
                  and sum(step.inputs.count(0) for step in stack) == 1)
        for i, step in enumerate(stack):
            number = len(inputs) + i
            if step.layer.operation is None:
                tensors[number] = tensors[step.inputs[0]]
                continue
            if folded and not i:                # into the gather
                self.scale, self.offset = step.layer.scale, step.layer.offset
                tensors[number] = self.x
                continue
            xs = [taken(t) for t in step.inputs]
            y = Tensor(self.k, math.prod(step.output), self.N, model.dtype, training)
            parts = {part: Tensor(self.k, math.prod(shape), self.N, model.dtype, training) for part, shape in step.parts}
            views = {w.name: weights[o:o + w.size].reshape(w.shape)
                     for w, o in zip(step.weights, step.offsets)}
            self.operations.append(step.layer.operation(step.layer, Binding(
                self.k, xs[0], y, views,
                {w.name: o for w, o in zip(step.weights, step.offsets)}, step.index,
                step.shapes if step.layer.merges else step.shapes[0], training,
                linear=number in linear, first=all(id(x) in given for x in xs), draws=self.draws, xs=xs,
                parts=list(parts.values()))))
            if step.layer.supports_masking and not step.layer.merges and y.mask is None:
                y.mask = mask_of(xs[0], step.shapes[0])
            for which, tensor in {number: y, **parts}.items():
                self.tensors.append(tensor)
                tensors[which] = tensor
                if takers[which] > 1:
                    self.operations.append(Join(tensor, branches.setdefault(id(tensor), [])))
        found = list(map(taken, ends))
        self.outputs, self.penalty = [tensor.value for tensor in found], 0.0
        self.heads = [Output(self.k, *each) for each in zip(heads, found, fused)]
        if heads:
            if not training:            # a learner adds the penalties with their gradients
                self.penalty = self._penalty(model, weights)
            widths = [h.steps if h.head.loss.sparse else len(h.values) for h in self.heads]
            self.cuts = list(itertools.pairwise(itertools.accumulate(widths, initial=0)))
            self.target_rows = np.zeros((self.N, pad(sum(widths))), model.dtype)
            self.targets = np.zeros((sum(widths), self.N), model.dtype)

    @staticmethod
    def _sources(stack, inputs: int) -> dict[int, int | None]:
        """The tensor that each view is another shape of; None for an input's, and for the inputs themselves."""
        found: dict[int, int | None] = dict.fromkeys(range(inputs))
        for number, step in enumerate(stack, inputs):
            if step.layer.operation is None:
                source, = step.inputs
                found[number] = found.get(source, source)
        return found

    def _penalty(self, model, weights) -> float:
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
        for tensor in self.tensors:
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
