"""Connectionist temporal classification: sequences of labels whose places in the steps are not known."""
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.kernels import pad, typed, zeros
from mrdl.losses.joint import JointLoss

WIDE = np.longdouble            # of shares of paths: in float64 those of long sequences would become 0


@dataclass(frozen=True)
class CTC(JointLoss):
    """-log of the probability of all paths that are the labels, each of them for one step or more, with blanks (class 0)
    between (Graves et al. 2006).

    Outputs are logits [steps, classes], to which the loss applies softmax. Targets are labels [most], classes from 1 on, of
    any number; zeros fill them up at their end. There is one output, without a mask and without metrics."""
    sparse: ClassVar[bool] = True
    free: ClassVar[bool] = True

    def alone(self, axes):
        return True

    def check(self, outputs, target):
        need(len(outputs) == 2, f"CTC takes outputs of the shape (steps, classes), not {shown(outputs)}")
        need(len(target) == 1, f"CTC takes a row of labels an example, not targets of the shape {shown(target)}")

    def _paths(self, y: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss of each example [B], and its slopes [T, K, B]; t: [L, B]."""
        (T, K, B), (L, _) = y.shape, t.shape
        need(bool(((t >= 0) & (t < K)).all()), f"CTC: labels must be from 0 to {K - 1}, the last class")
        lengths = np.count_nonzero(t, 0)
        due = lengths + np.count_nonzero((t[1:] == t[:-1]) & (t[1:] != 0), 0)
        need(due.max(initial=0) <= T, f"CTC: a target needs {due.max(initial=0)} steps, one a label and one between like ones, "
             f"and the outputs have {T}")
        flat = zeros((K, pad(T * B)), np.float64)
        flat[:, :T * B] = y.transpose(1, 0, 2).reshape(K, -1)
        typed(np.float64).softmax_forward(flat, flat)
        shares = flat[:, :T * B].reshape(K, T, B).transpose(1, 0, 2)
        places = np.zeros((2 * L + 1, B), int)          # blank, label, blank, ...
        places[1::2] = t
        state, last, each = np.arange(2 * L + 1)[:, None], 2 * lengths, np.arange(B)
        there = state <= last
        leaps = there & (state % 2 == 1) & (state > 1)
        leaps[2:] &= places[2:] != places[:-2]
        seen = np.where(there, shares[:, places, each], 0).astype(WIDE)         # [T, states, B]
        forth, back, scales = np.zeros_like(seen), np.zeros_like(seen), np.ones((T, B), WIDE)
        with np.errstate(all="ignore"):                 # the caller handles values that are not finite
            for i in range(T):
                before = forth[i - 1] if i else (state == 0).astype(WIDE) * np.ones(B)
                now = before.copy()
                now[1:] += before[:-1]
                now[2:] += np.where(leaps[2:], before[:-2], 0)
                now *= seen[i]
                scales[i] = now.sum(0)
                forth[i] = now / scales[i]
            back[-1] = (state == last) | (state == last - 1)
            for i in range(T - 2, -1, -1):
                after = back[i + 1] * seen[i + 1] / scales[i + 1]
                now = after.copy()
                now[:-1] += after[1:]
                now[:-2] += np.where(leaps[2:], after[2:], 0)
                back[i] = now
            paths = forth * back
            whole = paths.sum(1)                        # [T, B]: the same for all steps
            slopes = shares.copy()
            for place, share in zip(places, (paths / whole[:, None]).astype(np.float64).transpose(1, 0, 2)):
                slopes[:, place, each] -= share
        return -_logs(scales).sum(0) - _logs(whole[-1]), slopes

    def values(self, y, t):
        return self._paths(y, t)[0]

    def joined(self, y, t, weight):
        losses, slopes = self._paths(y, t)
        return float((losses * weight).mean()), slopes * (weight / len(weight))


def _logs(values: np.ndarray) -> np.ndarray:
    """Logarithms of numbers that float64 may not hold, by the same function on all machines."""
    parts, twos = np.frexp(values)
    found = [math.log(part) if part > 0 else -math.inf if part == 0 else math.nan
             for part in parts.astype(float).ravel().tolist()]
    return np.reshape(found, values.shape) + twos * math.log(2)
