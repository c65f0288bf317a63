"""Minibatches in, trained weights out: what `model.fit` and a worker of a round do alike."""
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mrdl import metrics, pieces, seeds
from mrdl.config import ConfigError, need, shown
from mrdl.network import Network, at_once
from mrdl.optimizers import Now
from mrdl.pieces import Rows
from mrdl.protocol import LayeredModel

WINDOW = 8                      # blocks whose rows are permuted together
Arrays = dict[str, np.ndarray]


class Learner:
    """One worker's model, updater and sums; `step` trains on one minibatch in place."""
    length_of = None                    # x[n, ...] -> a length of each row, where like ones go together

    def __init__(self, model: LayeredModel, weights: np.ndarray, slots: np.ndarray, *, batch_size: int,
                 iterations: int = 0, rate_scale: float = 1.0, class_weight: dict | None = None):
        self.optimizer, self.iterations = model.compiled().optimizer, iterations
        self.rate_scale = rate_scale
        self.net = Network(model, batch_size, weights, model.heads(), training=True)
        self.sums: metrics.Sums = {}
        self.updates = self.terms = 0           # terms: examples, or steps that count (Network.compute)
        self.class_weight = {int(k): float(v) for k, v in (class_weight or {}).items()}
        self.constraints = [(w.constraint, w.view(of), of[None]) for _, w, start in model.places()
                            if w.constraint is not None for of in [weights[start:start + w.size]]]
        self.tensors = [(start, start + w.size) for _, w, start in model.places()]
        self.pieces = pieces.updates(self.net, model, weights, slots)

    def reset(self) -> None:
        """The next sequences begin at state 0, in stateful layers too."""
        for operation in self.net.operations:
            if hasattr(operation, "reset"):
                operation.reset()

    def weights_of(self, y: np.ndarray, w: np.ndarray | None, index: np.ndarray) -> np.ndarray:
        """The weight of each example: its sample weight times its class's."""
        dtype = self.net.x.value.dtype
        weight = np.ones(len(index), dtype) if w is None else w[index].astype(dtype)
        if self.class_weight:
            weight *= by_class(self.class_weight, y[index]).astype(dtype)
        return weight

    def step(self, arrays: Arrays, index: np.ndarray, key: int, number: int) -> None:
        """One update on rows `index`; (key, number) choose the minibatch's random numbers."""
        net, x, y = self.net, arrays["x"], arrays["y"]
        B = len(index)
        weight = self.weights_of(y, arrays.get("w"), index)
        net.read(x, index)
        net.draws.key, net.draws.minibatch = key, number
        net.forward()
        t = net.target(y, index)
        loss, n, losses = net.compute(t, weight)
        now = self.optimizer.at(self.iterations, self.rate_scale)
        penalty = squares = 0.0
        k = net.k
        for operation, updates in self.pieces:
            operation.backward(B)
            for update in updates:
                rows = update.fill(B)
                if isinstance(update.step, Rows):
                    squares += update.step(rows, now)
                    continue
                if not update.step:             # the layer's earlier calls add to it first
                    continue
                if update.penalty:
                    penalty += k.regularize(update.w, update.g, *update.penalty)
                if not self.optimizer.clips:
                    squares += update.step(now, 1.0)
        if self.optimizer.clips:
            squares = self._clipped(now)
        for constraint, w, flat in self.constraints:
            constraint.apply(w)
            k.flush(flat)
        self.iterations += 1
        self.updates += 1
        self.terms += n
        metrics.add(self.sums, {"loss": [loss + penalty * n, n],
                                "gradient_norm": [squares ** 0.5, 1]})
        score(net, losses, t, B, self.sums)

    def _clipped(self, now: Now) -> float:
        """The updates with the gradient cut to a norm: each tensor's, or that of them all."""
        optimizer, squares = self.optimizer, {start: 0.0 for start, _ in self.tensors}
        made = [update for _, updates in self.pieces for update in updates if update.step]
        for update in made:
            squares[update.tensor] += self.net.k.sum_squares(update.g)
        whole = sum(squares.values())
        for update in made:
            limit, norm = ((optimizer.clipnorm, squares[update.tensor] ** 0.5) if optimizer.clipnorm is not None
                           else (optimizer.global_clipnorm, whole ** 0.5))
            update.step(now, limit / norm if norm > limit else 1.0)
        return whole


def by_class(class_weight: dict[int, float], y: np.ndarray) -> np.ndarray:
    """The weight of each example's class, 1 where none is given; a vector's class is its largest."""
    y = y.reshape(len(y), -1)
    labels = y.argmax(1) if y.shape[1] > 1 else np.rint(y[:, 0])
    weights = np.ones(len(y))
    for label, weight in class_weight.items():
        weights[labels == label] = weight
    return weights


def check_class_weight(class_weight: dict | None, model: LayeredModel | None = None, largest: float | None = None) -> None:
    """ConfigError where it does not give class numbers their weights, or the model, which is built, has none to weigh.

    `largest`: of the labels, where they are numbers."""
    if not class_weight:
        return
    try:
        ok = all(int(k) == float(k) >= 0 and 0 <= float(v) < math.inf for k, v in class_weight.items())
    except (TypeError, ValueError, AttributeError, OverflowError):
        ok = False
    need(ok, f"class_weight={shown(class_weight)} must give class numbers their weights")
    if model is None:
        return
    need(len(model.output_names()) == 1, "class_weight is for models of one output")
    need(len(model.output_shape) < 2, "class_weight is for one class an example, not for sequences")
    classes = model.output_shape[0] if model.output_shape else 1
    if classes == 1:                        # its labels are the classes, 0 and 1 where the loss knows no others
        classes = 2 if model.loss.high == 1 else None if largest is None else int(np.rint(largest)) + 1
    odd = [int(label) for label in class_weight if classes is not None and int(label) >= classes]
    if odd:
        raise ConfigError(f"class_weight: there is no class {odd[0]}; there are 0 to {classes - 1}")


def score(net: Network, losses: list[tuple[float, int]], targets: list[np.ndarray], B: int, sums: metrics.Sums) -> None:
    """Adds each output's loss, where there are several, and its metrics over the first B columns to `sums`."""
    for output, t, loss in zip(net.heads, targets, losses):
        head = output.head
        if head.name:
            metrics.add(sums, {f"{head.name}_loss": loss})
        if head.metrics:
            y, t = output.rows(t, B)
            if y.shape[-1]:
                metrics.add(sums, {head.prefix + name: metric.state(y, t) for name, metric in head.metrics.items()})


class Scorer:
    """Loss and metrics of fixed weights over examples, summed in their order."""

    def __init__(self, model: LayeredModel, weights: np.ndarray, batch_size: int = 256):
        self.batch_size = at_once(model.compiled(), batch_size)
        self.net = Network(model, self.batch_size, weights, model.heads())
        self.sums: metrics.Sums = {}

    def add(self, arrays: Arrays) -> None:
        x, y, w, net = arrays["x"], arrays["y"], arrays.get("w"), self.net
        dtype = net.x.value.dtype
        for start in range(0, len(x), self.batch_size):
            index = np.arange(start, min(start + self.batch_size, len(x)))
            weight = np.ones(len(index), dtype) if w is None else w[index].astype(dtype)
            net.read(x, index)
            net.forward()
            t = net.target(y, index)
            loss, n, losses = net.compute(t, weight, 1.0)
            metrics.add(self.sums, {"loss": [loss, n]})
            score(net, losses, t, len(index), self.sums)


# -- rows in order

class Minibatch(NamedTuple):
    number: int                         # in the shard's epoch
    arrays: Arrays
    index: np.ndarray


def like(lengths: np.ndarray, order: np.ndarray, batch: int, which: np.ndarray) -> np.ndarray:
    """The order in which rows of like length make up the minibatches, and these come as `which` says; what is less
    than one stays last."""
    order = order[np.argsort(lengths, kind="stable")]
    whole = len(which) * batch
    return np.concatenate([order[:whole].reshape(-1, batch)[which].reshape(-1), order[whole:]])


def minibatches(windows: Iterable[tuple[int, Arrays | None]], batch: int, seed: int | None, epoch: int,
                shard: int, first: int = 0, count: int | None = None,
                of_length: Callable[[np.ndarray], np.ndarray] | None = None) -> Iterator[Minibatch]:
    """Minibatches [first, first + count) of a shard's rows in their order of this epoch.

    A window is (rows, arrays): its rows are permuted by (seed, epoch, shard, window), or stay as they are
    where the seed is None; by `of_length`(x) rows of like length then come together. The arrays of a window without a
    wanted row are not looked at."""
    skip, number, left = first * batch, first, None
    stop = None if count is None else first + count
    for position, (n, arrays) in enumerate(windows):
        if skip >= n or number == stop:
            skip -= min(skip, n)
            continue
        order = np.arange(n) if seed is None else seeds.permutation(n, seed, "rows", epoch, shard, position)
        if of_length:
            order = like(of_length(arrays["x"])[order], order, batch, seeds.permutation(
                n // batch, seed or 0, "lengths", epoch, shard, position))
        order = order[skip:]
        skip = 0
        if left is not None:                    # a minibatch that straddles two windows
            take, order = order[:batch - len(left["x"])], order[batch - len(left["x"]):]
            left = {name: np.concatenate([left[name], array[take]])
                    for name, array in arrays.items()}
            if len(left["x"]) < batch:
                continue
            yield Minibatch(number, left, np.arange(batch))
            number, left = number + 1, None
        for start in range(0, len(order), batch):
            if number == stop:
                break
            index = order[start:start + batch]
            if len(index) < batch:
                left = {name: array[index] for name, array in arrays.items()}
                break
            yield Minibatch(number, arrays, index)
            number += 1
    if left is not None and number != stop:
        yield Minibatch(number, left, np.arange(len(left["x"])))
