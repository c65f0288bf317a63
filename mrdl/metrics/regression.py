"""Metrics of how far outputs are from their targets."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl import kernels, losses
from mrdl.config import need, shown
from mrdl.kernels import pad
from mrdl.metrics.metric import EPSILON, Mean, Metric


@dataclass(frozen=True)
class LossMetric(Mean):
    """The mean of a loss, computed by its kernel, without the weights and penalties of training."""
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
    """The cosine of the angle between y and t over the last axis; the loss has the opposite sign."""
    loss: ClassVar = losses.CosineSimilarity()
    rising: ClassVar[bool] = True

    def result(self, state):
        return -super().result(state)


@dataclass(frozen=True)
class Correlation(Mean):
    """How far the outputs of an example rise and fall with its targets, over the last axis; their mean is over rows."""
    name: str | None = None

    def each(self, y, t):
        y, t = y.astype("f8"), t.astype("f8")
        means = y.mean(-2), t.mean(-2)
        y, t = y - y.mean(-2, keepdims=True), t - t.mean(-2, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.of((y * t).mean(-2), y.var(-2), t.var(-2), *means)

    def of(self, both: np.ndarray, y: np.ndarray, t: np.ndarray, mean_y: np.ndarray, mean_t: np.ndarray) -> np.ndarray:
        """The value of rows with this covariance, these variances and means."""
        raise NotImplementedError           # each has its own


@dataclass(frozen=True)
class PearsonCorrelation(Correlation):
    """The covariance of outputs and targets over the last axis, divided by both standard deviations; NaN where one of these is 0."""
    name: str | None = None

    def of(self, both, y, t, mean_y, mean_t):
        return both / np.sqrt(y * t)


@dataclass(frozen=True)
class ConcordanceCorrelation(Correlation):
    """2 cov / (var y + var t + (mean y - mean t)^2) of outputs y and targets t over the last axis.

    Lin, A concordance correlation coefficient to evaluate reproducibility (1989)."""
    name: str | None = None

    def of(self, both, y, t, mean_y, mean_t):
        return 2 * both / (y + t + np.square(mean_y - mean_t) + EPSILON)


@dataclass(frozen=True)
class R2Score(Metric):
    """1 - sum of (t - y)^2 / sum of (t - mean t)^2, for each output or averaged over outputs.

    `name`: see Metric.

    Args:
        class_aggregation: "uniform_average": the mean over outputs; "variance_weighted_average":
            the mean weighted by the targets' variance; None: a list with one value per output."""
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
