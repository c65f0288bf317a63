"""Decides which tensor goes where when a model is bound to buffers: one function per question, then the tensors.

Tensors are numbered: first the model's inputs, then the first output of each step, then the further outputs of steps. A
view is a step without an operation: its output is its input with another shape."""
import itertools
from collections import Counter
from collections.abc import Iterator
from functools import reduce

import numpy as np

from mrdl.config import need
from mrdl.layers import Rescaling
from mrdl.layers.operation import Branch, Part, Tensor, View
from mrdl.training.protocol import Step

# view -> the tensor that it shows with another shape; input -> None
Sources = dict[int, int | None]


def sources(stack: list[Step], inputs: int) -> Sources:
    """For each view, the tensor that it shows."""
    found: Sources = dict.fromkeys(range(inputs))
    for number, step in enumerate(stack, inputs):
        if step.layer.operation is None:
            source, = step.inputs
            found[number] = found.get(source, source)
    return found


def live(stack: list[Step], inputs: int) -> set[int]:
    """The tensors that depend on a weight that is trained: their gradients are needed."""
    found: set[int] = set()
    for number, step in enumerate(stack, inputs):
        if any(weight.trainable for weight in step.weights) or not found.isdisjoint(step.inputs):
            found |= {number, *(part for part, _ in step.parts)}
    return found


def takers(stack: list[Step], ends: list[int], sources: Sources) -> Counter:
    """How many operations and outputs use each tensor, directly or through views; `ends`: the outputs' tensors."""
    taken = itertools.chain(ends, *(step.inputs for step in stack if step.layer.operation))
    return Counter(sources.get(number, number) for number in taken)


def reshaped(stack: list[Step], inputs: int) -> set[int]:
    """The views that do not keep the steps of their input, and so have no mask."""
    return {number for number, step in enumerate(stack, inputs)
            if step.layer.operation is None and not step.layer.supports_masking}


def scaled_input(stack: list[Step], inputs: int) -> Step | None:
    """The Rescaling layer that the gather can do: the only user of the model's only input. None if there is none."""
    alone = inputs == 1 and sum(step.inputs.count(0) for step in stack) == 1
    return stack[0] if alone and isinstance(stack[0].layer, Rescaling) else None


def left_to_losses(ends: list[int], fused: list[bool], sources: Sources, takers: Counter) -> set[int]:
    """The tensors whose activation a loss computes; `fused`: for each output, whether its loss does.

    ConfigError if another layer uses such a tensor, because it would get it without its activation."""
    found = {sources.get(end, end) for end, yes in zip(ends, fused) if yes}
    need(all(takers[number] < 2 for number in found), "the model uses an output as another "
         "layer's input, too: give the output no "
         "activation, and its loss from_logits=True")
    return found


class Wires:
    """The tensors by their numbers.

    A tensor with several users has a Branch for each of them, and a Join adds the branches' gradients. `x` has all inputs but the
    sparse ones among several, which have their own; `others` are all tensors except x. `inputs`: of each input the number of
    features, or its own tensor."""

    def __init__(self, x: Tensor, inputs: list[int | Tensor], sources: Sources, takers: Counter,
                 reshaped: set[int]):
        self.sources, self.takers, self.reshaped = sources, takers, reshaped
        self.x = x
        cuts = itertools.pairwise(itertools.accumulate((size for size in inputs if isinstance(size, int)), initial=0))
        first = [self.x] if len(inputs) == 1 else [Part(self.x, *next(cuts)) if isinstance(size, int) else size for size in inputs]
        self.inputs = set(map(id, first))
        self.others = [tensor for tensor in first if tensor is not self.x]
        self.tensors = dict(enumerate(first))
        self.branches: dict[int, list[Branch]] = {}     # tensor's number -> its branches

    def is_input(self, tensor: Tensor) -> bool:
        """Is it an input of the model, whose gradient is not needed?"""
        return id(tensor) in self.inputs

    def same(self, number: int, source: int) -> None:
        """Registers tensor `number` as a view of `source`, or as an input that the gather has scaled."""
        self.tensors[number] = self.tensors[source]

    def made(self, tensors: dict[int, Tensor]) -> list["Join"]:
        """Registers the outputs of a step; returns a Join for each output that has several users."""
        self.tensors |= tensors
        self.others += tensors.values()
        return [Join(tensor, self.branches.setdefault(number, [])) for number, tensor in tensors.items()
                if self.takers[number] > 1]

    def taken(self, number: int) -> Tensor:
        """The tensor (or a branch of it) for its next user."""
        tensor, source = self.tensors[number], self.sources.get(number, number)
        if not self.is_input(tensor) and self.takers[source] > 1:
            tensor = Branch(tensor)
            self.branches[source].append(tensor)
        hides = number in self.reshaped and (tensor.mask is not None or tensor.ids is not None)
        return View(tensor) if hides else tensor


class Join:
    """For a tensor that several operations use: its gradient is the sum of theirs."""

    def __init__(self, tensor: Tensor, branches: list[Branch]):
        self.tensor, self.branches = tensor, branches

    def forward(self) -> None:
        pass

    def backward(self, batch: int) -> None:
        self.tensor.grad[:] = reduce(np.add, (branch.grad for branch in self.branches))
        self.tensor.k.flush(self.tensor.grad)

    def gradients(self, place) -> Iterator:
        return iter(())
