"""Finds the residual blocks of a graph, and makes the graph without some of them."""
from collections import Counter, defaultdict
from dataclasses import replace
from typing import NamedTuple

from mrdl.layers import Add
from mrdl.layers.layer import Symbol
from mrdl.models.model import Model


class Block(NamedTuple):
    """y = x + f(x), where f is a chain of layers. Without the block, y is x."""
    source: Symbol              # x
    chain: list[Symbol]         # the calls of f, in order
    add: Symbol                 # y


def blocks(model: Model) -> list[Block]:
    """The residual blocks of a graph that have weights. Nothing else uses what is in a block's chain, or its layers; where there are
    masks, a chain hands them on, as the graph without it does."""
    graph, masks = model.graph, any(getattr(layer, "makes_mask", False) for layer in model.layers)
    uses, weights = Counter(id(call.layer) for call in graph.calls), {id(step.layer) for step in model.stack() if step.weights}
    users: defaultdict[int, set[int]] = defaultdict(set)
    for call in graph.calls:
        for source in call.inputs:
            users[id(source.main)].add(id(call))
    for output in graph.outputs:
        users[id(output.main)].add(0)

    def chain(end: Symbol, add: Symbol, source: Symbol) -> list[Symbol]:
        """The calls from `source` to `end`; empty if there is more than a chain between them."""
        found = [add]
        while end is not source:
            alone = users[id(end)] == {id(found[-1])} and uses[id(end.layer)] == 1
            if not alone or len(set(map(id, end.inputs))) != 1 or masks and not end.layer.supports_masking:
                return []
            found.append(end)
            end = end.inputs[0]
        return found[:0:-1]

    found = []
    for add in graph.calls:
        if isinstance(add.layer, Add) and len(add.inputs) == 2 and 0 not in users[id(add)]:
            for end, source in (add.inputs, add.inputs[::-1]):
                own = chain(end, add, source)
                if any(id(call.layer) in weights for call in own):
                    found.append(Block(source, own, add))
    return found


def shortened(model: Model, left_out: list[Block]) -> Model:
    """The graph without these blocks. Its layers have the names that they have in the whole."""
    layers = {id(layer): replace(layer, name=name) for layer, name in zip(model.layers, model.names())}
    inputs = [layers[id(layer)] for layer in model.graph.inputs]
    outputs = model.graph.over(inputs, layers, {id(call): block.source for block in left_out for call in [*block.chain, block.add]})
    return Model(inputs, outputs, model.name, dtype=model.dtype.name)
