"""What an optimizer is: a rule that turns gradients into updates of the weights."""
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

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

    Its state is `vectors` vectors, each as long as the weights: the `slots` of its rule, which start at `initial`, then the moving
    average of the weights and the sum of gradients, where there are these. Rounds average them.

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
        use_ema: whether to keep a moving average of the weights that are trained (Polyak & Juditsky
            1992), which takes their place when training ends. Rounds need save_updater=True for it.
        ema_momentum: the share of the old average that is kept at each update, from 0 to 1.
        ema_overwrite_frequency: the average also takes the weights' place after each so many
            updates, 1 or more. None: only when training ends.
        gradient_accumulation_steps: one update for so many minibatches, by the mean of their
            gradients, 2 or more. None: one for each. Not in rounds.

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
    use_ema: bool = field(default=False, kw_only=True)
    ema_momentum: float = field(default=0.99, kw_only=True)
    ema_overwrite_frequency: int | None = field(default=None, kw_only=True)
    gradient_accumulation_steps: int | None = field(default=None, kw_only=True)

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
        need(0 <= self.ema_momentum <= 1, f"{name}: ema_momentum must be from 0 to 1")
        for key, least in (("ema_overwrite_frequency", 1), ("gradient_accumulation_steps", 2)):
            value = getattr(self, key)
            need(value is None or value >= least, f"{name}: {key} must be {least} or more")

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

    def updates(self, step: int) -> int:
        """How many updates `step` minibatches have made."""
        return step // (self.gradient_accumulation_steps or 1)

    def at(self, step: int, rate_scale: float = 1.0) -> Now:
        """The numbers for an update by minibatch number `step`, counted from 0; schedules count minibatches, as in Keras."""
        rate = self.rate(step) * rate_scale
        return Now(self.numbers(rate, self.updates(step) + 1), rate * (self.weight_decay or 0.0))

    def start(self, weights: np.ndarray) -> np.ndarray:
        """The state [vectors, P] before the first update of weights[P]."""
        slots = zeros((self.vectors, len(weights)), weights.dtype)
        if self.initial:
            slots[:self.slots] = self.initial
        return slots

    @property
    def vectors(self) -> int:
        """How many vectors its state has."""
        return self.slots + self.use_ema + (self.gradient_accumulation_steps is not None)

    @property
    def clips(self) -> bool:
        """Is a norm of the gradient needed before the first update?"""
        return self.clipnorm is not None or self.global_clipnorm is not None

    @property
    def waits(self) -> bool:
        """Is the whole gradient needed before the first update?"""
        return self.clips or self.gradient_accumulation_steps is not None

    @property
    def descends(self) -> bool:
        """Is an update w -= rate g, and nothing else?"""
        return self.rule == "sgd" and not (self.waits or self.clipvalue is not None or self.weight_decay)

    def is_matrix(self, name: str, shape: tuple[int, ...]) -> bool:
        """Does an update of this weight take all of its gradient at once, as a matrix?

        Args:
            name: the name of its layer, a "/", and its own name.
            shape: as in Keras."""
        return False

    def tensor(self, k: SimpleNamespace, weight: Any, w: np.ndarray, g: np.ndarray, slots: np.ndarray) -> Step:
        """Binds the updater to one weight, a Weight of a layer: w[P], its gradient g[P] and slots[slots, P]."""
        return self.matrix(k, w.reshape(weight.shape), g.reshape(weight.shape), slots.reshape(-1, *weight.shape))

    def matrix(self, k: SimpleNamespace, w: np.ndarray, g: np.ndarray, slots: np.ndarray) -> Step:
        """Binds the updater to a matrix w[R, C], its gradient g[R, C] and slots[slots, R, C]."""
        raise NotImplementedError           # only an updater whose `is_matrix` may be true has it, or its own `tensor`

    def clipped(self, g: np.ndarray, scale: float) -> np.ndarray:
        """scale g, with its values clipped."""
        found = g * g.dtype.type(scale)
        return found if self.clipvalue is None else np.clip(found, -self.clipvalue, self.clipvalue, out=found)

    def block(self, k: SimpleNamespace, w: np.ndarray, g: np.ndarray, slots: np.ndarray) -> Step:
        """Binds the updater to one range: w[P], g[P] and slots[slots, P] are views of it."""
        update, rule = k.update, self.rule
        clip = math.inf if self.clipvalue is None else self.clipvalue
        return lambda now, scale: update(rule, w, g, slots, now.numbers, now.decay, scale, clip)
