"""What training needs from a model: its calls of layers, its outputs, and the flat vectors of weights and updater's state."""
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np

from mrdl.layers.layer import Layer, Weight
from mrdl.layers.operation import Shape
from mrdl.losses import Loss
from mrdl.metrics import Metric
from mrdl.optimizer import Optimizer


class Step(NamedTuple):
    """One call of a layer. Shapes are without the batch."""
    index: int                  # number of the call, the key of its random numbers; of a layer's first call: the layer's number
    name: str
    layer: Layer
    output: Shape
    weights: list[Weight]
    offsets: list[int]
    inputs: tuple[int, ...]     # numbers of tensors: first the model's inputs, then the output of each step
    shapes: list[Shape]         # shapes of the inputs
    again: bool = False         # True: an earlier call used the same layer and weights
    parts: tuple = ()           # (number of the tensor, shape) of each output after the first, in order
    frozen: bool = False        # training leaves the layer's weights as they are


def ranges(places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places (start, stop) of the flat vector in their order; those that follow one another are one."""
    found: list[tuple[int, int]] = []
    for start, stop in sorted(places):
        if found and found[-1][1] == start:
            start, _ = found.pop()
        found.append((start, stop))
    return found


class Head(NamedTuple):
    """One of a model's outputs, with its loss and metrics."""
    name: str                   # "" if it is the only output
    shape: Shape
    loss: Loss
    weight: float               # of its loss in the total loss
    metrics: dict[str, Metric]

    @property
    def prefix(self) -> str:
        return self.name and f"{self.name}_"


class LayeredModel(Protocol):
    """A model as seen by the code that trains, scores or describes it; mrdl.Model and mrdl.Sequential implement this.

    Shapes are those of one example. Each weight has one place in the flat vector, even if several calls use it."""
    dtype: np.dtype                     # float32, or float64 for checks
    layers: list[Layer]
    input_shape: Shape | None           # of all inputs joined; None until the model is built
    sparse: bool                        # is one of its Inputs one with sparse=True?
    weights: np.ndarray | None          # the flat vector; None until the model is built
    slots: np.ndarray | None            # the updater's state, [slots, weights]; None before any training
    optimizer: Optimizer | None         # None until the model is compiled; so is the loss
    loss: Loss | list[Loss] | None
    iterations: int                     # updates done
    epochs: int                         # epochs done
    rate_scale: float                   # factor of the learning rate
    stateful: bool                      # does a layer keep its states from minibatch to minibatch?
    output_shape: Shape | list[Shape]

    def build(self, input_shape: Shape | int | None = None, seed: int = 0) -> "LayeredModel":
        """Creates the weights, unless they exist."""

    def compiled(self) -> "LayeredModel":
        """Returns the model itself; ConfigError if it has not been compiled."""

    def stack(self) -> list[Step]:
        """The calls of layers, in an order in which each follows the calls whose outputs it uses."""

    def places(self) -> Iterator[tuple[Step, Weight, int]]:
        """Each weight once, with its start in the flat vector."""

    def moments(self, mean: str = ..., variance: str = ...) -> list[tuple[int, int, int]]:
        """(start of the mean, start of the variance, size of each) for each layer that has weights with these names."""

    def count_params(self) -> int:
        """The length of the flat vector."""

    def input_names(self) -> list[str]: ...

    def input_shapes(self) -> list[Shape]: ...

    def sparse_inputs(self) -> list[bool]: ...

    def output_names(self) -> list[str]: ...

    def output_shapes(self) -> list[Shape]: ...

    def output_tensors(self) -> list[int]:
        """The numbers of the tensors that are outputs. (Tensors are numbered: inputs first, then the output of each step.)"""

    def output_activations(self) -> list[str]:
        """The activations of the layers that compute the outputs."""

    def heads(self) -> list[Head]:
        """The outputs, with the loss and the metrics of each."""

    def named_metrics(self) -> dict[str, Metric]:
        """The metrics of all outputs, by the names under which they are reported."""

    def windowed(self, steps: int) -> "LayeredModel":
        """The same model for sequences of `steps` steps; its weights have the same places."""
