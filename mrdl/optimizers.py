"""Updaters: Keras's optimisers as descriptions; `block` ties one to a range of the flat vector."""
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul
from types import SimpleNamespace
from typing import ClassVar, NamedTuple

import numpy as np

from mrdl.config import ConfigError, Configured, lookup, need, serialize, typed
from mrdl.kernels import zeros
from mrdl.schedules import SCHEDULES, Schedule


class Now(NamedTuple):
    """What one update takes.

    Args:
        numbers: those of the rule (kernels/optimizers.h), the rate first.
        decay: the share of the weights that decays before it."""
    numbers: tuple[float, ...]
    decay: float


# (now, scale) -> sum of squares of the block's gradient
Step = Callable[[Now, float], float]


@dataclass(frozen=True)
class Optimizer(Configured):
    """What turns gradients into updates of the weights.

    `slots` vectors as long as the weights are its state; they start at `initial` and are averaged.

    Args:
        learning_rate: what a step is multiplied by, 0 or more; or a schedule of mrdl.schedules, or
            its Keras dict. 0.001, of SGD 0.01, as in Keras.
        weight_decay: before each update w -= learning rate * weight_decay * w, of every weight
            (Loshchilov & Hutter 2019). 0 or more. None: no decay; of AdamW 0.004, as in Keras.
        clipnorm: cuts the gradient of each tensor to this norm, above 0. None: no cut.
        clipvalue: cuts each number of the gradient to within -clipvalue..clipvalue, above 0. None:
            no cut.
        global_clipnorm: cuts the gradient of all weights together to this norm, above 0. None: no
            cut. One of the three at most.

    Raises:
        ConfigError: a number is out of its range, or two ways to cut are given."""
    keras_module: ClassVar[str] = "keras.optimizers"
    rule: ClassVar[str] = ""                    # its name in kernels/optimizers.h
    slots: ClassVar[int] = 0
    initial: ClassVar[float] = 0.0
    shares: ClassVar[tuple[str, ...]] = ()      # fields that must be at least 0 and below 1
    learning_rate: object = 0.001
    weight_decay: float | None = field(default=None, kw_only=True)
    clipnorm: float | None = field(default=None, kw_only=True)
    clipvalue: float | None = field(default=None, kw_only=True)
    global_clipnorm: float | None = field(default=None, kw_only=True)

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
        for key in ("epsilon", "weight_decay", "initial_accumulator_value"):
            need((getattr(self, key, 0) or 0) >= 0, f"{name}: {key} must be 0 or more")
        clips = [v for v in (self.clipnorm, self.clipvalue, self.global_clipnorm) if v is not None]
        need(len(clips) < 2, f"{name}: only one of clipnorm, clipvalue and global_clipnorm")
        need(min(clips, default=1) > 0, f"{name}: what to clip to must be above 0")

    def get_config(self):
        config = super().get_config()
        config["learning_rate"] = serialize(self.learning_rate)
        return config

    def rate(self, step: int) -> float:
        """The learning rate of update number `step`, which counts from 0."""
        rate = self.learning_rate
        try:
            return float(rate(step) if isinstance(rate, Schedule) else rate)
        except ArithmeticError:                 # a growing one, beyond what a number holds
            raise ConfigError(f"{type(rate).__name__}: its learning rate is not finite at update {step:,}") from None

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        """What the rule takes at update number `t`, which counts from 1; a function of t alone."""
        raise NotImplementedError           # each updater has its own

    def at(self, step: int, rate_scale: float = 1.0) -> Now:
        """Update number `step`, which counts from 0."""
        rate = self.rate(step) * rate_scale
        return Now(self.numbers(rate, step + 1), rate * (self.weight_decay or 0.0))

    def start(self, weights: np.ndarray) -> np.ndarray:
        """The slots [slots, P] before the first update of weights[P]."""
        slots = zeros((self.slots, len(weights)), weights.dtype)
        if self.initial:
            slots[:] = self.initial
        return slots

    @property
    def clips(self) -> bool:
        """Is a norm wanted before the first update?"""
        return self.clipnorm is not None or self.global_clipnorm is not None

    def block(self, k: SimpleNamespace, w: np.ndarray, g: np.ndarray, slots: np.ndarray) -> Step:
        """The update of one range: w[P], g[P] and slots[slots, P] are its views."""
        update, rule = k.update, self.rule
        clip = math.inf if self.clipvalue is None else self.clipvalue
        return lambda now, scale: update(rule, w, g, slots, now.numbers, now.decay, scale, clip)


@dataclass(frozen=True)
class SGD(Optimizer):
    """w -= rate g; with momentum m = momentum m - rate g, w += m (Polyak 1964), or Nesterov's form
    w += momentum m - rate g (Sutskever et al. 2013).

    The other arguments: see Optimizer.

    Args:
        momentum: how much of the step before goes into this one, at least 0 and below 1. 0.0: none,
            and no state.
        nesterov: whether momentum has Nesterov's form."""
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


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g^2; w -= rate g / sqrt(v + epsilon) (Hinton 2012).

    The other arguments: see Optimizer.

    Args:
        rho: how much of the mean square v of before stays, at least 0 and below 1.
        epsilon: keeps the divisor from 0; 0 or more."""
    rule: ClassVar[str] = "rmsprop"
    slots: ClassVar[int] = 1
    shares: ClassVar[tuple[str, ...]] = ("rho",)
    rho: float = 0.9
    epsilon: float = field(default=1e-7, kw_only=True)      # Keras has `momentum` before it

    def numbers(self, rate, t):
        return rate, self.rho, self.epsilon


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """v += g^2; w -= rate g / sqrt(v + epsilon) (Duchi et al. 2011).

    The other arguments: see Optimizer.

    Args:
        initial_accumulator_value: what v starts at, 0 or more.
        epsilon: keeps the divisor from 0; 0 or more."""
    rule: ClassVar[str] = "adagrad"
    slots: ClassVar[int] = 1
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    @property
    def initial(self) -> float:
        return self.initial_accumulator_value

    def numbers(self, rate, t):
        return rate, self.epsilon


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """v = rho v + (1 - rho) g^2; step = g sqrt(u + epsilon) / sqrt(v + epsilon);
    u = rho u + (1 - rho) step^2; w -= rate step (Zeiler 2012).

    The other arguments: see Optimizer.

    Args:
        rho: how much of the mean squares u and v of before stays, at least 0 and below 1.
        epsilon: keeps the divisor from 0, and lets the first step begin; 0 or more."""
    rule: ClassVar[str] = "adadelta"
    slots: ClassVar[int] = 2
    shares: ClassVar[tuple[str, ...]] = ("rho",)
    rho: float = 0.95
    epsilon: float = 1e-7

    def numbers(self, rate, t):
        return rate, self.rho, self.epsilon


@dataclass(frozen=True)
class Lion(Optimizer):
    """w -= rate sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g (Chen et al. 2023).

    The other arguments: see Optimizer.

    Args:
        beta_1: how much of the mean m counts in a step, above 0 and at most 1.
        beta_2: how much of the mean m of before stays, at least 0 and below 1."""
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


@dataclass(frozen=True)
class Moments(Optimizer):
    """m += (g - m)(1 - beta_1) and v += (g^2 - v)(1 - beta_2), which start at 0: their bias of the first
    updates is corrected by the real number of updates t.

    The other arguments: see Optimizer.

    Args:
        beta_1: how much of the mean m of before stays, at least 0 and below 1.
        beta_2: how much of the mean square v of before stays, of Adamax of the largest; at least 0
            and below 1.
        epsilon: keeps the divisor from 0; 0 or more. 1e-7, as in Keras."""
    slots: ClassVar[int] = 2
    shares: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2")
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def numbers(self, rate, t):
        rate = rate * (1 - self.beta_2 ** t) ** 0.5 / (1 - self.beta_1 ** t)
        return rate, self.beta_1, self.beta_2, self.epsilon


class Maximal:
    """With amsgrad a third slot, the largest v so far, takes the place of v (Reddi et al. 2018)."""

    @property
    def slots(self) -> int:
        return 2 + self.amsgrad

    @property
    def rule(self) -> str:
        return "amsgrad" if self.amsgrad else "adam"


@dataclass(frozen=True)
class Adam(Maximal, Moments):
    """w -= rate m / (sqrt(v) + epsilon), the rate times sqrt(1 - beta_2^t) / (1 - beta_1^t)
    (Kingma & Ba 2015).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer.

    Args:
        amsgrad: whether the largest v so far takes the place of v (Reddi et al. 2018); it is a
            third vector of state."""
    amsgrad: bool = False


@dataclass(frozen=True)
class AdamW(Maximal, Moments):
    """Adam with weight decay (Loshchilov & Hutter 2019).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer.

    Args:
        amsgrad: whether the largest v so far takes the place of v (Reddi et al. 2018); it is a
            third vector of state."""
    weight_decay: float = 0.004                 # Keras has it second of all
    amsgrad: bool = False


@dataclass(frozen=True)
class Adamax(Moments):
    """u = max(beta_2 u, |g|); w -= rate / (1 - beta_1^t) m / (u + epsilon) (Kingma & Ba 2015).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer."""
    rule: ClassVar[str] = "adamax"

    def numbers(self, rate, t):
        return rate / (1 - self.beta_1 ** t), self.beta_1, self.beta_2, self.epsilon


# the product over i = 1..n of 1 - 0.96^i / 2, which no longer changes a double at n = 1000
WARMED = list(accumulate((1 - 0.5 * 0.96 ** i for i in range(1, 1001)), mul, initial=1.0))


@dataclass(frozen=True)
class Nadam(Moments):
    """With u_t = beta_1 (1 - 0.96^t / 2) and U_t their product: w -= rate (u_(t+1) m / (1 - U_(t+1))
    + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon) (Dozat 2016).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer."""
    rule: ClassVar[str] = "nadam"

    def numbers(self, rate, t):
        # Keras keeps U_t as a running product; here it follows from t, as a worker must not remember
        now, after = (self.beta_1 * (1 - 0.5 * 0.96 ** i) for i in (t, t + 1))
        product = self.beta_1 ** t * WARMED[min(t, 1000)]
        return (rate * after / (1 - product * after), rate * (1 - now) / (1 - product), self.beta_1,
                self.beta_2, self.epsilon, 1 / (1 - self.beta_2 ** t))


OPTIMIZERS = [SGD, RMSprop, Adagrad, Adadelta, Lion, Adam, AdamW, Adamax, Nadam]
