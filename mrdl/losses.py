"""Losses, by Keras's names: cross-entropies are computed together with the output activation."""
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from mrdl.config import Configured, need, shown, snake

Shape = tuple[int, ...]
ROUNDING = 1e-6                 # by which targets that were computed, as probabilities, may be beyond their range


@dataclass(frozen=True)
class Loss(Configured):
    """`activation` is the output activation that the loss contains; None: it takes any output."""
    keras_module: ClassVar[str] = "keras.losses"
    activation: ClassVar[str | None] = None
    sparse: ClassVar[bool] = False              # targets are class numbers, not vectors
    low: ClassVar[float] = -math.inf            # what targets are at least and at most: what is beyond is a mistake
    high: ClassVar[float] = math.inf
    fixed: ClassVar[dict[str, Any]] = {"reduction": "sum_over_batch_size", "axis": -1}

    def fuses(self, output: str) -> bool:
        """Is the model's output activation computed by the loss? ConfigError where they do not fit."""
        if self.activation is None or getattr(self, "from_logits", False):
            return False
        need(output == self.activation,
             f"{type(self).__name__} needs an output with activation {self.activation!r}, "
             f"not {output!r} (or from_logits=True)")
        return True

    def check(self, outputs: Shape, target: Shape) -> None:
        """Do targets of this shape (without the batch) fit the model's output? ConfigError if not."""
        units, given, name = math.prod(outputs), math.prod(target), type(self).__name__
        if self.sparse:
            each = "an example" if len(outputs) == 1 else f"for each of {shown(outputs[:-1])}"
            hint = ("give the last recurrent layer return_sequences=True for one of each step" if len(outputs) == 1
                    and len(target) == 1 and target != outputs else "for one-hot targets use categorical_crossentropy")
            need(target in (outputs[:-1], (*outputs[:-1], 1)), f"{name} takes one class number {each}, not targets of "
                 f"shape {shown(target)}; {hint}")
        else:
            hint = ("; for class numbers use sparse_categorical_crossentropy"
                    if given * outputs[-1] == units and self.activation == "softmax" else "")
            need(given == units,
                 f"the model gives {units} values an example, the targets have {given}{hint}")

    def check_range(self, targets: np.ndarray, where: str = "") -> None:
        """ConfigError where some of the targets, which are at least one, are beyond what the loss is for."""
        if self.low == -math.inf:
            return
        low, high = targets.min(), targets.max()        # NaN, where one is
        least, most = self.low - ROUNDING, self.high + ROUNDING
        beyond = high if least <= low else low
        need(least <= beyond <= most, f"{where}{type(self).__name__} takes targets " + (
            f"from {self.low:g} to {self.high:g}" if self.high < math.inf else f"of {self.low:g} and more")
            + f", not {beyond:g}")

    def steps(self, outputs: Shape) -> int:
        """How many terms an example of these outputs has, each with a loss of its own: rows of classes."""
        return math.prod(outputs[:-1]) if self.activation == "softmax" else 1

    def bind(self, k: SimpleNamespace, z: np.ndarray, grad: np.ndarray | None, units: int, y: np.ndarray | None = None):
        """-> compute(t, weight, scale) -> the sum of weight * loss; fills grad[C, N], and where the loss contains
        an activation y[C, N] with what it gives.

        `units` is the last axis of the outputs' shape, whose product is C."""
        raise NotImplementedError           # each kind of loss has its own


@dataclass(frozen=True)
class Crossentropy(Loss):
    """A loss that contains its output activation, unless `from_logits`."""

    def bind(self, k, z, grad, units, y=None):
        grad, y = (np.empty_like(z) if given is None else given for given in (grad, y))
        function = getattr(k, snake(type(self).__name__))
        more = () if self.sparse else (self.label_smoothing,)
        return lambda t, weight, scale: function(z, t, weight, scale, *more, y, grad)


@dataclass(frozen=True)
class SmoothedCrossentropy(Crossentropy):
    """Targets t stand for (1 - label_smoothing) t + label_smoothing / K, with K = 2 where binary.

    Args:
        from_logits: whether outputs are logits, and the loss applies its activation. False: the
            model's last layer has it.
        label_smoothing: from 0 to 1; 0.0 takes the targets as they are."""
    from_logits: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        need(0 <= self.label_smoothing <= 1, f"{type(self).__name__}: label_smoothing="
             f"{self.label_smoothing} must be from 0 to 1")


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Crossentropy):
    """-log of the probability of the target class; targets are class numbers.

    Args:
        from_logits: whether outputs are logits, and the loss applies softmax. False: the model's
            last layer has it."""
    activation: ClassVar[str] = "softmax"
    sparse: ClassVar[bool] = True
    from_logits: bool = False


@dataclass(frozen=True)
class CategoricalCrossentropy(SmoothedCrossentropy):
    """-sum of t log y; targets are one-hot or other distributions.

    Args:
        from_logits: whether outputs are logits, and the loss applies softmax. False: the model's
            last layer has it.
        label_smoothing: from 0 to 1: targets t stand for (1 - label_smoothing) t + label_smoothing
            / K."""
    low: ClassVar[float] = 0.0
    activation: ClassVar[str] = "softmax"


@dataclass(frozen=True)
class BinaryCrossentropy(SmoothedCrossentropy):
    """Mean over outputs of -t log y - (1 - t) log(1 - y).

    Args:
        from_logits: whether outputs are logits, and the loss applies a sigmoid. False: the model's
            last layer has it.
        label_smoothing: from 0 to 1: targets t stand for (1 - label_smoothing) t + label_smoothing
            / 2."""
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    activation: ClassVar[str] = "sigmoid"
    aliases: ClassVar[tuple[str, ...]] = ("bce",)


@dataclass(frozen=True)
class MeanLoss(Loss):
    """Mean over all outputs of a function of output and target."""

    def bind(self, k, z, grad, units, y=None):
        grad, name = np.empty_like(z) if grad is None else grad, snake(type(self).__name__)
        parameter, count = getattr(self, "delta", 0.0), self.count(len(z), units)
        return lambda t, weight, scale: k.mean_loss(name, z, t, weight, scale, parameter, count, grad)

    def count(self, outputs: int, units: int) -> int:
        return outputs


@dataclass(frozen=True)
class RowLoss(Loss):
    """Mean over the rows of outputs (all but the last axis) of a function of the row."""

    def bind(self, k, z, grad, units, y=None):
        grad, name = np.empty_like(z) if grad is None else grad, snake(type(self).__name__)
        return lambda t, weight, scale: k.row_loss(name, z, t, weight, scale, units, grad)


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
    """Mean over outputs of (log(1 + y) - log(1 + t))^2; y and t below 1e-7 count as that."""
    aliases: ClassVar[tuple[str, ...]] = ("msle",)


@dataclass(frozen=True)
class Huber(MeanLoss):
    """Mean over outputs of e^2 / 2 with e = |y - t|, and of delta e - delta^2 / 2 where e > delta.

    Huber, Robust estimation of a location parameter (1964).

    Args:
        delta: the error, in units of the target, from which on it counts linearly; above 0."""
    delta: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        need(self.delta > 0, f"Huber: delta={self.delta} must be above 0")


@dataclass(frozen=True)
class LogCosh(MeanLoss):
    """Mean over outputs of log(cosh(y - t))."""


@dataclass(frozen=True)
class Hinge(MeanLoss):
    """Mean over outputs of max(0, 1 - t y), targets -1 and 1; a target of 0 counts as -1.

    Keras converts 0 to -1 in a batch whose targets are all 0 or 1: the same but for targets that
    mix 0 with others. By the target alone a score does not depend on the batch."""
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0


@dataclass(frozen=True)
class SquaredHinge(MeanLoss):
    """Mean over outputs of max(0, 1 - t y)^2; targets as Hinge takes them."""
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
    """-cosine of the angle between y and t over the last axis; lengths below 1e-7 count as that."""


LOSSES = [SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy,
          MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError,
          MeanSquaredLogarithmicError, Huber, LogCosh, Hinge, SquaredHinge, CategoricalHinge,
          KLDivergence, Poisson, CosineSimilarity]
