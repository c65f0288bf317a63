"""The gradient in pieces: where each piece is stored, how it is computed, and how it updates its weights."""
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mrdl.config import need
from mrdl.kernels import addresses, zeros
from mrdl.layers.core import SparseDenseOperation
from mrdl.layers.operation import Operation, Place
from mrdl.optimizer import Now, Optimizer, Step
from mrdl.training.network import Network
from mrdl.training.protocol import LayeredModel


@dataclass(slots=True)
class Update:
    """One piece of the gradient, with the weights that it updates."""
    tensor: int                         # where the piece's tensor begins in the flat vector
    fill: Callable[[int], np.ndarray | None]    # fill(batch) writes g; for an embedding it returns the rows' numbers
    w: np.ndarray
    g: np.ndarray
    step: "Step | Rows | None"          # None: another call of the layer has yet to add to g
    penalty: tuple[float, float] | None = None  # the factors of l1 and l2


@dataclass(slots=True)
class ActiveRows:
    """The same for the kernel of a Dense layer behind a sparse input: of the rows of those features alone that are not 0 in the
    minibatch. They are the operation's `own`; `step` writes them back, changed."""
    tensor: int
    compute: Callable[[int], np.ndarray]        # fills the operation's `g`, and returns the rows' numbers
    operation: SparseDenseOperation
    optimizer: Optimizer
    slots: np.ndarray                   # [slots, features, units]
    penalty: tuple[float, float] | None
    rows: np.ndarray | None = None

    def fill(self, batch: int) -> None:
        self.rows = self.compute(batch)

    @property
    def w(self) -> np.ndarray:
        return self.operation.own.reshape(-1)

    @property
    def g(self) -> np.ndarray:
        return self.operation.g.reshape(-1)

    def step(self, now: Now, scale: float) -> float:
        k, rows, w = self.operation.b.k, self.rows, self.operation.own
        if not len(rows):
            return 0.0
        own = np.empty((len(self.slots), *w.shape), w.dtype)
        for part, whole in zip(own, self.slots):
            k.csr_take(whole, rows, part)
        squares = self.optimizer.block(k, self.w, self.g, own.reshape(len(own), w.size))(now, scale)
        for part, whole in zip((w, *own), (self.operation.w, *self.slots)):
            k.csr_put(part, rows, whole)
        return squares


@dataclass(slots=True)
class InPlace:
    """The same where the update is w -= rate g and nothing else: no gradient is kept, so its norm is not known (NaN)."""
    tensor: int
    operation: SparseDenseOperation
    penalty: None = None

    def fill(self, batch: int) -> None:
        pass

    def step(self, now: Now, scale: float) -> float:
        self.operation.descend(now.numbers[0])
        return math.nan


def updates(net: Network, model: LayeredModel, weights: np.ndarray, slots: np.ndarray,
            gradient: np.ndarray | None = None) -> list[tuple[Operation, list[Update | ActiveRows | InPlace]]]:
    """The updates of each operation, from the last operation to the first, as a learner needs them.

    weights: the flat vector; slots: the updater's state, [vectors, weights]; gradient: as long as the weights, where the optimizer
    waits for the whole gradient. All are the caller's, and are changed in place."""
    optimizer, k = model.optimizer, net.k
    slots = slots[:optimizer.slots]
    # weights of layers that are called more than once: the gradients of all calls are summed
    shared = {start for step in model.stack() if step.again for start in step.offsets}
    penalties = {start: w.regularizer.factors for _, w, start in model.places() if w.regularizer is not None}
    starts = sorted(start for _, _, start in model.places())

    def tensor(start: int) -> int:
        return starts[bisect_right(starts, start) - 1]

    matrices = {start: w for step, w, start in model.places() if optimizer.is_matrix(f"{step.name}/{w.name}", w.keras)}
    for operation in net.operations:            # a sparse input's Dense layer updates some rows
        if isinstance(operation, SparseDenseOperation):
            matrices.pop(operation.b.offsets["kernel"], None)
    place = place_of(net, weights, slots, gradient, lambda start: tensor(start) in shared or tensor(start) in matrices)

    def together(start: int) -> int:
        """The same number for all pieces that are updated together: those of a matrix, else those of all calls of a layer."""
        return of if (of := tensor(start)) in matrices else start

    left = Counter(together(start) for operation in taught(net) for start, *_ in operation.gradients(place))
    begun: set[int] = set()

    def update(operation: Operation, start: int, stop: int, fill: Callable) -> Update | ActiveRows | InPlace:
        g, w, of = place(start, stop), weights[start:stop], tensor(start)
        if isinstance(operation, SparseDenseOperation) and start == operation.b.offsets["kernel"]:
            need(start not in shared, f"{type(operation.layer).__name__}: a layer that takes an Input with sparse=True can be called once")
            operation.in_place = optimizer.descends and of not in penalties
            if operation.in_place:
                return InPlace(of, operation)
            return ActiveRows(of, fill, operation, optimizer, slots[:, start:stop].reshape(len(slots), *operation.w.shape), penalties.get(of))
        if getattr(operation, "sparse", False):
            if not (gradient is not None or start in shared or of in penalties or of in matrices):
                table = operation.table.shape
                return Update(of, fill, w, g, Rows(optimizer, k, w.reshape(table), g.reshape(table),
                                                   slots[:, start:stop].reshape(len(slots), *table)))
            fill = all_rows(g, fill)
        if start in begun:
            fill = added_to(k, g, fill)
        begun.add(start)
        left[together(start)] -= 1
        wait = left[together(start)] > 0
        if weight := matrices.get(of):
            whole = slice(of, of + weight.size)
            w, g = weights[whole], place(of, whole.stop)
            step = None if wait else optimizer.tensor(k, weight, w, g, slots[:, whole])
        else:
            step = None if wait else optimizer.block(k, w, g, slots[:, start:stop])
        return Update(of, fill, w, g, step, penalties.get(of))

    trained = set(map(id, taught(net)))
    return [(operation, [update(operation, *piece) for piece in operation.gradients(place)] if id(operation) in trained else [])
            for operation in reversed(net.operations) if id(operation) not in net.idle]


def taught(net: Network) -> list[Operation]:
    """The operations whose weights are trained."""
    return [operation for operation in net.operations if isinstance(operation, Operation) and not operation.b.frozen]


def place_of(net: Network, weights: np.ndarray, slots: np.ndarray, gradient: np.ndarray | None, shared: Callable[[int], bool]) -> "Whole":
    """Where pieces of the gradient are stored: the whole in `gradient` if it is given; else the pieces use the same memory,
    one after the other."""
    flat = zeros(len(weights), weights.dtype) if gradient is None else gradient
    whole = Whole(flat)
    if gradient is not None:
        return whole
    longest = max((stop - start for operation in taught(net) for start, stop, _ in operation.gradients(whole)), default=0)
    return Cached(flat, zeros(longest, weights.dtype), weights, slots, shared)


class Whole(Place):
    """Keeps the whole gradient, because its norm is needed before the first update."""

    def __init__(self, flat: np.ndarray):
        self.flat = flat

    def __call__(self, start, stop):
        return self.flat[start:stop]


class Cached(Whole):
    """Keeps one piece at a time, which is applied while it is in the CPU's cache; pieces of shared weights are all kept, to
    be summed."""

    def __init__(self, flat: np.ndarray, piece: np.ndarray, weights: np.ndarray, slots: np.ndarray,
                 shared: Callable[[int], bool]):
        super().__init__(flat)
        self.piece, self.weights, self.slots, self.shared = piece, weights, slots, shared

    def __call__(self, start, stop):
        return super().__call__(start, stop) if self.shared(start) else self.piece[:stop - start]

    def ahead(self, start, stop):
        return None if self.shared(start) else addresses(self.weights[start:stop], *self.slots[:, start:stop])


class Rows:
    """The update of some rows of a table[V, D]: copies the rows out, updates them, and writes them back."""

    def __init__(self, optimizer, k, w: np.ndarray, g: np.ndarray, slots: np.ndarray):
        self.optimizer, self.k, self.w, self.g, self.slots = optimizer, k, w, g, slots

    def __call__(self, rows: np.ndarray, now: Now) -> float:
        w, g, slots = self.w[rows], self.g[rows], self.slots.take(rows, 1)
        squares = self.optimizer.block(self.k, w.reshape(-1), g.reshape(-1), slots.reshape(len(slots), w.size))(now, 1.0)
        self.w[rows], self.slots[:, rows] = w, slots
        return squares


def all_rows(g: np.ndarray, fill):
    """A `fill` for the whole table: the rows that `fill` has, and 0 in all others."""
    def whole(batch):
        g[:] = 0
        fill(batch)
    return whole


def added_to(k, g: np.ndarray, fill):
    """A `fill` that adds to the present content of g."""
    before = np.empty_like(g)

    def add(batch):
        before[:] = g
        fill(batch)
        g[:] += before
        k.flush(g[None])
    return add
