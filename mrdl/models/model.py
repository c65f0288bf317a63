"""Model: layers over one flat vector of weights, and its spec in Keras's JSON.

What it does (compile, fit, evaluate, predict) is in trainer.py; what becomes of its weights, and its files, in weighted.py."""
import json
import math
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from mrdl.config import ConfigError, need, shown
from mrdl.layers import CategoryEncoding, Input
from mrdl.layers.layer import Layer, Symbol, Weight, rested
from mrdl.layers.operation import Shape
from mrdl.models import summary
from mrdl.models.formats import keras_reader, keras_writer
from mrdl.models.graph import Graph, by_name
from mrdl.models.weighted import Weighted
from mrdl.training.protocol import Step

CALLS = 100_000         # calls of layers in a model, those of models inside it too, at most
OUTER: "weakref.WeakKeyDictionary[Model, weakref.ref[Model]]" = weakref.WeakKeyDictionary()     # of models inside others: whose vector has their weights
ATTRIBUTES = {"name", "dtype", "graph", "layers", "input_shape", "weights", "optimizer", "loss", "loss_weights", "metrics",
              "slots", "iterations", "epochs", "rate_scale", "features", "sparse", "stop_training", "history",
              "trainable", "learner", "flat", "calls", "first", "symbols", "keys"}


def over(activation: str, made: Shape, shape: Shape) -> str:
    """The activation of an output made in one shape and seen in another: a softmax runs over its own last axis."""
    return f"{activation} over {made[-1]}" if activation == "softmax" and made[-1] != shape[-1] else activation


class Model(Weighted):
    """Layers over one flat vector: what lies between `inputs`, which Input gave, and `outputs`.

    Several inputs are one row of features, in their order: as arrays a list, in a dataset all
    columns together; so are the targets of several outputs.

    Args:
        inputs: an Input, or what it gave, or a list of them, or a dict of them by name.
        outputs: what a layer's call gave, or a list of such, or a dict of them by name: `predict` then
            gives a dict, and losses and metrics have these names. Dicts are in the order of their
            names, as in Keras.
        name: the model's name in its spec. None: "functional".
        trainable: whether training changes weights, where the layers say so too. It may be set later
            too, which sets it on all layers.
        dtype: of weights and data: "float32", or "float64" for checks.

    Raises:
        ConfigError: layers do not fit each other, or an input is missing."""

    kind: ClassVar[str] = "Functional"          # as Keras's JSON calls it
    keys: tuple[list[str] | None, list[str] | None] = (None, None)     # the names of inputs and outputs that are dicts

    def __init__(self, inputs, outputs, name: str | None = None, *, trainable: bool = True, dtype: str = "float32"):
        self._begin("functional" if name is None else name, dtype, trainable)
        (inputs, first), (outputs, last) = by_name(inputs), by_name(outputs)
        self.keys = first, last
        self.graph = Graph(inputs, outputs)
        self.layers = self.graph.layers
        shapes = [layer.shape for layer in self.graph.inputs]
        self.input_shape = shapes[0] if len(shapes) == 1 else (sum(map(math.prod, shapes)),)
        self.sparse = any(layer.sparse for layer in self.graph.inputs)
        self.names()
        self.calls = sum(getattr(call.layer, "calls", 1) for call in self.graph.calls)     # of layers
        self.flat = self._flat(self.graph.inputs) if self.nested else self.graph
        self.stack()
        if not trainable:
            self.trainable = False

    def _begin(self, name: str, dtype: str, trainable: bool) -> None:
        need(isinstance(trainable, bool), f"trainable={shown(trainable)} must be true or false")
        need(isinstance(name, str) and name != "", f"the model's name {shown(name)} is no string")
        need(dtype in ("float32", "float64"),
             f"dtype {shown(dtype)} is not supported; float32 or float64")
        self.name, self.dtype = name, np.dtype(dtype)
        self.weights: np.ndarray | None = None          # the flat vector
        self.trainable = True                           # does training change weights, where layers say so too?
        self.sparse = False                             # is one of its Inputs one with sparse=True?
        self.features: dict[str, Any] | None = None     # of the dataset it was trained on: see Run.features
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        """ConfigError for what has no effect. `trainable` is set on all layers too."""
        if name not in ATTRIBUTES:
            raise ConfigError(f"model.{name} = {shown(value)} is not supported")
        if name == "trainable":
            need(isinstance(value, (bool, np.bool_)), f"model.trainable = {shown(value)} must be true or false")
            for layer in getattr(self, "layers", ()):
                layer.trainable = value
        outer = OUTER[self]() if name == "weights" and value is not None and self in OUTER else None
        if outer is not None and len(value) == len(self.weights):
            self.weights[:] = value             # they lie in the vector of the model around this one
            self.publish()
            return
        object.__setattr__(self, name, value)
        if name == "weights":
            self._lend()
            self.publish()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lend()
        self.publish()                          # a copy's layers are its own

    # -- models inside models

    def __call__(self, inputs, training: bool | None = None):
        """Applies the model to an Input or to the output of a layer, as a layer of another model; or to arrays.

        The two models have the weights in common. A model can be called several times, with the same
        weights.

        Args:
            inputs: an Input, or what the call of a layer returned; for a model of several inputs, a
                list of them. Or arrays, as for `predict`.
            training: of arrays only False or None: the outputs are those of `predict`.

        Returns:
            A symbol of the output; of several outputs a list of them. Of arrays, what `predict` returns.

        Raises:
            ConfigError: the model does not take such inputs."""
        if isinstance(inputs, dict) and all(isinstance(getattr(x, "symbol", x), Symbol) for x in inputs.values()):
            need(set(inputs) == set(self.input_names()), f"{self.name} takes inputs of the names {', '.join(self.input_names())}, not "
                 f"{shown(sorted(inputs))}")
            inputs = [inputs[name] for name in self.input_names()]
        given = tuple(getattr(x, "symbol", x) for x in (inputs if isinstance(inputs, (list, tuple)) else [inputs]))
        if given and not any(isinstance(x, Symbol) for x in given) and all(isinstance(x, (np.ndarray, list, tuple)) for x in given):
            need(not training, f"{self.name} is called with training=True on arrays: call fit or train_on_batch")
            return self.predict(inputs, verbose=0)
        need(all(isinstance(x, Symbol) for x in given), f"{self.name} is called with {shown(inputs)}, not what Input or the call of a "
             "layer returned, nor arrays")
        if self.input_shape is None and len(given) == 1:
            self._takes(given[0].shape)
        wanted, shapes = self.input_shapes(), [x.shape for x in given]
        need(wanted == shapes, f"{self.name} takes inputs of the shapes {shown(wanted)}, not {shown(shapes)}")
        need(self.keys[1] is None, f"{self.name} gives a dict, and cannot be inside another model: give it a list of outputs")
        need(not self.sparse, f"{self.name} has an Input with sparse=True, and cannot be inside another model")
        first, *others = self.output_shapes()
        main = Symbol(self, given, first)
        return [main, *(Symbol(self, given, shape, main, part) for part, shape in enumerate(others, 1))] if others else main

    def _takes(self, shape: Shape) -> None:
        """Sets the shape of an input that is not known yet."""

    def applied(self, given: list[Symbol]) -> list[Symbol]:
        """The outputs of its layers' calls for these inputs.

        Args:
            given: symbols, one for each input."""
        return self.graph.over(given)

    @property
    def nested(self) -> bool:
        """Is a model among the layers?"""
        return any(isinstance(layer, Model) for layer in self.layers)

    def _flat(self, inputs: list[Input]) -> Graph:
        """The graph of the calls of layers, those of models inside it too."""
        need(self.calls <= CALLS, f"the model has {self.calls:,} calls of layers, more than {CALLS:,}")
        for layer in self.layers:
            need(not isinstance(layer, Model) or layer.dtype == self.dtype,
                 f"{layer.name} is a model of {getattr(layer, 'dtype', '')}, and cannot be inside one of {self.dtype}")
        return Graph(inputs, self.applied([layer.symbol for layer in inputs]))

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """The layers that compute, those of models inside it too, in the order of Keras's weights, with their names: MODEL/LAYER.

        Args:
            prefix: what the names begin with."""
        for layer, name in zip(self.layers, self.names()):
            if isinstance(layer, Model):
                yield from layer.leaves(f"{prefix}{name}/")
            elif not isinstance(layer, Input):
                yield prefix + name, layer

    def parts(self) -> Iterator[Layer]:
        """The layers that compute, those of models inside it too, each as often as it stands there."""
        for layer in self.layers:
            if isinstance(layer, Model):
                yield from layer.parts()
            elif not isinstance(layer, Input):
                yield layer

    def inner(self) -> Iterator[tuple["Model", int]]:
        """Each model among the layers once, with where its weights begin in the flat vector."""
        found = {id(step.layer): step.offsets for step in self.stack()}
        for model in {id(layer): layer for layer in self.layers if isinstance(layer, Model)}.values():
            starts = {found[id(step.layer)][0] - step.offsets[0] for step in model.stack() if step.weights}
            need(len(starts) < 2, f"{model.name} has a layer in common with the model around it, which is not supported")
            if starts:
                yield model, starts.pop()

    def _lend(self) -> None:
        """Lets the models inside this one have their weights in its vector."""
        if self.weights is None or not hasattr(self, "layers") or not self.nested or len(self.weights) < self.count_params():
            return
        for model, start in self.inner():
            outer = OUTER[model]() if model in OUTER else None
            if outer is not None and outer is not self:
                continue                        # its weights lie in another model's vector already, and are copied (sharing.py)
            object.__setattr__(model, "weights", self.weights[start:start + model.count_params()])
            OUTER[model] = weakref.ref(self)
            model._lend()

    # -- shapes and weights

    def stack(self) -> list[Step]:
        """The calls of layers in their order, with their places in the flat vector."""
        start, places, seen, steps = 0, {}, set(), []
        flat, names, layers = self.flat, {}, {}
        for name, layer in self.leaves():
            names.setdefault(id(layer), name)
            layers.setdefault(id(layer), layer)
        numbers = {key: number for number, key in enumerate(layers)}
        first: dict[int, Symbol] = {}
        for call in flat.calls:
            first.setdefault(id(call.layer), call)
        for layer in layers.values():           # in their order, which is that of Keras's weights
            need(id(layer) in first, f"{names[id(layer)]} is not used: of a model inside another all outputs must be")
            weights, offsets = self._weights(first[id(layer)]), []
            for weight in weights:
                offsets.append(start)
                start += weight.size
            places[id(layer)] = weights, offsets
        for number, call in enumerate(flat.calls):
            key, again = id(call.layer), id(call.layer) in seen
            seen.add(key)
            need(self._weights(call) == places[key][0],
                 f"{names[key]} is called with inputs of other shapes: its weights do not fit both")
            index = max(len(self.layers), len(layers)) + number if again else numbers[key]
            (weights, offsets), frozen = places[key], self._frozen(call.layer)
            steps.append(Step(index, names[key], call.layer, call.shape, rested(weights) if frozen else weights, offsets,
                              flat.sources(call), [x.shape for x in call.inputs], again, flat.parts_of(call), frozen))
        return steps

    def _frozen(self, layer: Layer) -> bool:
        """Does training leave the layer's weights as they are?"""
        return layer.frozen or not self.trainable

    @staticmethod
    def _weights(call: Symbol) -> list[Weight]:
        first, *others = (getattr(x.layer, "sparse", False) for x in call.inputs)       # others: the states that a layer is given
        need(not any(others) and not (call.layer.merges and first), f"{type(call.layer).__name__}: only Dense takes an Input with sparse=True")
        return [] if call.layer.merges else call.layer.weights_behind(call.inputs[0].shape, first)

    def sparse_inputs(self) -> list[bool]:
        """Of each input whether it is one with sparse=True."""
        return [layer.sparse for layer in self.graph.inputs]

    @property
    def inputs(self) -> list[Input]:
        """What the model begins with, for `mrdl.Model(model.inputs, layer.output)`: a model that has the layers in common."""
        return list(self.graph.inputs)

    @property
    def outputs(self) -> list[Symbol]:
        """What the model ends with."""
        return list(self.graph.outputs)

    @property
    def input(self) -> Input | list[Input]:
        """The only one of `inputs`, or all."""
        return self.inputs[0] if len(self.inputs) == 1 else self.inputs

    @property
    def output(self) -> Symbol | list[Symbol]:
        """The only one of `outputs`, or all."""
        return self.outputs[0] if len(self.outputs) == 1 else self.outputs

    def input_shapes(self) -> list[Shape]:
        """The shape of an example of each input, without the batch."""
        return [layer.shape for layer in self.graph.inputs]

    def input_names(self) -> list[str]:
        """The name of each input."""
        if self.keys[0]:
            return self.keys[0]
        names = self._by_layer()
        return [names[id(layer)] for layer in self.graph.inputs]

    def output_shapes(self) -> list[Shape]:
        """The shape of an example of each output, without the batch."""
        return [output.shape for output in self.graph.outputs]

    def output_tensors(self) -> list[int]:
        """The numbers of the tensors that are outputs."""
        flat = self.flat
        return list(map(flat.place, flat.outputs))

    def output_activations(self) -> list[str]:
        """The activations of the layers that compute the outputs."""
        made: dict[int, Symbol] = {}            # by the id of a view: what it is another shape of
        flat = self.flat
        for call in flat.calls:
            if call.layer.operation is None:
                made[id(call)] = made.get(id(call.inputs[0]), call.inputs[0])
        return [over(symbol.layer.last_activation, symbol.shape, output.shape) for output in flat.outputs
                for symbol in [made.get(id(output), output)]]

    @property
    def classes(self) -> list[str]:
        """The names of the classes of a model that was trained on a table whose labels are names; else none."""
        columns = ((self.features or {}).get("table") or {}).get("columns", [])
        return next((column.get("classes", []) for column in columns if column["kind"] == "label"), [])

    @property
    def stateful(self) -> bool:
        """Does a layer go on with its state from minibatch to minibatch?"""
        return any(getattr(layer, "stateful", False) for layer in self.layers)

    @property
    def classifies(self) -> bool:
        """Does it give one row of the probabilities of classes?"""
        return self.output_activations() == ["softmax"] and len(self.output_shape) == 1

    @property
    def classifies_places(self) -> bool:
        """Does it give the probabilities of classes for each place of a row, as for each step of a text?"""
        return self.output_activations() == ["softmax"] and len(self.output_shape) > 1

    def output_names(self) -> list[str]:
        """Those of the layers that give them, or of the dict that they are."""
        if self.keys[1]:
            return self.keys[1]
        names = self._by_layer()
        found = [names[id(output.layer)] for output in self.graph.outputs]
        need(len(set(found)) == len(found), f"two outputs have the name {shown(found)}")
        return found

    def _by_layer(self) -> dict[int, str]:
        """The layers' names by the layers' ids."""
        return dict(zip(map(id, self.layers), self.names()))

    def names(self) -> list[str]:
        """Each layer's own name, or its kind's with the first number that is free."""
        return summary.names(self.layers)

    @property
    def output_shape(self) -> Shape | list[Shape]:
        shapes = self.output_shapes()
        return shapes[0] if len(shapes) == 1 else shapes

    def windowed(self, steps: int) -> "Model":
        """The model of one input for sequences of so many steps: the same layers, whose weights have the same places.

        Its calls give one tensor each: `training.sequences.check` refuses others.

        Args:
            steps: of a sequence, 1 or more."""
        shape = (steps, *self.input_shapes()[0][1:])
        if shape == (1,) and any(isinstance(layer, CategoryEncoding) for _, layer in self.leaves()):
            shape = (1, 1)              # else it would be one id, not a sequence of one
        model = self._over(shape)
        object.__setattr__(model, "trainable", self.trainable)
        if self.loss is not None:
            model.compile(self.optimizer, self.loss, metrics=self.metrics, loss_weights=self.loss_weights)
        return model

    def _over(self, shape: Shape) -> "Model":
        """The same layers over an input of another shape."""
        first = Input(shape)
        return Model(first, self.graph.over([first]), self.name, dtype=self.dtype.name)

    # -- the spec

    def get_config(self) -> dict[str, Any]:
        """The layers and how they are joined, in Keras's form."""
        return keras_writer.config(self)

    def to_json(self, *, indent: int | str | None = None, separators: tuple[str, str] | None = None,
                sort_keys: bool = False, ensure_ascii: bool = True) -> str:
        """The spec in Keras's JSON form; with what `compile` was given, where it was.

        The arguments are those of json.dumps.

        Args:
            indent: how far each level is indented, in spaces or as a text. None: all is one line.
            separators: what stands between items, and between a key and its value. None: ", " and
                ": "; with `indent` "," and ": ".
            sort_keys: whether keys are sorted. False: they stand in Keras's order.
            ensure_ascii: whether characters beyond ASCII are written as \\u escapes. True, as in
                json.dumps."""
        return json.dumps(keras_writer.form(self), indent=indent, separators=separators,
                          sort_keys=sort_keys, ensure_ascii=ensure_ascii)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "Model":
        """A model of what `get_config` gives, without its weights.

        Args:
            config: the layers and how they are joined, in Keras's form.
            custom_objects: only None: there are no custom classes.

        Raises:
            ConfigError: it holds something that mrdl does not support; the message names it."""
        need(not custom_objects, "custom_objects is not supported: there are no custom classes")
        found = keras_reader.parse(json.dumps({"class_name": cls.kind, "config": config}))
        if found.ends is None:
            return cls(found.layers, name=found.name, dtype=found.dtype)
        return cls(*found.ends, found.name, dtype=found.dtype)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by its name or number.

        Args:
            name: as in `summary`.
            index: its place in `layers`.

        Raises:
            ConfigError: there is no such layer, or neither or both are given."""
        need((name is None) != (index is None), "get_layer: give a name or an index")
        names = self.names()
        if index is not None:
            need(-len(names) <= index < len(names), f"get_layer: there is no layer {index}; there are {len(names)}")
            return self.layers[index]
        need(name in names, f"get_layer: there is no layer {shown(name)}; there are {', '.join(names)}")
        return self.layers[names.index(name)]

    def summary(self, line_length: int | None = None, positions: list | None = None, print_fn=None, expand_nested: bool = False,
                show_trainable: bool = False, layer_range: list | None = None) -> str:
        """Prints and returns the table of layers, shapes and parameters.

        Args:
            line_length: as in Keras; it has no effect.
            positions: as in Keras; it has no effect.
            print_fn: what the table is given to. None: it is printed.
            expand_nested: as in Keras; it has no effect.
            show_trainable: as in Keras; it has no effect.
            layer_range: only None: all layers are in the table."""
        need(layer_range is None, "summary: layer_range is not supported")
        text = summary.text(self)
        (print if print_fn is None else print_fn)(text)
        return text
