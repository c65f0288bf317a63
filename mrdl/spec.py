"""A model and its Keras JSON form: written, and read from anyone; nothing in it is executed."""
import json
from typing import Any, NamedTuple

from mrdl.config import ConfigError, dtype_name, lookup, need, serialize, shown
from mrdl.layers import LAYERS, Input
from mrdl.layers.layer import Layer

KINDS = {dict: "object", list: "list", str: "string"}


class Spec(NamedTuple):
    """What a Sequential is made of; without a loss it is not compiled."""
    layers: list[Layer]
    name: str
    dtype: str
    optimizer: Any = "rmsprop"
    loss: Any = None
    metrics: list = ()


def parse(text: str | bytes) -> Spec:
    """The parts of a Sequential in Keras's JSON form; ConfigError for what mrdl does not have."""
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the spec is no JSON: {shown(str(error))}") from None
    need(isinstance(spec, dict) and spec.get("class_name") == "Sequential",
         "the spec is no Sequential model in Keras's JSON form")
    config = _part(spec, "config", dict, {})
    need(isinstance(config.get("layers"), list), "the spec has no list of layers")
    need(config.get("trainable") in (None, True), "the model: trainable=False is not supported")
    dtype = dtype_name(config.get("dtype"))
    dtype = "float32" if dtype is None else dtype
    layers = [_layer(entry, dtype) for entry in config["layers"]]
    shape = _part(_part(spec, "build_config", dict, {}), "input_shape", list)
    if shape and not isinstance(layers[0] if layers else None, Input):
        layers.insert(0, Input(tuple(shape[1:])))
    found = Spec(layers, _part(config, "name", str, "sequential"), dtype)
    compiled = _part(spec, "compile_config", dict, {})
    if compiled.get("loss") is None:
        return found
    for key in ("loss_weights", "weighted_metrics"):
        need(not compiled.get(key), f"compile: {key} is not supported")
    return found._replace(loss=compiled["loss"], metrics=_part(compiled, "metrics", list, []),
                          optimizer=compiled.get("optimizer") or "rmsprop")


def _layer(entry: Any, dtype: Any) -> Layer:
    need(isinstance(entry, dict), f"the spec has the layer {shown(entry)}, no object")
    config = _part(entry, "config", dict, {})
    if entry.get("class_name") == "InputLayer":
        for key in ("sparse", "ragged", "optional"):
            need(not config.get(key), f"InputLayer: {key}={shown(config.get(key))} is not supported")
        shape = _part(config, "batch_shape", list, [])
        need(shape != [], "InputLayer: batch_shape must be [null, ...]")
        return Input(tuple(shape[1:]))
    layer = lookup(entry, LAYERS, "layer")
    own = dtype_name(config.get("dtype"))
    need(own is None or own == dtype, f"{type(layer).__name__}: its dtype {shown(own)} is not the "
                                      f"model's {shown(dtype)}")
    return layer


def _part(parent: dict, key: str, kind: type, default: Any = None) -> Any:
    """parent[key], or the default where it is not there or null; ConfigError for another kind."""
    value = parent.get(key)
    need(value is None or isinstance(value, kind),
         f"the spec's {key}={shown(value)} is no {KINDS[kind]}")
    return default if value is None else value


def config(model) -> dict[str, Any]:
    """The layers of a Sequential under their names."""
    def entry(kind: str, given: dict) -> dict[str, Any]:
        return {"module": "keras.layers", "class_name": kind, "config": given,
                "registered_name": None}

    dtype = model.dtype.name
    layers = [entry(type(layer).__name__, layer.get_config() | {"name": name, "dtype": dtype})
              for layer, name in zip(model.layers, model.names())]
    if model.input_shape is not None:
        layers.insert(0, entry("InputLayer", {
            "batch_shape": [None, *model.input_shape], "dtype": dtype, "sparse": False,
            "name": "input_layer"}))
    return {"name": model.name, "dtype": dtype, "layers": layers}


def form(model) -> dict[str, Any]:
    """What `parse` reads: the layers, and what `compile` was given where it was."""
    spec = {"module": "keras", "class_name": "Sequential", "config": config(model),
            "registered_name": "Sequential"}
    if model.input_shape is not None:
        spec["build_config"] = {"input_shape": [None, *model.input_shape]}
    if model.loss is not None:
        spec["compile_config"] = {
            "optimizer": serialize(model.optimizer), "loss": serialize(model.loss),
            "metrics": [serialize(m) for m in model.metrics] or None}
    return spec
