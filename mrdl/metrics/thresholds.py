"""Metrics from counts of outputs above thresholds: true and false positives and negatives, areas, one rate at another."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.metrics.metric import Metric, check_counted, labels, ratio


@dataclass(frozen=True)
class Count(Metric):
    """How many outputs are of one kind, by whether they are above the threshold and whether their target is 0.

    Class numbers count as one-hot targets.

    `name`: see Metric.

    Args:
        thresholds: one threshold for outputs, from 0 to 1. None: 0.5."""
    sparse: ClassVar[None] = None
    positive: ClassVar[bool] = True             # counts outputs above the threshold, else those that are not
    right: ClassVar[bool] = True                # counts those of which that is true, else those of which it is false
    thresholds: float | None = None
    name: str | None = None

    @property
    def rising(self):
        return self.right

    def check(self, units):
        check_counted(self, units)

    def state(self, y, t):
        above = y > (0.5 if self.thresholds is None else self.thresholds)
        counted = above if self.positive else ~above
        return np.array([(counted & ((labels(y, t) != 0) == (self.positive == self.right))).sum()], "f8")

    def result(self, state):
        return float(state[0])


@dataclass(frozen=True)
class TruePositives(Count):
    """How many outputs above the threshold have a target that is not 0.

    `thresholds`: see mrdl.metrics.thresholds.Count; `name`: see Metric."""


@dataclass(frozen=True)
class FalsePositives(Count):
    """How many outputs above the threshold have the target 0.

    `thresholds`: see mrdl.metrics.thresholds.Count; `name`: see Metric."""
    right: ClassVar[bool] = False


@dataclass(frozen=True)
class TrueNegatives(Count):
    """How many outputs that are not above the threshold have the target 0.

    `thresholds`: see mrdl.metrics.thresholds.Count; `name`: see Metric."""
    positive: ClassVar[bool] = False


@dataclass(frozen=True)
class FalseNegatives(Count):
    """How many outputs that are not above the threshold have a target that is not 0.

    `thresholds`: see mrdl.metrics.thresholds.Count; `name`: see Metric."""
    positive: ClassVar[bool] = False
    right: ClassVar[bool] = False


@dataclass(frozen=True)
class Curve(Metric):
    """What `num_thresholds` evenly spaced thresholds come to. Its state counts the outputs between each two of them: those whose
    target is not 0, then those whose target is 0. So it is merged exactly."""
    sparse: ClassVar[None] = None

    def __post_init__(self):
        super().__post_init__()
        need(self.num_thresholds > 1, f"{type(self).__name__}: num_thresholds={self.num_thresholds} must be above 1")

    def size(self, units):
        return 2 * self.num_thresholds

    def counts(self, y: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The state of float32 outputs, and of whether their targets are not 0."""
        n = self.num_thresholds
        y = np.nan_to_num(np.clip(y, 0, 1))                     # NaN becomes 0, which is above no threshold
        bucket = np.maximum(np.ceil(y * np.float32(n - 1)).astype(np.int64) - 1, 0)
        return np.concatenate([np.bincount(bucket[chosen], minlength=n) for chosen in (label, ~label)]
                              ).astype("f8")

    def above(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True and false positives at each threshold."""
        return tuple(state.reshape(2, -1)[:, ::-1].cumsum(1)[:, ::-1])


@dataclass(frozen=True)
class AUC(Curve):
    """The area under the ROC or precision-recall curve, from `num_thresholds` evenly spaced thresholds.

    ROC: true positive rate over false positive rate. PR: precision over recall, by default
    interpolated after Davis and Goadrich (The relationship between precision-recall and ROC curves,
    2006). All outputs are counted together.

    `name`: see Metric.

    Args:
        num_thresholds: the number of thresholds, above 1. 200, as in Keras.
        curve: "ROC" or "PR".
        summation_method: the height between two thresholds: "interpolation": the mean (for PR see
            above); "minoring": the smaller; "majoring": the larger.
        from_logits: whether outputs are logits, to which a sigmoid is applied."""
    num_thresholds: int = 200
    curve: str = "ROC"
    summation_method: str = "interpolation"
    name: str | None = None
    from_logits: bool = False

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "curve", self.curve.upper())
        object.__setattr__(self, "summation_method", self.summation_method.lower())
        need(self.curve in ("ROC", "PR"), f"AUC: curve={shown(self.curve)} is neither ROC nor PR")
        need(self.summation_method in ("interpolation", "minoring", "majoring"), "AUC: summation_method="
             f"{shown(self.summation_method)} is none of interpolation, minoring, majoring")

    def state(self, y, t):
        label, y = labels(y, t) != 0, y.astype("f4")
        return self.counts(1 / (1 + np.exp(-np.clip(y, -80, 80))) if self.from_logits else y, label)

    def result(self, state):
        tp, fp = self.above(state)
        recall, p = ratio(tp, tp[0] + 0 * tp), tp + fp
        method = self.summation_method
        if self.curve == "PR" and method == "interpolation":
            slope = ratio(tp[:-1] - tp[1:], p[:-1] - p[1:])
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = np.where((p[:-1] > 0) & (p[1:] > 0), np.log(p[:-1] / p[1:]), 0)
            terms = slope * (tp[:-1] - tp[1:] + (tp[1:] - slope * p[1:]) * logs)
            return float(ratio(terms.sum(), tp[0]))
        x, y = (recall, ratio(tp, p)) if self.curve == "PR" else (ratio(fp, fp[0] + 0 * fp), recall)
        heights = {"interpolation": (y[:-1] + y[1:]) / 2, "minoring": np.minimum(y[:-1], y[1:]),
                   "majoring": np.maximum(y[:-1], y[1:])}[method]
        return float(((x[:-1] - x[1:]) * heights).sum())


@dataclass(frozen=True)
class At(Curve):
    """The largest value of one rate at those thresholds at which another rate is large enough; 0 if there is none.

    Of the outputs above a threshold, precision is the share whose target is not 0. Recall, also called sensitivity, is the share
    above it of the outputs whose target is not 0; specificity is the share not above it of those whose target is 0.

    `name`: see Metric."""
    rates: ClassVar[tuple[str, str]] = ("", "")         # that which is sought, and that which must be large enough

    def __post_init__(self):
        super().__post_init__()
        least = self.rates[1]
        need(0 <= getattr(self, least) <= 1, f"{type(self).__name__}: {least}={getattr(self, least)} must be from 0 to 1")

    def check(self, units):
        check_counted(self, units)

    def state(self, y, t):
        label, y = labels(y, t) != 0, y.astype("f4")
        if self.class_id is not None:
            label, y = label[..., self.class_id, :], y[..., self.class_id, :]
        # unlike AUC's, the first threshold is 0 itself: outputs of 0 are above none
        return np.concatenate([self.counts(y[y > 0], label[y > 0]), [label.sum(), (~label).sum()]])

    def size(self, units):
        return super().size(units) + 2

    def result(self, state):
        (tp, fp), (positives, negatives) = self.above(state[:-2]), state[-2:]
        recall = ratio(tp, positives + 0 * tp)
        found = {"precision": ratio(tp, tp + fp), "recall": recall, "sensitivity": recall,
                 "specificity": ratio(negatives - fp, negatives + 0 * fp)}
        sought, least = (found[rate] for rate in self.rates)
        return float(sought[least >= getattr(self, self.rates[1])].max(initial=0.0))


@dataclass(frozen=True)
class SensitivityAtSpecificity(At):
    """The largest sensitivity at a threshold at which specificity is large enough (see mrdl.metrics.thresholds.At).

    `name`: see Metric.

    Args:
        specificity: how large it must be, from 0 to 1.
        num_thresholds: the number of evenly spaced thresholds, above 1.
        class_id: the number of the only output to count. None: all outputs count."""
    rates: ClassVar[tuple[str, str]] = ("sensitivity", "specificity")
    specificity: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str | None = None


@dataclass(frozen=True)
class SpecificityAtSensitivity(At):
    """The largest specificity at a threshold at which sensitivity is large enough (see mrdl.metrics.thresholds.At).

    `name`: see Metric.

    Args:
        sensitivity: how large it must be, from 0 to 1.
        num_thresholds: the number of evenly spaced thresholds, above 1.
        class_id: the number of the only output to count. None: all outputs count."""
    rates: ClassVar[tuple[str, str]] = ("specificity", "sensitivity")
    sensitivity: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str | None = None


@dataclass(frozen=True)
class PrecisionAtRecall(At):
    """The largest precision at a threshold at which recall is large enough (see mrdl.metrics.thresholds.At).

    `name`: see Metric.

    Args:
        recall: how large it must be, from 0 to 1.
        num_thresholds: the number of evenly spaced thresholds, above 1.
        class_id: the number of the only output to count. None: all outputs count."""
    rates: ClassVar[tuple[str, str]] = ("precision", "recall")
    recall: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str | None = None


@dataclass(frozen=True)
class RecallAtPrecision(At):
    """The largest recall at a threshold at which precision is large enough (see mrdl.metrics.thresholds.At).

    `name`: see Metric.

    Args:
        precision: how large it must be, from 0 to 1.
        num_thresholds: the number of evenly spaced thresholds, above 1.
        class_id: the number of the only output to count. None: all outputs count."""
    rates: ClassVar[tuple[str, str]] = ("recall", "precision")
    precision: float
    num_thresholds: int = 200
    class_id: int | None = None
    name: str | None = None
