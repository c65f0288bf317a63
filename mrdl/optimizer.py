"""What an optimizer is: a rule that turns gradients into updates of the weights."""
import math
from collections.abc import Callable
from dataclasses import dataclass, field
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


def rated(cls: type) -> type:
    """An immutable dataclass, but that its learning rate can be set: `optimizer.learning_rate = 0.01` holds from the next update on."""
    cls = dataclass(frozen=True)(cls)

    def set_rate(self: "Optimizer", name: str, value: object) -> None:
        need(name == "learning_rate", f"{type(self).__name__}: {name} cannot be set, only learning_rate; compile the model with another optimizer")
        object.__setattr__(self, name, self.checked_rate(value))
    cls.__setattr__ = set_rate
    return cls


# (now, scale) -> sum of squares of the block's gradient
Step = Callable[[Now, float], float]


@rated
class Optimizer(Configured):
    """Turns gradients into updates of the weights.

    Its state is `slots` vectors, each as long as the weights; they start at `initial`, and rounds average them.

    Args:
        learning_rate: factor of each step, 0 or more; or a schedule of mrdl.schedules, or its
            Keras dict. The default is 0.001 (for SGD 0.01), as in Keras. It can be set later, also
            while a model trains: `model.optimizer.learning_rate = 0.01`.
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
    squares: ClassVar[int | None] = None        # the slot with the sum or mean of squared gradients
    shares: ClassVar[tuple[str, ...]] = ()      # fields that must be at least 0 and below 1
    learning_rate: object = 0.001
    weight_decay: float | None = field(default=None, kw_only=True)
    clipnorm: float | None = field(default=None, kw_only=True)
    clipvalue: float | None = field(default=None, kw_only=True)
    global_clipnorm: float | None = field(default=None, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        name = type(self).__name__
        object.__setattr__(self, "learning_rate", self.checked_rate(self.learning_rate))
        for key in self.shares:
            need(0 <= getattr(self, key) < 1, f"{name}: {key} must be at least 0 and below 1")
        for key in ("epsilon", "weight_decay", "initial_accumulator_value"):
            need((getattr(self, key, 0) or 0) >= 0, f"{name}: {key} must be 0 or more")
        clips = [v for v in (self.clipnorm, self.clipvalue, self.global_clipnorm) if v is not None]
        need(len(clips) < 2, f"{name}: give only one of clipnorm, clipvalue and global_clipnorm")
        need(min(clips, default=1) > 0, f"{name}: the norm or value to clip to must be above 0")

    def checked_rate(self, rate: object) -> "float | Schedule":
        """A learning rate as the optimizer keeps it; ConfigError if it is none."""
        if isinstance(rate, dict):
            return lookup(rate, SCHEDULES, "learning-rate schedule")
        if isinstance(rate, Schedule):
            return rate
        rate = typed(rate, float, f"{type(self).__name__}: learning_rate")
        need(rate >= 0, f"{type(self).__name__}: learning_rate must be 0 or more")
        return rate

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

    def is_matrix(self, name: str, shape: tuple[int, ...]) -> bool:
        """Does an update of this weight take all of its gradient at once, as a matrix?

        Args:
            name: the name of its layer, a "/", and its own name.
            shape: as in Keras."""
        return False

    def matrix(self, k: SimpleNamespace, w: np.ndarray, g: np.ndarray, slots: np.ndarray) -> Step:
        """Binds the updater to a matrix w[R, C], its gradient g[R, C] and slots[slots, R, C]."""
        raise NotImplementedError           # only an updater whose `is_matrix` may be true has it

    def clipped(self, g: np.ndarray, scale: float) -> np.ndarray:
        """scale g, with its values clipped."""
        found = g * g.dtype.type(scale)
        return found if self.clipvalue is None else np.clip(found, -self.clipvalue, self.clipvalue, out=found)

    def block(self, k: SimpleNamespace, w: np.ndarray, g: np.ndarray, slots: np.ndarray) -> Step:
        """Binds the updater to one range: w[P], g[P] and slots[slots, P] are views of it."""
        update, rule = k.update, self.rule
        clip = math.inf if self.clipvalue is None else self.clipvalue
        return lambda now, scale: update(rule, w, g, slots, now.numbers, now.decay, scale, clip)
