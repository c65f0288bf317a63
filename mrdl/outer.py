"""Outer updaters: what rounds make of the averaged change of the weights.

A round broadcasts weights w, workers train, and the mean of their weights is w + change. Plain averaging
takes that mean. An outer updater treats -change as the gradient of one more descent, whose steps are
rounds (FedOpt: Reddi et al. 2021). Only the driver applies it, so that workers know nothing of it, but with Elastic."""
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from mrdl import kernels
from mrdl.config import Configured, described, lookup, need

CHUNK = 1 << 15                 # values that are updated at once, so that their float64 copies stay in the cache


@dataclass(frozen=True)
class OuterUpdater(Configured):
    """A rule for the averaged change. Its state is `slots` vectors as long as the weights, which start at 0.

    Args:
        learning_rate: the factor of a step, above 0."""
    keras_module: ClassVar[str] = "mrdl.outer"
    slots: ClassVar[int] = 1
    shares: ClassVar[tuple[str, ...]] = ()      # fields that must be at least 0 and below 1
    weighs: ClassVar[bool] = False              # is each weight averaged by what workers know of it (mrdl.rounds.confidence)?
    pull: ClassVar[float | None] = 0.0          # the share of its way from the broadcast that a worker is pulled back; 0: it begins there anew
    learning_rate: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        name = type(self).__name__
        need(self.learning_rate > 0, f"outer {name}: learning_rate must be above 0")
        for key in self.shares:
            value = getattr(self, key)
            need(value is None or 0 <= value < 1, f"outer {name}: {key} must be at least 0 and below 1")
        need(getattr(self, "epsilon", 1) > 0, f"outer {name}: epsilon must be above 0")

    def __str__(self):
        settings = (f"{f.name} {getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) is not None)
        return " ".join([type(self).__name__.lower(), *settings])

    def resolved(self, workers: int) -> "OuterUpdater":
        """The rule with the defaults that depend on the number of workers."""
        return self

    def among(self, workers: int) -> "OuterUpdater":
        """The rule for a round in which so many workers train."""
        return self

    def step(self, change: np.ndarray, slots: np.ndarray, rate: float) -> np.ndarray:
        """The step from the weights before the round; changes `slots` in place.

        Args:
            change: float64 [n], the averaged change.
            slots: float64 [slots, n].
            rate: the inner learning rate of the round.

        Returns:
            float64 [n]."""
        raise NotImplementedError           # each rule has its own

    def apply(self, before: np.ndarray, mean: np.ndarray, slots: np.ndarray, rate: float) -> None:
        """Turns the mean into the weights after the round, in place.

        All is computed in float64, value by value, so that the bits are the same on every machine.

        Args:
            before: [P], the weights that were broadcast.
            mean: [P], the mean of the workers' weights.
            slots: [slots, P], the rule's state; it is changed in place.
            rate: the inner learning rate of the round."""
        flush = kernels.typed(mean.dtype).flush
        with np.errstate(all="ignore"):         # the caller handles values that are not finite
            for start in range(0, len(mean), CHUNK):
                part = slice(start, start + CHUNK)
                old, own = before[part].astype(float), slots[:, part].astype(float)
                mean[part] = old + self.step(mean[part] - old, own, rate)
                slots[:, part] = own
        flush(mean[None])
        flush(slots)


@dataclass(frozen=True)
class Momentum(OuterUpdater):
    """v = momentum v + change; w += learning_rate v.

    Block-wise model update filtering (BMUF: Chen & Huo 2016) and FedAvgM (Hsu et al. 2019). At constant changes the
    steps grow to learning_rate / (1 - momentum) of them.

    Args:
        learning_rate: the factor of a step, above 0.
        momentum: the share of the last step that is kept, at least 0 and below 1. None:
            1 - 1 / workers, as in BMUF, at most 0.9."""
    shares: ClassVar[tuple[str, ...]] = ("momentum",)
    momentum: float | None = None

    def resolved(self, workers):
        return self if self.momentum is not None else replace(self, momentum=min(1 - 1 / workers, 0.9))

    def step(self, change, slots, rate):
        slots[0] = self.momentum * slots[0] + change
        return self.learning_rate * slots[0]


@dataclass(frozen=True)
class SlowMo(OuterUpdater):
    """u = momentum u + change / rate; w += learning_rate rate u, with the inner learning rate of the round (Wang et al. 2020).

    Momentum's steps, but those kept are scaled as the inner rate changes by its schedule. In a round of rate 0 it is plain
    averaging.

    Args:
        learning_rate: the factor of a step, above 0; the paper keeps it at 1.
        momentum: the share of the last step that is kept, at least 0 and below 1: the paper's 0.5 is for 8 workers."""
    shares: ClassVar[tuple[str, ...]] = ("momentum",)
    momentum: float = 0.5

    def step(self, change, slots, rate):
        if not rate:
            return change
        slots[0] = self.momentum * slots[0] + change / rate
        return self.learning_rate * rate * slots[0]


@dataclass(frozen=True)
class Nesterov(OuterUpdater):
    """v = momentum v + change; w += learning_rate (change + momentum v) (DiLoCo: Douillard et al. 2023).

    At constant changes the steps grow to learning_rate / (1 - momentum) of them, within some 1 / (1 - momentum) rounds: for
    runs of 20 rounds and more. The defaults are the paper's, for AdamW in the workers.

    Args:
        learning_rate: the factor of a step, above 0.
        momentum: the share of the last step that is kept, at least 0 and below 1."""
    shares: ClassVar[tuple[str, ...]] = ("momentum",)
    learning_rate: float = 0.7
    momentum: float = 0.9

    def step(self, change, slots, rate):
        slots[0] = self.momentum * slots[0] + change
        return self.learning_rate * (change + self.momentum * slots[0])


@dataclass(frozen=True)
class Adam(OuterUpdater):
    """m = beta_1 m + (1 - beta_1) change; v = beta_2 v + (1 - beta_2) change^2;
    w += learning_rate m / (sqrt(v) + epsilon), without a correction of bias (FedAdam: Reddi et al. 2021).

    Args:
        learning_rate: about how far each weight moves in a round, above 0.
        beta_1: the share of the old mean m that is kept, at least 0 and below 1.
        beta_2: the share of the old mean square v that is kept, at least 0 and below 1.
        epsilon: how adaptive the rule is, above 0: changes far below it are scaled alike."""
    slots: ClassVar[int] = 2
    shares: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2")
    learning_rate: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.99
    epsilon: float = 1e-3

    def second(self, v: np.ndarray, square: np.ndarray) -> np.ndarray:
        """The mean square after the round."""
        return self.beta_2 * v + (1 - self.beta_2) * square

    def step(self, change, slots, rate):
        slots[0] = self.beta_1 * slots[0] + (1 - self.beta_1) * change
        slots[1] = self.second(slots[1], change * change)
        return self.learning_rate * slots[0] / (np.sqrt(slots[1]) + self.epsilon)


@dataclass(frozen=True)
class Yogi(Adam):
    """Adam with v -= (1 - beta_2) change^2 sign(v - change^2), which follows falling changes more slowly (Zaheer et al. 2018;
    FedYogi: Reddi et al. 2021).

    The arguments: see Adam."""

    def second(self, v, square):
        return v - (1 - self.beta_2) * square * np.sign(v - square)


@dataclass(frozen=True)
class Adagrad(OuterUpdater):
    """v += change^2; w += learning_rate change / (sqrt(v) + epsilon) (FedAdagrad: Reddi et al. 2021).

    Args:
        learning_rate: how far each weight moves at most in a round, above 0.
        epsilon: how adaptive the rule is, above 0: changes far below it are scaled alike."""
    learning_rate: float = 0.1
    epsilon: float = 1e-3

    def step(self, change, slots, rate):
        slots[0] += change * change
        return self.learning_rate * change / (np.sqrt(slots[0]) + self.epsilon)


@dataclass(frozen=True)
class Elastic(OuterUpdater):
    """Elastic averaging (EASGD: Zhang et al. 2015). Each worker goes on with weights w_i of its own, which it keeps; w, the
    centre, is the model. After each round d_i = pull (w_i - w); w_i -= d_i; w += learning_rate sum d_i.

    The sum is weighted by examples: the number of workers, times the mean.

    Args:
        learning_rate: the factor of the centre's step, above 0; with 1 it is moved as far as workers are pulled.
        pull: the share of its way from the centre that each worker is pulled back, above 0 and at most 1. The centre
            is stable if pull (1 + learning_rate workers) is below 2. None: 0.9 / workers, as in the paper."""
    slots: ClassVar[int] = 0
    pull: float | None = None

    def __post_init__(self):
        super().__post_init__()
        need(self.pull is None or 0 < self.pull <= 1, "outer Elastic: pull must be above 0 and at most 1")

    def resolved(self, workers):
        rule = self if self.pull is not None else replace(self, pull=0.9 / workers)
        need(rule.pull * (1 + rule.learning_rate * workers) < 2,
             f"outer Elastic: pull {rule.pull:g} makes the centre of {workers} workers unstable: pull (1 + learning_rate workers) must be below 2")
        return rule

    def among(self, workers):
        return replace(self, learning_rate=self.learning_rate * self.pull * workers)

    def step(self, change, slots, rate):
        return self.learning_rate * change


@dataclass(frozen=True)
class Confidence(OuterUpdater):
    """w += learning_rate sum a_i (w_i - w) / sum a_i; a = sum a_i^2 / sum a_i (Vowpal Wabbit: Agarwal et al. 2014).

    a_i is what worker i's updater has of a weight's squared gradients: Adagrad's sum, or the mean that RMSprop, Adadelta,
    Adam, AdamW and Nadam keep. So a weight is that of the workers whose examples had to do with it, as for rare features.

    Args:
        learning_rate: the factor of a step, above 0."""
    slots: ClassVar[int] = 0
    weighs: ClassVar[bool] = True

    def step(self, change, slots, rate):
        return self.learning_rate * change


OUTER = [Momentum, SlowMo, Nesterov, Adam, Yogi, Adagrad, Elastic, Confidence]
MEAN = ("mean", "average")      # names of plain averaging
AUTO = "auto"                   # the driver chooses (mrdl.driver.automatic)
GRAMMAR = f"mean, auto, {', '.join(rule.__name__.lower() for rule in OUTER)}; settings behind it, as in \"nesterov learning_rate 0.7 momentum 0.9\""


def updater(value: Any) -> OuterUpdater | None:
    """The outer updater for `value`: itself, its name with settings behind it, or its dict.

    Returns:
        The updater; None is plain averaging.

    Raises:
        ConfigError: there is no such updater or setting, or a setting is out of its range."""
    if isinstance(value, str):
        if value.strip().lower() in MEAN:
            return None
        value = described(value, "outer", GRAMMAR)
    return lookup(value, OUTER, "outer updater", ("mean", AUTO))
