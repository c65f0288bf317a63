"""Losses, with Keras's names. Cross-entropies are computed together with the output's activation."""
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from mrdl.config import Configured, need, shown, snake
from mrdl.kernels import LANES, typed, zeros

Shape = tuple[int, ...]
TINY = 1e-7                     # Keras's epsilon: probabilities are at least so far from 0 and 1
ROUNDING = 1e-6                 # how far computed targets, such as probabilities, may be outside their range


@dataclass(frozen=True)
class Loss(Configured):
    """`activation` is the output activation that the loss contains; None: the loss takes any output."""
    keras_module: ClassVar[str] = "keras.losses"
    activation: ClassVar[str | None] = None
    sparse: ClassVar[bool] = False              # True: targets are class numbers, not vectors
    parameters = ()                             # what its kernel takes besides outputs and targets
    low: ClassVar[float] = -math.inf            # the range of valid targets
    high: ClassVar[float] = math.inf
    fixed: ClassVar[dict[str, Any]] = {"reduction": "sum_over_batch_size", "axis": -1}

    def fuses(self, output: str) -> bool:
        """Does the loss compute the activation `output` of the model's output? ConfigError if it needs another one."""
        if self.activation is None or getattr(self, "from_logits", False):
            return False
        need(output == self.activation,
             f"{type(self).__name__} needs an output with activation {self.activation!r}, "
             f"not {output!r} (or from_logits=True)")
        return True

    def check(self, outputs: Shape, target: Shape) -> None:
        """Raises ConfigError if targets of this shape (without the batch) do not fit the model's output."""
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
        """Raises ConfigError if a target is outside the loss's range. There must be at least one target."""
        if self.low == -math.inf:
            return
        low, high = targets.min(), targets.max()        # NaN if any target is NaN
        least, most = self.low - ROUNDING, self.high + ROUNDING
        beyond = high if least <= low else low
        need(least <= beyond <= most, f"{where}{type(self).__name__} takes targets " + (
            f"from {self.low:g} to {self.high:g}" if self.high < math.inf else f"of {self.low:g} and more")
            + f", not {beyond:g}")

    def rows(self, targets: Any, outputs: Any) -> np.ndarray:
        """The loss of each row of outputs, their last axis, as float64.

        Args:
            targets: as `outputs`, or without the last axis where they are class numbers.
            outputs: [..., units]; probabilities where the loss contains an activation, or with from_logits=True logits."""
        y = np.asarray(outputs, np.float64)
        need(y.ndim > 0, f"{type(self).__name__}: the outputs need an axis")
        shape, z = y.shape[:-1], y.reshape(-1, y.shape[-1]).T
        t = np.asarray(targets, np.int32 if self.sparse else np.float64)
        need(t.shape in ((shape, (*shape, 1)) if self.sparse else (y.shape,)), f"{type(self).__name__}: targets of the shape {t.shape} do "
             f"not fit outputs of the shape {y.shape}")
        t = t.reshape(-1) if self.sparse else t.reshape(z.T.shape).T
        if self.activation and not self.from_logits:
            z = np.clip(z / z.sum(0) if self.activation == "softmax" else z, TINY, 1 - TINY)
            z = np.log(z) if self.activation == "softmax" else np.log(z / (1 - z))
        k, ones, part, found = typed(np.float64), np.eye(LANES), zeros((len(z), LANES), np.float64), np.empty(z.shape[1])
        compute = self.bind(k, part, None, len(z), None if self.activation is None else np.empty_like(part))
        for start in range(0, len(found), LANES):
            n = min(LANES, len(found) - start)
            part[:, :n] = z[:, start:start + n]
            own = t[start:start + n].copy() if self.sparse else zeros(part.shape, np.float64)
            if not self.sparse:
                own[:, :n] = t[:, start:start + n]
            for i in range(n):
                found[start + i] = compute(own, np.ascontiguousarray(ones[i, :n]), 1.0)
        return found.reshape(shape)

    def steps(self, outputs: Shape) -> int:
        """How many losses an example with outputs of this shape has: one for each row of classes."""
        return math.prod(outputs[:-1]) if self.activation == "softmax" else 1

    def bind(self, k: SimpleNamespace, z: np.ndarray, grad: np.ndarray | None, units: int, y: np.ndarray | None = None):
        """Returns a function compute(t, weight, scale), which returns the sum of weight * loss and fills grad[C, N];
        if the loss contains an activation, it also fills y[C, N] with the activation's values.

        `units` is the last axis of the outputs' shape; C is the product of all axes."""
        raise NotImplementedError           # each kind of loss has its own


@dataclass(frozen=True)
class Crossentropy(Loss):
    """A loss that contains the output's activation; with `from_logits`, it applies the activation itself."""

    def bind(self, k, z, grad, units, y=None):
        grad, y = (np.empty_like(z) if given is None else given for given in (grad, y))
        function = getattr(k, snake(type(self).__name__))
        more = () if self.sparse else (self.label_smoothing,)
        return lambda t, weight, scale: function(z, t, weight, scale, *more, y, grad)


@dataclass(frozen=True)
class SmoothedCrossentropy(Crossentropy):
    """Replaces targets t by (1 - label_smoothing) t + label_smoothing / K; K = 2 for binary cross-entropy.

    Args:
        from_logits: whether outputs are logits, to which the loss applies the activation. False:
            the model's last layer has the activation.
        label_smoothing: from 0 to 1; 0.0 leaves the targets unchanged."""
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
        from_logits: whether outputs are logits, to which the loss applies softmax. False: the
            model's last layer has softmax."""
    activation: ClassVar[str] = "softmax"
    sparse: ClassVar[bool] = True
    from_logits: bool = False


@dataclass(frozen=True)
class CategoricalCrossentropy(SmoothedCrossentropy):
    """-sum of t log y; targets are one-hot or other distributions.

    Args:
        from_logits: whether outputs are logits, to which the loss applies softmax. False: the
            model's last layer has softmax.
        label_smoothing: from 0 to 1; targets t are replaced by (1 - label_smoothing) t +
            label_smoothing / K."""
    low: ClassVar[float] = 0.0
    activation: ClassVar[str] = "softmax"


@dataclass(frozen=True)
class BinaryCrossentropy(SmoothedCrossentropy):
    """Mean over outputs of -t log y - (1 - t) log(1 - y).

    Args:
        from_logits: whether outputs are logits, to which the loss applies a sigmoid. False: the
            model's last layer has the sigmoid.
        label_smoothing: from 0 to 1; targets t are replaced by (1 - label_smoothing) t +
            label_smoothing / 2."""
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    activation: ClassVar[str] = "sigmoid"
    aliases: ClassVar[tuple[str, ...]] = ("bce",)


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
class Focal(Loss):
    """A cross-entropy in which each output counts by (1 - the probability of what is right)^gamma, so that those that are known
    well count little (Lin et al., Focal loss for dense object detection, 2017)."""
    high: ClassVar[float] = 1.0
    low: ClassVar[float] = 0.0

    def __post_init__(self):
        super().__post_init__()
        name = type(self).__name__
        for key in ("alpha", "gamma"):
            need(getattr(self, key) >= 0, f"{name}: {key}={getattr(self, key)} must be 0 or more")
        need(0 <= self.label_smoothing <= 1, f"{name}: label_smoothing={self.label_smoothing} must be from 0 to 1")


@dataclass(frozen=True)
class BinaryFocalCrossentropy(Focal, MeanLoss):
    """Mean over outputs of a (1 - p)^gamma times the binary cross-entropy, with p = t y + (1 - t)(1 - y)
    (Lin et al., Focal loss for dense object detection, 2017).

    Args:
        apply_class_balancing: whether a is t alpha + (1 - t)(1 - alpha). False: it is 1.
        alpha: the weight of targets of 1, with class balancing; 0 or more.
        gamma: how little outputs count that are nearly right, 0 or more.
        from_logits: whether outputs are logits, to which the loss applies a sigmoid.
        label_smoothing: from 0 to 1; targets t are replaced by (1 - label_smoothing) t + label_smoothing / 2."""
    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0

    @property
    def parameters(self) -> tuple[float, ...]:
        weights = (self.alpha, 1 - self.alpha) if self.apply_class_balancing else (1.0, 1.0)
        return self.gamma, *weights, float(self.from_logits), self.label_smoothing


@dataclass(frozen=True)
class CategoricalFocalCrossentropy(Focal, RowLoss):
    """Sum over the last axis of -alpha (1 - y)^gamma t log y; targets are one-hot or other distributions, and outputs are
    divided by their sum (Lin et al., Focal loss for dense object detection, 2017).

    Args:
        alpha: the weight of all classes, 0 or more.
        gamma: how little outputs count that are nearly right, 0 or more.
        from_logits: only False: the model's last layer has softmax.
        label_smoothing: from 0 to 1; targets t are replaced by (1 - label_smoothing) t + label_smoothing / K."""
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        need(not self.from_logits, "CategoricalFocalCrossentropy: from_logits=True is not supported: give the last layer "
             'activation="softmax"')

    @property
    def parameters(self) -> tuple[float, ...]:
        return self.gamma, self.alpha, self.label_smoothing


@dataclass(frozen=True)
class CosineSimilarity(RowLoss):
    """-cosine of the angle between y and t over the last axis; lengths below 1e-7 are replaced by 1e-7."""


LOSSES = [SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy,
          MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError,
          MeanSquaredLogarithmicError, Huber, LogCosh, Hinge, SquaredHinge, CategoricalHinge,
          KLDivergence, Poisson, CosineSimilarity, BinaryFocalCrossentropy, CategoricalFocalCrossentropy]


def _function(cls: type[Loss], name: str) -> Callable[..., np.ndarray]:
    """Keras's function of a loss."""
    def loss(y_true, y_pred, **arguments):
        return cls(**arguments).rows(y_true, y_pred)
    loss.__name__ = loss.__qualname__ = name
    loss.__doc__ = f"""The losses of {cls.__name__}, one for each row; or give the function itself to `compile`.

    Args:
        y_true: targets, as for the loss.
        y_pred: outputs [..., units].
        **arguments: those of {cls.__name__}."""
    return loss


globals().update({name: _function(cls, name) for cls in LOSSES for name in (snake(cls.__name__), *cls.aliases)})
