"""Losses whose terms are no single rows of outputs: each is the mean of a whole minibatch."""
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.kernels import pad, typed, zeros
from mrdl.losses.loss import TINY, Loss


@dataclass(frozen=True)
class JointLoss(Loss):
    """A loss that `joined` computes of all examples of a minibatch together."""
    joint: ClassVar[bool] = True

    def joined(self, y: np.ndarray, t: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean loss of a minibatch, and its slope as y.

        Args:
            y: the outputs [*shape, B], float64.
            t: the targets, as y, or where they are numbers of classes [B] or [.., B].
            weight: of each example [B], float64."""
        raise NotImplementedError           # each has its own

    def values(self, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Keras's loss of outputs [*shape, B], float64, before it takes the mean."""
        raise NotImplementedError

    def alone(self, axes: int) -> bool:
        """Has each example a loss that does not depend on others? `axes`: of the outputs of an example."""
        return False

    def rows(self, targets: Any, outputs: Any) -> np.ndarray:
        y, t = np.asarray(outputs, np.float64), np.asarray(targets, np.int32 if self.sparse else np.float64)
        need(y.ndim > 1, f"{type(self).__name__}: the outputs need an axis for examples and one for each")
        self.check(y.shape[1:], t.shape[1:])
        if not self.free:                       # a class number a row may have an axis of its own
            t = t.reshape(len(t)) if self.sparse else t.reshape(y.shape)
        return self.values(np.moveaxis(y, 0, -1), np.moveaxis(t, 0, -1))


@dataclass(frozen=True)
class Overlap(JointLoss):
    """1 - the overlap of outputs and targets, as a share of what they cover, over the axes `axis`. What other axes there are,
    their mean is taken. By default it is over all axes, the examples of the minibatch too: so it is the loss of a minibatch."""
    fixed: ClassVar[dict[str, Any]] = {"reduction": "sum_over_batch_size"}

    def __post_init__(self):
        super().__post_init__()
        axis = self.axis
        axis = axis if axis is None else tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
        need(axis is None or bool(axis) and all(type(a) is int for a in axis),
             f"{type(self).__name__}: axis={shown(self.axis)} must be a number, several, or None")
        object.__setattr__(self, "axis", axis)

    def over(self, axes: int) -> tuple[int, ...]:
        """Keras's axes, of which the examples' is the first, as those of arrays in which it is the last."""
        if self.axis is None:
            return tuple(range(axes))
        need(all(-axes <= a < axes for a in self.axis), f"{type(self).__name__}: axis={shown(self.axis)} does not fit outputs "
             f"with {axes} axes, examples included")
        return tuple(sorted({(a % axes - 1) % axes for a in self.axis}))

    def alone(self, axes):
        return axes not in self.over(axes + 1)

    def parts(self, y: np.ndarray, t: np.ndarray, axis: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, Any, Any]:
        """The overlap, what it is divided by, and the slopes of both; sums keep their axes."""
        raise NotImplementedError

    def values(self, y, t):
        axis = self.over(y.ndim)
        above, below, *_ = self.parts(y, t, axis)
        found = (1 - above / below).squeeze(axis)
        return np.moveaxis(found, -1, 0) if self.alone(y.ndim - 1) else found

    def joined(self, y, t, weight):
        axis = self.over(y.ndim)
        above, below, of_above, of_below = self.parts(y, t, axis)
        loss = 1 - above / below
        own = weight if self.alone(y.ndim - 1) else weight.mean()
        slope = (above * of_below - of_above * below) / (below * below) * (own / loss.size)
        return float((loss * own).mean()), slope


@dataclass(frozen=True)
class Dice(Overlap):
    """1 - 2 sum of t y / (sum of t + sum of y), over the axes `axis` (Milletari et al., V-Net, 2016).

    Args:
        axis: an axis, or several, over which sums are taken; 0 is that of the examples, so that with
            (1, 2, 3) each image has a loss of its own. None: all, so that it is the loss of a minibatch."""
    axis: object = None

    def parts(self, y, t, axis):
        above = 2 * (t * y).sum(axis, keepdims=True)
        return above, t.sum(axis, keepdims=True) + y.sum(axis, keepdims=True) + TINY, 2 * t, 1.0


@dataclass(frozen=True)
class Tversky(Overlap):
    """1 - o / (o + alpha sum of t (1 - y) + beta sum of y (1 - t)), with o the sum of t y, over the axes `axis`
    (Salehi et al. 2017).

    Args:
        alpha: what counts of targets that are missed.
        beta: what counts of outputs where no target is.
        axis: an axis, or several, over which sums are taken; 0 is that of the examples. None: all, so that it is the
            loss of a minibatch."""
    alpha: float = 0.5
    beta: float = 0.5
    axis: object = None

    def parts(self, y, t, axis):
        above = (t * y).sum(axis, keepdims=True)
        missed, beside = ((a * (1 - b)).sum(axis, keepdims=True) for a, b in ((t, y), (y, t)))
        return above, above + self.alpha * missed + self.beta * beside + TINY, t, t - self.alpha * t + self.beta * (1 - t)


def exponential(a: np.ndarray) -> np.ndarray:
    """e^a, the same bits on all machines."""
    flat = zeros((1, pad(a.size)), np.float64)
    flat[0, :a.size] = a.reshape(-1)
    typed(np.float64).activation_forward("exponential", flat, flat)
    return flat[0, :a.size].reshape(a.shape)


@dataclass(frozen=True)
class Circle(JointLoss):
    """softplus(p + n): p of the distances d of an example's embedding to those of its class, n to the others. p is the log of
    the sum of e^(gamma (d^2 - margin^2)), n that of e^(gamma max(1 + margin - d, 0)(1 - margin - d)), and d is 1 - the product
    of two embeddings, at least 0 (Sun et al. 2020).

    Embeddings must have length 1; targets are numbers of classes, of any number. The mean is taken over
    the examples with a loss, those that have others of their class, and of other classes, in the minibatch.

    Args:
        gamma: the scale of distances, above 0.
        margin: how far classes must be apart, 0 or more.
        remove_diagonal: whether an example is not compared with itself."""
    sparse: ClassVar[bool] = True
    gamma: float = 80.0
    margin: float = 0.4
    remove_diagonal: bool = True

    def __post_init__(self):
        super().__post_init__()
        need(self.gamma > 0, "Circle: gamma must be above 0")
        need(self.margin >= 0, "Circle: margin must be 0 or more")

    def check(self, outputs, target):
        need(len(outputs) == 1, f"Circle takes one embedding an example, not outputs of the shape {shown(outputs)}")
        super().check(outputs, target)

    def _sums(self, y: np.ndarray, t: np.ndarray) -> tuple[list[float], np.ndarray, np.ndarray]:
        """The loss of each example, the slope of each in its products with others [B, B], and which of them are above 0."""
        B, gamma, margin = len(t), self.gamma, self.margin
        near = np.zeros((B, B))
        for row in y:                           # not a product of matrices: its bits would depend on the machine
            near += np.multiply.outer(row, row)
        d, same = np.maximum(1 - near, 0), t[:, None] == t
        room = np.maximum(1 + margin - d, 0)
        values = gamma * (d * d - margin * margin), gamma * room * (1 - margin - d)
        slopes = 2 * gamma * d, -2 * gamma * (1 - d) * (room > 0)
        own = same & ~np.eye(B, dtype=bool) if self.remove_diagonal else same
        total, slope = np.zeros(B), np.zeros((B, B))
        with np.errstate(all="ignore"):
            for among, value, turn in zip((own, ~same), values, slopes):
                largest = np.where(among, value, -np.inf).max(1)
                shares = np.where(among, exponential(np.where(among, value - largest[:, None], -np.inf)), 0)
                sums = shares.sum(1)
                total += np.array([math.log(s) + m if s > 0 else -math.inf for s, m in zip(sums.tolist(), largest.tolist())])
                slope += np.where(among, shares / sums[:, None] * turn, 0)
        losses = np.array([max(s, 0.0) + math.log1p(math.exp(-abs(s))) for s in total.tolist()])
        share = np.array([1 / (1 + math.exp(min(-s, 700.0))) for s in total.tolist()])
        return losses, slope * share[:, None] * -(1.0 * (near < 1)), losses > 0

    def values(self, y, t):
        return self._sums(y, t)[0]

    def joined(self, y, t, weight):
        losses, slope, counts = self._sums(y, t)
        weight = np.where(counts, weight, 0) / max(np.count_nonzero(counts), 1)
        slope = slope * weight[:, None]
        slope, grad = slope + slope.T, np.zeros_like(y)
        for column, row in zip(y.T, slope):
            grad += np.multiply.outer(column, row)
        return float((np.where(counts, losses, 0) * weight).sum() if not np.isnan(losses).any() else math.nan), grad
