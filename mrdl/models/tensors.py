"""Writes and reads a model's files: its spec, its weights, and its updater's state. It is safe to read files of strangers.

    model.json              the spec, in Keras's JSON form
    model.safetensors       the weights, by LAYER/WEIGHT, in Keras's shapes
    optimizer.safetensors   only of a trained model: the updater's slots, by LAYER/WEIGHT/NUMBER, and its counts
"""
import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from mrdl.config import ConfigError, need, shown
from mrdl.storage.sealed import Count, Hash, check, digest, seal, unsealed
from mrdl.storage.tensorfile import packed

FILES = ("model.json", "model.safetensors")
UPDATER = "optimizer.safetensors"
# the facts about an updater's state; `weights`: the hash of the file with the weights that it belongs to
FACTS = {"optimizer": str, "iterations": Count, "epochs": Count, "rate_scale": float, "slots": Hash, "weights": Hash,
         "seal": Hash}


def files(model) -> dict[str, bytes]:
    """The files of a model: name -> content."""
    weights = model.to_safetensors()
    found = dict(zip(FILES, (model.to_json(indent=2).encode(), weights)))
    if taken := facts(model):
        tensors = {f"{name}/{i}": weight.view(view) for i, slots in enumerate(model.slots)
                   for name, weight, view in named(model, slots)}
        found[UPDATER] = packed(tensors, {"mrdl": json.dumps(seal({**taken, "weights": digest(weights)}))})
    return found


def facts(model) -> dict[str, Any] | None:
    """The facts that identify the state that training has left besides the weights; None if there is none."""
    if not model.epochs and not model.iterations:
        return None
    if model.slots is None:             # it was compiled after training
        model.slots = model.optimizer.start(model.weights)
    return {"optimizer": type(model.optimizer).__name__, "iterations": model.iterations, "epochs": model.epochs,
            "rate_scale": model.rate_scale, "slots": digest(model.slots)}


def named(model, flat: np.ndarray) -> Iterator[tuple[str, Any, np.ndarray]]:
    """For each weight: its name in files, the weight, and its part of a flat vector."""
    for step, weight, start in model.places():
        yield f"{step.name}/{weight.name}", weight, flat[start:start + weight.size]


def load_weights(model, data: bytes, source: str) -> None:
    """Sets the weights from the bytes of a file; if they belong to another model, raises ConfigError and changes nothing."""
    wanted = {f"{step.name}/{weight.name}": weight.keras for step, weight, _ in model.places()}
    found = read(data, source, wanted, model.dtype)
    weights = model.empty(model.count_params())
    for name, weight, view in named(model, weights):
        weight.from_keras(found[name].astype(model.dtype, copy=False), view)
    model.weights = weights


def load_updater(model, data: bytes, weights: bytes, source: str) -> None:
    """Sets the updater's state from the bytes of its file; `weights`: the bytes of the weights' file in the same folder.

    If it is damaged or belongs to another model, raises ConfigError and changes nothing."""
    hint = "; remove it, and training begins with a fresh updater"
    need(model.optimizer is not None, f"{source} is the state of an updater, and the model is not compiled{hint}")
    wanted = {f"{step.name}/{weight.name}/{i}": weight.keras for step, weight, _ in model.places()
              for i in range(model.optimizer.vectors)}
    found = read(data, source, wanted, model.dtype, hint)
    slots = model.optimizer.start(model.weights)
    for i, vector in enumerate(slots):
        for name, weight, view in named(model, vector):
            weight.from_keras(found[f"{name}/{i}"].astype(model.dtype, copy=False), view)
    try:
        (length,) = struct.unpack("<Q", data[:8])
        told = unsealed(json.loads(data[8:8 + length])["__metadata__"]["mrdl"])
        check(told, FACTS, "it")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{source} is damaged: {shown(str(error))}{hint}") from None
    need(told["optimizer"] == type(model.optimizer).__name__ and told["weights"] == digest(weights),
         f"{source} is not the state of this model's updater{hint}")
    need(told["slots"] == digest(slots) and 0 < told["rate_scale"] < math.inf, f"{source} is damaged{hint}")
    model.slots = slots
    model.iterations, model.epochs, model.rate_scale = (told[name] for name in ("iterations", "epochs", "rate_scale"))


def read(data: bytes, source: str, wanted: dict[str, tuple], dtype: np.dtype, hint: str = "") -> dict[str, np.ndarray]:
    """The tensors in the bytes of a safetensors file; ConfigError if they have other names or shapes than `wanted`. Nothing
    in the file is executed."""
    try:
        tensors = load(data)                    # needs no more memory than the file has bytes
    except (SafetensorError, ValueError, KeyError) as error:
        raise ConfigError(f"{source} is no safetensors file: {shown(str(error))}{hint}") from None
    odd = sorted(set(wanted) ^ set(tensors))
    need(not odd, f"{source} does not belong to this model: {shown(odd)}{hint}")
    for name, shape in wanted.items():
        given = tensors[name]
        need(given.shape == shape and given.dtype.kind == "f" and np.can_cast(given.dtype, dtype),
             f"{source}: {shown(name)} is {given.dtype} of the shape {shown(given.shape)}, not {dtype} of {shown(shape)}{hint}")
    return tensors
