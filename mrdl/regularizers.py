"""Penalties on weights, as in Keras: the sum of l1 |w| + l2 w^2 is added to the loss."""
from dataclasses import dataclass
from typing import ClassVar

from mrdl.config import Configured, need, snake


@dataclass(frozen=True)
class Regularizer(Configured):
    """A penalty on a weight, which is added to the loss."""
    keras_module: ClassVar[str] = "keras.regularizers"

    def __post_init__(self):
        super().__post_init__()
        need(min(self.factors) >= 0, f"{type(self).__name__}: its factors must be 0 or more")

    @property
    def factors(self) -> tuple[float, float]:
        """The factors of |w| and of w^2."""
        raise NotImplementedError           # each penalty has its own


@dataclass(frozen=True)
class L1(Regularizer):
    """l1 * sum of |w|.

    Args:
        l1: the factor, 0 or more."""
    l1: float = 0.01

    @property
    def factors(self):
        return self.l1, 0.0


@dataclass(frozen=True)
class L2(Regularizer):
    """l2 * sum of w^2.

    Args:
        l2: the factor, 0 or more."""
    l2: float = 0.01

    @property
    def factors(self):
        return 0.0, self.l2


@dataclass(frozen=True)
class L1L2(Regularizer):
    """l1 * sum of |w| + l2 * sum of w^2.

    Args:
        l1: the factor of |w|, 0 or more.
        l2: the factor of w^2, 0 or more."""
    aliases: ClassVar[tuple[str, ...]] = ("l1_l2",)
    l1: float = 0.0
    l2: float = 0.0

    @property
    def factors(self):
        return self.l1, self.l2


REGULARIZERS = [L1, L2, L1L2]
# Keras's other names of them: l2 and so on
globals().update({snake(cls.__name__): cls for cls in REGULARIZERS})
l1_l2 = L1L2
