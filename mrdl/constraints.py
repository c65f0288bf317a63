"""Constraints on weights, which are enforced after each update, as in Keras.

Tensors have Keras's shapes; norms run over `axis`: 0 for a Dense kernel, [0, 1, 2] for a filter.
Averaging: if the weights of all workers are non-negative, or have norms of at most `max_value`, so
has their mean. Unit norms and smallest norms are lost in a mean; the next update restores them."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import Configured, need, shown, snake, typed

EPSILON = 1e-7                  # as in Keras, added to each norm before dividing by it


@dataclass(frozen=True)
class Constraint(Configured):
    """A constraint on a weight, enforced after each update.

    Args:
        axis: the axes that a norm runs over, in Keras's shape of the tensor. With 0, each unit of
            a Dense kernel has its own norm; with [0, 1, 2], each filter of a convolution."""
    keras_module: ClassVar[str] = "keras.constraints"

    def __post_init__(self):
        super().__post_init__()
        if hasattr(self, "axis"):
            where = f"{type(self).__name__}: axis"
            several = isinstance(self.axis, (list, tuple))
            axis = typed(self.axis, tuple[int, ...] if several else int, where)
            need(axis != (), f"{where} must name an axis")
            object.__setattr__(self, "axis", axis)

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises ConfigError if a tensor of this shape does not have the axes."""
        axes = getattr(self, "axis", ())
        axes = axes if isinstance(axes, tuple) else (axes,)
        need(all(-len(shape) <= a < len(shape) for a in axes)
             and len({a % len(shape) for a in axes}) == len(axes),
             f"{type(self).__name__}: axis={shown(getattr(self, 'axis', None))} does not fit the {name} of "
             f"shape {shown(shape)}")

    def apply(self, w: np.ndarray) -> None:
        """Enforces the constraint on w, in place."""
        norms = np.sqrt(np.square(w).sum(self.axis, keepdims=True))
        w *= self.wanted(norms) / (norms + w.dtype.type(EPSILON))

    def wanted(self, norms: np.ndarray) -> np.ndarray:
        """The norms that replace these norms."""
        raise NotImplementedError           # each constraint has its own


@dataclass(frozen=True)
class MaxNorm(Constraint):
    """w * min(|w|, max_value) / (|w| + 1e-7) (Srebro & Shraibman 2005).

    `axis`: see Constraint.

    Args:
        max_value: the largest norm, 0 or more."""
    max_value: float = 2.0
    axis: object = 0

    def __post_init__(self):
        super().__post_init__()
        need(self.max_value >= 0, f"MaxNorm: max_value={self.max_value} must be 0 or more")

    def wanted(self, norms):
        return np.minimum(norms, norms.dtype.type(self.max_value))


@dataclass(frozen=True)
class NonNeg(Constraint):
    """max(w, 0)."""

    def apply(self, w):
        np.maximum(w, 0, out=w)


@dataclass(frozen=True)
class UnitNorm(Constraint):
    """w / (|w| + 1e-7).

    `axis`: see Constraint."""
    axis: object = 0

    def wanted(self, norms):
        return np.ones_like(norms)


@dataclass(frozen=True)
class MinMaxNorm(Constraint):
    """w * (rate * clip(|w|, min_value, max_value) + (1 - rate) |w|) / (|w| + 1e-7).

    `axis`: see Constraint.

    Args:
        min_value: the smallest norm, 0 or more.
        max_value: the largest norm, min_value or more.
        rate: how far each update moves the norm into the range, from 0 to 1. 1.0: completely."""
    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: object = 0

    def __post_init__(self):
        super().__post_init__()
        need(0 <= self.min_value <= self.max_value,
             "MinMaxNorm: needs 0 <= min_value <= max_value")
        need(0 <= self.rate <= 1, f"MinMaxNorm: rate={self.rate} must be between 0 and 1")

    def wanted(self, norms):
        real = norms.dtype.type
        near = np.clip(norms, real(self.min_value), real(self.max_value))
        return real(self.rate) * near + real(1 - self.rate) * norms


CONSTRAINTS = [MaxNorm, UnitNorm, NonNeg, MinMaxNorm]
# Keras's other names of them: max_norm and so on
globals().update({snake(cls.__name__): cls for cls in CONSTRAINTS})
