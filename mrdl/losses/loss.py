"""The base class of losses: what targets it takes, and the function that computes it together with its gradient."""
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from mrdl.config import Configured, need, shown
from mrdl.kernels import LANES, typed, zeros

Shape = tuple[int, ...]
TINY = 1e-7                     # Keras's epsilon: probabilities are at least so far from 0 and 1
ROUNDING = 1e-6                 # how far computed targets, such as probabilities, may be outside their range


@dataclass(frozen=True)
class Loss(Configured):
    """`activation` is the output activation that the loss contains; None: the loss takes any output."""
    keras_module: ClassVar[str] = "keras.losses"
    activation: ClassVar[str | None] = None
    sparse: ClassVar[bool] = False              # True: targets are class numbers, not vectors
    joint: ClassVar[bool] = False               # True: it is computed of a whole minibatch (mrdl.losses.joint)
    free: ClassVar[bool] = False                # True: targets are rows of any length
    parameters = ()                             # what its kernel takes besides outputs and targets
    low: ClassVar[float] = -math.inf            # the range of valid targets
    high: ClassVar[float] = math.inf
    fixed: ClassVar[dict[str, Any]] = {"reduction": "sum_over_batch_size", "axis": -1}

    def __post_init__(self):
        super().__post_init__()
        smoothing = getattr(self, "label_smoothing", 0.0)
        need(0 <= smoothing <= 1, f"{type(self).__name__}: label_smoothing={smoothing} must be from 0 to 1")

    def fuses(self, output: str) -> bool:
        """Does the loss compute the activation `output` of the model's output? ConfigError if it needs another one."""
        if self.activation is None or getattr(self, "from_logits", False):
            return False
        need(output == self.activation,
             f"{type(self).__name__} needs an output with activation {self.activation!r}, "
             f"not {output!r} (or from_logits=True)")
        return True

    def check(self, outputs: Shape, target: Shape) -> None:
        """Raises ConfigError if targets of this shape (without the batch) do not fit the model's output."""
        units, given, name = math.prod(outputs), math.prod(target), type(self).__name__
        if self.sparse:
            each = "an example" if len(outputs) == 1 else f"for each of {shown(outputs[:-1])}"
            hint = ("give the last recurrent layer return_sequences=True for one of each step" if len(outputs) == 1
                    and len(target) == 1 and target != outputs else "for one-hot targets use categorical_crossentropy")
            need(target in (outputs[:-1], (*outputs[:-1], 1)), f"{name} takes one class number {each}, not targets of "
                 f"shape {shown(target)}; {hint}")
        else:
            hint = ("; for class numbers use sparse_categorical_crossentropy"
                    if given * outputs[-1] == units and self.activation == "softmax" else "")
            need(given == units,
                 f"the model gives {units} values an example, the targets have {given}{hint}")

    def check_range(self, targets: np.ndarray, where: str = "") -> None:
        """Raises ConfigError if a target is outside the loss's range. There must be at least one target."""
        if self.low == -math.inf:
            return
        low, high = targets.min(), targets.max()        # NaN if any target is NaN
        least, most = self.low - ROUNDING, self.high + ROUNDING
        beyond = high if least <= low else low
        need(least <= beyond <= most, f"{where}{type(self).__name__} takes targets " + (
            f"from {self.low:g} to {self.high:g}" if self.high < math.inf else f"of {self.low:g} and more")
            + f", not {beyond:g}")

    def rows(self, targets: Any, outputs: Any) -> np.ndarray:
        """The loss of each row of outputs, their last axis, as float64.

        Args:
            targets: as `outputs`, or without the last axis where they are class numbers.
            outputs: [..., units]; probabilities where the loss contains an activation, or with from_logits=True logits."""
        y = np.asarray(outputs, np.float64)
        need(y.ndim > 0, f"{type(self).__name__}: the outputs need an axis")
        shape, z = y.shape[:-1], y.reshape(-1, y.shape[-1]).T
        t = np.asarray(targets, np.int32 if self.sparse else np.float64)
        need(t.shape in ((shape, (*shape, 1)) if self.sparse else (y.shape,)), f"{type(self).__name__}: targets of the shape {t.shape} do "
             f"not fit outputs of the shape {y.shape}")
        t = t.reshape(-1) if self.sparse else t.reshape(z.T.shape).T
        if self.activation and not self.from_logits:
            z = np.clip(z / z.sum(0) if self.activation == "softmax" else z, TINY, 1 - TINY)
            z = np.log(z) if self.activation == "softmax" else np.log(z / (1 - z))
        k, ones, part, found = typed(np.float64), np.eye(LANES), zeros((len(z), LANES), np.float64), np.empty(z.shape[1])
        compute = self.bind(k, part, None, len(z), None if self.activation is None else np.empty_like(part))
        for start in range(0, len(found), LANES):
            n = min(LANES, len(found) - start)
            part[:, :n] = z[:, start:start + n]
            own = t[start:start + n].copy() if self.sparse else zeros(part.shape, np.float64)
            if not self.sparse:
                own[:, :n] = t[:, start:start + n]
            for i in range(n):
                found[start + i] = compute(own, np.ascontiguousarray(ones[i, :n]), 1.0)
        return found.reshape(shape)

    def steps(self, outputs: Shape) -> int:
        """How many losses an example with outputs of this shape has: one for each row of classes."""
        return math.prod(outputs[:-1]) if self.activation == "softmax" else 1

    def bind(self, k: SimpleNamespace, z: np.ndarray, grad: np.ndarray | None, units: int, y: np.ndarray | None = None):
        """Returns a function compute(t, weight, scale), which returns the sum of weight * loss and fills grad[C, N];
        if the loss contains an activation, it also fills y[C, N] with the activation's values.

        `units` is the last axis of the outputs' shape; C is the product of all axes."""
        raise NotImplementedError           # each kind of loss has its own
