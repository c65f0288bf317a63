"""Cross-entropies as metrics."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.metrics.metric import EPSILON, Mean


@dataclass(frozen=True)
class SmoothedCrossentropy(Mean):
    """Replaces targets t by (1 - label_smoothing) t + label_smoothing / K; K = 2 for binary cross-entropy.

    `name`: see Metric.

    Args:
        from_logits: whether outputs are logits.
        label_smoothing: from 0 to 1; 0.0 leaves the targets unchanged."""
    rising: ClassVar[bool] = False
    name: str | None = None
    from_logits: bool = False
    label_smoothing: float = 0.0

    def smooth(self, t: np.ndarray, classes: int) -> np.ndarray:
        return (1 - self.label_smoothing) * t.astype("f8") + self.label_smoothing / classes


@dataclass(frozen=True)
class BinaryCrossentropy(SmoothedCrossentropy):
    """Mean over outputs of -t log y - (1 - t) log(1 - y), y clipped to 1e-7..1 - 1e-7.

    `from_logits` and `label_smoothing`: as of the loss; `name`: see Metric."""
    aliases: ClassVar[tuple[str, ...]] = ("bce",)

    def each(self, y, t):
        t = self.smooth(t, 2)
        if self.from_logits:
            y = y.astype("f8")
            return np.maximum(y, 0) - t * y + np.log1p(np.exp(-abs(y)))
        y = clipped(y)
        return -t * np.log(y) - (1 - t) * np.log(1 - y)


def clipped(y: np.ndarray) -> np.ndarray:
    """Clips probabilities to 1e-7..1 - 1e-7, with bounds rounded to y's type, as Keras does in float32."""
    least = y.dtype.type(EPSILON)
    return np.clip(y, least, 1 - least).astype("f8")


def log_probabilities(y: np.ndarray, from_logits: bool) -> np.ndarray:
    """Logarithms of class probabilities. Classes run along the second-last axis; probabilities are clipped to
    1e-7..1 - 1e-7."""
    if from_logits:
        y = y.astype("f8") - y.max(-2, keepdims=True)
        return y - np.log(np.exp(y).sum(-2, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(clipped(y / y.sum(-2, keepdims=True)))


@dataclass(frozen=True)
class CategoricalCrossentropy(SmoothedCrossentropy):
    """-sum of t log y over the last axis.

    `from_logits` and `label_smoothing`: as of the loss; `name`: see Metric."""

    def each(self, y, t):
        return -(self.smooth(t, y.shape[-2]) * log_probabilities(y, self.from_logits)).sum(-2)


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Mean):
    """-log of the output of the target class.

    `name`: see Metric.

    Args:
        from_logits: whether outputs are logits. False: probabilities."""
    rising: ClassVar[bool] = False
    sparse: ClassVar[bool] = True
    one_row: ClassVar[bool] = True
    name: str | None = None
    from_logits: bool = False

    def each(self, y, t):
        return -log_probabilities(y, self.from_logits)[t, np.arange(len(t))]
