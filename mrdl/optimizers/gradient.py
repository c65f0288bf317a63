"""Optimizers that step along the gradient or its sign, with a running mean of it."""
from typing import ClassVar

from mrdl.config import need
from mrdl.optimizer import Optimizer, rated


@rated
class SGD(Optimizer):
    """w -= rate g; with momentum m = momentum m - rate g, w += m (Polyak 1964), or Nesterov's form
    w += momentum m - rate g (Sutskever et al. 2013).

    The other arguments: see Optimizer.

    Args:
        momentum: the share of the last step that is added to this one, at least 0 and below 1.
            0.0: no momentum, and no state.
        nesterov: whether to use Nesterov's form of momentum."""
    shares: ClassVar[tuple[str, ...]] = ("momentum",)
    learning_rate: object = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> int:
        return int(self.momentum != 0)

    @property
    def rule(self) -> str:
        return "sgd" if not self.momentum else "nesterov" if self.nesterov else "momentum"

    def numbers(self, rate, t):
        return (rate, self.momentum) if self.momentum else (rate,)


@rated
class Lion(Optimizer):
    """w -= rate sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g (Chen et al. 2023).

    The other arguments: see Optimizer.

    Args:
        beta_1: the share of the mean m in a step, above 0 and at most 1.
        beta_2: the share of the old mean m that is kept, at least 0 and below 1."""
    rule: ClassVar[str] = "lion"
    slots: ClassVar[int] = 1
    shares: ClassVar[tuple[str, ...]] = ("beta_2",)
    beta_1: float = 0.9
    beta_2: float = 0.99

    def __post_init__(self):
        super().__post_init__()
        need(0 < self.beta_1 <= 1, "Lion: beta_1 must be above 0 and at most 1")

    def numbers(self, rate, t):
        return rate, self.beta_1, self.beta_2
