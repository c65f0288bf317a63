"""An output of a model, and its loss."""
import math

import numpy as np

from mrdl.config import need
from mrdl.kernels import LANES
from mrdl.layers.operation import Tensor, mask_of
from mrdl.training.protocol import Head


class Output:
    """An output and its loss. The loss is computed step by step if each step has a loss of its own, or if steps are
    masked."""

    def __init__(self, k, head: Head, tensor: Tensor, fused: bool):
        self.head, z, self.mask = head, tensor.value, mask_of(tensor, head.shape)
        self.k, self.z = k, z
        self.steps = head.loss.steps(head.shape)
        if self.mask is not None:
            self.steps = math.lcm(self.steps, len(self.mask))
        self.units = len(z) // self.steps
        self.values = np.empty_like(z) if fused else z
        spare = np.empty((self.units, z.shape[1]), z.dtype)     # scratch, if no gradients are wanted
        last = (head.shape or (1,))[-1]
        self.whole = self.steps == 1 and self.mask is None      # an example is one term
        self.grad, kind = tensor.grad, type(head.loss).__name__
        if head.loss.joint:
            need(self.mask is None, f"{kind} is of whole minibatches and does not go with masked steps: leave out Masking and mask_zero")
            need(not (head.loss.free and (head.name or head.metrics)), f"{kind} goes with a single output, and without metrics")
            self.each = []
        elif self.whole:
            self.each = [head.loss.bind(k, z, tensor.grad, last, self.values if fused else None)]
        else:
            cuts = [slice(s * self.units, (s + 1) * self.units) for s in range(self.steps)]
            self.each = [head.loss.bind(k, z[cut], spare if tensor.grad is None else tensor.grad[cut], last,
                                        self.values[cut] if fused else spare) for cut in cuts]

    def counts(self, B: int) -> np.ndarray | None:
        """Which steps of B examples are unmasked, [steps, B]; None: all."""
        if self.mask is None:
            return None
        return np.repeat(self.mask[:, :B] != 0, self.steps // len(self.mask), 0)

    def compute(self, t: np.ndarray, weight: np.ndarray, one: float | None) -> tuple[float, int]:
        """Returns the sum of weight * loss over the terms, and the number of terms. Fills the gradient of the mean over
        the terms, or, if `one` is given, of `one` times the sum."""
        B = len(weight)
        counts = self.counts(B)
        n = B * self.steps if counts is None else int(np.count_nonzero(counts))
        scale = (1.0 / max(n, 1) if one is None else one) * self.head.weight
        if not self.whole and not self.head.loss.sparse:
            t = t.reshape(self.steps, self.units, -1)
        if counts is not None:                  # targets of masked steps may be anything, such as -1 or NaN
            np.moveaxis(t[..., :B], -1, 1)[~counts] = 0
        self.head.loss.check_range(t[..., :B])
        if self.head.loss.joint:
            return self._joined(self.z, self.grad, t, weight, scale * B), n
        if self.whole:
            return self.each[0](t, weight, scale), n
        return sum(compute(t[s], weight if counts is None else weight * counts[s], scale)
                   for s, compute in enumerate(self.each)), n

    def _joined(self, z: np.ndarray, grad: np.ndarray | None, t: np.ndarray, weight: np.ndarray, scale: float) -> float:
        """B times the mean of a minibatch of B examples. Fills the gradient of `scale` times the mean."""
        B, loss = len(weight), self.head.loss
        targets = t[..., :B] if loss.sparse else t[:, :B].astype(np.float64).reshape(*self.head.shape, B)
        found, slope = loss.joined(z[:, :B].astype(np.float64).reshape(*self.head.shape, B), targets, weight.astype(np.float64))
        if grad is not None:
            grad[:, B:] = 0
            with np.errstate(all="ignore"):             # the caller handles values that are not finite
                grad[:, :B] = slope.reshape(len(z), B) * scale
            self.k.flush(grad)
        return found * B

    def losses(self, t: np.ndarray, B: int) -> np.ndarray:
        """The loss of each of B examples, which must be one term each: as `compute` has it, one by one."""
        if self.head.loss.joint:
            need(self.head.loss.alone(len(self.head.shape)),
                 f"{type(self.head.loss).__name__} is of a whole minibatch: an example has no loss of its own")
            one = np.ones(1)
            return np.array([self._joined(self.z[:, i:i + 1], None, t[..., i:i + 1], one, 1.0) for i in range(B)])
        z, ones, found = np.zeros((len(self.z), LANES), self.z.dtype), np.eye(LANES, dtype=self.z.dtype), np.empty(B)
        y = None if self.values is self.z else np.empty_like(z)
        compute = self.head.loss.bind(self.k, z, None, (self.head.shape or (1,))[-1], y)
        for start in range(0, B, LANES):
            n = min(LANES, B - start)
            z[:, :n] = self.z[:, start:start + n]
            own = np.zeros((*t.shape[:-1], n if self.head.loss.sparse else LANES), t.dtype)
            own[..., :n] = t[..., start:start + n]
            for i in range(n):
                found[start + i] = compute(own, np.ascontiguousarray(ones[i, :n]), 1.0)
        return found

    def rows(self, t: np.ndarray, B: int) -> tuple[np.ndarray, np.ndarray]:
        """Outputs and targets of the unmasked terms, in the layout for metrics: y[..., K, n]."""
        if self.whole:
            shape = self.head.shape[-1:] if self.head.loss.activation == "softmax" or self.head.loss.sparse else self.head.shape or (1,)
            y = self.values[:, :B].reshape(*shape, B)
            return y, t if t.ndim == 1 else t[:, :B].reshape(y.shape)
        counts = self.counts(B)
        counts = np.ones((self.steps, B), bool) if counts is None else counts

        def kept(a):
            return a.reshape(self.steps, self.units, -1)[:, :, :B].transpose(1, 0, 2)[:, counts]
        shape = (-1, (self.head.shape or (1,))[-1], np.count_nonzero(counts))
        y = kept(self.values).reshape(shape if self.units > shape[1] else shape[1:])
        return y, t[counts] if self.head.loss.sparse else kept(t).reshape(y.shape)
