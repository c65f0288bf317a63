"""Layers that several models have: one layer, one set of weights, as in Keras.

Each model computes with a flat vector of its own, so that its updater, rounds and files know nothing of others. A layer
knows in whose vector its weights are as they are now (`Layer.held`). A model copies them from there before it computes;
one that trains, or is given weights, makes its own vector the valid place. A layer of one model costs nothing."""
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from mrdl.config import need
from mrdl.layers.layer import Held, Layer, Weight


def own(model) -> Iterator[tuple[str, Layer, list[Weight], np.ndarray]]:
    """The name of each layer that has weights, the layer, its weights, and their part of the model's vector."""
    for step in model.stack() if isinstance(model.weights, np.ndarray) else ():     # else they are read from a file, layer by layer
        if step.weights and not step.again:
            size = sum(weight.size for weight in step.weights)
            yield step.name, step.layer, step.weights, model.weights[step.offsets[0]:step.offsets[0] + size]


def elsewhere(model) -> bool:
    """Are weights of the model valid in another vector than its own? It is asked before each computation, so without `stack`."""
    if not isinstance(model.weights, np.ndarray):
        return False
    begin = model.weights.ctypes.data
    return any(layer.held is not None and not begin <= layer.held.address < begin + model.weights.nbytes for layer in model.parts())


def pull(model) -> None:
    """Copies weights that are valid elsewhere into the model's vector."""
    for name, layer, weights, part in own(model) if elsewhere(model) else ():
        if layer.held is not None and layer.held.address != part.ctypes.data:
            need([w.keras for w in layer.held.weights] == [w.keras for w in weights],
                 f"{name} has weights of the shapes {', '.join(str(w.keras) for w in layer.held.weights)} from another model, where "
                 "its input has another shape: make a layer of its own for each")
            for weight, theirs, ours in zip(weights, layer.held.arrays(), Held(weights, part).views()):
                weight.from_keras(theirs, ours)


def publish(model) -> None:
    """Makes the model's vector the valid place of its layers' weights."""
    if model.weights is not None and len(model.weights) == model.count_params():
        for _, layer, weights, part in own(model):
            layer.hold(Held(weights, part))


def drawn(model) -> None:
    """After its weights were drawn: takes those that are valid elsewhere, and is the place of the others."""
    pull(model)
    for _, layer, weights, part in own(model):
        if layer.held is None:
            layer.hold(Held(weights, part))


@contextmanager
def written(model) -> Iterator[None]:
    """What runs inside trains the model: it begins with the weights that are valid, and leaves the valid ones."""
    def take() -> None:
        if elsewhere(model):
            publish(model)
    pull(model)
    take()
    try:
        yield
    finally:
        take()
