"""Losses that are taken of the outputs alone: means over outputs, or over rows of them."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, snake
from mrdl.losses.loss import Loss


@dataclass(frozen=True)
class MeanLoss(Loss):
    """Mean over all outputs of a function of output and target."""

    def bind(self, k, z, grad, units, y=None):
        grad, name = np.empty_like(z) if grad is None else grad, snake(type(self).__name__)
        parameters, count = self.parameters, self.count(len(z), units)
        return lambda t, weight, scale: k.mean_loss(name, z, t, weight, scale, parameters, count, grad)

    def count(self, outputs: int, units: int) -> int:
        return outputs


@dataclass(frozen=True)
class RowLoss(Loss):
    """Mean over the rows of outputs (all but the last axis) of a function of the row."""

    def bind(self, k, z, grad, units, y=None):
        grad, name = np.empty_like(z) if grad is None else grad, snake(type(self).__name__)
        return lambda t, weight, scale: k.row_loss(name, z, t, weight, scale, self.parameters, units, grad)


@dataclass(frozen=True)
class MeanSquaredError(MeanLoss):
    """Mean over outputs of (y - t)^2."""
    aliases: ClassVar[tuple[str, ...]] = ("mse",)


@dataclass(frozen=True)
class MeanAbsoluteError(MeanLoss):
    """Mean over outputs of |y - t|."""
    aliases: ClassVar[tuple[str, ...]] = ("mae",)


@dataclass(frozen=True)
class MeanAbsolutePercentageError(MeanLoss):
    """Mean over outputs of 100 |y - t| / max(|t|, 1e-7)."""
    aliases: ClassVar[tuple[str, ...]] = ("mape",)


@dataclass(frozen=True)
class MeanSquaredLogarithmicError(MeanLoss):
    """Mean over outputs of (log(1 + y) - log(1 + t))^2; y and t below 1e-7 are replaced by 1e-7."""
    aliases: ClassVar[tuple[str, ...]] = ("msle",)


@dataclass(frozen=True)
class Huber(MeanLoss):
    """Mean over outputs of e^2 / 2 with e = |y - t|, and of delta e - delta^2 / 2 where e > delta.

    Huber, Robust estimation of a location parameter (1964).

    Args:
        delta: errors above this (in units of the target) count linearly; above 0."""
    delta: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        need(self.delta > 0, f"Huber: delta={self.delta} must be above 0")

    @property
    def parameters(self) -> tuple[float, ...]:
        return (self.delta,)


@dataclass(frozen=True)
class LogCosh(MeanLoss):
    """Mean over outputs of log(cosh(y - t))."""


@dataclass(frozen=True)
class Hinge(MeanLoss):
    """Mean over outputs of max(0, 1 - t y), targets -1 and 1; a target of 0 counts as -1.

    Keras converts 0 to -1 only if all targets of a batch are 0 or 1. The results differ only for
    targets that mix 0 with other values. Here a score does not depend on how batches are cut."""
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0


@dataclass(frozen=True)
class SquaredHinge(MeanLoss):
    """Mean over outputs of max(0, 1 - t y)^2; targets as for Hinge."""
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0


@dataclass(frozen=True)
class CategoricalHinge(RowLoss):
    """max(0, 1 + max((1 - t) y) - sum of t y) over the last axis; targets are one-hot."""
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0


@dataclass(frozen=True)
class KLDivergence(MeanLoss):
    """Sum over the last axis of t log(t / y), y and t clipped to 1e-7..1."""
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    aliases: ClassVar[tuple[str, ...]] = ("kld",)

    def count(self, outputs, units):
        return outputs // units


@dataclass(frozen=True)
class Poisson(MeanLoss):
    """Mean over outputs of y - t log(y + 1e-7)."""
    low: ClassVar[float] = 0.0


@dataclass(frozen=True)
class CosineSimilarity(RowLoss):
    """-cosine of the angle between y and t over the last axis; lengths below 1e-7 are replaced by 1e-7."""
