"""A model's gradient against differences of its loss: `Probe(layers, loss).check()`."""
import copy

import numpy as np

import mrdl
from mrdl.losses import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    Dice,
    Hinge,
    KLDivergence,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Poisson,
    SquaredHinge,
    Tversky,
)
from mrdl.optimizers import SGD
from mrdl.training.learner import Learner

# losses whose targets must be above 0, and those whose targets are 0 or 1, where their activation does not say so
POSITIVE = {MeanAbsolutePercentageError, MeanSquaredLogarithmicError, KLDivergence, Poisson}
ONES = {Hinge, SquaredHinge, CategoricalHinge, BinaryFocalCrossentropy, CategoricalFocalCrossentropy, Dice, Tversky}


def targets(rng, loss, shape):
    """Targets of 64 examples that suit a loss, for outputs of that shape."""
    if loss.free:
        return rng.integers(1, shape[-1], (64, 2))
    y = {"softmax": np.eye(shape[-1])[rng.integers(0, shape[-1], (64, *shape[:-1]))],
         "sigmoid": rng.integers(0, 2, (64, *shape)).astype("f8"),
         None: rng.standard_normal((64, *shape))}[loss.activation]
    if type(loss) in POSITIVE:
        y = abs(y) + 0.1
    if type(loss) is KLDivergence:
        y = np.minimum(y, 1)
    if type(loss) in ONES:
        y = (y > 0) * 1.0
    return y.argmax(-1) if loss.sparse else y


def along(function, x, direction, h=5e-6):
    """The derivative of a function at the array x along a direction, by a central difference of fourth order.

    Along random numbers, one difference sees a mistake in the derivative at any place.
    """
    f = [function(x + step * h * direction) for step in (-2, -1, 1, 2)]
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)


def assert_close(found, wanted):
    """Derivatives by name are equal, but for the error of a difference."""
    wrong = {name: (found[name], value) for name, value in wanted.items()
             if not abs(found[name] - value) <= 2e-9 + 1e-6 * abs(value)}
    assert not wrong, f"gradients that are not those of the differences (found, wanted): {wrong}"


class Probe:
    """A model and a minibatch, in float64: the loss at any weights, and its gradient.

    `n`: examples in the minibatch. `buffers`: how many the model's buffers have room for, if more. `weighted`: whether
    examples have weights of their own."""

    def __init__(self, layers, loss, n=5, *, buffers=None, weighted=False, class_weight=None, x=None):
        rng = np.random.default_rng(0)
        self.model = layers             # a compiled model, or the layers of one
        if not isinstance(layers, mrdl.Model):
            self.model = mrdl.Sequential(copy.deepcopy(layers), dtype="float64")    # tables have each layer once, and models in common would train it
            self.model.compile(SGD(1.0), loss)
        self.model.build(seed=1)
        size = len(self.model.weights)
        self.start = self.model.weights + 0.3 * rng.standard_normal(size)
        y = [targets(rng, head.loss, head.shape) for head in self.model.heads()]
        self.arrays = {"x": rng.standard_normal((64, *self.model.input_shape)) if x is None else x,
                       "y": y[0] if len(y) == 1 else np.hstack([t.reshape(64, -1) for t in y])}
        if weighted:
            self.arrays["w"] = rng.random(64) * 2
        self.index, self.w = rng.permutation(64)[:n], self.start.copy()
        self.learner = Learner(self.model, self.w, np.zeros((0, size)), batch_size=buffers or n,
                               class_weight=class_weight)

    def step(self, index, scale):
        """Trains on these examples and gives their loss. The optimizer is SGD with a rate of 1: with the scale 1 the
        weights become less by the gradient, with the scale 0 they stay."""
        self.learner.rate_scale, self.learner.sums = scale, {}
        self.learner.step(self.arrays, index, key=77, number=3)
        total, count = self.learner.sums["loss"]
        return total / count

    def loss(self, w):
        self.w[:] = w
        return self.step(self.index, 0.0)

    def gradient(self):
        self.w[:] = self.start
        self.step(self.index, 1.0)
        return self.start - self.w

    def along(self, places):
        """The derivative of the loss along random numbers at these places, by differences; and the numbers."""
        direction = np.zeros_like(self.start)
        direction[places] = np.random.default_rng(2).standard_normal(direction[places].shape)
        return along(self.loss, self.start, direction), direction

    def check(self):
        """The gradient of each weight that is trained against a difference."""
        gradient, found, wanted = self.gradient(), {}, {}
        assert abs(gradient).max() > 1e-3
        for step, weight, offset in self.model.places():
            if weight.trainable:
                name = f"{step.name}/{weight.name}"
                wanted[name], direction = self.along(slice(offset, offset + weight.size))
                found[name] = gradient @ direction
        assert_close(found, wanted)
