"""Where Keras keeps weights in its HDF5 files.

Keras 3 (in .keras and .weights.h5): layers/CLASS_NUMBER/vars/NUMBER. Before, and in whole-model .h5 files: attributes name the
layers in their order, and of each its weights. The optimizer's state: keras_state.
"""
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from mrdl.config import need, snake
from mrdl.layers import Bidirectional, Input, TimeDistributed
from mrdl.layers.conv_lstm import ConvLSTM2D
from mrdl.layers.layer import Layer, Weight
from mrdl.layers.recurrent import Recurrent
from mrdl.models.formats.hdf5 import Contents
from mrdl.models.formats.keras_state import HINT, STATE, VARS, put, state, stored_state, take_state

LEGACY = "model_weights"        # the group of a whole model's weights in .h5 files


# -- weights

def kind_of(layer: Layer) -> str:
    """The name of the layer's class in Keras."""
    return "InputLayer" if isinstance(layer, Input) else type(layer).__name__ if isinstance(layer, Layer) else layer.kind


def groups(layers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The groups of layers in Keras 3's files by their names.

    Args:
        layers: (class, name) of each, in the order of Keras's model.layers."""
    counts: Counter = Counter()
    found = {}
    for kind, name in layers:
        kind = snake(kind)
        found[name] = f"layers/{kind}" + f"_{counts[kind]}" * (counts[kind] > 0)
        counts[kind] += 1
    return found


def groups_of(model, layers: list[tuple[str, str]] | None = None) -> dict[str, str]:
    """The groups of a model's layers by their names, MODEL/LAYER for those of a model inside it.

    Args:
        model: any model.
        layers: as `groups` takes them. None: those of the model."""
    own, found = groups(layers or zip(map(kind_of, model.layers), model.names())), {}
    for layer, name in zip(model.layers, model.names()):
        if isinstance(layer, Layer):
            found[name] = own[name]
        else:
            found |= {f"{name}/{of}": f"{own[name]}/{group}" for of, group in groups_of(layer).items()}
    return found


def inside(layer: Layer, weights: list[Weight]) -> list[str]:
    """The places of a layer's weights in its group."""
    if isinstance(layer, Bidirectional):
        return [f"{way}layer/{place}" for way, one in layer.ways()
                for place in inside(one, [w for w in weights if w.name.startswith(way)])]
    if isinstance(layer, TimeDistributed):
        return [f"layer/{place}" for place in inside(layer.layer, weights)]
    return ["cell/" * isinstance(layer, (Recurrent, ConvLSTM2D)) + f"vars/{i}" for i, _ in enumerate(weights)]


def places(model, layers: list[tuple[str, str]] | None = None) -> list[str]:
    """The paths of a model's weights in Keras 3's files, in the order of `model.places`.

    Args:
        model: a model whose weights' shapes are known.
        layers: as `groups` takes them. None: those of the model."""
    found = groups_of(model, layers)
    return [f"{found[step.name]}/{place}" for step in sorted(model.stack(), key=lambda step: step.index) if not step.again
            for place in inside(step.layer, step.weights)]


def legacy_places(model, contents: Contents, group: str, source: str) -> list[str]:
    """The paths of a model's weights in an older file: by the names of layers if they are the same, else in their order.

    Args:
        model: a model whose weights' shapes are known.
        contents: of the file.
        group: that has the layers: "" or LEGACY.
        source: what the file is called in errors."""
    version, backend = (contents.text(group, name) or "" for name in ("keras_version", "backend"))
    need(not version.startswith("1") and backend != "theano",
         f"{source} was written by Keras {version[:20]} ({backend[:20]}): kernels of Keras 1 and of Theano are not supported")
    there = {}
    for layer in contents.names(group, "layer_names"):
        at = f"{group}/{layer}".strip("/")
        if names := contents.names(at, "weight_names"):
            there[layer] = [f"{at}/{name}" for name in names]
    steps = [step for step in sorted(model.stack(), key=lambda step: step.index) if step.weights and not step.again]
    need(len(there) == len(steps), f"{source} has weights of {len(there)} layers, and the model has {len(steps)} with weights")
    same = {step.name for step in steps} == set(there)
    found = [there[step.name] for step in steps] if same else list(there.values())
    for step, names in zip(steps, found):
        need(len(names) == len(step.weights), f"{source} has {len(names)} weights of {step.name}, not {len(step.weights)}")
    return [name for names in found for name in names]


def vector(model, contents: Contents, paths: list[str], source: str) -> np.ndarray:
    """The flat vector of a model whose weights have these paths; ConfigError if one is missing or has another shape."""
    flat = model.empty(model.count_params())
    for (step, weight, start), path in zip(model.places(), paths, strict=True):
        put(flat, weight, start, contents.arrays.get(path), f"{source}: {step.name}/{weight.name}")
    return flat


# -- whole files

def load(model, contents: Contents, source: str, layers: list[tuple[str, str]] | None = None) -> None:
    """Sets a model's weights from the contents of a file, of either kind; if one does not fit, changes nothing.

    Args:
        model: a model whose weights' shapes are known.
        contents: of the file.
        source: what it is called in errors.
        layers: as `groups` takes them. None: those of the model."""
    group = LEGACY if contents.names(LEGACY, "layer_names") else ""
    if contents.names(group, "layer_names"):
        paths = legacy_places(model, contents, group, source)
    else:
        paths = places(model, layers)
        there = sum(path.startswith("layers/") for path in contents.arrays)
        need(there or not paths, f"{source} has no weights as Keras writes them")
    model.weights = vector(model, contents, paths, source)


def load_state_too(model, contents: Contents, source: str) -> None:
    """Sets the optimizer's state, as Keras's load_weights does; warns if the file's is that of another optimizer."""
    found = stored_state(contents) if model.loss is not None else None
    if found is None:
        return
    try:
        take_state(model, found[0], {}, source, found[1])
    except ValueError as error:
        warnings.warn(f"the optimizer is a fresh one: {str(error).removesuffix(HINT)}", stacklevel=4)


def contents_of(model, layers: list[tuple[str, str]] | None = None) -> Contents:
    """What Keras 3 writes into .weights.h5 for a model, with the state of its optimizer if it is compiled."""
    arrays = {path: weight.to_keras(model.weights[start:start + weight.size])
              for (_, weight, start), path in zip(model.places(), places(model, layers))}
    if model.loss is not None:
        arrays |= {f"{VARS}/{i}": values for i, values in enumerate(state(model))}
    attributes = {f"{group}/vars": {"name": name} for name, group in
                  groups(zip(map(kind_of, model.layers), model.names())).items()}
    return Contents({"vars": {"name": model.name}, **attributes}, arrays)


def legacy_contents(model) -> Contents:
    """What Keras writes into .h5 for a model: its weights by the names of layers, and the state of its optimizer."""
    need(not model.nested, f"{model.name} has a model inside it, which is not written to .h5 yet: save it as .keras")
    attributes: dict[str, dict[str, Any]] = {LEGACY: {"layer_names": model.names(), "backend": "mrdl", "keras_version": "3.0.0"}}
    arrays = {}
    of_layer: dict[str, list[str]] = {name: [] for name in model.names()}
    for step, weight, start in model.places():
        name = f"{step.name}/{weight.name}"
        of_layer[step.name].append(name)
        arrays[f"{LEGACY}/{step.name}/{name}"] = weight.to_keras(model.weights[start:start + weight.size])
    attributes |= {f"{LEGACY}/{layer}": {"weight_names": names} for layer, names in of_layer.items()}
    attributes[f"{LEGACY}/top_level_model_weights"] = {"weight_names": []}
    if model.loss is not None:
        variables = state(model)
        names = ["iteration", *(f"variable_{i}" for i in range(1, len(variables)))]
        attributes[STATE] = {"weight_names": names}
        arrays |= {f"{STATE}/{name}": values for name, values in zip(names, variables)}
    return Contents(attributes, arrays)
