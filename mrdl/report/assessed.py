"""What rows and a model's answers to them are like, for a report: summed over parts in any order, to the same bytes."""
from typing import Any

import numpy as np

from mrdl import kernels
from mrdl.data.binned import Binned, Exact, keys_of, keys_of_shares
from mrdl.data.tables.kinds.numeric import log1p
from mrdl.kernels import pad
from mrdl.models.answers import Answers
from mrdl.models.model import Model

CLASSES = 256                   # of more there is no report
BINS = 1 << 13                  # of scores, of a model of two classes; of residuals
ALL = 1 << 14                   # and of all classes together, where there are more
RELIABILITY = 10                # bins by probability, of equal width, as in scikit-learn
ROWS = 8192                     # that are counted at once
BOUNDS = np.linspace(0, 1, RELIABILITY + 1)


def answers(model: Model, names: list[str]) -> Answers | None:
    """What the outputs mean, of a model for which there is a report; else None."""
    found = Answers(model, names)
    if isinstance(model.loss, list) or len(model.output_shape) != 1 or found.values > CLASSES:
        return None
    value = found.values == 1 and model.loss.activation is None and not model.loss.sparse
    return found if found.classes or value else None


class Assessed:
    """Of a model with one output, a row of numbers.

    Args:
        classes: how many there are; 0: the output is a value.
        logits: whether the outputs of classes are logits.

    Attributes:
        rows: how many are counted.
        lost: of these how many have outputs or targets that are not finite: nothing else is known of them."""

    def __init__(self, classes: int, logits: bool = False):
        self.classes, self.logits, self.rows, self.lost = classes, logits, 0, 0
        if classes:
            self.confusion = np.zeros((classes, classes), "i8")
            #: of class 1 of two, else of each: how many of the scores are of other classes, and of this one
            self.scores = [Binned(2, BINS if classes == 2 else max(64, ALL // classes)) for _ in range(classes if classes > 2 else 1)]
            #: by probability (of class 1 of two, else of the class that is chosen): how many, how many are right, their sum
            self.reliability, self.probabilities = np.zeros((2, RELIABILITY), "i8"), [Exact() for _ in range(RELIABILITY)]
            self.entropy, self.distances = Exact(), Exact()
        else:
            self.errors, self.sizes, self.targets = Exact(), Exact(), Exact()
            self.residuals, self.values = Binned(1, BINS), Binned(1, BINS)
        self._later: list[tuple[np.ndarray, np.ndarray]] = []
        self._more = 0

    @classmethod
    def of(cls, asked: list) -> "Assessed":
        """An empty one, like another one's `asked`."""
        return cls(*asked)

    @property
    def asked(self) -> list:
        return [self.classes, self.logits]

    def add(self, y: np.ndarray, t: np.ndarray) -> None:
        """Outputs [K, n], and class numbers [n] or targets of the same shape."""
        self._later.append((y.copy(), t.copy()))
        self._more += y.shape[-1]
        if self._more >= ROWS:
            self.settle()

    def settle(self) -> None:
        """Counts the rows that wait for it."""
        if not self._more:
            return
        y, t = (np.concatenate(parts, -1) for parts in zip(*self._later))
        self._later, self._more = [], 0
        good = np.isfinite(y).all(0) & (np.isfinite(t) if t.ndim == 1 else np.isfinite(t).all(0))
        self.rows, self.lost = self.rows + len(good), self.lost + int((~good).sum())
        y, t = y[:, good], t[..., good]
        if not y.shape[1]:
            return
        if self.classes:
            self._classified(y, t if t.ndim == 1 else t.argmax(0) if len(t) > 1 else t[0] > 0.5)
        else:
            self._valued(y[0].astype("f8"), t[0].astype("f8"))

    def _classified(self, y: np.ndarray, t: np.ndarray) -> None:
        K, t = self.classes, t.astype("i8")
        chosen = y.argmax(0) if len(y) > 1 else (y[0] > 0.5).astype("i8")
        self.confusion += np.bincount(t * K + chosen, minlength=K * K).reshape(K, K)
        least = float(np.finfo(y.dtype).eps)
        p = (softmax(y) if self.logits else y).astype("f8").clip(0, 1)
        p = np.concatenate([1 - p, p]) if len(p) == 1 else p
        own = np.arange(K)[:, None] == t
        for scores, share, right in zip(self.scores, p[1:] if K == 2 else p, own[1:] if K == 2 else own):
            scores.add(keys_of_shares(share), np.stack([~right, right]).astype("i8"))
        share, right = (p[1], own[1]) if K == 2 else (p.max(0), chosen == t)
        bins = np.searchsorted(BOUNDS[1:-1], share)
        for i in np.unique(bins).tolist():
            self.probabilities[i].add(share[bins == i])
        self.reliability += [np.bincount(bins, minlength=RELIABILITY), np.bincount(bins[right], minlength=RELIABILITY)]
        told = p[t, np.arange(len(t))].clip(least, 1)
        self.entropy.add(log1p((1 - told) / told))
        self.distances.add((p - own)[1] if K == 2 else (p - own).ravel())

    def _valued(self, y: np.ndarray, t: np.ndarray) -> None:
        error = y - t
        for sums, values in ((self.errors, error), (self.sizes, np.abs(error)), (self.targets, t)):
            sums.add(values)
        ones = np.ones((1, len(t)), "i8")
        self.residuals.add(keys_of(error), ones)
        self.values.add(keys_of(t), ones)

    def _parts(self) -> dict[str, Any]:
        """By name what is merged part by part."""
        if self.classes:
            lists = {"scores": self.scores, "probabilities": self.probabilities}
            return {"entropy": self.entropy, "distances": self.distances,
                    **{f"{name}{i}": part for name, parts in lists.items() for i, part in enumerate(parts)}}
        return {name: getattr(self, name) for name in ("errors", "sizes", "targets", "residuals", "values")}

    def dump(self) -> dict[str, Any]:
        """For JSON; the same for the same rows, whatever their order."""
        self.settle()
        arrays = {name: getattr(self, name).tolist() for name in ("confusion", "reliability") if self.classes}
        return {"rows": self.rows, "lost": self.lost, **arrays, **{name: part.dump() for name, part in self._parts().items()}}

    def merge(self, facts: dict[str, Any]) -> None:
        """More rows, as `dump` says them."""
        self.settle()
        self.rows, self.lost = self.rows + facts["rows"], self.lost + facts["lost"]
        if self.classes:
            self.confusion += facts["confusion"]
            self.reliability += facts["reliability"]
        for name, part in self._parts().items():
            part.merge((Binned(len(part.counts), part.most) if isinstance(part, Binned) else Exact()).load(facts[name]))


def softmax(y: np.ndarray) -> np.ndarray:
    """Of logits [K, n], by the model's own kernel."""
    x, found = np.zeros((2, len(y), pad(y.shape[1])), y.dtype)
    x[:, :y.shape[1]] = y
    kernels.typed(y.dtype).softmax_forward(x, found)
    return found[:, :y.shape[1]]
