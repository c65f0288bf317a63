"""What fit, evaluate and predict are given: arrays, or anything that yields minibatches."""
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mrdl import seeds
from mrdl.config import need
from mrdl.data.windows import Arrays
from mrdl.training.inputs import checked, joined
from mrdl.training.minibatches import Minibatch, minibatches
from mrdl.training.protocol import LayeredModel

WANTED = "(x, y) or (x, y, sample_weight)"


def yields(x: Any) -> bool:
    """Does it yield minibatches: a generator, a PyDataset, a loader of torch, a Dataset of TensorFlow? Else it is arrays or rows."""
    if x is None or isinstance(x, (str, bytes, list, tuple, dict)) or hasattr(x, "shape") or hasattr(x, "tocsr"):
        return False
    return hasattr(x, "__iter__") or hasattr(x, "__next__") or hasattr(x, "__getitem__") and hasattr(x, "__len__")


def parted(batch: Any) -> tuple[Any, Any, Any]:
    """The x, y and sample weights of what was yielded, of which those that are not there are None."""
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    need(1 <= len(parts) <= 3, f"a minibatch must be {WANTED}, not {len(parts)} things")
    return (*parts, *(None,) * (3 - len(parts)))


class Yielded:
    """Minibatches of something that yields them, pass by pass."""

    def __init__(self, of: Any):
        self.of = of
        self.by_number = hasattr(of, "__getitem__") and hasattr(of, "__len__")
        count = getattr(of, "num_batches", None) if self.by_number and hasattr(of, "num_batches") else None
        try:
            self.count = int(len(of) if count is None else count) if hasattr(of, "__len__") else None
        except TypeError:                       # a loader of torch over a stream
            self.count = None

    def batches(self, order: np.ndarray | None = None) -> Iterator[tuple[Any, Any, Any]]:
        """One pass; `order`: that of the minibatches of what is indexed."""
        if self.by_number:
            for number in range(self.count) if order is None else order.tolist():
                yield parted(self.of[number])
            return
        for batch in self.of.as_numpy_iterator() if hasattr(self.of, "as_numpy_iterator") else self.of:
            yield parted(batch)


class Feed:
    """Minibatches for training, epoch by epoch.

    `largest`: how many examples a minibatch has; `steps`: how many there are in an epoch, None: as many as there are."""

    def __init__(self, steps: int | None):
        need(steps is None or steps >= 1, "steps_per_epoch must be 1 or more")
        self.steps, self.asked, self.stream = steps, steps, None
        self.head: Minibatch | None = None      # one that was taken to see its shape

    def one_pass(self, number: int) -> Iterator[Minibatch]:
        """All minibatches, in the order of epoch `number`."""
        raise NotImplementedError           # each kind has its own

    def epoch(self, number: int) -> Iterator[Minibatch]:
        """Those of an epoch. With `steps_per_epoch` it goes on where the last one ended, and ends with the pass, as in Keras."""
        if self.asked is None and self.head is None:
            self.stream = None
        done = 0
        while self.asked is None or done < self.asked:
            batch, self.head = self.head or next(self.stream or iter(()), None), None
            if batch is None and done == 0:             # the last epoch has ended with its pass
                self.stream = self.one_pass(number)
                batch = next(self.stream, None)
            if batch is None:
                self.stream = None
                break
            done += 1
            yield batch
        if self.asked is not None and done < self.asked:
            warnings.warn(f"the data ended after {done} of the {self.asked} minibatches of an epoch", stacklevel=2)


class ArrayFeed(Feed):
    """Rows of arrays that have passed `checked`. `seed`: of their order; None: they stay as they are."""
    of_length: Callable | None = None

    def __init__(self, arrays: Arrays, batch_size: int, seed: int | None, steps: int | None):
        super().__init__(steps)
        self.arrays, self.batch_size, self.seed, self.n = arrays, batch_size, seed, len(arrays["x"])
        self.largest, passes = min(batch_size, self.n), -(-self.n // batch_size)
        self.steps = passes if steps is None else steps

    def one_pass(self, number):
        return minibatches([(self.n, self.arrays)], self.batch_size, self.seed, number, 0, of_length=self.of_length)


class YieldedFeed(Feed):
    """What yields minibatches. `seed`: of the order of those of a PyDataset; None: they stay as they are.
    `number`: of the first epoch."""
    of_length: Callable | None = None

    def __init__(self, model: LayeredModel, of: Any, seed: int | None, steps: int | None, number: int, draw: int):
        super().__init__(steps)
        self.model, self.source, self.seed = model, Yielded(of), seed
        self.steps = self.source.count if steps is None else steps
        self.draw = draw                        # the seed of the weights, if there are none yet
        self.stream = self.one_pass(number)
        first = next(self.stream, None)
        need(first is not None, "x yields no minibatches")
        self.largest, self.head = len(first.index), first

    def epoch(self, number):
        for method in ("on_epoch_begin",) if self.source.by_number else ():
            getattr(self.source.of, method, lambda: None)()
        yield from super().epoch(number)
        if self.source.by_number:
            getattr(self.source.of, "on_epoch_end", lambda: None)()

    def one_pass(self, number):
        return (self.ready(i, *batch) for i, batch in enumerate(self.source.batches(self.order(number))))

    def order(self, number: int) -> np.ndarray | None:
        """The order of the minibatches that have numbers."""
        if self.seed is None or not self.source.by_number or self.source.count is None:
            return None
        return seeds.permutation(self.source.count, self.seed, "minibatches", number)

    def ready(self, number: int, x: Any, y: Any, w: Any) -> Minibatch:
        need(y is not None, f"a minibatch must be {WANTED}")
        x = joined(x, self.model.input_names(), "x", self.model.dtype)
        if self.model.weights is None:
            self.model.build(x.shape[1:] if self.model.input_shape is None else None, self.draw)
        arrays = checked(self.model, x, y, w)
        return Minibatch(number, arrays, np.arange(len(arrays["x"])))
