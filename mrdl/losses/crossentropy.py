"""Cross-entropies; they are computed together with the output's activation."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import snake
from mrdl.losses.loss import Loss


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
