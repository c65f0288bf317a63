"""Metrics as (sum, count) pairs, which merge exactly by adding; Keras's names and definitions."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError, Configured, lookup
from mrdl.losses import Loss

Sums = dict[str, list[float]]           # name -> [sum, count]


@dataclass(frozen=True)
class Metric(Configured):
    keras_module: ClassVar[str] = "keras.metrics"
    sparse: ClassVar[bool] = False
    aliases: ClassVar[tuple[str, ...]] = ()
    name: str | None = None

    def each(self, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        """One value an example from y[C, B] and targets t[C, B], or t[B] where sparse."""
        raise ConfigError(f"{type(self).__name__} measures nothing")


@dataclass(frozen=True)
class SparseCategoricalAccuracy(Metric):
    """Is the largest output that of the target class?"""
    sparse: ClassVar[bool] = True

    def each(self, y, t):
        return y.argmax(0) == t


@dataclass(frozen=True)
class CategoricalAccuracy(Metric):
    """Is the largest output where the largest target is?"""

    def each(self, y, t):
        return y.argmax(0) == t.argmax(0)


@dataclass(frozen=True)
class BinaryAccuracy(Metric):
    """The share of outputs on the target's side of the threshold."""
    threshold: float = 0.5

    def each(self, y, t):
        return ((y > self.threshold) == (t > self.threshold)).mean(0)


@dataclass(frozen=True)
class MeanSquaredError(Metric):
    """Mean over outputs of (y - t)^2."""
    aliases: ClassVar[tuple[str, ...]] = ("mse",)

    def each(self, y, t):
        return np.square(y.astype("f8") - t).mean(0)


@dataclass(frozen=True)
class MeanAbsoluteError(Metric):
    """Mean over outputs of |y - t|."""
    aliases: ClassVar[tuple[str, ...]] = ("mae",)

    def each(self, y, t):
        return abs(y.astype("f8") - t).mean(0)


METRICS = [SparseCategoricalAccuracy, CategoricalAccuracy, BinaryAccuracy, MeanSquaredError,
           MeanAbsoluteError]


def named(metrics: list, loss: Loss, units: int) -> dict[str, Metric]:
    """The metrics under the names they are reported by; "accuracy" becomes the loss's own form."""
    found = {}
    for given in metrics:
        name = given if isinstance(given, str) else None
        if name in ("accuracy", "acc"):
            binary = loss.activation == "sigmoid" or (units == 1 and not loss.sparse)
            given = (SparseCategoricalAccuracy() if loss.sparse else
                     BinaryAccuracy() if binary else CategoricalAccuracy())
        metric = lookup(given, METRICS, "metric")
        if metric.sparse != loss.sparse:
            raise ConfigError(f"{type(metric).__name__} and {type(loss).__name__} take different "
                              "targets: class numbers for one, vectors for the other")
        found[name or metric.name or _snake(metric)] = metric
    return found


def _snake(metric: Metric) -> str:
    from mrdl.config import snake
    return snake(type(metric).__name__)


def add(into: Sums, sums: Sums) -> Sums:
    """Merges `sums` into `into`, name by name."""
    for name, (total, count) in sums.items():
        pair = into.setdefault(name, [0.0, 0.0])
        pair[0] += total
        pair[1] += count
    return into


def values(sums: Sums, prefix: str = "") -> dict[str, float]:
    """name -> mean; a name without any count is left out."""
    return {prefix + name: total / count for name, (total, count) in sums.items() if count}
