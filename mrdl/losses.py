"""Losses, by Keras's names: each is computed together with the output activation it is stable with."""
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from mrdl.config import Configured, need, shown

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Loss(Configured):
    """`activation` is the output activation that the loss contains; None: it takes any output."""
    keras_module: ClassVar[str] = "keras.losses"
    activation: ClassVar[str | None] = None
    sparse: ClassVar[bool] = False              # targets are class numbers, not vectors
    fixed: ClassVar[dict[str, Any]] = {"reduction": "sum_over_batch_size", "axis": -1}
    kernel: ClassVar[str] = ""

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
        need(self.activation != "softmax" or len(outputs) == 1,
             f"{name} takes one row of outputs, not the shape {shown(outputs)}")
        if self.sparse:
            need(target in ((), (1,)), f"{name} takes one class number an example, not targets of "
                 f"shape {shown(target)}; for one-hot targets use categorical_crossentropy")
        else:
            hint = ("; for class numbers use sparse_categorical_crossentropy"
                    if target == () and self.activation == "softmax" else "")
            need(given == units,
                 f"the model gives {units} values an example, the targets have {given}{hint}")

    def bind(self, k: SimpleNamespace, z: np.ndarray, grad: np.ndarray | None):
        """-> (y[C, N], compute(t, weight, scale) -> the sum of weight * loss; fills grad)."""
        grad = np.empty_like(z) if grad is None else grad
        function = getattr(k, self.kernel)
        if self.activation is None:
            return z, lambda t, weight, scale: function(z, t, weight, scale, grad)
        y = np.empty_like(z)
        return y, lambda t, weight, scale: function(z, t, weight, scale, y, grad)


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """-log of the probability of the target class; targets are class numbers."""
    activation: ClassVar[str] = "softmax"
    sparse: ClassVar[bool] = True
    kernel: ClassVar[str] = "sparse_categorical_crossentropy"
    from_logits: bool = False


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """-sum of t log y; targets are one-hot or other distributions."""
    activation: ClassVar[str] = "softmax"
    kernel: ClassVar[str] = "categorical_crossentropy"
    from_logits: bool = False


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """Mean over outputs of -t log y - (1 - t) log(1 - y)."""
    activation: ClassVar[str] = "sigmoid"
    kernel: ClassVar[str] = "binary_crossentropy"
    aliases: ClassVar[tuple[str, ...]] = ("bce",)
    from_logits: bool = False


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean over outputs of (y - t)^2."""
    kernel: ClassVar[str] = "mean_squared_error"
    aliases: ClassVar[tuple[str, ...]] = ("mse",)


LOSSES = [SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy,
          MeanSquaredError]
