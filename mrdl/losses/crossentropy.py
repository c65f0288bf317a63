"""Cross-entropies; but for the generalized one, they are computed together with the output's activation."""
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, snake
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


@dataclass(frozen=True)
class CategoricalGeneralizedCrossEntropy(Loss):
    """(1 - p^q) / q with p the output of the target class; targets are class numbers, and outputs probabilities. It is less
    misled by wrong labels than the cross-entropy, to which it tends as q tends to 0 (Zhang & Sabuncu 2018).

    Args:
        q: above 0 and below 1; near 1 it is about the absolute error."""
    sparse: ClassVar[bool] = True
    q: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        need(0 < self.q < 1, f"CategoricalGeneralizedCrossEntropy: q={self.q} must be above 0 and below 1")

    def steps(self, outputs):
        return math.prod(outputs[:-1])

    def bind(self, k, z, grad, units, y=None):
        grad, q = np.empty_like(z) if grad is None else grad, self.q

        def compute(t, weight, scale):
            B = len(weight)
            need(bool(((t[:B] >= 0) & (t[:B] < len(z))).all()), f"targets must be class numbers from 0 to {len(z) - 1}")
            own = z[t[:B], np.arange(B)].astype(float).tolist()
            powers, slopes = zip(*((_power(p, q), _power(p, q - 1)) for p in own)) if own else ((), ())
            weight = weight.astype(float)
            grad[:] = 0
            grad[t[:B], np.arange(B)] = np.array(slopes) * weight * -scale
            k.flush(grad)
            return float((weight * (1 - np.array(powers))).sum() / q)
        return compute


def _power(p: float, exponent: float) -> float:
    """By the same function on all machines, unlike NumPy's."""
    return math.nan if not p >= 0 else math.pow(p, exponent) if p else 0.0 if exponent > 0 else math.inf
