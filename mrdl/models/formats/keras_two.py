"""Turns the JSON of Keras 2 and of whole-model .h5 files into the form of Keras 3, which `keras_reader` reads."""
from typing import Any

from mrdl.config import ConfigError, need, shown
from mrdl.models.formats import keras_two_operations

# what Keras 2 writes besides the arguments that Keras 3 has, and that has no effect
DROPPED = {"batch_input_shape", "implementation", "input_length", "time_major", "input_dtype"}
DROPPED_BY_OPTIMIZERS = {"jit_compile", "is_legacy_optimizer", "name"}
DROPPED_BY_LOSSES = {"fn", "name", "dtype"}
RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}
CONVOLUTIONS = ("SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D", "Conv2DTranspose", "Conv1DTranspose")
OF_KERNEL = {"kernel_initializer", "kernel_regularizer", "kernel_constraint"}


def is_old(spec: dict[str, Any]) -> bool:
    """Is this the JSON of Keras 2?"""
    config = spec.get("config")
    layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, dict) else None
    entries = [entry for entry in layers if isinstance(entry, dict)] if isinstance(layers, list) else []
    own = [entry["config"] for entry in entries if isinstance(entry.get("config"), dict)]
    nodes = [node for entry in entries if isinstance(entry.get("inbound_nodes"), list) for node in entry["inbound_nodes"]]
    return isinstance(config, list) or any("batch_input_shape" in config for config in own) or any(isinstance(n, list) for n in nodes)


def modern(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec of a model in the form of Keras 3; ConfigError where a layer computes something else in Keras 2."""
    config = spec.get("config")
    config = {"name": "sequential", "layers": config} if isinstance(config, list) else dict(config)
    told = spec.get("compile_config")
    if isinstance(told, dict):
        spec = {**spec, "compile_config": compiled({**told, "optimizer_config": told.get("optimizer")})}
    if not isinstance(config.get("layers"), list):
        return {**spec, "config": config}
    layers = [_layer(entry) for entry in config["layers"]]
    first = config["layers"][0] if layers else None
    own = first.get("config") if isinstance(first, dict) else None
    if spec.get("class_name") == "Sequential" and isinstance(own, dict) and first.get("class_name") != "InputLayer" \
            and isinstance(own.get("batch_input_shape"), list):
        layers.insert(0, {"class_name": "InputLayer", "config": {"batch_shape": own["batch_input_shape"]}})
    return {**spec, "config": {**config, "layers": layers}}


def _layer(entry: Any) -> Any:
    """A layer's entry in the form of Keras 3."""
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
        return entry
    kind, config = entry.get("class_name"), entry["config"]
    if kind in keras_two_operations.KINDS:
        return keras_two_operations.entry_of(entry, _node)
    if kind == "InputLayer":
        return {**entry, "config": {**config, "batch_shape": config.get("batch_shape", config.get("batch_input_shape"))}}
    for key in ("activation", "recurrent_activation"):
        need(config.get(key) != "hard_sigmoid", f"{kind}: {key}='hard_sigmoid' is another function in Keras 2 than in Keras 3 and mrdl; "
             "of Dense, convolutions and recurrent layers' gates it can be read where weights come along: load_model of the whole model's .h5")
    names = RENAMED.get(kind, {})
    made = {names.get(key, key): value for key, value in config.items() if key not in DROPPED
            and not (kind in CONVOLUTIONS[:4] and key in OF_KERNEL)}
    if kind in CONVOLUTIONS and made.get("groups") == 1:
        del made["groups"]
    axis = made.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        made["axis"] = axis[0]
    if kind == "GRU":
        made.setdefault("reset_after", False)
    for key in ("layer", "backward_layer"):
        if isinstance(made.get(key), dict):
            made[key] = _layer(made[key])
    entry = {**entry, "config": made}
    if isinstance(entry.get("inbound_nodes"), list):
        entry["inbound_nodes"] = [_node(node) for node in entry["inbound_nodes"]]
    return entry


def _node(node: Any) -> Any:
    """A call: [[layer, call, part, arguments], ...] -> {"args", "kwargs"}."""
    if not isinstance(node, list):
        return node
    given = [node] if node and isinstance(node[0], str) else node
    if not all(isinstance(place, list) and len(place) in (3, 4) for place in given):
        raise ConfigError(f"the spec calls a layer with {shown(node)}")
    more = given[0][3] if given and len(given[0]) == 4 and isinstance(given[0][3], dict) else {}
    tensors = [_tensor(place) for place in given]
    return {"args": tensors[:1] if len(tensors) == 1 else [tensors], "kwargs": {key: _argument(value) for key, value in more.items()}}


def _tensor(place: list) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": place[:3]}}


def _argument(value: Any) -> Any:
    """An argument of a call; places of tensors become tensors."""
    if not isinstance(value, list):
        return value
    if len(value) in (3, 4) and isinstance(value[0], str):
        return _tensor(value)
    return [_argument(v) for v in value]


def compiled(training: dict[str, Any]) -> dict[str, Any]:
    """What an .h5 file says of `compile`, in the form of Keras 3's compile_config."""
    found = {key: training.get(key) for key in ("loss_weights", "weighted_metrics")}
    found["loss"] = _each(training.get("loss"), _loss)
    metrics = _each(training.get("metrics"), _metric)
    while isinstance(metrics, list) and len(metrics) == 1 and isinstance(metrics[0], list):
        metrics = metrics[0]                            # of the only output
    return {**found, "metrics": metrics, "optimizer": optimizer(training.get("optimizer_config"))}


def optimizer(told: Any) -> Any:
    """An optimizer of Keras 2 or 3 in the form of Keras 3."""
    config = told.get("config") if isinstance(told, dict) else None
    if not isinstance(config, dict):
        return told
    kind = str(told.get("class_name")).removeprefix("Custom>")
    made = {key: value for key, value in config.items() if key not in DROPPED_BY_OPTIMIZERS and not (key == "epsilon" and value is None)}
    if not made.get("use_ema"):                         # without it, what Keras 2 writes of it means nothing
        made = {key: value for key, value in made.items() if not key.startswith("ema_")}
    if "lr" in made:
        made.setdefault("learning_rate", made.pop("lr"))
    decay = made.pop("decay", 0) or 0
    if decay and isinstance(made.get("learning_rate"), (int, float)):
        made["learning_rate"] = {"class_name": "InverseTimeDecay", "config": {
            "initial_learning_rate": made["learning_rate"], "decay_steps": 1, "decay_rate": decay}}
    else:
        need(not decay, f"{kind}: decay={shown(decay)} beside a schedule is not supported")
    return {**told, "class_name": kind, "registered_name": None, "config": made}


def _each(value: Any, change: Any) -> Any:
    """Changes each object in lists and dicts by outputs."""
    if isinstance(value, list):
        return [_each(v, change) for v in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {name: _each(v, change) for name, v in value.items()}
    return change(value) if isinstance(value, dict) else value


def _loss(told: dict[str, Any]) -> Any:
    config = told.get("config") if isinstance(told.get("config"), dict) else {}
    if told.get("class_name") == "LossFunctionWrapper" and isinstance(config.get("fn"), str):
        return config["fn"]
    made = {key: value for key, value in config.items() if key not in DROPPED_BY_LOSSES}
    if made.get("reduction") == "auto":
        del made["reduction"]
    return {**told, "config": made}


def _metric(told: dict[str, Any]) -> Any:
    config = told.get("config") if isinstance(told.get("config"), dict) else {}
    if told.get("class_name") == "MeanMetricWrapper" and isinstance(config.get("fn"), str):
        return {"class_name": config["fn"], "config": {"name": config.get("name")}}
    return {**told, "config": {key: value for key, value in config.items() if key != "fn"}}
