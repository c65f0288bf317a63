"""The base class of metrics: a state of numbers, which are merged by adding them, and the value computed from it."""
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mrdl.config import Configured, need, snake

EPSILON = 1e-7                          # Keras's, added to divisors
Sums = dict[str, np.ndarray]            # name -> state; in a record, states are lists
Value = float | list                    # one number, one number per class, or a matrix
# names of other entries in a round's record, which no metric may have
FACTS = {"round", "epoch", "gradient_norm", "change", "examples", "trained", "present", "workers",
         "updates", "rate_scale", "learning_rate", "epochs", "progress", "rollbacks", "elapsed", "seconds", "job",
         "by_worker", "averaging_frequency", "round_cost", "bytes", "broadcast", "callbacks", "stop"}


@dataclass(frozen=True)
class Metric(Configured):
    """A metric over minibatches of outputs y[..., K, B], with targets t of the same shape, or class numbers t[B].

    Subclasses have the field `name`, at the same position as in Keras.

    Args:
        name: the name under which it is reported. None: the class's name in snake_case, as in
            Keras."""
    keras_module: ClassVar[str] = "keras.metrics"
    fixed: ClassVar[dict[str, Any]] = {"axis": -1}
    sparse: ClassVar[bool | None] = False       # True: targets are class numbers; None: they may also be vectors
    one_row: ClassVar[bool] = False             # True: only for outputs of shape (K,)
    rising: ClassVar[bool] = True               # True: higher is better
    title: ClassVar[str] = ""                   # its name, if it is not made from the class's name

    @property
    def called(self) -> str:
        return self.name or self.title or snake(type(self).__name__)

    @property
    def vector(self) -> bool:
        """True if its value has more than one number."""
        return False

    def get_config(self):
        return super().get_config() | {"name": self.called}

    def check(self, units: int) -> None:
        """Raises ConfigError if it does not fit outputs whose last axis has this size."""

    def size(self, units: int) -> int:
        """How many numbers its state has; 0 if they are few."""
        return 0

    def state(self, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        """The numbers that a minibatch adds to the state; their count is always the same."""
        raise NotImplementedError           # each metric has its own

    def result(self, state: np.ndarray) -> Value:
        raise NotImplementedError           # each metric has its own


@dataclass(frozen=True)
class Mean(Metric):
    """The mean of one value per example; its state is (sum, count)."""

    def each(self, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Values [..., B]; their mean over the first axes is the value of an example."""
        raise NotImplementedError           # each metric has its own

    def state(self, y, t):
        values = self.each(y, t)
        return np.array([float(values.sum()) / math.prod(values.shape[:-1]), y.shape[-1]])

    def result(self, state):
        return ratio(state[0], state[1])


def labels(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Targets as vectors of y's shape: class numbers become one-hot."""
    return t if t.shape == y.shape else np.arange(y.shape[-2])[:, None] == t


def check_counted(metric: Metric, units: int) -> None:
    """Raises ConfigError if the threshold, or the number of the only output that counts, is out of its range."""
    kind, at, chosen = type(metric).__name__, getattr(metric, "thresholds", None), getattr(metric, "class_id", None)
    need(at is None or 0 <= at <= 1, f"{kind}: thresholds={at} must be from 0 to 1")
    need(chosen is None or 0 <= chosen < units, f"{kind}: class_id={chosen} must be from 0 to {units - 1}")


def ratio(a: Any, b: Any) -> Any:
    """a / b, or 0 if b is 0."""
    found = np.divide(a, b, out=np.zeros(np.shape(b)), where=np.asarray(b) != 0)
    return found if found.ndim else float(found)


def add(into: Sums, sums: dict[str, Any]) -> Sums:
    """Merges sums, name by name.

    Args:
        into: the sums to add to; changed in place.
        sums: states, or lists of their numbers, by name.

    Returns:
        `into`."""
    for name, state in sums.items():
        state = np.asarray(state, "f8")
        into[name] = into[name] + state if name in into else state
    return into


def plain(sums: Sums) -> dict[str, list[float]]:
    """The sums as lists, for a record.

    Args:
        sums: states by name."""
    return {name: state.tolist() for name, state in sums.items()}


def values(sums: Sums, named: dict[str, Metric], prefix: str = "") -> dict[str, Value]:
    """Computes name -> value. Sums that belong to no metric are (sum, count) of a mean; they are left out if the count is 0.

    Args:
        sums: states by name.
        named: the metrics by name.
        prefix: put before each name in the result, such as "val_"."""
    found = {}
    for name, state in sums.items():
        if name in named:
            found[prefix + name] = named[name].result(state)
        elif state[1]:
            found[prefix + name] = float(state[0] / state[1])
    return found
