"""Computes the moments of a layer's input: n, mean, M2, the smallest and the largest value of each feature.

n is the number of values of a feature: examples times positions. M2 is the sum of (x - mean)^2. They are computed in
float64 by the pairwise formula of Chan, Golub & LeVeque (1979), first over a shard's rows, then over the shards in order.
So the bits do not depend on which worker reads which shard. Used to adapt Normalization and to recalibrate
BatchNormalization."""
from typing import NamedTuple

import numpy as np

from mrdl import kernels
from mrdl.config import need
from mrdl.data.windows import Arrays
from mrdl.training.layerwise import Layerwise
from mrdl.training.minibatches import minibatches
from mrdl.training.network import Network, at_once
from mrdl.training.protocol import LayeredModel

ADAPTING = 256                  # the largest number of rows at a time
Place = tuple[int, int, int]    # where mean and variance begin in the flat vector; the number of features


class Moments(NamedTuple):
    n: int = 0
    mean: np.ndarray | None = None
    m2: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def untrained(model: LayeredModel) -> list[slice]:
    """Where the flat vector has weights that are not trained, such as moving means and those of frozen layers."""
    return [slice(start, start + w.size) for _, w, start in model.places() if not w.trainable]


def merged(a: Moments, b: Moments) -> Moments:
    """M2 = M2a + M2b + (mean_b - mean_a)^2 na nb / (na + nb), mean = mean_a + (mean_b - mean_a) nb / (na + nb)."""
    if not a.n or not b.n:
        return a if a.n else b
    n, moved = a.n + b.n, b.mean - a.mean
    return Moments(n, a.mean + moved * (b.n / n), a.m2 + b.m2 + moved * moved * (a.n * b.n / n),
                   np.minimum(a.low, b.low), np.maximum(a.high, b.high))


def moments(x: np.ndarray, features: int, batch: int) -> Moments:
    """The moments of x[P features, :batch]."""
    n, mean, variance = len(x) // features * batch, np.zeros(features), np.zeros(features)
    kernels.typed(mean.dtype).channel_moments(x := np.ascontiguousarray(x, mean.dtype), batch, mean, variance)
    seen = x.reshape(-1, features, x.shape[1])[..., :batch]
    return Moments(n, mean, variance * n, seen.min((0, 2)), seen.max((0, 2)))


class Pool:
    """Accumulates the moments of the inputs of the layers at these places, over minibatches. Dropout and noise are off.

    BatchNormalization layers normalise by the minibatch's own moments, as in training."""

    def __init__(self, model: LayeredModel, weights: np.ndarray | Layerwise, places: list[Place], batch: int):
        self.net, sizes = Network(model, batch, weights), {mean: size for mean, _, size in places}
        self.found = dict.fromkeys(sizes, Moments())
        self.steps = []
        for operation in self.net.operations:
            offsets = operation.b.offsets if hasattr(operation, "b") else {}
            mean = offsets.get("moving_mean", offsets.get("mean"))
            self.steps.append((operation, mean if mean in sizes else None, sizes.get(mean)))
            if mean in sizes:
                operation.by_batch = True
        while self.steps and self.steps[-1][1] is None:     # their outputs are not needed
            self.steps.pop()

    def add(self, arrays: Arrays, index: np.ndarray) -> None:
        self.net.read(arrays["x"], index)
        for operation, mean, size in self.steps:
            if mean is not None:
                self.found[mean] = merged(self.found[mean], moments(operation.b.x.value, size, len(index)))
            operation.forward()


def pooled(model: LayeredModel, weights: np.ndarray | Layerwise, places: list[Place], batch: int, windows) -> list[Moments]:
    """The moments at each place, over the windows of a shard: `batch` rows at a time, in the stored order."""
    pool = Pool(model, weights, places, batch)
    for _, arrays, index in minibatches(windows, batch, None, 0, 0):
        pool.add(arrays, index)
    return list(pool.found.values())


def written(weights: np.ndarray, places: list[Place], found: list[Moments], counted: bool = False) -> None:
    """Writes mean and variance to their places; with `counted`, n behind them. The variance is M2 / n: that of the whole
    population, not of a sample."""
    for (mean, variance, size), m in zip(places, found, strict=True):
        need(m.n > 0 and bool(np.isfinite(m.mean).all() and np.isfinite(m.m2).all()),
             "cannot compute a layer's mean and variance: its input is empty, or has infinite or NaN values; scale the inputs")
        weights[mean:mean + size] = m.mean
        weights[variance:variance + size] = m.m2 / m.n
        kernels.typed(weights.dtype).flush(weights[None, mean:variance + size])
        if counted:
            weights[variance + size] = m.n


# -- Normalization

def places_of(model: LayeredModel) -> list[Place]:
    """The places of all Normalization layers that can be adapted. In the flat vector the count follows the variance."""
    return model.moments("mean", "variance")


def unadapted(model: LayeredModel, again: bool = False) -> list[Place]:
    """The places of the Normalization layers that have not been adapted; with `again`, of all.

    ConfigError if the input of one of them depends on another. A layer counts as adapted if its count is above 0, or if
    its mean and variance differ from the initial ones (Keras leaves the count at 0)."""
    w = model.build().weights
    found = {place[0]: place for place in places_of(model) if again or not (
        w[place[1] + place[2]] or w[place[0]:place[0] + place[2]].any()
        or (w[place[1]:place[1] + place[2]] != 1).any())}
    behind: dict[int, str] = {}             # tensor -> name of the first such layer that it depends on
    for number, step in enumerate(model.stack(), len(model.input_shapes())):
        source = next((behind[x] for x in step.inputs if x in behind), None)
        own = bool(step.weights) and step.offsets[0] in found
        need(not (own and source), f"{step.name} depends on {source}, which is not adapted either: give one of the "
             "two its mean= and variance=")
        if own or source:
            behind[number] = source or step.name
    return list(found.values())


def adapt(model: LayeredModel, x: np.ndarray, again: bool = False) -> None:
    """Adapts the layers that `unadapted` names to x[n, ...]."""
    if places := unadapted(model, again):
        need(len(x) > 0, "x has no rows to adapt Normalization to")
        batch = at_once(model, ADAPTING)
        written(model.weights, places, pooled(model, model.weights, places, batch, [(len(x), {"x": x})]), True)
