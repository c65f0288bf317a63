"""Trains weights on minibatches; both `model.fit` and the workers of a round use it."""
import numpy as np

from mrdl import metrics
from mrdl.data.windows import Arrays
from mrdl.kernels import zeros
from mrdl.optimizer import Now
from mrdl.training import pieces
from mrdl.training.class_weights import by_class
from mrdl.training.moving import Average, Gathered
from mrdl.training.network import Network
from mrdl.training.pieces import InPlace, Rows
from mrdl.training.protocol import LayeredModel
from mrdl.training.scoring import score


class Learner:
    """A model in training, with its updater and the sums of its metrics; `step` trains on one minibatch, in place."""
    length_of = None                    # x[n, ...] -> the length of each row, to group rows of similar length

    def __init__(self, model: LayeredModel, weights: np.ndarray, slots: np.ndarray, *, batch_size: int,
                 iterations: int = 0, rate_scale: float = 1.0, class_weight: dict | None = None):
        self.optimizer, self.iterations = model.compiled().optimizer, iterations
        self.rate_scale = rate_scale
        self.net = Network(model, batch_size, weights, model.heads(), training=True)
        self.sums: metrics.Sums = {}
        self.updates = self.terms = 0           # terms: examples, or unmasked steps (Network.compute)
        self.class_weight = {int(k): float(v) for k, v in (class_weight or {}).items()}
        self.constraints = [(w.constraint, w.view(of), of[None]) for _, w, start in model.places()
                            if w.constraint is not None and not w.frozen for of in [weights[start:start + w.size]]]
        self.tensors = [(start, start + w.size) for _, w, start in model.places()]
        self.average = Average(model, weights, slots) if self.optimizer.use_ema else None
        gradient = zeros(len(weights), weights.dtype) if self.optimizer.waits else None
        self.pieces = pieces.updates(self.net, model, weights, slots, gradient)
        self.gathered = Gathered(self.net, self.optimizer, gradient, slots) if self.optimizer.gradient_accumulation_steps else None
        self.in_place = any(isinstance(update, InPlace) for _, updates in self.pieces for update in updates)

    def begin(self, iterations: int, rate_scale: float) -> None:
        """Begins anew, as if just made, with the present weights and slots."""
        self.iterations, self.rate_scale, self.sums, self.updates, self.terms = iterations, rate_scale, {}, 0, 0
        self.reset()

    def reset(self) -> None:
        """Resets the states of stateful layers to 0."""
        for operation in self.net.operations:
            if hasattr(operation, "reset"):
                operation.reset()

    def weights_of(self, y: np.ndarray, w: np.ndarray | None, index: np.ndarray) -> np.ndarray:
        """The weight of each example: its sample weight times the weight of its class."""
        dtype = self.net.x.value.dtype
        weight = np.ones(len(index), dtype) if w is None else w[index].astype(dtype)
        if self.class_weight:
            weight *= by_class(self.class_weight, y[index]).astype(dtype)
        return weight

    def step(self, arrays: Arrays, index: np.ndarray, key: int, number: int) -> None:
        """Does one update on the rows `index`; (key, number) are the key of the minibatch's random numbers."""
        net, x, y = self.net, arrays["x"], arrays["y"]
        B = len(index)
        weight = self.weights_of(y, arrays.get("w"), index)
        net.read(x, index)
        net.draws.key, net.draws.minibatch = key, number
        net.forward()
        t = net.target(y, index)
        loss, n, losses = net.compute(t, weight)
        now = self.optimizer.at(self.iterations, self.rate_scale)
        penalty = squares = 0.0
        k = net.k
        for operation, updates in self.pieces:
            operation.backward(B)
            for update in updates:
                rows = update.fill(B)
                if isinstance(update.step, Rows):
                    squares += update.step(rows, now)
                    continue
                if not update.step:             # other calls of the layer have yet to add to this gradient
                    continue
                if update.penalty:
                    penalty += k.regularize(update.w, update.g, *update.penalty)
                if not self.optimizer.waits:
                    squares += update.step(now, 1.0)
        if self.optimizer.waits:
            squares = self._late(now)
        if self.average:
            self.average.follow(self.iterations)
        for constraint, w, flat in self.constraints:
            constraint.apply(w)
            k.flush(flat)
        self.iterations += 1
        self.updates += 1
        self.terms += n
        metrics.add(self.sums, {"loss": [loss + penalty * n, n],
                                **({} if self.in_place else {"gradient_norm": [squares ** 0.5, 1]})})
        score(net, losses, t, B, self.sums)

    def _late(self, now: Now) -> float:
        """Applies the updates when the whole gradient is known, if it is their turn; returns the sum of its squares."""
        if self.gathered and not self.gathered.add(self.iterations):
            return self.gathered.squares
        made = [update for _, updates in self.pieces for update in updates if update.step]
        if self.optimizer.clips:
            return self._clipped(now, made)
        return sum(update.step(now, 1.0) for update in made)

    def _clipped(self, now: Now, made: list) -> float:
        """Applies these updates with the gradient clipped by its norm, per tensor or over all tensors."""
        optimizer, squares = self.optimizer, {start: 0.0 for start, _ in self.tensors}
        for update in made:
            squares[update.tensor] += self.net.k.sum_squares(update.g)
        whole = sum(squares.values())
        for update in made:
            limit, norm = ((optimizer.clipnorm, squares[update.tensor] ** 0.5) if optimizer.clipnorm is not None
                           else (optimizer.global_clipnorm, whole ** 0.5))
            update.step(now, limit / norm if norm > limit else 1.0)
        return whole
