"""What a metric is: a state of numbers that merges by adding, and the value that it stands for."""
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mrdl.config import Configured, snake

Sums = dict[str, np.ndarray]            # name -> state; plain lists in a record
Value = float | list                    # one number; numbers by class; a matrix
# what a round's record holds beside its loss and metrics: names that no metric may have
FACTS = {"round", "epoch", "gradient_norm", "change", "examples", "trained", "present", "workers",
         "updates", "rate_scale", "learning_rate", "epochs", "progress", "rollbacks", "elapsed", "seconds", "job",
         "by_worker"}


@dataclass(frozen=True)
class Metric(Configured):
    """Over minibatches of outputs y[..., K, B], targets t of the same shape or class numbers t[B].

    A subclass has the field `name`, in Keras's place.

    Args:
        name: what it is reported as. None: its class's name in snake_case, as in Keras."""
    keras_module: ClassVar[str] = "keras.metrics"
    fixed: ClassVar[dict[str, Any]] = {"axis": -1}
    sparse: ClassVar[bool | None] = False       # targets are class numbers; None: or vectors
    one_row: ClassVar[bool] = False             # outputs of shape (K,) alone
    rising: ClassVar[bool] = True               # more is better
    title: ClassVar[str] = ""                   # its name where it is not the class's

    @property
    def called(self) -> str:
        return self.name or self.title or snake(type(self).__name__)

    @property
    def vector(self) -> bool:
        """Is its value more than one number?"""
        return False

    def get_config(self):
        return super().get_config() | {"name": self.called}

    def check(self, units: int) -> None:
        """ConfigError where it does not fit outputs with this last axis."""

    def size(self, units: int) -> int:
        """How many numbers its state has, where that is much."""
        return 0

    def state(self, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        """What a minibatch adds to the state, of a length that is always the same."""
        raise NotImplementedError           # each metric has its own

    def result(self, state: np.ndarray) -> Value:
        raise NotImplementedError           # each metric has its own


@dataclass(frozen=True)
class Mean(Metric):
    """The mean over examples of one value each; its state is (sum, count)."""

    def each(self, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Values [..., B], whose mean over the first axes is an example's."""
        raise NotImplementedError           # each metric has its own

    def state(self, y, t):
        values = self.each(y, t)
        return np.array([float(values.sum()) / math.prod(values.shape[:-1]), y.shape[-1]])

    def result(self, state):
        return ratio(state[0], state[1])


def ratio(a: Any, b: Any) -> Any:
    """a / b, and 0 where b is 0."""
    found = np.divide(a, b, out=np.zeros(np.shape(b)), where=np.asarray(b) != 0)
    return found if found.ndim else float(found)


def add(into: Sums, sums: dict[str, Any]) -> Sums:
    """Merges sums, name by name.

    Args:
        into: what they are added to.
        sums: a state, or its numbers, by name.

    Returns:
        `into`."""
    for name, state in sums.items():
        state = np.asarray(state, "f8")
        into[name] = into[name] + state if name in into else state
    return into


def plain(sums: Sums) -> dict[str, list[float]]:
    """The sums as a record holds them.

    Args:
        sums: a state by name."""
    return {name: state.tolist() for name, state in sums.items()}


def values(sums: Sums, named: dict[str, Metric], prefix: str = "") -> dict[str, Value]:
    """name -> value; what is no metric is a mean, left out without any count.

    Args:
        sums: a state by name.
        named: the metrics by name.
        prefix: what each name in the result begins with, as "val_"."""
    found = {}
    for name, state in sums.items():
        if name in named:
            found[prefix + name] = named[name].result(state)
        elif state[1]:
            found[prefix + name] = float(state[0] / state[1])
    return found
