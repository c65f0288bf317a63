"""Metrics that are computed from counts: accuracies, precision and recall, F scores, the confusion matrix."""
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.metrics.metric import EPSILON, Mean, Metric, check_counted, labels, ratio


@dataclass(frozen=True)
class SparseCategoricalAccuracy(Mean):
    """The share of examples whose largest output is that of the target class."""
    sparse: ClassVar[bool] = True
    one_row: ClassVar[bool] = True
    name: str | None = None

    def each(self, y, t):
        return y.argmax(0) == t


@dataclass(frozen=True)
class CategoricalAccuracy(Mean):
    """The share of examples whose largest output is at the position of the largest target."""
    one_row: ClassVar[bool] = True
    name: str | None = None

    def each(self, y, t):
        return y.argmax(0) == t.argmax(0)


@dataclass(frozen=True)
class Accuracy(Mean):
    """The share of outputs that are equal to their targets. (The text "accuracy" names the accuracy that fits the loss.)"""
    name: str | None = None

    def each(self, y, t):
        return y == t


@dataclass(frozen=True)
class BinaryAccuracy(Mean):
    """The share of outputs that are correct: above the threshold if the target is 1, and not above it otherwise.

    `name`: see Metric.

    Args:
        threshold: outputs above it mean 1. 0.5, the middle of a sigmoid."""
    name: str | None = None
    threshold: float = 0.5

    def each(self, y, t):
        return (y > self.threshold) == t


@dataclass(frozen=True)
class TopK(Mean):
    """Is the target's output among the k largest?

    `name`: see Metric.

    Args:
        k: how many of the largest outputs count as predictions, 1 or more. 5, as in Keras."""
    one_row: ClassVar[bool] = True
    k: int = 5
    name: str | None = None

    def check(self, units):
        need(self.k >= 1, f"{type(self).__name__}: k={self.k} must be 1 or more")

    def each(self, y, t):
        own = y[t if self.sparse else t.argmax(0), np.arange(t.shape[-1])]
        return ((y > own).sum(0) < self.k) & ~np.isnan(own)


@dataclass(frozen=True)
class SparseTopKCategoricalAccuracy(TopK):
    """The share of examples in which fewer than k outputs are larger than that of the target class.

    `k`: how many of the largest outputs count as predictions, 1 or more; `name`: see Metric."""
    sparse: ClassVar[bool] = True


@dataclass(frozen=True)
class TopKCategoricalAccuracy(TopK):
    """The share of examples in which fewer than k outputs are larger than the one at the largest target.

    `k`: how many of the largest outputs count as predictions, 1 or more; `name`: see Metric."""


@dataclass(frozen=True)
class Hits(Metric):
    """tp / (tp + others). tp is the number of outputs above the threshold whose target is not 0.

    Class numbers count as one-hot targets.

    `name`: see Metric.

    Args:
        thresholds: one threshold for outputs, from 0 to 1. None: 0.5; with `top_k`, no threshold.
        top_k: only this many of an example's largest outputs can be above the threshold. None:
            all can.
        class_id: the number of the only output to count. None: all outputs count."""
    sparse: ClassVar[None] = None
    thresholds: float | None = None
    top_k: int | None = None
    class_id: int | None = None
    name: str | None = None

    def check(self, units):
        check_counted(self, units)
        need(self.top_k is None or 1 <= self.top_k <= units,
             f"{type(self).__name__}: top_k={self.top_k} must be from 1 to {units}")

    def others(self, label: np.ndarray, above: np.ndarray) -> np.ndarray:
        raise NotImplementedError           # Precision and Recall define it

    def state(self, y, t):
        label, at = labels(y, t) != 0, self.thresholds
        above = y > (at if at is not None else 0.5 if self.top_k is None else -1e10)
        if self.top_k is not None:
            largest = np.argsort(-y, axis=-2, kind="stable")[..., :self.top_k, :]
            top = np.zeros(y.shape, bool)
            np.put_along_axis(top, largest, True, axis=-2)
            above &= top
        if self.class_id is not None:
            label, above = label[..., self.class_id, :], above[..., self.class_id, :]
        return np.array([(label & above).sum(), self.others(label, above).sum()], "f8")

    def result(self, state):
        return ratio(state[0], state[0] + state[1])


@dataclass(frozen=True)
class Precision(Hits):
    """tp / (tp + fp): the share of the outputs above the threshold whose target is not 0.

    `thresholds`, `top_k` and `class_id`: see mrdl.metrics.classification.Hits; `name`: see
    Metric."""

    def others(self, label, above):
        return above & ~label


@dataclass(frozen=True)
class Recall(Hits):
    """tp / (tp + fn): the share of the targets that are not 0 whose output is above the threshold.

    `thresholds`, `top_k` and `class_id`: see mrdl.metrics.classification.Hits; `name`: see
    Metric."""

    def others(self, label, above):
        return label & ~above


@dataclass(frozen=True)
class FScore(Metric):
    """(1 + b^2) p r / (b^2 p + r), with precision p, recall r and b = `beta`: for each class, or averaged over classes.

    `name`: see Metric."""
    sparse: ClassVar[None] = None
    one_row: ClassVar[bool] = True
    beta = 1.0

    def __post_init__(self):
        super().__post_init__()
        name = type(self).__name__
        need(self.average in (None, "micro", "macro", "weighted"),
             f"{name}: average={shown(self.average)} is none of None, micro, macro, weighted")
        need(self.threshold is None or 0 < self.threshold <= 1,
             f"{name}: threshold={self.threshold} must be above 0 and at most 1")
        need(self.beta > 0, f"{name}: beta={self.beta} must be above 0")

    @property
    def vector(self):
        return self.average is None

    def state(self, y, t):
        t = labels(y, t).astype("f8")
        above = (((y >= y.max(0)) & (abs(y) > 1e-9)) if self.threshold is None
                 else y > self.threshold)
        return np.concatenate([(above * t).sum(1), (above * (1 - t)).sum(1), (~above * t).sum(1), t.sum(1)])

    def result(self, state):
        tp, fp, fn, present = state.reshape(4, -1)
        if self.average == "micro":
            tp, fp, fn = tp.sum(), fp.sum(), fn.sum()
        p, r = tp / (tp + fp + EPSILON), tp / (tp + fn + EPSILON)
        more = self.beta ** 2
        found = (1 + more) * p * r / (more * p + r + EPSILON)
        if self.average == "weighted":
            return float((found * present).sum() / (present.sum() + EPSILON))
        return found.tolist() if self.average is None else float(found.mean())


@dataclass(frozen=True)
class FBetaScore(FScore):
    """(1 + b^2) p r / (b^2 p + r), with precision p, recall r and b = `beta`: for each class, or averaged over classes.

    `name`: see Metric.

    Args:
        average: None: a list with one value per class; "micro": counts all classes together;
            "macro": the mean over classes; "weighted": the mean weighted by how often each class
            is the target.
        beta: how many times as much recall counts as precision, above 0.
        threshold: outputs above it are predictions; above 0 and at most 1. None: an example's
            largest output is its prediction."""
    average: str | None = None
    beta: float = 1.0
    threshold: float | None = None
    name: str | None = None


@dataclass(frozen=True)
class F1Score(FScore):
    """2 p r / (p + r), with precision p and recall r: for each class, or averaged over classes.

    `name`: see Metric.

    Args:
        average: None: a list with one value per class; "micro": counts all classes together;
            "macro": the mean over classes; "weighted": the mean weighted by how often each class
            is the target.
        threshold: outputs above it are predictions; above 0 and at most 1. None: an example's
            largest output is its prediction."""
    average: str | None = None
    threshold: float | None = None
    name: str | None = None


@dataclass(frozen=True)
class ConfusionMatrix(Metric):
    """Counts [K][K]: the row is the target class, the column the class with the largest output.

    `name`: see Metric.

    Args:
        num_classes: K. None: the number of outputs; a single output means two classes, and class 1
            if it is above 0.5."""
    keras_module: ClassVar[str] = "mrdl.metrics"        # Keras has no confusion matrix
    sparse: ClassVar[None] = None
    one_row: ClassVar[bool] = True
    num_classes: int | None = None
    name: str | None = None

    @property
    def vector(self):
        return True

    def check(self, units):
        least = max(units, 2)
        need(self.num_classes is None or self.num_classes >= least, f"ConfusionMatrix: num_classes="
             f"{self.num_classes} must be at least {least}: so many the outputs tell apart")

    def size(self, units):
        return (self.num_classes or max(units, 2)) ** 2

    def state(self, y, t):
        K = self.num_classes or max(len(y), 2)
        found = y.argmax(0) if len(y) > 1 else y[0] > 0.5
        right = t if t.ndim == 1 else t.argmax(0) if len(t) > 1 else t[0] > 0.5
        return np.bincount(right.astype(np.int64) * K + found, minlength=K * K).astype("f8")

    def result(self, state):
        K = math.isqrt(len(state))
        return state.reshape(K, K).astype(np.int64).tolist()
