"""Writes a model in Keras's JSON form."""
from typing import Any

from mrdl.config import serialize
from mrdl.layers import Input
from mrdl.layers.layer import Layer, Symbol
from mrdl.models.formats.keras_operations import form_of


def config(model) -> dict[str, Any]:
    """The layers of a model with their names; for a functional model, also the calls of each layer."""
    dtype, graph, names = model.dtype.name, getattr(model, "graph", None), model.names()

    def entry(layer: Layer, name: str) -> dict[str, Any]:
        if not isinstance(layer, Layer):
            return without_loss(form(layer), name)
        operation = form_of(layer) if graph else None
        if operation:
            return {"module": f"keras.src.ops.{operation.module}", "class_name": operation.class_name,
                    "config": {"name": name, **operation.config}, "registered_name": operation.class_name}
        given = {"name": name, "dtype": dtype}
        if isinstance(layer, Input):
            given |= {"batch_shape": [None, *layer.shape], "sparse": layer.sparse}
        else:
            given = layer.get_config() | given
        return {"module": "keras.layers", "class_name": "InputLayer" if isinstance(layer, Input) else
                type(layer).__name__, "config": given, "registered_name": None}

    if not graph:
        first = [] if model.input_shape is None else [entry(Input(model.input_shape, sparse=model.sparse), "input_layer")]
        return {"name": model.name, **({} if model.trainable else {"trainable": False}), "dtype": dtype, "layers": first + list(map(entry, model.layers, names))}
    calls: dict[int, list[Symbol]] = {id(layer): [] for layer in model.layers}
    number_of: dict[int, int] = {}                      # call -> its number among the calls of its layer
    for call in graph.calls:
        number_of[id(call)] = len(calls[id(call.layer)])
        calls[id(call.layer)].append(call)
    name_of = dict(zip(map(id, model.layers), names))

    def place(symbol: Symbol) -> list:
        return [name_of[id(symbol.layer)], number_of.get(id(symbol.main), 0), symbol.part]

    def end(symbol: Symbol) -> list:
        """The place of an output. Keras counts the calls of a functional model from 1 there."""
        name, number, part = place(symbol)
        return [name, number + hasattr(symbol.layer, "graph"), part]

    def node(call: Symbol) -> dict[str, Any]:
        given = [{"class_name": "__keras_tensor__", "config": {
            "shape": [None, *x.shape], "dtype": dtype, "keras_history": place(x)}} for x in call.inputs]
        if not isinstance(call.layer, Layer):
            return {"args": [given if len(given) > 1 else given[0]], "kwargs": {}}
        if operation := form_of(call.layer):
            return {"args": operation.arguments(given), "kwargs": {}}
        if call.layer.merges:
            return {"args": [given], "kwargs": {}}
        return {"args": given[:1], "kwargs": {"initial_state": given[1:]} if given[1:] else {}}

    layers = [entry(layer, name) | {"name": name, "inbound_nodes": list(map(node, calls[id(layer)]))}
              for layer, name in zip(model.layers, names)]
    return {"name": model.name, "trainable": model.trainable, "dtype": dtype, "layers": layers,
            "input_layers": named([place(layer.symbol) for layer in graph.inputs], model.keys[0]),
            "output_layers": named(list(map(end, graph.outputs)), model.keys[1])}


def named(places: list[list], names: list[str] | None) -> list | dict[str, list]:
    """The places of inputs or outputs, by their names where they are a dict."""
    return dict(zip(names, places)) if names else places


def without_loss(form: dict[str, Any], name: str) -> dict[str, Any]:
    """The form of a model inside another, where it has this name. One input or output is no list there, as the layer after it would
    get a list."""
    ends = {key: places[0] for key in ("input_layers", "output_layers") if len(places := form["config"].get(key, ())) == 1 and isinstance(places, list)}
    return {key: value | ends | {"name": name} if key == "config" else value for key, value in form.items() if key != "compile_config"}


def each(value: Any) -> Any:
    """The JSON form of a value, or of each element of a list."""
    return [each(v) for v in value] if isinstance(value, list) else serialize(value)


def form(model) -> dict[str, Any]:
    """The JSON form that `parse` reads: the layers, and the arguments of `compile` if it was called."""
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
