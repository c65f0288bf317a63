"""Minibatches in, trained weights out: what `model.fit` and a worker of a round do alike."""
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mrdl import metrics, seeds
from mrdl.config import ConfigError, need, shown
from mrdl.network import Network

WINDOW = 8                      # blocks whose rows are permuted together
Arrays = dict[str, np.ndarray]


class Learner:
    """One worker's model, updater and sums; `step` trains on one minibatch in place."""

    def __init__(self, model, weights: np.ndarray, slots: np.ndarray, *, batch_size: int,
                 iterations: int = 0, rate_scale: float = 1.0, class_weight: dict | None = None):
        self.optimizer, self.iterations = model.compiled().optimizer, iterations
        self.metrics, self.rate_scale = model.named_metrics(), rate_scale
        self.net = Network(model, batch_size, weights, model.loss, training=True)
        self.sums: metrics.Sums = {}
        self.updates = 0
        self.class_weight = None
        if class_weight:
            self.class_weight = np.ones(max(int(c) for c in class_weight) + 1, model.dtype)
            for label, weight in class_weight.items():
                self.class_weight[int(label)] = weight
        clips = self.optimizer.clips
        flat = np.empty(len(weights) if clips else 0, model.dtype)
        scratch = np.empty(0 if clips else self._largest(), model.dtype)

        def place(start, stop):
            return flat[start:stop] if clips else scratch[:stop - start]

        penalties = {start: w.regularizer.factors for s in model.stack()
                     for w, start in zip(s.weights, s.offsets) if w.regularizer is not None}
        self.tensors = [(o, o + w.size) for s in model.stack()
                        for w, o in zip(s.weights, s.offsets)]
        self.pieces = []
        for operation in reversed(self.net.operations):
            pieces = []
            for start, stop, fill in operation.gradients(place):
                g, w = place(start, stop), weights[start:stop]
                own = max((o for o, _ in self.tensors if o <= start))
                step = self.optimizer.block(self.net.k, w, g, [s[start:stop] for s in slots])
                pieces.append((start, fill, penalties.get(own), w, g, step))
            self.pieces.append((operation, pieces))

    def _largest(self) -> int:
        """Values in the largest piece of any gradient."""
        dtype = self.net.x.value.dtype
        return max((stop - start for operation in self.net.operations for start, stop, _ in
                    operation.gradients(lambda a, b: np.empty(b - a, dtype))), default=0)

    def weights_of(self, y: np.ndarray, w: np.ndarray | None, index: np.ndarray) -> np.ndarray:
        """The weight of each example: its sample weight times its class's."""
        dtype = self.net.x.value.dtype
        weight = np.ones(len(index), dtype) if w is None else w[index].astype(dtype)
        if self.class_weight is not None:
            labels = y.reshape(len(y), -1)[index, 0].astype(np.int64)
            inside = (labels >= 0) & (labels < len(self.class_weight))
            weight[inside] *= self.class_weight[labels[inside]]
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
        rate = self.optimizer.rate(self.iterations) * self.rate_scale
        penalty = squares = 0.0
        k = net.k
        for operation, pieces in self.pieces:
            operation.backward(B)
            for _, fill, factors, w, g, step in pieces:
                fill(B)
                if factors:
                    penalty += k.regularize(w, g, *factors)
                if not self.optimizer.clips:
                    squares += step(rate, 1.0)
        if self.optimizer.clips:
            squares = self._clipped(rate)
        self.iterations += 1
        self.updates += 1
        metrics.add(self.sums, {"loss": [loss + penalty * B, B],
                                "gradient_norm": [squares ** 0.5, 1]})
        score(self.metrics, net.outputs, t, B, self.sums)

    def _clipped(self, rate: float) -> float:
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
                step(rate, limit / norm if norm > limit else 1.0)
        return whole


def score(named: dict[str, metrics.Metric], outputs: np.ndarray, t: np.ndarray, B: int,
          sums: metrics.Sums) -> None:
    """Adds each metric over the first B columns to `sums`."""
    if named:
        y = outputs[:, :B]
        t = t if t.ndim == 1 else t[:, :B]
        metrics.add(sums, {name: [float(metric.each(y, t).sum()), B]
                           for name, metric in named.items()})


class Scorer:
    """Loss and metrics of fixed weights over examples, summed in their order."""

    def __init__(self, model, weights: np.ndarray, batch_size: int = 256):
        self.net = Network(model.compiled(), batch_size, weights, model.loss)
        self.metrics, self.batch_size = model.named_metrics(), batch_size
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
            score(self.metrics, net.outputs, t, len(index), self.sums)


# -- rows in order

class Minibatch(NamedTuple):
    number: int                         # in the shard's epoch
    arrays: Arrays
    index: np.ndarray


def minibatches(windows: Iterable[tuple[int, "callable"]], batch: int, seed: int, epoch: int,
                shard: int, first: int = 0, count: int | None = None) -> Iterator[Minibatch]:
    """Minibatches [first, first + count) of a shard's rows in their order of this epoch.

    A window is (rows, arrays()): its rows are permuted by (seed, epoch, shard, window); windows that
    hold no wanted row are not decoded."""
    skip, number, left = first * batch, first, None
    stop = None if count is None else first + count
    for position, (n, decode) in enumerate(windows):
        if skip >= n or number == stop:
            skip -= min(skip, n)
            continue
        arrays = decode()
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


# -- arrays in this process

@dataclass
class History:
    """What `fit` saw: history["loss"][epoch] and so on, as in Keras."""
    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)


def numbers(array, name: str, dtype: np.dtype) -> np.ndarray:
    """The array as blocks hold it: bytes, int32 where whole numbers fit, else floats."""
    try:
        array = np.ascontiguousarray(array)
    except ValueError as error:                 # rows of different lengths
        raise ConfigError(f"{name}: {error}") from None
    need(array.dtype.kind in "buif", f"{name} holds {array.dtype}, not numbers")
    if array.dtype.name in ("uint8", "int32", "float32", "float64"):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    fits = array.dtype.kind in "bui" and (array.size == 0 or (
        array.min() >= -2 ** 31 and array.max() < 2 ** 31))
    return array.astype(np.int32 if fits else dtype)


def checked(model, x, y, w=None) -> Arrays:
    """The arrays of examples, as blocks hold them; ConfigError where they do not fit the model."""
    arrays = {"x": numbers(x, "x", model.dtype), "y": numbers(y, "y", model.dtype)}
    if w is not None:
        arrays["w"] = numbers(w, "sample_weight", model.dtype).astype(model.dtype, copy=False)
        if arrays["w"].shape[1:] == (1,):
            arrays["w"] = arrays["w"][:, 0].copy()
        need(arrays["w"].ndim == 1, "sample_weight must hold one number an example, not the shape "
             + shown(arrays["w"].shape))
    lengths = {len(a) for a in arrays.values()}
    need(len(lengths) == 1 and 0 not in lengths,
         "x, y and the sample weights must have one length, not 0")
    fitting(model, arrays["x"])
    loss, y = model.compiled().loss, arrays["y"]
    loss.check(model.output_shape, y.shape[1:])
    if loss.sparse and y.dtype.kind == "f":
        need(bool((y == np.rint(y)).all()), f"{type(loss).__name__}: y must hold class numbers")
    return arrays


def fitting(model, x: np.ndarray) -> None:
    """Builds the model on examples such as x's; ConfigError where its input has another shape."""
    model.build(x.shape[1:] if model.input_shape is None else None)
    need(x.shape[1:] == model.input_shape,
         f"the model takes examples of shape {model.input_shape}, not {shown(x.shape[1:])}")


def fit(model, x, y, *, batch_size: int = 32, epochs: int = 1, sample_weight=None,
        class_weight: dict | None = None, validation_data: tuple | None = None, seed: int = 0,
        initial_epoch: int = 0, verbose: bool = False) -> History:
    """Trains on arrays in this process, rows permuted by (seed, epoch); returns a History.

    x is [n, *input_shape], y what the loss takes; `epochs` is the number of the last, as in Keras.
    ConfigError where they do not fit the model."""
    need(batch_size >= 1 and epochs >= 1, "batch_size and epochs must be 1 or more")
    model.compiled()
    if model.input_shape is None:
        model.build(np.shape(x)[1:], seed)
    model.build(seed=seed)
    arrays = checked(model, x, y, sample_weight)
    if model.slots is None:
        model.slots = np.zeros((model.optimizer.slots, len(model.weights)), model.dtype)
    n = len(arrays["x"])
    learner = Learner(model, model.weights, model.slots, batch_size=min(batch_size, n),
                      iterations=model.iterations, class_weight=class_weight)
    history = History()
    for epoch in range(initial_epoch, epochs):
        began, learner.sums = time.perf_counter(), {}
        key = seeds.key(seed, "dropout", epoch, 0)
        for number, rows, index in minibatches([(n, lambda: arrays)], batch_size, seed, epoch, 0):
            learner.step(rows, index, key, number)
        model.iterations = learner.iterations
        logs = metrics.values({k: v for k, v in learner.sums.items() if k != "gradient_norm"})
        if validation_data:
            logs |= {"val_" + name: value
                     for name, value in evaluate(model, *validation_data).items()}
        history.epoch.append(epoch)
        for name, value in logs.items():
            history.history.setdefault(name, []).append(value)
        if verbose:
            rate = n / (time.perf_counter() - began)
            print(f"epoch {epoch + 1}: " + ", ".join(f"{k} {v:.4f}" for k, v in logs.items())
                  + f", {rate:,.0f} examples/s")
    return history


def evaluate(model, x, y, sample_weight=None, batch_size: int = 256) -> dict[str, float]:
    need(batch_size >= 1, "batch_size must be 1 or more")
    arrays = checked(model, x, y, sample_weight)
    scorer = Scorer(model, model.weights, min(batch_size, len(arrays["x"])))
    scorer.add(arrays)
    return metrics.values(scorer.sums)


def predict(model, x, batch_size: int = 256) -> np.ndarray:
    need(batch_size >= 1, "batch_size must be 1 or more")
    x = numbers(x, "x", model.dtype)
    fitting(model, x)
    batch_size = min(batch_size, max(1, len(x)))
    net = Network(model, batch_size, model.weights)
    out = np.empty((len(x), *model.output_shape), model.dtype)
    for start in range(0, len(x), batch_size):
        index = np.arange(start, min(start + batch_size, len(x)))
        net.read(x, index)
        net.forward()
        out[index] = net.outputs[:, :len(index)].T.reshape(-1, *model.output_shape)
    return out
