"""Updaters: Keras's optimizers, as descriptions; `block` binds one to a range of the flat vector."""
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
    """The numbers for one update.

    Args:
        numbers: the numbers that the rule needs (kernels/optimizers.h), the rate first.
        decay: the share of each weight that is subtracted before the update (weight decay)."""
    numbers: tuple[float, ...]
    decay: float


# (now, scale) -> sum of squares of the block's gradient
Step = Callable[[Now, float], float]


@dataclass(frozen=True)
class Optimizer(Configured):
    """Turns gradients into updates of the weights.

    Its state is `slots` vectors, each as long as the weights; they start at `initial`, and rounds average them.

    Args:
        learning_rate: factor of each step, 0 or more; or a schedule of mrdl.schedules, or its
            Keras dict. The default is 0.001 (for SGD 0.01), as in Keras.
        weight_decay: before each update, w -= learning rate * weight_decay * w, for all weights
            (Loshchilov & Hutter 2019). 0 or more. None: no decay. (AdamW: 0.004, as in Keras.)
        clipnorm: clips the gradient of each tensor to this norm, above 0. None: no clipping.
        clipvalue: clips each number of the gradient to -clipvalue..clipvalue, above 0. None: no
            clipping.
        global_clipnorm: clips the gradient of all weights together to this norm, above 0. None:
            no clipping. At most one of the three may be given.

    Raises:
        ConfigError: a number is out of its range, or more than one kind of clipping is given."""
    keras_module: ClassVar[str] = "keras.optimizers"
    rule: ClassVar[str] = ""                    # the rule's name in kernels/optimizers.h
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
        need(len(clips) < 2, f"{name}: give only one of clipnorm, clipvalue and global_clipnorm")
        need(min(clips, default=1) > 0, f"{name}: the norm or value to clip to must be above 0")

    def get_config(self):
        config = super().get_config()
        config["learning_rate"] = serialize(self.learning_rate)
        return config

    def rate(self, step: int) -> float:
        """The learning rate of update number `step`, counted from 0."""
        rate = self.learning_rate
        try:
            return float(rate(step) if isinstance(rate, Schedule) else rate)
        except ArithmeticError:                 # a growing rate that overflows
            raise ConfigError(f"{type(rate).__name__}: its learning rate is not finite at update {step:,}") from None

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        """The numbers for the rule at update number `t`, counted from 1; they depend only on t."""
        raise NotImplementedError           # each updater has its own

    def at(self, step: int, rate_scale: float = 1.0) -> Now:
        """The numbers for update number `step`, counted from 0."""
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
        """Is a norm of the gradient needed before the first update?"""
        return self.clipnorm is not None or self.global_clipnorm is not None

    @property
    def descends(self) -> bool:
        """Is an update w -= rate g, and nothing else?"""
        return self.rule == "sgd" and not (self.clips or self.clipvalue is not None or self.weight_decay)

    def block(self, k: SimpleNamespace, w: np.ndarray, g: np.ndarray, slots: np.ndarray) -> Step:
        """Binds the updater to one range: w[P], g[P] and slots[slots, P] are views of it."""
        update, rule = k.update, self.rule
        clip = math.inf if self.clipvalue is None else self.clipvalue
        return lambda now, scale: update(rule, w, g, slots, now.numbers, now.decay, scale, clip)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g^2; w -= rate g / sqrt(v + epsilon) (Hinton 2012).

    The other arguments: see Optimizer.

    Args:
        rho: the share of the old mean square v that is kept, at least 0 and below 1.
        epsilon: keeps the divisor above 0; 0 or more."""
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
        initial_accumulator_value: the initial value of v, 0 or more.
        epsilon: keeps the divisor above 0; 0 or more."""
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
        rho: the share of the old mean squares u and v that is kept, at least 0 and below 1.
        epsilon: keeps the divisor above 0, and makes the first step larger than 0; 0 or more."""
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


@dataclass(frozen=True)
class Moments(Optimizer):
    """m += (g - m)(1 - beta_1) and v += (g^2 - v)(1 - beta_2). Both start at 0; the bias that this causes in
    the first updates is corrected by the real number of updates, t.

    The other arguments: see Optimizer.

    Args:
        beta_1: the share of the old mean m that is kept, at least 0 and below 1.
        beta_2: the share of the old mean square v (Adamax: of the old maximum) that is kept, at
            least 0 and below 1.
        epsilon: keeps the divisor above 0; 0 or more. 1e-7, as in Keras."""
    slots: ClassVar[int] = 2
    shares: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2")
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def numbers(self, rate, t):
        rate = rate * (1 - self.beta_2 ** t) ** 0.5 / (1 - self.beta_1 ** t)
        return rate, self.beta_1, self.beta_2, self.epsilon


class Maximal:
    """With amsgrad, the largest v so far is used instead of v; it is a third slot (Reddi et al. 2018)."""

    @property
    def slots(self) -> int:
        return 2 + self.amsgrad

    @property
    def rule(self) -> str:
        return "amsgrad" if self.amsgrad else "adam"


@dataclass(frozen=True)
class Adam(Maximal, Moments):
    """w -= r m / (sqrt(v) + epsilon), with r = rate sqrt(1 - beta_2^t) / (1 - beta_1^t)
    (Kingma & Ba 2015).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer.

    Args:
        amsgrad: whether to use the largest v so far instead of v (Reddi et al. 2018); the state
            then has a third vector."""
    amsgrad: bool = False


@dataclass(frozen=True)
class AdamW(Maximal, Moments):
    """Adam with weight decay (Loshchilov & Hutter 2019).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer.

    Args:
        amsgrad: whether to use the largest v so far instead of v (Reddi et al. 2018); the state
            then has a third vector."""
    weight_decay: float = 0.004                 # in Keras it is the second argument
    amsgrad: bool = False


@dataclass(frozen=True)
class Adamax(Moments):
    """u = max(beta_2 u, |g|); w -= rate / (1 - beta_1^t) m / (u + epsilon) (Kingma & Ba 2015).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer."""
    rule: ClassVar[str] = "adamax"

    def numbers(self, rate, t):
        return rate / (1 - self.beta_1 ** t), self.beta_1, self.beta_2, self.epsilon


# the product over i = 1..n of 1 - 0.96^i / 2; from n = 1000 on it does not change in float64
WARMED = list(accumulate((1 - 0.5 * 0.96 ** i for i in range(1, 1001)), mul, initial=1.0))


@dataclass(frozen=True)
class Nadam(Moments):
    """With u_t = beta_1 (1 - 0.96^t / 2) and U_t their product: w -= rate (u_(t+1) m / (1 - U_(t+1))
    + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon) (Dozat 2016).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer."""
    rule: ClassVar[str] = "nadam"

    def numbers(self, rate, t):
        # Keras keeps U_t as a running product. Here it is computed from t, because workers keep no memory between rounds
        now, after = (self.beta_1 * (1 - 0.5 * 0.96 ** i) for i in (t, t + 1))
        product = self.beta_1 ** t * WARMED[min(t, 1000)]
        return (rate * after / (1 - product * after), rate * (1 - now) / (1 - product), self.beta_1,
                self.beta_2, self.epsilon, 1 / (1 - self.beta_2 ** t))


OPTIMIZERS = [SGD, RMSprop, Adagrad, Adadelta, Lion, Adam, AdamW, Adamax, Nadam]
