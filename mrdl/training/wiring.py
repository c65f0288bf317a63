"""Which tensor goes where when a model is bound to buffers: a function for each question, then the tensors themselves.

Tensors have numbers: first the model's inputs, then what each step gives, then what steps give beside that. A view is a
step without an operation: it gives its input under another shape."""
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np

from mrdl.config import need
from mrdl.layers import Rescaling
from mrdl.layers.operation import Branch, Part, Shape, Tensor, View
from mrdl.training.protocol import Step

# view or input -> the tensor that it is, under another shape; None: an input
Sources = dict[int, int | None]


def sources(stack: list[Step], inputs: int) -> Sources:
    """Which tensor each view is another shape of."""
    found: Sources = dict.fromkeys(range(inputs))
    for number, step in enumerate(stack, inputs):
        if step.layer.operation is None:
            source, = step.inputs
            found[number] = found.get(source, source)
    return found


def takers(stack: list[Step], ends: list[int], sources: Sources) -> Counter:
    """How many operations and outputs take each tensor, directly or through views; `ends`: the outputs' tensors."""
    taken = itertools.chain(ends, *(step.inputs for step in stack if step.layer.operation))
    return Counter(sources.get(number, number) for number in taken)


def reshaped(stack: list[Step], inputs: int) -> set[int]:
    """The views under which steps are no steps any more, so that no mask is theirs."""
    return {number for number, step in enumerate(stack, inputs)
            if step.layer.operation is None and not step.layer.supports_masking}


def scaled_input(stack: list[Step], inputs: int) -> Step | None:
    """The Rescaling that can be left to the gather: it alone takes the only input."""
    alone = inputs == 1 and sum(step.inputs.count(0) for step in stack) == 1
    return stack[0] if alone and isinstance(stack[0].layer, Rescaling) else None


def left_to_losses(ends: list[int], fused: list[bool], sources: Sources, takers: Counter) -> set[int]:
    """The tensors whose activation a loss computes; `fused` says of each output whether its loss does.

    ConfigError where another layer takes such a tensor: it would get it without its activation."""
    found = {sources.get(end, end) for end, yes in zip(ends, fused) if yes}
    need(all(takers[number] < 2 for number in found), "an output goes into other layers too: give it no "
         "activation, and its loss from_logits=True")
    return found


class Wires:
    """The tensors by their numbers, each as those see it who take it.

    A tensor that several take has a Branch for each of them, whose gradients a Join adds. `x` holds all inputs,
    `others` are all tensors but x. `inputs`: the features of each input; `make(shape)` gives a tensor of its own."""

    def __init__(self, make: Callable[[Shape], Tensor], inputs: list[int], sources: Sources, takers: Counter,
                 reshaped: set[int]):
        self.sources, self.takers, self.reshaped = sources, takers, reshaped
        self.x = make((sum(inputs),))
        cuts = itertools.pairwise(itertools.accumulate(inputs, initial=0))
        first = [self.x] if len(inputs) == 1 else [Part(self.x, *cut) for cut in cuts]
        self.inputs = set(map(id, first))
        self.others = [tensor for tensor in first if tensor is not self.x]
        self.tensors = dict(enumerate(first))
        self.branches: dict[int, list[Branch]] = {}     # by the number of the tensor that they are of

    def is_input(self, tensor: Tensor) -> bool:
        """Then nobody needs its gradient."""
        return id(tensor) in self.inputs

    def same(self, number: int, source: int) -> None:
        """A view, or an input that the gather has scaled."""
        self.tensors[number] = self.tensors[source]

    def made(self, tensors: dict[int, Tensor]) -> list["Join"]:
        """Puts in what a step gives; a Join for each that several take."""
        self.tensors |= tensors
        self.others += tensors.values()
        return [Join(tensor, self.branches.setdefault(number, [])) for number, tensor in tensors.items()
                if self.takers[number] > 1]

    def taken(self, number: int) -> Tensor:
        """The tensor for one who takes it."""
        tensor, source = self.tensors[number], self.sources.get(number, number)
        if not self.is_input(tensor) and self.takers[source] > 1:
            tensor = Branch(tensor)
            self.branches[source].append(tensor)
        hides = number in self.reshaped and (tensor.mask is not None or tensor.ids is not None)
        return View(tensor) if hides else tensor


class Join:
    """Where a tensor goes into several operations: its gradient is the sum of theirs."""

    def __init__(self, tensor: Tensor, branches: list[Branch]):
        self.tensor, self.branches = tensor, branches

    def forward(self) -> None:
        pass

    def backward(self, batch: int) -> None:
        self.tensor.grad[:] = reduce(np.add, (branch.grad for branch in self.branches))
        self.tensor.k.flush(self.tensor.grad)

    def gradients(self, place) -> Iterator:
        return iter(())
