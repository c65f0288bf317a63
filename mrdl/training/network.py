"""A model bound to buffers for up to N examples: computes outputs, and the gradient of the loss."""
import itertools
import math

import numpy as np

from mrdl import kernels, limits
from mrdl.config import need
from mrdl.data.sparse import Csr
from mrdl.kernels import LANES, pad
from mrdl.layers.operation import Binding, Draws, Operation, Shape, SparseTensor, Tensor, mask_of
from mrdl.training import wiring
from mrdl.training.layerwise import Layerwise, Turn
from mrdl.training.outputs import Output
from mrdl.training.protocol import Head, LayeredModel, Step
from mrdl.training.wiring import Join, Wires

MEMORY = 128 << 20             # largest size of inference's activations, in bytes


def at_once(model: LayeredModel, batch: int) -> int:
    """How many examples inference takes at once: `batch`, or fewer if MEMORY is too small. Depends only on the model."""
    if model.stateful:
        return batch                # row i of a minibatch continues row i of the minibatch before it
    fits = MEMORY // (limits.features(model) * model.dtype.itemsize) // LANES * LANES
    return min(batch, max(fits, LANES))


def widened(a: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The array and the rows' numbers for the gather kernels. They have no kernel for two-byte ids, so of such an array the
    wanted rows are copied first, as int32."""
    return (a[index].astype(np.int32), np.arange(len(index))) if a.dtype == np.uint16 else (a, index)


class Network:
    """The forward and backward pass of one minibatch. Activations are [feature][N], N = batch rounded up to 16.

    `weights` is the caller's flat vector, which is not copied, or, where nothing is trained, a Layerwise. With heads, a loss that contains an output's activation
    computes that activation itself. `outputs`: [F, N] for each output, without such an activation."""

    def __init__(self, model: LayeredModel, batch: int, weights: np.ndarray | Layerwise, heads: list[Head] = (), training: bool = False):
        self.k, self.N, self.dtype, self.training = kernels.typed(model.dtype), pad(batch), model.dtype, training
        self.draws, self.scale, self.offset = Draws(), 1.0, 0.0
        stack, inputs = model.stack(), [math.prod(shape) for shape in model.input_shapes()]
        ends = model.output_tensors()
        sources = wiring.sources(stack, len(inputs))
        takers = wiring.takers(stack, ends, sources)
        fused = [head.loss.fuses(activation) for head, activation in zip(heads, model.output_activations())]
        linear = wiring.left_to_losses(ends, fused, sources, takers)
        scaled = wiring.scaled_input(stack, len(inputs))
        if scaled:                              # the gather does the scaling
            self.scale, self.offset = scaled.layer.scale, scaled.layer.offset
        #: of a model of several inputs, of which some are sparse: (start, stop, the tensor of a sparse one) of each
        self.parts: list[tuple[int, int, SparseTensor | None]] = []
        if model.sparse and len(inputs) > 1:
            made = [SparseTensor(self.k, size, self.N, self.dtype) if own else None for size, own in zip(inputs, model.sparse_inputs())]
            self.parts = [(*cut, tensor) for cut, tensor in zip(itertools.pairwise(itertools.accumulate(inputs, initial=0)), made)]
            inputs = [size if tensor is None else tensor for size, tensor in zip(inputs, made)]
        width = sum(size for size in inputs if isinstance(size, int))
        x = SparseTensor(self.k, width, self.N, self.dtype) if model.sparse and not self.parts else self._tensor((width,))
        self.wires = Wires(x, inputs, sources, takers, wiring.reshaped(stack, len(inputs)))
        self.operations: list[Operation | Join | Turn] = []
        live = wiring.live(stack, len(inputs))
        self.idle: set[int] = set()             # ids of the operations that have no part in the way back
        turns = weights.turns(stack) if isinstance(weights, Layerwise) else {}
        for number, step in enumerate(stack, len(inputs)):
            if step.layer.operation is None or step is scaled:
                self.wires.same(number, step.inputs[0])
            else:
                turn = turns.get(step.offsets[0]) if step.weights else None
                own, first = (turn.weights, turn.start) if turn else (weights, 0)
                bound = self._bound(number, step, own, first, number in linear, live)
                self.idle |= set() if number in live else set(map(id, bound))
                self.operations += [turn] * bool(turn) + bound
        found = list(map(self.wires.taken, ends))
        self.x, self.outputs = self.wires.x, [tensor.value for tensor in found]
        self.heads = [Output(self.k, *each) for each in zip(heads, found, fused)]
        # in training, the learner adds the penalties together with their gradients
        self.penalty = self._penalty(model, weights) if heads and not training else 0.0
        widths = [h.steps if h.head.loss.sparse else len(h.values) for h in self.heads]
        self.cuts = list(itertools.pairwise(itertools.accumulate(widths, initial=0)))
        self.target_rows = np.zeros((self.N, pad(sum(widths))), self.dtype)
        self.targets = np.zeros((sum(widths), self.N), self.dtype)

    def _tensor(self, shape: Shape) -> Tensor:
        return Tensor(self.k, math.prod(shape), self.N, self.dtype, self.training)

    def _bound(self, number: int, step: Step, weights: np.ndarray, first: int, linear: bool, live: set[int]) -> list[Operation | Join]:
        """The operation of a step, bound to its buffers, and a Join for each of its tensors that has several users. `weights` begins
        with the weight of the number `first`; `live`: the tensors whose gradients are needed."""
        xs = [self.wires.taken(source) for source in step.inputs]
        y, parts = self._tensor(step.output), {part: self._tensor(shape) for part, shape in step.parts}
        places = list(zip(step.weights, step.offsets))
        operation = step.layer.operation(step.layer, Binding(
            self.k, xs[0], y, {w.name: weights[o - first:o - first + w.size].reshape(w.shape) for w, o in places},
            {w.name: o for w, o in places}, step.index, step.shapes if step.layer.merges else step.shapes[0],
            self.training, linear=linear, first=live.isdisjoint(step.inputs), frozen=step.frozen, draws=self.draws, xs=xs,
            parts=list(parts.values())))
        if step.layer.supports_masking and not step.layer.merges and y.mask is None:
            y.mask = mask_of(xs[0], step.shapes[0])
        return [operation, *self.wires.made({number: y, **parts})]

    def _penalty(self, model: LayeredModel, weights: np.ndarray | Layerwise) -> float:
        """The regularizers' penalty on these weights."""
        penalty = 0.0
        for _, weight, start in model.places():
            if weight.regularizer is not None and not weight.frozen:
                w = weights[start:start + weight.size]
                penalty += self.k.regularize(w, np.zeros_like(w), *weight.regularizer.factors)
        return penalty

    def compute(self, targets: list[np.ndarray], weight: np.ndarray, one: float | None = None):
        """Returns (whole, n, [(loss, n) of each output]). A loss is the sum of weight * loss over n terms: examples, or
        unmasked steps if the outputs are sequences. `whole` is the weighted sum of the outputs' losses, plus the penalty
        once per term, as Keras counts it; its n is that of the first output.

        Fills the gradients: of the mean over each output's terms, or, if `one` is given, of `one` times the sum."""
        losses = [output.compute(t, weight, one) for output, t in zip(self.heads, targets)]
        n = losses[0][1]
        whole = sum(output.head.weight * loss * (n / max(terms, 1)) for output, (loss, terms) in zip(self.heads, losses))
        return whole + self.penalty * n, n, losses

    def read(self, x: np.ndarray | Csr, index: np.ndarray) -> None:
        """Loads the rows `index` of x[n, ...] as the minibatch. Where not both the rows and the model are sparse, these rows are
        turned into what the model takes."""
        self.draws.batch = len(index)
        for tensor in self.wires.others:
            tensor.fresh = set()
        if (self.parts or isinstance(self.x, SparseTensor)) and not isinstance(x, Csr):
            x, index = Csr.from_dense(x[index]), np.arange(len(index))
        if isinstance(self.x, SparseTensor):
            self.x.read(x, index)
            return
        if self.parts:
            x, index, dense = x[index], np.arange(len(index)), []
            for start, stop, tensor in self.parts:
                if tensor:
                    tensor.read(x.features(start, stop), index)
                else:
                    dense.append(x.features(start, stop).dense(self.dtype))
            if not dense:
                return
            x = np.concatenate(dense, 1)
        if isinstance(x, Csr):
            x, index = x[index].dense(self.dtype), np.arange(len(index))
        x, index = widened(x, index)
        self.k.gather(x.reshape(len(x), -1), index, self.scale, self.offset, self.x.storage())
        self.x.fresh = {1}
        self.k.transpose_columns(self.x.storage(), self.x.value)

    def target(self, y: np.ndarray, index: np.ndarray) -> list[np.ndarray]:
        """The rows `index` of the targets, in the layout that each loss needs: t[B], t[steps, B] or t[C, N]."""
        y = y.reshape(len(y), -1)
        cuts = [(0, y.shape[1])] if self.heads[0].head.loss.free else self.cuts
        need(y.shape[1] == cuts[-1][1], f"{y.shape[1]} target values per example, but the outputs need {cuts[-1][1]}")
        y, index = widened(y, index)
        if not all(output.head.loss.sparse for output in self.heads):
            self.k.gather(y, index, 1.0, 0.0, self.target_rows)
            self.k.transpose_columns(self.target_rows, self.targets)

        def classes(output: Output, start: int, stop: int) -> np.ndarray:
            found = np.ascontiguousarray(y[index, start:stop].T, np.int32)
            return found[0] if output.whole and not output.head.loss.free else found
        return [classes(output, start, stop) if output.head.loss.sparse else self.targets[start:stop]
                for output, (start, stop) in zip(self.heads, cuts)]

    def forward(self) -> None:
        for operation in self.operations:
            operation.forward()
