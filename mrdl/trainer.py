"""Minibatches in, trained weights out: what `model.fit` and a worker of a round do alike."""
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mrdl import metrics, seeds
from mrdl.config import need, shown
from mrdl.kernels import zeros
from mrdl.network import Network, at_once
from mrdl.optimizers import Now

WINDOW = 8                      # blocks whose rows are permuted together
Arrays = dict[str, np.ndarray]


class Learner:
    """One worker's model, updater and sums; `step` trains on one minibatch in place."""

    def __init__(self, model, weights: np.ndarray, slots: np.ndarray, *, batch_size: int,
                 iterations: int = 0, rate_scale: float = 1.0, class_weight: dict | None = None):
        self.optimizer, self.iterations = model.compiled().optimizer, iterations
        self.metrics, self.shape = model.named_metrics(), model.output_shape
        self.rate_scale = rate_scale
        self.net = Network(model, batch_size, weights, model.loss, training=True)
        self.sums: metrics.Sums = {}
        self.updates = 0
        self.class_weight = {int(k): float(v) for k, v in (class_weight or {}).items()}
        flat = zeros(len(weights), model.dtype)

        def place(start, stop):                 # all of the gradient, where its norm is wanted
            return flat[start:stop]

        if not self.optimizer.clips:            # else each piece is applied while it is in the cache
            flat = zeros(max((stop - start for operation in self.net.operations
                              for start, stop, _ in operation.gradients(place)), default=0),
                         model.dtype)

            def place(start, stop):
                return flat[:stop - start]

        penalties = {start: w.regularizer.factors for s in model.stack()
                     for w, start in zip(s.weights, s.offsets) if w.regularizer is not None}
        self.constraints = [(w.constraint, w.view(weights[start:start + w.size])) for s in model.stack()
                            for w, start in zip(s.weights, s.offsets) if w.constraint is not None]
        self.tensors = [(o, o + w.size) for s in model.stack()
                        for w, o in zip(s.weights, s.offsets)]
        self.pieces = []
        for operation in reversed(self.net.operations):
            pieces = []
            for start, stop, fill in operation.gradients(place):
                g, w = place(start, stop), weights[start:stop]
                own = max((o for o, _ in self.tensors if o <= start))
                step = self.optimizer.block(self.net.k, w, g, slots[:, start:stop])
                pieces.append((start, fill, penalties.get(own), w, g, step))
            self.pieces.append((operation, pieces))

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
        loss = net.compute(t, weight, 1.0 / B)
        now = self.optimizer.at(self.iterations, self.rate_scale)
        penalty = squares = 0.0
        k = net.k
        for operation, pieces in self.pieces:
            operation.backward(B)
            for _, fill, factors, w, g, step in pieces:
                fill(B)
                if factors:
                    penalty += k.regularize(w, g, *factors)
                if not self.optimizer.clips:
                    squares += step(now, 1.0)
        if self.optimizer.clips:
            squares = self._clipped(now)
        for constraint, w in self.constraints:
            constraint.apply(w)
        self.iterations += 1
        self.updates += 1
        metrics.add(self.sums, {"loss": [loss + penalty * B, B],
                                "gradient_norm": [squares ** 0.5, 1]})
        score(self.metrics, net.outputs, self.shape, t, B, self.sums)

    def _clipped(self, now: Now) -> float:
        """The updates with the gradient cut to a norm: each tensor's, or that of them all."""
        k, optimizer = self.net.k, self.optimizer
        squares = dict.fromkeys(self.tensors, 0.0)
        owner = {}
        for _, pieces in self.pieces:
            for start, _, _, _, g, _ in pieces:
                owner[start] = next(t for t in self.tensors if t[0] <= start < t[1])
                squares[owner[start]] += k.sum_squares(g)
        whole = sum(squares.values())
        for _, pieces in self.pieces:
            for start, *_, step in pieces:
                limit, norm = ((optimizer.clipnorm, squares[owner[start]] ** 0.5)
                               if optimizer.clipnorm is not None
                               else (optimizer.global_clipnorm, whole ** 0.5))
                step(now, limit / norm if norm > limit else 1.0)
        return whole


def by_class(class_weight: dict[int, float], y: np.ndarray) -> np.ndarray:
    """The weight of each example's class, 1 where none is given; a vector's class is its largest."""
    y = y.reshape(len(y), -1)
    labels = y.argmax(1) if y.shape[1] > 1 else np.rint(y[:, 0])
    weights = np.ones(len(y))
    for label, weight in class_weight.items():
        weights[labels == label] = weight
    return weights


def check_class_weight(class_weight: dict | None) -> None:
    """ConfigError where it does not give class numbers their weights."""
    try:
        ok = all(int(k) >= 0 and float(v) >= 0 for k, v in (class_weight or {}).items())
    except (TypeError, ValueError, AttributeError):
        ok = False
    need(ok, f"class_weight={shown(class_weight)} must give class numbers their weights")


def score(named: dict[str, metrics.Metric], outputs: np.ndarray, shape: tuple[int, ...],
          t: np.ndarray, B: int, sums: metrics.Sums) -> None:
    """Adds each metric over the first B columns, of outputs of this shape, to `sums`."""
    if named:
        y = outputs[:, :B].reshape(*shape or (1,), B)
        t = t if t.ndim == 1 else t[:, :B].reshape(y.shape)
        metrics.add(sums, {name: metric.state(y, t) for name, metric in named.items()})


class Scorer:
    """Loss and metrics of fixed weights over examples, summed in their order."""

    def __init__(self, model, weights: np.ndarray, batch_size: int = 256):
        self.batch_size = at_once(model.compiled(), batch_size)
        self.net = Network(model, self.batch_size, weights, model.loss)
        self.metrics, self.shape = model.named_metrics(), model.output_shape
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
            loss = net.compute(t, weight, 1.0)
            metrics.add(self.sums, {"loss": [loss, len(index)]})
            score(self.metrics, net.outputs, self.shape, t, len(index), self.sums)


# -- rows in order

class Minibatch(NamedTuple):
    number: int                         # in the shard's epoch
    arrays: Arrays
    index: np.ndarray


def minibatches(windows: Iterable[tuple[int, Arrays | None]], batch: int, seed: int, epoch: int,
                shard: int, first: int = 0, count: int | None = None) -> Iterator[Minibatch]:
    """Minibatches [first, first + count) of a shard's rows in their order of this epoch.

    A window is (rows, arrays): its rows are permuted by (seed, epoch, shard, window). The arrays of
    a window without a wanted row are not looked at."""
    skip, number, left = first * batch, first, None
    stop = None if count is None else first + count
    for position, (n, arrays) in enumerate(windows):
        if skip >= n or number == stop:
            skip -= min(skip, n)
            continue
        order = seeds.permutation(n, seed, "rows", epoch, shard, position)[skip:]
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
