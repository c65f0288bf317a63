"""Minibatches in, trained weights out: what `model.fit` and a worker of a round do alike."""
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mrdl import metrics, seeds
from mrdl.config import ConfigError, need, shown
from mrdl.kernels import addresses, zeros
from mrdl.layers.layer import Place
from mrdl.network import Network, at_once
from mrdl.optimizers import Now

WINDOW = 8                      # blocks whose rows are permuted together
Arrays = dict[str, np.ndarray]


class Learner:
    """One worker's model, updater and sums; `step` trains on one minibatch in place."""
    length_of = None                    # x[n, ...] -> a length of each row, where like ones go together

    def __init__(self, model, weights: np.ndarray, slots: np.ndarray, *, batch_size: int,
                 iterations: int = 0, rate_scale: float = 1.0, class_weight: dict | None = None):
        self.optimizer, self.iterations = model.compiled().optimizer, iterations
        self.rate_scale = rate_scale
        self.net = Network(model, batch_size, weights, model.heads(), training=True)
        self.sums: metrics.Sums = {}
        self.updates = self.terms = 0           # terms: examples, or steps that count (Network.compute)
        self.class_weight = {int(k): float(v) for k, v in (class_weight or {}).items()}
        flat = zeros(len(weights), model.dtype)
        # the weights of layers that are called more than once: their gradients are summed
        shared = {start for step in model.stack() if step.again for start in step.offsets}
        penalties = {start: w.regularizer.factors for _, w, start in model.places() if w.regularizer is not None}
        self.constraints = [(w.constraint, w.view(of), of[None]) for _, w, start in model.places()
                            if w.constraint is not None for of in [weights[start:start + w.size]]]
        self.tensors = [(start, start + w.size) for _, w, start in model.places()]
        starts = sorted(start for start, _ in self.tensors)

        def tensor(start):                      # that this is in: where it begins
            return starts[bisect_right(starts, start) - 1]

        whole = Whole(flat)
        piece = flat if self.optimizer.clips else zeros(max(
            (stop - start for operation in self.net.operations for start, stop, _ in operation.gradients(whole)),
            default=0), model.dtype)
        place = whole if self.optimizer.clips else Cached(
            flat, piece, weights, slots, lambda start: tensor(start) in shared)
        left = Counter(start for operation in self.net.operations for start, *_ in operation.gradients(place))
        begun: set[int] = set()
        self.pieces, self.tensor = [], tensor
        for operation in reversed(self.net.operations):
            pieces = []
            for start, stop, fill in operation.gradients(place):
                g, w = place(start, stop), weights[start:stop]
                if getattr(operation, "sparse", False):
                    if self.optimizer.clips or start in shared or tensor(start) in penalties:
                        fill = all_rows(g, fill)
                    else:
                        table = operation.table.shape
                        pieces.append((start, fill, None, w, g, Rows(
                            self.optimizer, self.net.k, w.reshape(table), g.reshape(table),
                            slots[:, start:stop].reshape(len(slots), *table))))
                        continue
                if start in begun:
                    fill = added_to(self.net.k, g, fill)
                begun.add(start)
                left[start] -= 1
                step = None if left[start] else self.optimizer.block(self.net.k, w, g, slots[:, start:stop])
                pieces.append((start, fill, penalties.get(tensor(start)), w, g, step))
            self.pieces.append((operation, pieces))

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
        for operation, pieces in self.pieces:
            operation.backward(B)
            for _, fill, factors, w, g, step in pieces:
                rows = fill(B)
                if isinstance(step, Rows):
                    squares += step(rows, now)
                    continue
                if not step:                    # the layer's earlier calls add to it first
                    continue
                if factors:
                    penalty += k.regularize(w, g, *factors)
                if not self.optimizer.clips:
                    squares += step(now, 1.0)
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
        k, optimizer = self.net.k, self.optimizer
        squares = {start: 0.0 for start, _ in self.tensors}
        for _, pieces in self.pieces:
            for start, _, _, _, g, step in pieces:
                if step:
                    squares[self.tensor(start)] += k.sum_squares(g)
        whole = sum(squares.values())
        for _, pieces in self.pieces:
            for start, *_, step in pieces:
                if not step:
                    continue
                limit, norm = ((optimizer.clipnorm, squares[self.tensor(start)] ** 0.5)
                               if optimizer.clipnorm is not None
                               else (optimizer.global_clipnorm, whole ** 0.5))
                step(now, limit / norm if norm > limit else 1.0)
        return whole


class Whole(Place):
    """All of the gradient, where its norm is wanted before the first update."""

    def __init__(self, flat: np.ndarray):
        self.flat = flat

    def __call__(self, start, stop):
        return self.flat[start:stop]


class Cached(Whole):
    """One piece at a time, which is applied while it is in the cache; what layers share is summed as a whole."""

    def __init__(self, flat: np.ndarray, piece: np.ndarray, weights: np.ndarray, slots: np.ndarray,
                 shared: Callable[[int], bool]):
        super().__init__(flat)
        self.piece, self.weights, self.slots, self.shared = piece, weights, slots, shared

    def __call__(self, start, stop):
        return super().__call__(start, stop) if self.shared(start) else self.piece[:stop - start]

    def ahead(self, start, stop):
        return None if self.shared(start) else addresses(self.weights[start:stop], *self.slots[:, start:stop])


class Rows:
    """The update of some rows of a table[V, D]: they are taken out, and put back."""

    def __init__(self, optimizer, k, w: np.ndarray, g: np.ndarray, slots: np.ndarray):
        self.optimizer, self.k, self.w, self.g, self.slots = optimizer, k, w, g, slots

    def __call__(self, rows: np.ndarray, now: Now) -> float:
        w, g, slots = self.w[rows], self.g[rows], self.slots.take(rows, 1)
        squares = self.optimizer.block(self.k, w.reshape(-1), g.reshape(-1), slots.reshape(len(slots), w.size))(now, 1.0)
        self.w[rows], self.slots[:, rows] = w, slots
        return squares


def all_rows(g: np.ndarray, fill):
    """A `fill` of the rows that it has, 0 in the others."""
    def whole(batch):
        g[:] = 0
        fill(batch)
    return whole


def added_to(k, g: np.ndarray, fill):
    """A `fill` that adds to what g holds."""
    before = np.empty_like(g)

    def add(batch):
        before[:] = g
        fill(batch)
        g[:] += before
        k.flush(g[None])
    return add


def by_class(class_weight: dict[int, float], y: np.ndarray) -> np.ndarray:
    """The weight of each example's class, 1 where none is given; a vector's class is its largest."""
    y = y.reshape(len(y), -1)
    labels = y.argmax(1) if y.shape[1] > 1 else np.rint(y[:, 0])
    weights = np.ones(len(y))
    for label, weight in class_weight.items():
        weights[labels == label] = weight
    return weights


def check_class_weight(class_weight: dict | None, model=None, largest: float | None = None) -> None:
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

    def __init__(self, model, weights: np.ndarray, batch_size: int = 256):
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
