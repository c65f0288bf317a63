"""A model and its Keras JSON form: written, and read from anyone; nothing in it is executed."""
import json
from collections import deque
from functools import cache
from types import NoneType
from typing import Any, NamedTuple

from mrdl.config import ConfigError, dtype_name, lookup, need, serialize, shown
from mrdl.layers import LAYERS, Input, Masking
from mrdl.layers.layer import Layer, Symbol
from mrdl.layers.recurrent import Recurrent

KINDS = {dict: "object", list: "list", str: "string"}


LAYERS_MOST = 10_000            # of a spec
LONGEST = 16 << 20              # bytes of a spec


class Later(Exception):
    """Something takes what another call, (name, number), or operation, (name), has yet to give."""


class Spec(NamedTuple):
    """What a Sequential, or with `ends` a Model, is made of; without a loss it is not compiled."""
    layers: list[Layer]
    name: str
    dtype: str
    ends: tuple[list[Input], list[Symbol]] | None = None        # inputs and outputs
    optimizer: Any = "rmsprop"
    loss: Any = None
    metrics: Any = ()
    loss_weights: Any = None


def parse(text: str | bytes) -> Spec:
    """The parts of a model in Keras's JSON form; ConfigError for what mrdl does not have."""
    need(len(text) <= LONGEST, f"the spec has {len(text):,} bytes, more than {LONGEST:,}")
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the spec is no JSON: {shown(str(error))}") from None
    kind = spec.get("class_name") if isinstance(spec, dict) else None
    need(kind in ("Sequential", "Functional", "Model"),
         "the spec is no Sequential or Functional model in Keras's JSON form")
    config = _part(spec, "config", dict, {})
    need(isinstance(config.get("layers"), list), "the spec has no list of layers")
    need(len(config["layers"]) <= LAYERS_MOST, f"the spec has {len(config['layers']):,} layers, more than {LAYERS_MOST:,}")
    need(config.get("trainable") in (None, True), "the model: trainable=False is not supported")
    dtype = dtype_name(config.get("dtype"))
    own = [dtype_name(_part(entry, "config", dict, {}).get("dtype")) for entry in config["layers"]
           if isinstance(entry, dict) and entry.get("module") == "keras.layers"]
    if own.count("float64") == len(own) > 0:        # Keras writes its own default for the model
        dtype = "float64"
    dtype = "float32" if dtype is None else dtype
    config = _without_masks(config)
    layers = [_layer(entry, dtype, kind == "Sequential") for entry in config["layers"]]
    shape = _part(_part(spec, "build_config", dict, {}), "input_shape", list)
    if kind == "Sequential" and shape and not isinstance(layers[0] if layers else None, Input):
        layers.insert(0, Input(tuple(shape[1:])))
    found = Spec(layers, _part(config, "name", str, kind.lower()), dtype,
                 None if kind == "Sequential" else _ends(config, layers))
    compiled = _part(spec, "compile_config", dict, {})
    if compiled.get("loss") is None:
        return found
    need(not compiled.get("weighted_metrics"), "compile: weighted_metrics is not supported")
    metrics = compiled.get("metrics")
    return found._replace(
        loss=compiled["loss"], metrics=metrics if isinstance(metrics, dict) else _part(compiled, "metrics", list, []),
        loss_weights=compiled.get("loss_weights"), optimizer=compiled.get("optimizer") or "rmsprop")


def _ends(config: dict, layers: list[Layer]) -> tuple[list[Input], list[Symbol]]:
    """Calls the layers as the spec of a functional model says."""
    found: dict[str, tuple[Layer, list, dict[int, Symbol | list[Symbol]]]] = {}      # and what each call gave
    for entry, layer in zip(config["layers"], layers):
        name, nodes = entry.get("name"), _part(entry, "inbound_nodes", list, [])
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
        if not isinstance(node, dict):                  # as in `_part`: a message that is asked for many times
            raise ConfigError(f"the spec has a call that is no object: {shown(node)}")
        given, more = list(_part(node, "args", list, [])), dict(_part(node, "kwargs", dict, {}))
        mask = more.pop("mask") if isinstance(more.get("mask"), frozenset) else None
        states = None
        if isinstance(layer, Recurrent):
            states = more.pop("initial_state", None) or (given.pop() if len(given) == 2 else None)
        for key, value in more.items():
            need(not value, f"{type(layer).__name__}: {shown(key)[1:-1]}={shown(value)} in its call is not supported")
        if len(given) != 1:
            raise ConfigError(f"the spec calls a layer with {shown(node)}")
        x = argument(given[0])
        need(mask is None or isinstance(x, list) or _makers(x) == {(end(list(source)), value) for source, value in mask},
             f"{type(layer).__name__}: a mask in its call that is not its input's own is not supported")
        return layer(x, argument(states)) if states else layer(x)

    calls = [(name, number) for name, (layer, nodes, _) in found.items() if not isinstance(layer, Input)
             for number in range(len(nodes))]
    ready, waiting = deque(calls), {}           # a call may stand before what it takes
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

    def ends(key: str) -> list[Symbol]:
        places = _part(config, key, list, [])
        return [end(place) for place in (places if all(isinstance(p, list) for p in places) else [places])]
    return [symbol.layer for symbol in ends("input_layers")], ends("output_layers")


def _came_from(argument: Any) -> tuple | None:
    """(layer, call, part) of a tensor in the spec."""
    config = argument.get("config") if isinstance(argument, dict) else None
    history = config.get("keras_history") if isinstance(config, dict) else None
    return tuple(history) if isinstance(history, list) and all(isinstance(h, (str, int)) for h in history) else None


def _without_masks(config: dict) -> dict:
    """Without what Keras writes of masks: operations that find them in the input of Masking or Embedding and merge them
    as layers do. Calls that take one are given the set of where it comes from, for `_ends` to compare; here masks go on
    by themselves. Any other operation stays, and is refused."""
    entries = [entry for entry in config["layers"] if isinstance(entry, dict)]

    def arguments(entry: dict) -> list[list]:
        """Those of each call."""
        nodes = entry.get("inbound_nodes")
        return [node["args"] for node in (nodes if isinstance(nodes, list) else [])
                if isinstance(node, dict) and isinstance(node.get("args"), list) and node["args"]]

    makers: set[tuple] = set()                          # (what is masked, by which value)
    masks: dict[str, frozenset] = {}                    # the operations, and the makers of each
    for entry in entries:
        own = entry.get("config") if isinstance(entry.get("config"), dict) else {}
        value = {"Masking": own.get("mask_value", 0.0), "Embedding": 0 if own.get("mask_zero") else None}.get(
            str(entry.get("class_name")))
        if isinstance(value, (int, float)):
            makers |= {(_came_from(given[0]), float(value)) for given in arguments(entry)}

    def of(entry: dict) -> frozenset | None:
        """The makers of a mask; raises Later where it is of an operation that is not in `masks` (yet)."""
        calls, kind = arguments(entry), entry.get("class_name")
        if entry.get("module") != "keras.src.ops.numpy" or len(calls) != 1:
            return None
        given, = calls
        if kind == "NotEqual" and isinstance(given[-1], (int, float)):
            maker = _came_from(given[0]), float(given[-1])
            return frozenset([maker]) if maker in makers else None
        if kind in ("ZerosLike", "OnesLike"):           # of an input without a mask, where another one has some
            return frozenset() if _part(entry, "config", dict, {}).get("dtype") == "bool" else None
        sources = list(map(_came_from, given[0] if isinstance(given[0], list) else given))
        if kind not in ("Any", "ExpandDims", "LogicalOr", "Concatenate") or not all(sources):
            return None
        for name, *_ in filter(None, sources):
            if name not in masks:
                raise Later(name)
        return frozenset().union(*(masks[str(source[0])] for source in sources if source))

    ready, waiting = deque(entries), {}                 # by the operation that they take
    while ready:
        entry = ready.popleft()
        try:
            made = of(entry)
        except Later as missing:
            waiting.setdefault(*missing.args, []).append(entry)
            continue
        if made is not None:
            masks[name := str(entry.get("name"))] = made
            ready += waiting.pop(name, ())
    if not masks:
        return config

    def told(node: Any) -> Any:
        kwargs = node.get("kwargs") if isinstance(node, dict) else None
        source = _came_from(kwargs.get("mask")) if isinstance(kwargs, dict) else None
        return {**node, "kwargs": {**kwargs, "mask": masks[source[0]]}} if source and source[0] in masks else node
    return {**config, "layers": [
        {**entry, "inbound_nodes": list(map(told, entry["inbound_nodes"]))}
        if isinstance(entry.get("inbound_nodes"), list) else entry
        for entry in entries if str(entry.get("name")) not in masks]}


@cache
def _makers(symbol: Symbol) -> frozenset:
    """Where the mask that reaches what a call gave comes from: (what Masking or Embedding was called with, its value)."""
    layer = symbol.layer
    value = layer.mask_value if isinstance(layer, Masking) else 0.0 if getattr(layer, "mask_zero", False) else None
    if value is not None:
        return frozenset([(symbol.inputs[0], value)])
    if not layer.supports_masking:
        return frozenset()
    return frozenset().union(*map(_makers, symbol.inputs if layer.merges else symbol.inputs[:1]))


def _layer(entry: Any, dtype: Any, default_name: bool) -> Layer:
    if not isinstance(entry, dict):
        raise ConfigError(f"the spec has the layer {shown(entry)}, no object")
    config = _part(entry, "config", dict, {})
    if entry.get("class_name") == "InputLayer":
        for key in ("sparse", "ragged", "optional"):
            need(not config.get(key), f"InputLayer: {key}={shown(config.get(key))} is not supported")
        shape = _part(config, "batch_shape", list, [])
        need(shape != [], "InputLayer: batch_shape must be [null, ...]")
        return Input(tuple(shape[1:]), None if default_name else config.get("name"))
    if str(entry.get("module")).startswith("keras.src.ops"):
        raise ConfigError(f"the spec has the operation {shown(entry.get('class_name'))}: operations outside of layers, "
                          "and masks made by hand, are not supported")
    layer = lookup(entry, LAYERS, "layer")
    own = dtype_name(config.get("dtype"))
    if own not in (None, dtype):
        raise ConfigError(f"{type(layer).__name__}: its dtype {shown(own)} is not the model's {shown(dtype)}")
    return layer


def _part(parent: dict, key: str, kind: type, default: Any = None) -> Any:
    """parent[key], or the default where it is not there or null; ConfigError for another kind."""
    value = parent.get(key)
    if not isinstance(value, (kind, NoneType)):         # asked many times: its message is not made before
        raise ConfigError(f"the spec's {key}={shown(value)} is no {KINDS[kind]}")
    return default if value is None else value


def config(model) -> dict[str, Any]:
    """The layers of a model under their names; of a functional one with the calls of each."""
    dtype, graph, names = model.dtype.name, getattr(model, "graph", None), model.names()

    def entry(layer: Layer, name: str) -> dict[str, Any]:
        given = {"name": name, "dtype": dtype}
        if isinstance(layer, Input):
            given |= {"batch_shape": [None, *layer.shape], "sparse": False}
        else:
            given = layer.get_config() | given
        return {"module": "keras.layers", "class_name": "InputLayer" if isinstance(layer, Input) else
                type(layer).__name__, "config": given, "registered_name": None}

    if not graph:
        first = [] if model.input_shape is None else [entry(Input(model.input_shape), "input_layer")]
        return {"name": model.name, "dtype": dtype, "layers": first + list(map(entry, model.layers, names))}
    calls: dict[int, list[Symbol]] = {id(layer): [] for layer in model.layers}
    number_of: dict[int, int] = {}                      # of a call, among those of its layer
    for call in graph.calls:
        number_of[id(call)] = len(calls[id(call.layer)])
        calls[id(call.layer)].append(call)
    name_of = dict(zip(map(id, model.layers), names))

    def place(symbol: Symbol) -> list:
        return [name_of[id(symbol.layer)], number_of.get(id(symbol.main), 0), symbol.part]

    def node(call: Symbol) -> dict[str, Any]:
        given = [{"class_name": "__keras_tensor__", "config": {
            "shape": [None, *x.shape], "dtype": dtype, "keras_history": place(x)}} for x in call.inputs]
        if call.layer.merges:
            return {"args": [given], "kwargs": {}}
        return {"args": given[:1], "kwargs": {"initial_state": given[1:]} if given[1:] else {}}

    layers = [entry(layer, name) | {"name": name, "inbound_nodes": list(map(node, calls[id(layer)]))}
              for layer, name in zip(model.layers, names)]
    return {"name": model.name, "trainable": True, "dtype": dtype, "layers": layers,
            "input_layers": [place(layer.symbol) for layer in graph.inputs],
            "output_layers": list(map(place, graph.outputs))}


def each(value: Any) -> Any:
    """Its JSON form, and that of what a list of it holds."""
    return [each(v) for v in value] if isinstance(value, list) else serialize(value)


def form(model) -> dict[str, Any]:
    """What `parse` reads: the layers, and what `compile` was given where it was."""
    functional = hasattr(model, "graph")
    kind = "Functional" if functional else "Sequential"
    spec = {"module": "keras.src.models.functional" if functional else "keras", "class_name": kind,
            "config": config(model), "registered_name": kind}
    if model.input_shape is not None and not functional:
        spec["build_config"] = {"input_shape": [None, *model.input_shape]}
    if model.loss is not None:
        spec["compile_config"] = {
            "optimizer": serialize(model.optimizer), "loss": each(model.loss), "metrics": each(model.metrics) or None}
        if any(weight != 1 for weight in model.loss_weights):
            spec["compile_config"]["loss_weights"] = model.loss_weights
    return spec
