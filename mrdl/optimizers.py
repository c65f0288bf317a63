"""Updaters: Keras's optimisers as descriptions; `block` ties one to a range of the flat vector."""
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from mrdl.config import Configured, lookup, need, serialize, typed
from mrdl.schedules import SCHEDULES, Schedule

# (rate, scale) -> sum of squares of the block's gradient
Step = Callable[[float, float], float]


@dataclass(frozen=True)
class Optimizer(Configured):
    """`slots` vectors as long as the weights are its state; they start at 0 and are averaged."""
    keras_module: ClassVar[str] = "keras.optimizers"
    slots: ClassVar[int] = 0
    shares: ClassVar[tuple[str, ...]] = ()      # fields that must be at least 0 and below 1

    def __post_init__(self):
        super().__post_init__()
        name, rate = type(self).__name__, self.learning_rate
        if isinstance(rate, dict):
            rate = lookup(rate, SCHEDULES, "learning-rate schedule")
        elif not isinstance(rate, Schedule):
            rate = typed(rate, float, f"{name}: learning_rate")
            need(rate >= 0, f"{name}: learning_rate must be 0 or more")
        object.__setattr__(self, "learning_rate", rate)
        for key in self.shares:
            need(0 <= getattr(self, key) < 1, f"{name}: {key} must be at least 0 and below 1")
        need(getattr(self, "epsilon", 0) >= 0, f"{name}: epsilon must be 0 or more")
        clips = [v for v in (self.clipnorm, self.global_clipnorm) if v is not None]
        need(len(clips) < 2, f"{name}: clipnorm or global_clipnorm, not both")
        need(min(clips, default=1) > 0, f"{name}: the norm to clip to must be above 0")

    def get_config(self):
        config = super().get_config()
        config["learning_rate"] = serialize(self.learning_rate)
        return config

    def rate(self, step: int) -> float:
        """The learning rate of update number `step`, which counts from 0."""
        rate = self.learning_rate
        return float(rate(step) if isinstance(rate, Schedule) else rate)

    @property
    def clips(self) -> bool:
        return self.clipnorm is not None or self.global_clipnorm is not None

    def block(self, k: SimpleNamespace, w: np.ndarray, g: np.ndarray, slots: list) -> Step:
        """The update of one range: w, g and slots are its views."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with classical or Nesterov momentum."""
    shares: ClassVar[tuple[str, ...]] = ("momentum",)
    learning_rate: object = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    clipnorm: float | None = None
    global_clipnorm: float | None = None

    @property
    def slots(self) -> int:
        return int(self.momentum != 0)

    def block(self, k, w, g, slots):
        if not self.momentum:
            return lambda rate, scale: k.sgd(w, g, rate, scale)
        rule, (m,), momentum = (k.nesterov if self.nesterov else k.momentum), slots, self.momentum
        return lambda rate, scale: rule(w, g, m, rate, momentum, scale)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Gradients divided by the root of their moving mean square."""
    slots: ClassVar[int] = 1
    shares: ClassVar[tuple[str, ...]] = ("rho",)
    learning_rate: object = 0.001
    rho: float = 0.9
    epsilon: float = 1e-7
    clipnorm: float | None = None
    global_clipnorm: float | None = None

    def block(self, k, w, g, slots):
        rule, (v,), rho, epsilon = k.rmsprop, slots, self.rho, self.epsilon
        return lambda rate, scale: rule(w, g, v, rate, rho, epsilon, scale)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Moments of the gradient with bias correction by the real number of updates."""
    slots: ClassVar[int] = 2
    shares: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2")
    learning_rate: object = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    clipnorm: float | None = None
    global_clipnorm: float | None = None

    def rate(self, step):
        t = step + 1
        return super().rate(step) * (1 - self.beta_2 ** t) ** 0.5 / (1 - self.beta_1 ** t)

    def block(self, k, w, g, slots):
        rule, (m, v), b1, b2, epsilon = k.adam, slots, self.beta_1, self.beta_2, self.epsilon
        return lambda rate, scale: rule(w, g, m, v, rate, b1, b2, epsilon, scale)


OPTIMIZERS = [SGD, RMSprop, Adam]
