"""Metrics as (sum, count) pairs, which merge exactly by adding; Keras's names and definitions."""
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError, Configured, lookup, need, shown, snake
from mrdl.losses import Loss

Sums = dict[str, list[float]]           # name -> [sum, count]


@dataclass(frozen=True)
class Metric(Configured):
    keras_module: ClassVar[str] = "keras.metrics"
    sparse: ClassVar[bool] = False
    one_row: ClassVar[bool] = False             # it picks the largest of one row of outputs
    name: str | None = None

    def get_config(self):
        return super().get_config() | {"name": self.name or snake(type(self).__name__)}

    def each(self, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        """One value an example from y[C, B] and targets t[C, B], or t[B] where sparse."""
        raise NotImplementedError


@dataclass(frozen=True)
class SparseCategoricalAccuracy(Metric):
    """Is the largest output that of the target class?"""
    sparse: ClassVar[bool] = True
    one_row: ClassVar[bool] = True

    def each(self, y, t):
        return y.argmax(0) == t


@dataclass(frozen=True)
class CategoricalAccuracy(Metric):
    """Is the largest output where the largest target is?"""
    one_row: ClassVar[bool] = True

    def each(self, y, t):
        return y.argmax(0) == t.argmax(0)


@dataclass(frozen=True)
class BinaryAccuracy(Metric):
    """The share of outputs that are above the threshold where the target is 1, else not."""
    threshold: float = 0.5

    def each(self, y, t):
        return ((y > self.threshold) == t).mean(0)


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


def named(metrics: list, loss: Loss, outputs: tuple[int, ...]) -> dict[str, Metric]:
    """The metrics under the names they are reported by; "accuracy" becomes the form that fits."""
    found = {}
    for given in metrics:
        name = given if isinstance(given, str) else None
        if name and name.lower() in ("accuracy", "acc"):
            given = (SparseCategoricalAccuracy() if loss.sparse else
                     BinaryAccuracy() if math.prod(outputs[-1:]) == 1 else CategoricalAccuracy())
        metric = lookup(given, METRICS, "metric")
        need(metric is not None, "a metric is missing")
        kind = type(metric).__name__
        if metric.sparse != loss.sparse:
            raise ConfigError(f"{kind} and {type(loss).__name__} take different targets: "
                              "class numbers for one, vectors for the other")
        need(not metric.one_row or len(outputs) == 1,
             f"{kind} takes one row of outputs, not the shape {shown(outputs)}")
        found[name or metric.name or snake(kind)] = metric
    return found


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
