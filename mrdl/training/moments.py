"""The moments of what reaches a layer: minibatches in, exact (n, mean, M2), least and largest value out, and their merge.

n counts values of a feature: examples times positions; M2 is the sum of (x - mean)^2. In float64, by the
pairwise formula of Chan, Golub & LeVeque (1979), in the order of a shard's rows, then of the shards: the
same bits whoever reads which shard. Normalization is adapted and BatchNormalization recalibrated by it."""
from typing import NamedTuple

import numpy as np

from mrdl import kernels
from mrdl.config import need
from mrdl.data.windows import Arrays
from mrdl.training.minibatches import minibatches
from mrdl.training.network import Network, at_once
from mrdl.training.protocol import LayeredModel

ADAPTING = 256                  # rows at a time, at most
Place = tuple[int, int, int]    # where mean and variance begin in the flat vector, and how many features there are


class Moments(NamedTuple):
    n: int = 0
    mean: np.ndarray | None = None
    m2: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def merged(a: Moments, b: Moments) -> Moments:
    """M2 = M2a + M2b + (mean_b - mean_a)^2 na nb / (na + nb), mean = mean_a + (mean_b - mean_a) nb / (na + nb)."""
    if not a.n or not b.n:
        return a if a.n else b
    n, moved = a.n + b.n, b.mean - a.mean
    return Moments(n, a.mean + moved * (b.n / n), a.m2 + b.m2 + moved * moved * (a.n * b.n / n),
                   np.minimum(a.low, b.low), np.maximum(a.high, b.high))


def moments(x: np.ndarray, features: int, batch: int) -> Moments:
    """Those of x[P features, :batch]."""
    n, mean, variance = len(x) // features * batch, np.zeros(features), np.zeros(features)
    kernels.typed(mean.dtype).channel_moments(x := np.ascontiguousarray(x, mean.dtype), batch, mean, variance)
    seen = x.reshape(-1, features, x.shape[1])[..., :batch]
    return Moments(n, mean, variance * n, seen.min((0, 2)), seen.max((0, 2)))


class Pool:
    """The moments of what reaches the layers of these places, over minibatches; dropout and noise are off.

    A BatchNormalization among them normalises by the minibatch's own moments, as in training."""

    def __init__(self, model: LayeredModel, weights: np.ndarray, places: list[Place], batch: int):
        self.net, sizes = Network(model, batch, weights), {mean: size for mean, _, size in places}
        self.found = dict.fromkeys(sizes, Moments())
        self.steps = []
        for operation in self.net.operations:
            offsets = operation.b.offsets if hasattr(operation, "b") else {}
            mean = offsets.get("moving_mean", offsets.get("mean"))
            self.steps.append((operation, mean if mean in sizes else None, sizes.get(mean)))
            if mean in sizes:
                operation.by_batch = True
        while self.steps and self.steps[-1][1] is None:     # nobody looks at what they give
            self.steps.pop()

    def add(self, arrays: Arrays, index: np.ndarray) -> None:
        self.net.read(arrays["x"], index)
        for operation, mean, size in self.steps:
            if mean is not None:
                self.found[mean] = merged(self.found[mean], moments(operation.b.x.value, size, len(index)))
            operation.forward()


def pooled(model: LayeredModel, weights: np.ndarray, places: list[Place], batch: int, windows) -> list[Moments]:
    """Of each place, over a shard's windows of rows, taken `batch` at a time in their stored order."""
    pool = Pool(model, weights, places, batch)
    for _, arrays, index in minibatches(windows, batch, None, 0, 0):
        pool.add(arrays, index)
    return list(pool.found.values())


def written(weights: np.ndarray, places: list[Place], found: list[Moments], counted: bool = False) -> None:
    """Puts mean and variance M2 / n (of the whole, not a sample) in their places, and n behind them where asked."""
    for (mean, variance, size), m in zip(places, found, strict=True):
        need(m.n > 0 and bool(np.isfinite(m.mean).all() and np.isfinite(m.m2).all()),
             "what reaches a layer of moments is not finite, or nothing does: scale the inputs")
        weights[mean:mean + size] = m.mean
        weights[variance:variance + size] = m.m2 / m.n
        kernels.typed(weights.dtype).flush(weights[None, mean:variance + size])
        if counted:
            weights[variance + size] = m.n


# -- Normalization

def places_of(model: LayeredModel) -> list[Place]:
    """Of all Normalization that can be adapted; behind mean and variance lies the count."""
    return model.moments("mean", "variance")


def unadapted(model: LayeredModel, again: bool = False) -> list[Place]:
    """The places of Normalization that has not been adapted, or of all (`again`).

    ConfigError where one of them takes what another makes. Keras leaves the count at 0, so that a layer is
    adapted as well where its moments are not those it begins with."""
    w = model.build().weights
    found = {place[0]: place for place in places_of(model) if again or not (
        w[place[1] + place[2]] or w[place[0]:place[0] + place[2]].any()
        or (w[place[1]:place[1] + place[2]] != 1).any())}
    behind: dict[int, str] = {}             # tensor -> the first of them that it is made by
    for number, step in enumerate(model.stack(), len(model.input_shapes())):
        source = next((behind[x] for x in step.inputs if x in behind), None)
        own = bool(step.weights) and step.offsets[0] in found
        need(not (own and source), f"{step.name} takes what {source} gives, which is not adapted: give one of the "
             "two its mean= and variance=")
        if own or source:
            behind[number] = source or step.name
    return list(found.values())


def adapt(model: LayeredModel, x: np.ndarray, again: bool = False) -> None:
    """Sets the moments of those layers from x[n, ...]."""
    if places := unadapted(model, again):
        need(len(x) > 0, "there is no row to adapt Normalization to")
        batch = at_once(model, ADAPTING)
        written(model.weights, places, pooled(model, model.weights, places, batch, [(len(x), {"x": x})]), True)
