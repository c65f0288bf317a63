"""Where Keras keeps weights and the optimizer's state in its HDF5 files.

Keras 3 (in .keras and .weights.h5): layers/CLASS_NUMBER/vars/NUMBER, optimizer/vars/NUMBER. Before, and in whole-model .h5 files:
attributes name the layers in their order, of each its weights, and the variables of the optimizer.
"""
import dataclasses
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from mrdl.config import need, shown, snake
from mrdl.layers import Bidirectional, Input, TimeDistributed
from mrdl.layers.conv_lstm import ConvLSTM2D
from mrdl.layers.layer import Layer, Weight
from mrdl.layers.recurrent import Recurrent
from mrdl.models.formats.hdf5 import Contents
from mrdl.optimizers.moments import WARMED
from mrdl.schedules import Schedule

IN_PAIRS = ("Adadelta", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Nadam")      # Keras has their first two slots weight by weight
LEGACY = "model_weights"        # the group of a whole model's weights in .h5 files
STATE = "optimizer_weights"     # and of its optimizer's state
VARS = "optimizer/vars"         # that state in Keras 3's files
MOST = 1 << 53                  # updates and epochs are below
HINT = "; load_model(path, updater=False) begins with a fresh optimizer"


# -- weights

def kind_of(layer: Layer) -> str:
    """The name of the layer's class in Keras."""
    return "InputLayer" if isinstance(layer, Input) else type(layer).__name__


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
    found = groups(layers or zip(map(kind_of, model.layers), model.names()))
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
        _put(flat, weight, start, contents.arrays.get(path), f"{source}: {step.name}/{weight.name}")
    return flat


def _put(flat: np.ndarray, weight: Weight, start: int, values: np.ndarray | None, what: str) -> None:
    need(values is not None, f"{what} is missing")
    need(values.shape == weight.keras, f"{what} has the shape {shown(values.shape)}, not {weight.keras}")
    with np.errstate(over="ignore"):                    # a number of float64 too large for float32 becomes infinity, as in Keras
        weight.from_keras(values.astype(flat.dtype), flat[start:start + weight.size])


# -- the optimizer's state

def trained(model) -> list[tuple[str, Weight, int]]:
    """(name, weight, start) of what the optimizer changes, in Keras's order."""
    return [(f"{step.name}/{weight.name}", weight, start) for step, weight, start in model.places() if weight.trainable]


def order(optimizer, weights: list[tuple[str, Weight, int]], apart: bool = False) -> Iterator[tuple[int, Weight, int]]:
    """(slot, weight, start) of each tensor of the optimizer's state, in Keras's order.

    Args:
        optimizer: an optimizer.
        weights: as `trained` gives them.
        apart: whether each slot's tensors come together, as in Keras 2.0 to 2.10."""
    if type(optimizer).__name__ == "Muon":
        for name, weight, start in weights:
            for slot in range(1 if optimizer.is_matrix(name, weight.keras) else 2):
                yield slot, weight, start
        return
    together = 2 if type(optimizer).__name__ in IN_PAIRS and not apart else 1
    slots = list(range(optimizer.slots))
    for group in [slots[:together], *([slot] for slot in slots[together:])]:
        for _, weight, start in weights:
            for slot in group:
                yield slot, weight, start


def state(model) -> list[np.ndarray]:
    """The variables of a compiled model's optimizer, as Keras orders them."""
    optimizer, t = model.optimizer, model.iterations
    found = [np.array(t, "i4" if t < 1 << 31 else "i8")]
    if not isinstance(optimizer.learning_rate, Schedule):
        found.append(np.array(optimizer.learning_rate * model.rate_scale, "f4"))
    slots = optimizer.start(model.weights) if model.slots is None else model.slots
    found += [weight.to_keras(slots[slot, start:start + weight.size]) for slot, weight, start in order(optimizer, trained(model))]
    if type(optimizer).__name__ == "Nadam":
        found.append(np.array(optimizer.beta_1 ** t * WARMED[min(t, 1000)], "f4"))
    return found


def take_state(model, variables: list[np.ndarray], note: dict[str, Any], source: str, apart: bool = False) -> None:
    """Sets the state of a model's optimizer; if it does not fit, raises ConfigError and changes nothing.

    Args:
        model: a compiled model with weights.
        variables: those of Keras's optimizer.
        note: what mrdl wrote besides: "epochs", "rate_scale".
        source: what the file is called in errors.
        apart: see `order`."""
    optimizer = model.optimizer
    numbers = [v for v in variables if v.shape == ()]
    tensors = [v for v in variables if v.shape != ()]
    wanted = list(order(optimizer, trained(model), apart))
    if apart and len(tensors) > len(wanted) and (not wanted or all(v.shape == (1,) for v in tensors[len(wanted):])):
        tensors = tensors[:len(wanted)]                 # Keras 2.0 to 2.3 also has slots that are not used
    steps = [int(v) for v in numbers[:1] if v.dtype.kind in "iu"]
    t, epochs, scale = steps[0] if steps else 0, note.get("epochs", 0), note.get("rate_scale", 1.0)
    need(all(type(n) is int and 0 <= n < MOST for n in (t, epochs)) and type(scale) is float and 0 < scale < np.inf,
         f"{source}: the counts of its optimizer are damaged{HINT}")
    slots = optimizer.start(model.weights)
    if tensors:                                         # else the optimizer had no slots yet, as what Keras 3 loads from .h5
        need(len(tensors) == len(wanted), f"{source}: the state of its optimizer has {len(tensors)} tensors, and "
             f"{type(optimizer).__name__} has {len(wanted)}{HINT}")
        for (slot, weight, start), values in zip(wanted, tensors):
            need(values.shape == weight.keras, f"{source}: the state of its optimizer does not fit the weights{HINT}")
            _put(slots[slot], weight, start, values, source)
    rate = numbers[1] if len(numbers) > 1 and numbers[1].dtype.kind == "f" and not apart else None
    if rate is not None and not isinstance(optimizer.learning_rate, Schedule) and np.float32(optimizer.learning_rate) != np.float32(rate):
        model.optimizer = dataclasses.replace(optimizer, learning_rate=float(rate))
    model.slots, model.iterations, model.epochs, model.rate_scale = slots, t, epochs, scale


def stored_state(contents: Contents) -> tuple[list[np.ndarray], bool] | None:
    """The variables of the optimizer in a file, and whether they are `apart` (see `order`); None if there are none."""
    names = contents.names(STATE, "weight_names")
    if names:
        found = [contents.arrays.get(f"{STATE}/{name}") for name in names]
        return [v for v in found if v is not None], names[0].rpartition("/")[2].partition(":")[0] != "iteration"
    count = sum(path.startswith(f"{VARS}/") for path in contents.arrays)
    found = [contents.arrays.get(f"{VARS}/{i}") for i in range(count)]
    return ([v for v in found if v is not None], False) if found else None


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
