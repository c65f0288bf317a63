"""Weights of examples by their class."""
import math

import numpy as np

from mrdl.config import ConfigError, need, shown
from mrdl.training.protocol import LayeredModel


def by_class(class_weight: dict[int, float], y: np.ndarray) -> np.ndarray:
    """The weight of each example's class, 1 for classes without a weight. If y has vectors (one-hot), the class is the
    position of the largest value."""
    y = y.reshape(len(y), -1)
    labels = y.argmax(1) if y.shape[1] > 1 else np.rint(y[:, 0])
    weights = np.ones(len(y))
    for label, weight in class_weight.items():
        weights[labels == label] = weight
    return weights


def check_class_weight(class_weight: dict | None, model: LayeredModel | None = None, largest: float | None = None) -> None:
    """Raises ConfigError if class_weight does not map class numbers to weights, or does not fit the model, which must
    be built.

    `largest`: the largest label, if labels are class numbers."""
    if not class_weight:
        return
    try:
        ok = all(int(k) == float(k) >= 0 and 0 <= float(v) < math.inf for k, v in class_weight.items())
    except (TypeError, ValueError, AttributeError, OverflowError):
        ok = False
    need(ok, f"class_weight={shown(class_weight)} must be a dict of class numbers and their weights")
    if model is None:
        return
    need(len(model.output_names()) == 1, "class_weight is for models of one output")
    need(len(model.output_shape) < 2, "class_weight needs one class per example; this model's outputs are sequences")
    classes = model.output_shape[0] if model.output_shape else 1
    if classes == 1:                        # labels are class numbers; for some losses they are only 0 and 1
        classes = 2 if model.loss.high == 1 else None if largest is None else int(np.rint(largest)) + 1
    odd = [int(label) for label in class_weight if classes is not None and int(label) >= classes]
    if odd:
        raise ConfigError(f"class_weight: there is no class {odd[0]}; there are 0 to {classes - 1}")
