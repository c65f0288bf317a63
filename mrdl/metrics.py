"""Metrics, by Keras's names and definitions: here those of how far outputs are from their targets."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl import kernels, losses
from mrdl.classification_metrics import (
    AUC,
    EPSILON,
    BinaryAccuracy,
    CategoricalAccuracy,
    ConfusionMatrix,
    F1Score,
    Precision,
    Recall,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from mrdl.config import ConfigError, lookup, need, shown
from mrdl.kernels import pad
from mrdl.metric import FACTS, Mean, Metric, Sums, Value, add, plain, values

__all__ = ["METRICS", "Metric", "Sums", "Value", "add", "named", "plain", "values"]


@dataclass(frozen=True)
class LossMetric(Mean):
    """The mean of a loss, by its kernel: `loss` without the weights and penalties of training."""
    loss: ClassVar[losses.Loss]
    rising: ClassVar[bool] = False
    name: str | None = None

    def state(self, y, t):
        B, units = y.shape[-1], y.shape[-2]
        if not B:
            return np.zeros(2)
        outputs, targets = np.zeros((2, y.size // B, pad(B)), y.dtype)
        outputs[:, :B], targets[:, :B] = y.reshape(-1, B), t.reshape(-1, B)
        compute = self.loss.bind(kernels.typed(y.dtype), outputs, None, units)
        return np.array([compute(targets, np.ones(B, y.dtype), 1.0), B])


@dataclass(frozen=True)
class MeanSquaredError(LossMetric):
    """Mean over outputs of (y - t)^2."""
    loss: ClassVar = losses.MeanSquaredError()
    aliases: ClassVar[tuple[str, ...]] = ("mse",)


@dataclass(frozen=True)
class RootMeanSquaredError(LossMetric):
    """The root of the mean over outputs and examples of (y - t)^2."""
    loss: ClassVar = losses.MeanSquaredError()

    def result(self, state):
        return super().result(state) ** 0.5


@dataclass(frozen=True)
class MeanAbsoluteError(LossMetric):
    """Mean over outputs of |y - t|."""
    loss: ClassVar = losses.MeanAbsoluteError()
    aliases: ClassVar[tuple[str, ...]] = ("mae",)


@dataclass(frozen=True)
class MeanAbsolutePercentageError(LossMetric):
    """Mean over outputs of 100 |y - t| / max(|t|, 1e-7)."""
    loss: ClassVar = losses.MeanAbsolutePercentageError()
    aliases: ClassVar[tuple[str, ...]] = ("mape",)


@dataclass(frozen=True)
class MeanSquaredLogarithmicError(LossMetric):
    """Mean over outputs of (log(1 + y) - log(1 + t))^2."""
    loss: ClassVar = losses.MeanSquaredLogarithmicError()
    aliases: ClassVar[tuple[str, ...]] = ("msle",)


@dataclass(frozen=True)
class LogCoshError(LossMetric):
    """Mean over outputs of log(cosh(y - t))."""
    loss: ClassVar = losses.LogCosh()
    title: ClassVar[str] = "logcosh"


@dataclass(frozen=True)
class Hinge(LossMetric):
    """Mean over outputs of max(0, 1 - t y), targets -1 (or 0) and 1."""
    loss: ClassVar = losses.Hinge()


@dataclass(frozen=True)
class SquaredHinge(LossMetric):
    """Mean over outputs of max(0, 1 - t y)^2, targets -1 (or 0) and 1."""
    loss: ClassVar = losses.SquaredHinge()


@dataclass(frozen=True)
class CategoricalHinge(LossMetric):
    """max(0, 1 + max((1 - t) y) - sum of t y) over the last axis."""
    loss: ClassVar = losses.CategoricalHinge()


@dataclass(frozen=True)
class KLDivergence(LossMetric):
    """Sum over the last axis of t log(t / y)."""
    loss: ClassVar = losses.KLDivergence()


@dataclass(frozen=True)
class Poisson(LossMetric):
    """Mean over outputs of y - t log y."""
    loss: ClassVar = losses.Poisson()


@dataclass(frozen=True)
class CosineSimilarity(LossMetric):
    """The cosine of the angle between y and t over the last axis: the loss's with the other sign."""
    loss: ClassVar = losses.CosineSimilarity()
    rising: ClassVar[bool] = True

    def result(self, state):
        return -super().result(state)


@dataclass(frozen=True)
class SmoothedCrossentropy(Mean):
    rising: ClassVar[bool] = False
    name: str | None = None
    from_logits: bool = False
    label_smoothing: float = 0.0

    def smooth(self, t: np.ndarray, classes: int) -> np.ndarray:
        return (1 - self.label_smoothing) * t.astype("f8") + self.label_smoothing / classes


@dataclass(frozen=True)
class BinaryCrossentropy(SmoothedCrossentropy):
    """Mean over outputs of -t log y - (1 - t) log(1 - y), y clipped to 1e-7..1 - 1e-7."""
    aliases: ClassVar[tuple[str, ...]] = ("bce",)

    def each(self, y, t):
        t = self.smooth(t, 2)
        if self.from_logits:
            y = y.astype("f8")
            return np.maximum(y, 0) - t * y + np.log1p(np.exp(-abs(y)))
        y = clipped(y)
        return -t * np.log(y) - (1 - t) * np.log(1 - y)


def clipped(y: np.ndarray) -> np.ndarray:
    """Probabilities within 1e-7..1 - 1e-7 as y's own type has them: Keras clips so, in float32."""
    least = y.dtype.type(EPSILON)
    return np.clip(y, least, 1 - least).astype("f8")


def log_probabilities(y: np.ndarray, from_logits: bool) -> np.ndarray:
    """Of classes along the last axis but one; probabilities are clipped to 1e-7..1 - 1e-7."""
    if from_logits:
        y = y.astype("f8") - y.max(-2, keepdims=True)
        return y - np.log(np.exp(y).sum(-2, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(clipped(y / y.sum(-2, keepdims=True)))


@dataclass(frozen=True)
class CategoricalCrossentropy(SmoothedCrossentropy):
    """-sum of t log y over the last axis."""

    def each(self, y, t):
        return -(self.smooth(t, y.shape[-2]) * log_probabilities(y, self.from_logits)).sum(-2)


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Mean):
    """-log of the output of the target class."""
    rising: ClassVar[bool] = False
    sparse: ClassVar[bool] = True
    one_row: ClassVar[bool] = True
    name: str | None = None
    from_logits: bool = False

    def each(self, y, t):
        return -log_probabilities(y, self.from_logits)[t, np.arange(len(t))]


@dataclass(frozen=True)
class R2Score(Metric):
    """1 - sum of (t - y)^2 / sum of (t - mean t)^2, by output or averaged over outputs."""
    one_row: ClassVar[bool] = True
    class_aggregation: str | None = "uniform_average"
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        known = (None, "uniform_average", "variance_weighted_average")
        need(self.class_aggregation in known, f"R2Score: class_aggregation="
             f"{shown(self.class_aggregation)} is none of {', '.join(map(str, known))}")

    @property
    def vector(self):
        return self.class_aggregation is None

    def state(self, y, t):
        y, t = y.astype("f8"), t.astype("f8")
        count = np.full(len(t), t.shape[1], "f8")
        return np.concatenate([t.sum(1), (t * t).sum(1), np.square(t - y).sum(1), count])

    def result(self, state):
        total, squares, residual, count = state.reshape(4, -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = squares - total * (total / count)
            scores = 1 - residual / spread
            scores[np.isinf(scores)] = 0
            if self.class_aggregation == "variance_weighted_average":
                return float((spread * scores).sum() / spread.sum())
        return scores.tolist() if self.vector else float(scores.mean())


METRICS = [SparseCategoricalAccuracy, CategoricalAccuracy, BinaryAccuracy, TopKCategoricalAccuracy,
           SparseTopKCategoricalAccuracy, Precision, Recall, F1Score, AUC, ConfusionMatrix,
           MeanSquaredError, RootMeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError,
           MeanSquaredLogarithmicError, LogCoshError, Hinge, SquaredHinge, CategoricalHinge,
           KLDivergence, Poisson, CosineSimilarity, BinaryCrossentropy, CategoricalCrossentropy,
           SparseCategoricalCrossentropy, R2Score]
__all__ += [metric.__name__ for metric in METRICS]


def named(metrics: list, loss: losses.Loss, outputs: tuple[int, ...] | None) -> dict[str, Metric]:
    """The metrics under the names they are reported by; "accuracy" becomes the form that fits.

    `outputs` is the shape of the model's outputs, None where it is not known yet."""
    found = {}
    units = 1 if outputs is None else (outputs or (1,))[-1]
    for given in metrics:
        name = given if isinstance(given, str) else None
        if name and name.lower() in ("accuracy", "acc"):
            given = (SparseCategoricalAccuracy() if loss.sparse else
                     BinaryAccuracy() if units == 1 else CategoricalAccuracy())
        metric = lookup(given, METRICS, "metric", ("accuracy",))
        need(metric is not None, "a metric is missing")
        kind, name = type(metric).__name__, name or metric.called
        if metric.sparse not in (None, loss.sparse):
            raise ConfigError(f"{kind} and {type(loss).__name__} take different targets: "
                              "class numbers for one, vectors for the other")
        need(name not in found, f"two metrics have the name {shown(name)}; give one another name=")
        need(name not in FACTS | {"loss"}, f"a metric cannot have the name {shown(name)}")
        if outputs is not None:
            need(not metric.one_row or len(outputs) == 1 or loss.activation == "softmax",
                 f"{kind} takes one row of outputs, not the shape {shown(outputs)}")
            metric.check(units)
        found[name] = metric
    return found
