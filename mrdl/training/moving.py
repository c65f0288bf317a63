"""What an optimizer keeps beside the slots of its rule: a moving average of the weights, and the sum of gradients that wait."""
import itertools
from collections.abc import Iterator

import numpy as np

from mrdl import kernels
from mrdl.config import need
from mrdl.layers.core import SparseDenseOperation
from mrdl.optimizer import Optimizer
from mrdl.training.network import Network
from mrdl.training.protocol import LayeredModel, ranges


def trained(model: LayeredModel) -> Iterator[slice]:
    """The ranges of the flat vector that the optimizer changes, each as long as possible."""
    return itertools.starmap(slice, ranges((start, start + weight.size) for _, weight, start in model.places() if weight.trainable))


class Average:
    """The moving average of the weights, which `follow` changes after each minibatch, before constraints, as in Keras.

    `weights` and `slots` are the caller's, and are changed in place."""

    def __init__(self, model: LayeredModel, weights: np.ndarray, slots: np.ndarray):
        self.optimizer, average = model.optimizer, slots[model.optimizer.slots]
        self.parts = [(weights[part], average[part]) for part in trained(model)]
        self.flush = kernels.typed(model.dtype).flush

    def follow(self, iterations: int) -> None:
        """`iterations`: the minibatches before this one."""
        optimizer, done = self.optimizer, self.optimizer.updates(iterations)
        share = optimizer.ema_momentum if done else 0.0
        often = optimizer.ema_overwrite_frequency
        with np.errstate(all="ignore"):         # the caller handles values that are not finite
            for weights, average in self.parts:
                average *= share
                average += weights * (1 - share)
                self.flush(average[None])
                if often and (done + 1) % often == 0:
                    weights[:] = average

    def finish(self) -> None:
        """Training ends: the average takes the place of the weights."""
        for weights, average in self.parts:
            weights[:] = average


def finish(model: LayeredModel) -> bool:
    """Training of a model ends; its weights may become their moving average. Do they?"""
    given = bool(model.optimizer.use_ema and model.slots is not None and model.iterations)
    if given:
        Average(model, model.weights, model.slots).finish()
    return given


class Gathered:
    """The sum of the gradients of several minibatches, of whose mean an update is made. `gradient` and `slots` are the caller's."""

    def __init__(self, net: Network, optimizer: Optimizer, gradient: np.ndarray, slots: np.ndarray):
        need(not any(isinstance(operation, SparseDenseOperation) for operation in net.operations),
             f"{type(optimizer).__name__}: gradient_accumulation_steps does not go with sparse inputs: take a larger batch_size")
        self.k, self.steps, self.squares = net.k, optimizer.gradient_accumulation_steps, 0.0
        self.gradient, self.sum = gradient, slots[-1]

    def add(self, iterations: int) -> bool:
        """Adds the gradient of a minibatch, before which there were so many. If its turn has come, `gradient` becomes the mean."""
        if due := (iterations + 1) % self.steps == 0:
            self.gradient += self.sum
            self.gradient /= self.steps
            self.sum[:] = 0
        else:
            self.squares = self.k.sum_squares(self.gradient)
            self.sum += self.gradient
        self.k.flush((self.gradient if due else self.sum)[None])
        return due
