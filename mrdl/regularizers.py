"""Penalties on weights: l1 |w| + l2 w^2, summed and added to the loss, as in Keras."""
from dataclasses import dataclass
from typing import ClassVar

from mrdl.config import Configured


@dataclass(frozen=True)
class L1(Configured):
    keras_module: ClassVar[str] = "keras.regularizers"
    l1: float = 0.01

    @property
    def factors(self) -> tuple[float, float]:
        return float(self.l1), 0.0


@dataclass(frozen=True)
class L2(Configured):
    keras_module: ClassVar[str] = "keras.regularizers"
    l2: float = 0.01

    @property
    def factors(self) -> tuple[float, float]:
        return 0.0, float(self.l2)


@dataclass(frozen=True)
class L1L2(Configured):
    keras_module: ClassVar[str] = "keras.regularizers"
    aliases: ClassVar[tuple[str, ...]] = ("l1_l2",)
    l1: float = 0.0
    l2: float = 0.0

    @property
    def factors(self) -> tuple[float, float]:
        return float(self.l1), float(self.l2)


REGULARIZERS = [L1, L2, L1L2]
