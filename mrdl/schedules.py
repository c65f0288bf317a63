"""Keras's learning rate schedules: functions of the real number of updates."""
import math
from dataclasses import dataclass
from typing import ClassVar

from mrdl.config import Configured, need


@dataclass(frozen=True)
class Schedule(Configured):
    """A learning rate that depends on the number of updates: schedule(step), with step counted from 0."""
    keras_module: ClassVar[str] = "keras.optimizers.schedules"
    above: ClassVar[tuple[str, ...]] = ()                   # fields that must be above 0
    not_below: ClassVar[tuple[str, ...]] = ()               # fields that must be 0 or more
    steps: ClassVar[str | None] = "decay_steps"             # the field that counts updates: 1 or more

    def __post_init__(self):
        super().__post_init__()
        kind = type(self).__name__
        need(self.steps is None or getattr(self, self.steps) >= 1, f"{kind}: {self.steps} must be 1 or more")
        for name in self.above:
            need(getattr(self, name) > 0, f"{kind}: {name} must be above 0")
        for name in self.not_below:
            need(getattr(self, name) >= 0, f"{kind}: {name} must be 0 or more")

    def __call__(self, step: int) -> float:
        """The rate.

        Args:
            step: updates done so far, 0 before the first."""
        raise NotImplementedError           # each schedule has its own


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """initial_learning_rate * decay_rate ^ (step / decay_steps).

    Args:
        initial_learning_rate: the rate at update 0.
        decay_steps: the number of updates in which the rate is multiplied by decay_rate once, 1 or
            more.
        decay_rate: above 0.
        staircase: whether the rate changes only once every decay_steps updates. False: it changes
            a little at each update."""
    above: ClassVar[tuple[str, ...]] = ("decay_rate",)
    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False

    def __call__(self, step):
        power = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (
            math.floor(power) if self.staircase else power)


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Args:
        initial_learning_rate: the rate at update 0.
        decay_steps: the number of updates in which the divisor grows by decay_rate, 1 or more.
        decay_rate: 0 or more.
        staircase: whether the rate changes only once every decay_steps updates. False: it changes
            a little at each update."""
    not_below: ClassVar[tuple[str, ...]] = ("decay_rate",)
    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False

    def __call__(self, step):
        time = step / self.decay_steps
        return self.initial_learning_rate / (
            1 + self.decay_rate * (math.floor(time) if self.staircase else time))


@dataclass(frozen=True)
class PiecewiseConstantDecay(Schedule):
    """values[i] up to and including boundaries[i]; after the last boundary, the last value.

    Args:
        boundaries: numbers of updates, in ascending order.
        values: the rates; one more than there are boundaries."""
    steps: ClassVar[str | None] = None
    boundaries: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self):
        super().__post_init__()
        need(len(self.values) == len(self.boundaries) + 1,
             "PiecewiseConstantDecay: needs one value more than boundaries")
        need(sorted(self.boundaries) == list(self.boundaries),
             "PiecewiseConstantDecay: the boundaries must ascend")

    def __call__(self, step):
        return self.values[sum(step > b for b in self.boundaries)]


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """(initial - end) * (1 - step / decay_steps) ^ power + end.

    Args:
        initial_learning_rate: the rate at update 0.
        decay_steps: the number of updates until the rate is end_learning_rate, 1 or more; it stays
            there.
        end_learning_rate: the last rate.
        power: of the polynomial, 0 or more. 1.0: a straight line.
        cycle: whether the rate, instead of staying, jumps up after each multiple of decay_steps
            and falls again."""
    not_below: ClassVar[tuple[str, ...]] = ("power",)
    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __call__(self, step):
        steps = self.decay_steps
        if self.cycle:
            steps *= max(1, math.ceil(step / steps))
        done = min(step, steps) / steps
        return (self.initial_learning_rate - self.end_learning_rate) * (1 - done) ** self.power \
            + self.end_learning_rate


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Linear warm-up, then half a cosine down to alpha times the rate (Loshchilov & Hutter 2017).

    Args:
        initial_learning_rate: the rate at update 0.
        decay_steps: the number of updates, after the warm-up, in which the rate falls; 1 or more.
        alpha: the last rate, as a share of the highest.
        warmup_target: the rate at the warm-up's end. None: there is no warm-up.
        warmup_steps: the number of updates in the warm-up."""
    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: float = 0.0

    def __call__(self, step):
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        cosine = 0.5 * (1 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps))
        return top * ((1 - self.alpha) * cosine + self.alpha)


@dataclass(frozen=True)
class CosineDecayRestarts(Schedule):
    """Cosine decay that restarts, each time t_mul times as long and m_mul times as high (SGDR; Loshchilov & Hutter 2017).

    Args:
        initial_learning_rate: the rate at update 0.
        first_decay_steps: the number of updates in the first period, 1 or more.
        t_mul: each period is this many times as long as the one before, 1 or more.
        m_mul: each period begins at this many times the rate of the one before, above 0.
        alpha: the last rate of a period, as a share of initial_learning_rate."""
    above: ClassVar[tuple[str, ...]] = ("m_mul",)
    steps: ClassVar[str | None] = "first_decay_steps"
    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        need(self.t_mul >= 1, "CosineDecayRestarts: t_mul must be 1 or more")

    def __call__(self, step):
        done, period = step / self.first_decay_steps, 0
        if self.t_mul == 1:
            period, done = math.floor(done), done - math.floor(done)
        else:
            period = math.floor(math.log(1 - done * (1 - self.t_mul)) / math.log(self.t_mul))
            begun = (1 - self.t_mul ** period) / (1 - self.t_mul)
            done = (done - begun) / self.t_mul ** period
        cosine = 0.5 * self.m_mul ** period * (1 + math.cos(math.pi * done))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


SCHEDULES = [ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay,
             CosineDecay, CosineDecayRestarts]
