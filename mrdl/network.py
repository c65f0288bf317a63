"""A model bound to buffers for up to N examples: rows in, outputs, and the gradient of the loss."""
import math

import numpy as np

from mrdl import kernels, losses
from mrdl.kernels import LANES
from mrdl.layers.layer import Binding, Draws, Operation, Tensor, pad

MEMORY = 128 << 20             # bytes of activations that inference holds at most


def at_once(model, batch: int) -> int:
    """How many examples inference takes at once: `batch`, or what fits; decided by the model alone."""
    features = math.prod(model.input_shape) + sum(
        math.prod(step.output) for step in model.stack() if step.layer.operation)
    fits = MEMORY // (features * model.dtype.itemsize) // LANES * LANES
    return min(batch, max(fits, LANES))


class Network:
    """Forward and backward of one minibatch; activations are [feature][N], N = batch padded to 16.

    `weights` is the flat vector and stays the caller's. With a loss, the output activation that the
    loss contains is computed by the loss."""

    def __init__(self, model, batch: int, weights: np.ndarray, loss: losses.Loss | None = None,
                 training: bool = False):
        self.k, self.N, self.draws = kernels.typed(model.dtype), pad(batch), Draws()
        self.scale, self.offset = 1.0, 0.0
        fused = loss is not None and loss.fuses(model.output_activation)
        stack = model.stack()
        if stack and type(stack[0].layer).__name__ == "Rescaling":      # folded into the gather
            self.scale, self.offset = stack[0].layer.scale, stack[0].layer.offset
            stack = stack[1:]
        self.x = tensor = Tensor(self.k, math.prod(model.input_shape), self.N, model.dtype, training)
        self.operations: list[Operation] = []
        last = max((i for i, s in enumerate(stack) if s.layer.operation), default=-1)
        above = model.input_shape
        for i, step in enumerate(stack):
            shape, above = above, step.output
            if step.layer.operation is None:
                continue
            y = Tensor(self.k, math.prod(step.output), self.N, model.dtype, training)
            views = {w.name: weights[o:o + w.size].reshape(w.shape)
                     for w, o in zip(step.weights, step.offsets)}
            self.operations.append(step.layer.operation(step.layer, Binding(
                self.k, tensor, y, views,
                {w.name: o for w, o in zip(step.weights, step.offsets)}, step.index, shape, training,
                linear=fused and i == last, first=tensor is self.x, draws=self.draws)))
            tensor = y
        self.y, self.outputs, self.loss = tensor, tensor.value, loss
        self.targets = self.compute = None
        if loss is not None:
            self.outputs, self.compute = loss.bind(self.k, tensor.value, tensor.grad,
                                                   (model.output_shape or (1,))[-1])
            if not training:            # a learner adds the penalties with their gradients
                self.compute = self._penalized(self.compute, stack, weights)
            if getattr(loss, "from_logits", False):
                self.outputs = tensor.value
            units = len(tensor.value)
            self.target_rows = np.zeros((self.N, pad(units)), model.dtype)
            self.targets = np.zeros((units, self.N), model.dtype)
        # the first operation that uses x's rows finds them there: the gather writes them
        self.tensors = [op.b.y for op in self.operations]

    def _penalized(self, compute, stack, weights):
        """`compute` with the penalty on these weights for each example, as Keras counts a loss."""
        penalty = 0.0
        for step in stack:
            for weight, start in zip(step.weights, step.offsets):
                if weight.regularizer is not None:
                    w = weights[start:start + weight.size]
                    penalty += self.k.regularize(w, np.zeros_like(w), *weight.regularizer.factors)
        return lambda t, weight, scale: compute(t, weight, scale) + penalty * len(weight)

    def read(self, x: np.ndarray, index: np.ndarray) -> None:
        """Takes rows `index` of x[n, ...] as the minibatch."""
        self.k.gather(x.reshape(len(x), -1), index, self.scale, self.offset, self.x.storage)
        self.x.fresh = True
        self.draws.batch = len(index)
        self.k.transpose_columns(self.x.storage, self.x.value)
        for tensor in self.tensors:
            tensor.fresh = False

    def target(self, y: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Rows `index` of the targets as the loss takes them: t[B], or t[C, N]."""
        if self.loss.sparse:
            return y.reshape(-1)[index].astype(np.int32)
        self.k.gather(y.reshape(len(y), -1), index, 1.0, 0.0, self.target_rows)
        self.k.transpose_columns(self.target_rows, self.targets)
        return self.targets

    def forward(self) -> None:
        for operation in self.operations:
            operation.forward()
