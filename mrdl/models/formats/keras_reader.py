"""Reads models in Keras's JSON form. This is safe for files of strangers: nothing in them is executed."""
import json
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from mrdl.config import ConfigError, dtype_name, lookup, need, shown
from mrdl.layers import LAYERS, Input
from mrdl.layers.layer import Layer, Symbol
from mrdl.layers.recurrent import Recurrent
from mrdl.models.formats import keras_two
from mrdl.models.formats.keras_masks import makers_of, without_masks
from mrdl.models.formats.keras_operations import KerasOperation, is_operation
from mrdl.models.formats.keras_operations import argument as of_operation
from mrdl.models.formats.keras_parts import Later, part_of

MODELS = ("Sequential", "Functional", "Model")
LAYERS_MOST = 10_000            # layers in a spec, at most
LONGEST = 16 << 20              # bytes of a spec, at most


class Spec(NamedTuple):
    """The parts of a Sequential or, with `ends`, of a Model; without a loss it is not compiled."""
    layers: list[Layer]
    name: str
    dtype: str
    ends: tuple[list[Input], list[Symbol]] | None = None        # inputs and outputs
    optimizer: Any = "rmsprop"
    loss: Any = None
    metrics: Any = ()
    loss_weights: Any = None
    trainable: bool = True


def parse(text: str | bytes, made: Callable[[Spec], Any] | None = None) -> Spec:
    """Parses a model in the JSON form of Keras 3 or 2; ConfigError for anything that mrdl does not support. `made` makes the models
    inside it."""
    need(len(text) <= LONGEST, f"the spec has {len(text):,} bytes, more than {LONGEST:,}")
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the spec is no JSON: {shown(str(error))}") from None
    return parsed(spec, made)


def parsed(spec: Any, made: Callable[[Spec], Any] | None = None, around: str | None = None) -> Spec:
    """Like `parse`, of what the JSON says; also in the form of Keras 2. `around`: the dtype of the model around this one."""
    if isinstance(spec, dict) and keras_two.is_old(spec):
        spec = keras_two.modern(spec)
    kind = spec.get("class_name") if isinstance(spec, dict) else None
    need(kind in MODELS,
         "the spec is no Sequential or Functional model in Keras's JSON form")
    config = part_of(spec, "config", dict, {})
    need(isinstance(config.get("layers"), list), "the spec has no list of layers")
    need(len(config["layers"]) <= LAYERS_MOST, f"the spec has {len(config['layers']):,} layers, more than {LAYERS_MOST:,}")
    need(config.get("trainable") in (None, True, False), f"the model: trainable={shown(config.get('trainable'))} must be true or false")
    dtype = around or dtype_name(config.get("dtype"))
    own = [dtype_name(part_of(entry, "config", dict, {}).get("dtype")) for entry in config["layers"]
           if isinstance(entry, dict) and entry.get("module") == "keras.layers"]
    if not around and own.count("float64") == len(own) > 0:        # the model's own dtype is only Keras's default
        dtype = "float64"
    dtype = "float32" if dtype is None else dtype
    config = without_masks(config)
    layers = [_layer(entry, dtype, kind == "Sequential", made) for entry in config["layers"]]
    shape = part_of(part_of(spec, "build_config", dict, {}), "input_shape", list)
    if kind == "Sequential" and shape and not isinstance(layers[0] if layers else None, Input):
        layers.insert(0, Input(tuple(shape[1:])))
    found = Spec(layers, part_of(config, "name", str, kind.lower()), dtype,
                 None if kind == "Sequential" else _ends(config, layers), trainable=config.get("trainable") is not False)
    compiled = part_of(spec, "compile_config", dict, {})
    if compiled.get("loss") is None:
        return found
    need(not compiled.get("weighted_metrics"), "compile: weighted_metrics is not supported")
    metrics = compiled.get("metrics")
    return found._replace(
        loss=compiled["loss"], metrics=metrics if isinstance(metrics, dict) else part_of(compiled, "metrics", list, []),
        loss_weights=compiled.get("loss_weights"), optimizer=compiled.get("optimizer") or "rmsprop")


def _ends(config: dict, layers: list[Layer]) -> tuple[list[Input], list[Symbol]]:
    """Calls the layers as in the spec of a functional model; returns its inputs and outputs."""
    # name -> layer, its calls, and the outputs of each call
    found: dict[str, tuple[Layer, list, dict[int, Symbol | list[Symbol]]]] = {}
    for entry, layer in zip(config["layers"], layers):
        name, nodes = entry.get("name"), part_of(entry, "inbound_nodes", list, [])
        need(isinstance(name, str) and name not in found, f"the spec has no name, or one twice: {shown(name)}")
        found[name] = layer, nodes, {0: layer.symbol} if isinstance(layer, Input) else {}

    def end(place: Any) -> Symbol:
        name, call, part = place if isinstance(place, list) and len(place) == 3 else (None, 0, 0)
        layer, nodes, made = found[name] if isinstance(name, str) and name in found else (None, [], {})
        count = 1 if isinstance(layer, Input) else len(nodes)
        there = type(call) is int and 0 <= call < count and type(part) is int
        if there and call not in made:
            raise Later(name, call)
        several = [] if not there else made[call] if isinstance(made[call], list) else [made[call]]
        if not there or not 0 <= part < len(several):
            raise ConfigError(f"the spec speaks of a tensor that is not there: {shown(place)}")
        return several[part]

    def argument(value: Any) -> Any:
        if isinstance(value, list):
            return [argument(v) for v in value]
        history = value.get("config") if isinstance(value, dict) else None
        if not isinstance(history, dict) or value.get("class_name") != "__keras_tensor__":
            raise ConfigError(f"the spec calls a layer with {shown(value)}, which is no tensor")
        return end(history.get("keras_history"))

    def called(layer: Layer, node: Any) -> Symbol | list[Symbol]:
        # not by need(), as in `part_of`: the check runs often, and its message should not be built each time
        if not isinstance(node, dict):
            raise ConfigError(f"the spec has a call that is no object: {shown(node)}")
        given, more = list(part_of(node, "args", list, [])), dict(part_of(node, "kwargs", dict, {}))
        if isinstance(layer, KerasOperation):
            return layer(*of_operation(given, argument), **{key: of_operation(value, argument) for key, value in more.items()})
        mask = more.pop("mask") if isinstance(more.get("mask"), frozenset) else None
        states = None
        if isinstance(layer, Recurrent):
            states = more.pop("initial_state", None) or (given.pop() if len(given) == 2 else None)
        for key, value in more.items():
            need(not value or isinstance(value, list) and not any(value), f"{type(layer).__name__}: {shown(key)[1:-1]}={shown(value)} in its call is not supported")
        if len(given) != 1:
            raise ConfigError(f"the spec calls a layer with {shown(node)}")
        x = argument(given[0])
        need(mask is None or isinstance(x, list) or makers_of(x) == {(end(list(source)), value) for source, value in mask},
             f"{type(layer).__name__}: a mask in its call that is not its input's own is not supported")
        return layer(x, argument(states)) if states else layer(x)

    calls = [(name, number) for name, (layer, nodes, _) in found.items() if not isinstance(layer, Input)
             for number in range(len(nodes))]
    ready, waiting = deque(calls), {}           # a call may come before the calls that its inputs come from
    while ready:
        name, number = ready.popleft()
        layer, nodes, made = found[name]
        try:
            made[number] = called(layer, nodes[number])
        except Later as missing:
            waiting.setdefault(missing.args, []).append((name, number))
        else:
            ready += waiting.pop((name, number), ())
    need(not waiting, "the spec's calls of layers go round in a circle")

    def ends(key: str) -> list[Symbol] | dict[str, Symbol]:
        if isinstance(config.get(key), dict):
            return {name: at(place)[0] for name, place in config[key].items()}
        return at(part_of(config, key, list, []))

    def at(places: list) -> list[Symbol]:
        need(isinstance(places, list), f"the spec has inputs or outputs that are no list: {shown(places)}")
        places = places if all(isinstance(p, list) for p in places) else [places]
        # Keras counts the calls of a functional model from 1 here, and from 0 elsewhere
        return [end([name, call - 1, part] if type(call) is int and hasattr(found.get(name, (None,))[0], "graph") else place)
                for place in places for name, call, part in [place if len(place) == 3 and isinstance(place[0], str) else (None, None, None)]]
    inputs = ends("input_layers")
    return ({name: symbol.layer for name, symbol in inputs.items()} if isinstance(inputs, dict) else
            [symbol.layer for symbol in inputs]), ends("output_layers")


def _layer(entry: Any, dtype: Any, default_name: bool, made: Callable[[Spec], Any] | None) -> Layer | KerasOperation:
    if not isinstance(entry, dict):
        raise ConfigError(f"the spec has the layer {shown(entry)}, no object")
    if entry.get("class_name") in MODELS and made is not None:
        return made(parsed({key: value for key, value in entry.items() if key != "compile_config"}, made, dtype))
    config = part_of(entry, "config", dict, {})
    if entry.get("class_name") == "InputLayer":
        for key in ("ragged", "optional"):
            need(not config.get(key), f"InputLayer: {key}={shown(config.get(key))} is not supported")
        shape = part_of(config, "batch_shape", list, [])
        need(shape != [], "InputLayer: batch_shape must be [null, ...]")
        return Input(tuple(shape[1:]), sparse=config.get("sparse") or False, name=None if default_name else config.get("name"))
    if is_operation(entry):
        need(not default_name, f"the spec has the operation {shown(entry.get('class_name'))} in a Sequential")
        return KerasOperation(entry)
    layer = lookup(entry, LAYERS, "layer")
    own = dtype_name(config.get("dtype"))
    if own not in (None, dtype):
        raise ConfigError(f"{type(layer).__name__}: its dtype {shown(own)} is not the model's {shown(dtype)}")
    return layer
