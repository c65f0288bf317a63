"""What training needs of a model: its calls of layers, its outputs, and a flat vector of weights with an updater's state."""
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from mrdl.layers.layer import Layer, Weight
from mrdl.layers.operation import Shape
from mrdl.losses import Loss
from mrdl.metrics import Metric
from mrdl.optimizers import Optimizer


class Step(NamedTuple):
    """One call of a layer: shapes without the batch, its weights and where they start."""
    index: int                  # of the call: its random stream; of the first one, the layer's number
    name: str
    layer: Layer
    output: Shape
    weights: list[Weight]
    offsets: list[int]
    inputs: tuple[int, ...]     # numbers of tensors: the model's inputs, then what each step gives
    shapes: list[Shape]         # of the inputs
    again: bool = False         # the layer was called before, with these weights
    parts: tuple = ()           # (number of the tensor, shape) of each thing that it gives beside its first, in order


class Head(NamedTuple):
    """One of a model's outputs, and what is asked of it."""
    name: str                   # "" where it is the only one
    shape: Shape
    loss: Loss
    weight: float               # of its loss in the whole one
    metrics: dict[str, Metric]

    @property
    def prefix(self) -> str:
        return self.name and f"{self.name}_"


class LayeredModel(Protocol):
    """A model as those see it who train, score or describe it. mrdl.Model and mrdl.Sequential are such models.

    Shapes are those of one example. Each weight has one place in the flat vector, whoever reads it."""
    dtype: np.dtype                     # float32, or float64 for checks
    layers: list[Layer]
    input_shape: Shape | None           # of all inputs together; None until it is built
    weights: np.ndarray | None          # the flat vector; None until it is built
    slots: np.ndarray | None            # the updater's state, [slots, weights]; None before any training
    optimizer: Optimizer | None         # None until it is compiled, and so the loss
    loss: Loss | list[Loss] | None
    iterations: int                     # updates done
    epochs: int                         # epochs done
    rate_scale: float                   # of the learning rate
    stateful: bool                      # does a layer go on from minibatch to minibatch?
    output_shape: Shape | list[Shape]

    def build(self, input_shape: Shape | int | None = None, seed: int = 0) -> "LayeredModel":
        """Draws the weights that are not there yet."""

    def compiled(self) -> "LayeredModel":
        """The model itself; ConfigError where nobody has compiled it."""

    def stack(self) -> list[Step]:
        """The calls of layers, each after those whose tensors it takes."""

    def places(self) -> Iterator[tuple[Step, Weight, int]]:
        """Each weight once, with where it starts in the flat vector."""

    def moments(self, mean: str = ..., variance: str = ...) -> list[tuple[int, int, int]]:
        """(start of a mean, start of its variance, size of each) of the layers that have weights of these names."""

    def count_params(self) -> int:
        """How many numbers the flat vector has."""

    def input_names(self) -> list[str]: ...

    def input_shapes(self) -> list[Shape]: ...

    def output_names(self) -> list[str]: ...

    def output_shapes(self) -> list[Shape]: ...

    def output_tensors(self) -> list[int]:
        """The numbers of the tensors that are outputs: the inputs come first, then what each step gives."""

    def output_activations(self) -> list[str]:
        """The activations of the layers that compute the outputs."""

    def heads(self) -> list[Head]:
        """The outputs, with the loss and the metrics of each."""

    def named_metrics(self) -> dict[str, Metric]:
        """All outputs' metrics, by the names they are reported by."""

    def windowed(self, steps: int) -> "LayeredModel":
        """The model for sequences of so many steps; its weights have the same places."""
