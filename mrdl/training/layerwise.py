"""Weights that stay in their file: a layer's are read when the layer computes, and the next layer's take their memory.

So a network whose weights are larger than a task's memory can be scored: the task needs memory for its largest layer."""
from typing import BinaryIO

import numpy as np

from mrdl.kernels import zeros
from mrdl.training.protocol import Step


class Layerwise:
    """A model's weights in a file. A Network takes it in place of their vector; it computes the same bits.

    Args:
        file: the open file, which is closed when these weights are gone; nobody else moves its position.
        start: the byte where the weights begin.
        size: how many there are.
        dtype: of the weights."""

    def __init__(self, file: BinaryIO, start: int, size: int, dtype: np.dtype):
        self.file, self.start, self.size, self.dtype = file, start, size, np.dtype(dtype)
        self.room = np.empty(0, dtype)          # for the weights of the largest layer

    def __del__(self) -> None:
        self.file.close()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, places: slice) -> np.ndarray:
        """A copy of these weights."""
        return self.fill(places.start, np.empty(places.stop - places.start, self.dtype))

    def fill(self, start: int, values: np.ndarray) -> np.ndarray:
        """Reads as many weights as there are values, from the weight `start` on."""
        self.file.seek(self.start + start * self.dtype.itemsize)
        if self.file.readinto(values.view(np.uint8)) < values.nbytes:
            raise OSError("the file with the weights is shorter than it was")
        return values

    def turns(self, stack: list[Step]) -> dict[int, "Turn"]:
        """For each step of a model that has weights, by where they begin: what reads them."""
        sizes = {step.offsets[0]: sum(weight.size for weight in step.weights) for step in stack if step.weights}
        if len(self.room) < max(sizes.values(), default=0):
            self.room = zeros(max(sizes.values()), self.dtype)
        return {start: Turn(self, start, self.room[:size]) for start, size in sizes.items()}


class Turn:
    """Reads a layer's weights. It comes before each call of the layer, and is called as an operation is."""

    def __init__(self, source: Layerwise, start: int, weights: np.ndarray):
        self.source, self.start, self.weights = source, start, weights

    def forward(self) -> None:
        self.source.fill(self.start, self.weights)
