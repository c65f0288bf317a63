"""Focal cross-entropies, in which what is known well counts little."""
from dataclasses import dataclass
from typing import ClassVar

from mrdl.config import need
from mrdl.losses.errors import MeanLoss, RowLoss
from mrdl.losses.loss import Loss


@dataclass(frozen=True)
class Focal(Loss):
    """A cross-entropy in which each output counts by (1 - the probability of what is right)^gamma, so that those that are known
    well count little (Lin et al., Focal loss for dense object detection, 2017)."""
    high: ClassVar[float] = 1.0
    low: ClassVar[float] = 0.0

    def __post_init__(self):
        super().__post_init__()
        for key in ("alpha", "gamma"):
            need(getattr(self, key) >= 0, f"{type(self).__name__}: {key}={getattr(self, key)} must be 0 or more")


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
        label_smoothing: from 0 to 1; targets t are replaced by (1 - label_smoothing) t + label_smoothing / K."""
    alpha: float = 0.25
    gamma: float = 2.0
    label_smoothing: float = 0.0

    @property
    def parameters(self) -> tuple[float, ...]:
        return self.gamma, self.alpha, self.label_smoothing
