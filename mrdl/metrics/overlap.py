"""Intersection over union: of the places where a class is predicted or is the target, the share where it is both."""
import math
from dataclasses import dataclass

import numpy as np

from mrdl.config import ConfigError, need
from mrdl.metrics.metric import Metric, ratio


@dataclass(frozen=True)
class Overlap(Metric):
    """The mean over classes of tp / (tp + fp + fn); classes that are neither predicted nor a target are left out. Its state is the
    confusion matrix, so it is merged exactly.

    Targets or predictions that are no class numbers below the number of classes are left out.

    `name`: see Metric."""
    # some have a field in the place of these; without a type, they are no fields of all
    threshold = ignore_class = None
    sparse_y_true = True

    def __post_init__(self):
        super().__post_init__()
        name, ids = type(self).__name__, self.chosen
        need(self.num_classes > 0, f"{name}: num_classes={self.num_classes} must be above 0")
        need(ids and all(0 <= i < self.num_classes for i in ids),
             f"{name}: target_class_ids={ids} must be numbers from 0 to {self.num_classes - 1}")

    @classmethod
    def from_config(cls, config):
        """Keras writes the type of its counts: int32."""
        return super().from_config({key: value for key, value in config.items() if key != "dtype"})

    @property
    def chosen(self) -> list[int]:
        """The numbers of the classes to take the mean over."""
        return list(getattr(self, "target_class_ids", range(self.num_classes)))

    @property
    def sparse(self):
        return True if self.sparse_y_true and not self.sparse_y_pred else None

    def size(self, units):
        return self.num_classes ** 2

    def state(self, y, t):
        K = self.num_classes
        found = (y if self.sparse_y_pred else y.argmax(-2)) if self.threshold is None else y >= self.threshold
        right = t if self.sparse_y_true or t.ndim < y.ndim else t.argmax(-2)
        if found.size != right.size:
            raise ConfigError(f"{type(self).__name__}: {right.size} targets do not fit {found.size} predictions")
        found, right = (np.nan_to_num(a.astype("f8"), nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.int64).reshape(-1) for a in (found, right))
        known = (found >= 0) & (found < K) & (right >= 0) & (right < K)
        if self.ignore_class is not None:
            known &= right != self.ignore_class
        return np.bincount(right[known] * K + found[known], minlength=K * K).astype("f8")

    def result(self, state):
        K = math.isqrt(len(state))
        matrix = state.reshape(K, K)
        tp = matrix.diagonal()
        whole = (matrix.sum(0) + matrix.sum(1) - tp)[self.chosen]
        return ratio(ratio(tp[self.chosen], whole).sum(), np.float64((whole > 0).sum()))


@dataclass(frozen=True)
class IoU(Overlap):
    """Intersection over union, tp / (tp + fp + fn): the mean over some classes. Targets are class numbers.

    Classes that are neither predicted nor a target are left out, as are numbers outside the classes.

    `name`: see Metric.

    Args:
        num_classes: the number of classes, above 0.
        target_class_ids: the numbers of the classes to take the mean over.
        ignore_class: the number of a target class that does not count. None: all count.
        sparse_y_true: whether targets are class numbers. False: the place of the largest is the class.
        sparse_y_pred: whether outputs are class numbers. False: the place of the largest is the class."""
    num_classes: int
    target_class_ids: tuple[int, ...]
    name: str | None = None
    ignore_class: int | None = None
    sparse_y_true: bool = True
    sparse_y_pred: bool = True


@dataclass(frozen=True)
class MeanIoU(Overlap):
    """Intersection over union, tp / (tp + fp + fn): the mean over all classes. Targets are class numbers.

    Classes that are neither predicted nor a target are left out, as are numbers outside the classes.

    `name`: see Metric.

    Args:
        num_classes: the number of classes, above 0.
        ignore_class: the number of a target class that does not count. None: all count.
        sparse_y_true: whether targets are class numbers. False: the place of the largest is the class.
        sparse_y_pred: whether outputs are class numbers. False: the place of the largest is the class."""
    num_classes: int
    name: str | None = None
    ignore_class: int | None = None
    sparse_y_true: bool = True
    sparse_y_pred: bool = True


@dataclass(frozen=True)
class OneHotIoU(Overlap):
    """Intersection over union, tp / (tp + fp + fn): the mean over some classes. Targets are one-hot, or class numbers.

    Classes that are neither predicted nor a target are left out.

    `name`: see Metric.

    Args:
        num_classes: the number of classes, above 0.
        target_class_ids: the numbers of the classes to take the mean over.
        ignore_class: the number of a target class that does not count. None: all count.
        sparse_y_pred: whether outputs are class numbers. False: the place of the largest is the class."""
    sparse_y_true = False
    num_classes: int
    target_class_ids: tuple[int, ...]
    name: str | None = None
    ignore_class: int | None = None
    sparse_y_pred: bool = False


@dataclass(frozen=True)
class OneHotMeanIoU(Overlap):
    """Intersection over union, tp / (tp + fp + fn): the mean over all classes. Targets are one-hot, or class numbers.

    Classes that are neither predicted nor a target are left out.

    `name`: see Metric.

    Args:
        num_classes: the number of classes, above 0.
        ignore_class: the number of a target class that does not count. None: all count.
        sparse_y_pred: whether outputs are class numbers. False: the place of the largest is the class."""
    sparse_y_true = False
    num_classes: int
    name: str | None = None
    ignore_class: int | None = None
    sparse_y_pred: bool = False


@dataclass(frozen=True)
class BinaryIoU(Overlap):
    """Intersection over union, tp / (tp + fp + fn), of outputs that mean class 1 from the threshold on, else class 0.

    Targets are 0 or 1.

    `name`: see Metric.

    Args:
        target_class_ids: the numbers of the classes to take the mean over: (0, 1), (0,) or (1,).
        threshold: outputs of at least this much mean 1."""
    num_classes = 2
    sparse_y_pred = True
    target_class_ids: tuple[int, ...] = (0, 1)
    threshold: float = 0.5
    name: str | None = None
