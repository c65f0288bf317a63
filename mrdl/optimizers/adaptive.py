"""Optimizers that divide each weight's step by the size of its gradients so far."""
from typing import Any, ClassVar

from mrdl.config import need
from mrdl.optimizer import Optimizer, rated


@rated
class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g^2; step = rate g / sqrt(v + epsilon); w -= step (Hinton 2012).

    With momentum, m = momentum m + step and w -= m. If it is centered, the square of the mean of g is subtracted from v in
    the divisor (Graves 2013). The state has a vector for v, one for m and one for that mean, where there are these. The other arguments: see Optimizer.

    Args:
        rho: the share of the old mean square v, and of the old mean, that is kept, at least 0 and below 1.
        momentum: the share of the last step that is added to this one, at least 0 and below 1.
        epsilon: keeps the divisor above 0; 0 or more.
        centered: whether the divisor is the gradient's standard deviation, instead of its root mean square."""
    squares: ClassVar[int | None] = 0
    shares: ClassVar[tuple[str, ...]] = ("rho", "momentum")
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    @property
    def rule(self) -> str:
        return "rmsprop" + "_centered" * self.centered + "_momentum" * (self.momentum != 0)

    @property
    def slots(self) -> int:
        return 1 + self.centered + (self.momentum != 0)

    def numbers(self, rate, t):
        return rate, self.rho, self.epsilon, *[self.momentum] * (self.momentum != 0)


@rated
class Ftrl(Optimizer):
    """v' = v + g^2; z += g + 2 l2_shrinkage w - (sqrt(v') - sqrt(v)) / rate w;
    w = (clip(z, -l1, l1) - z) / (sqrt(v') / rate + 2 l2 + beta / rate) (McMahan et al. 2013).

    Its weights follow from its state, so that many can be exactly 0 with l1. The other arguments: see Optimizer.

    Args:
        initial_accumulator_value: the initial value of v, 0 or more.
        l1_regularization_strength: l1, 0 or more.
        l2_regularization_strength: l2, 0 or more.
        l2_shrinkage_regularization_strength: the penalty that is added to the gradient alone, 0 or more.
        beta: added to the square root in the divisor, 0 or more."""
    rule: ClassVar[str] = "ftrl"
    slots: ClassVar[int] = 2
    fixed: ClassVar[dict[str, Any]] = {"learning_rate_power": -0.5}
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        for key in ("l1_regularization_strength", "l2_regularization_strength", "l2_shrinkage_regularization_strength", "beta"):
            need(getattr(self, key) >= 0, f"Ftrl: {key} must be 0 or more")

    def start(self, weights):
        slots = super().start(weights)
        slots[0] = self.initial_accumulator_value
        return slots

    def numbers(self, rate, t):
        rate = max(rate, 1e-30)                 # at 0, Keras divides by it
        return (rate, self.l1_regularization_strength, 2 * self.l2_regularization_strength + self.beta / rate,
                2 * self.l2_shrinkage_regularization_strength)


@rated
class Adagrad(Optimizer):
    """v += g^2; w -= rate g / sqrt(v + epsilon) (Duchi et al. 2011).

    The other arguments: see Optimizer.

    Args:
        initial_accumulator_value: the initial value of v, 0 or more.
        epsilon: keeps the divisor above 0; 0 or more."""
    rule: ClassVar[str] = "adagrad"
    squares: ClassVar[int | None] = 0
    slots: ClassVar[int] = 1
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    @property
    def initial(self) -> float:
        return self.initial_accumulator_value

    def numbers(self, rate, t):
        return rate, self.epsilon


@rated
class Adadelta(Optimizer):
    """v = rho v + (1 - rho) g^2; step = g sqrt(u + epsilon) / sqrt(v + epsilon);
    u = rho u + (1 - rho) step^2; w -= rate step (Zeiler 2012).

    The other arguments: see Optimizer.

    Args:
        rho: the share of the old mean squares u and v that is kept, at least 0 and below 1.
        epsilon: keeps the divisor above 0, and makes the first step larger than 0; 0 or more."""
    rule: ClassVar[str] = "adadelta"
    squares: ClassVar[int | None] = 0
    slots: ClassVar[int] = 2
    shares: ClassVar[tuple[str, ...]] = ("rho",)
    rho: float = 0.95
    epsilon: float = 1e-7

    def numbers(self, rate, t):
        return rate, self.rho, self.epsilon
