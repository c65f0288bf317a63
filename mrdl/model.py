"""Sequential: layers over one flat vector; Keras's methods, and Keras's JSON as the spec."""
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from mrdl import metrics as metrics_of
from mrdl import seeds, spec
from mrdl.config import ConfigError, lookup, need, shown, snake
from mrdl.kernels import zeros
from mrdl.layers import LAYERS, Input
from mrdl.layers.layer import Layer, Shape, Weight
from mrdl.losses import LOSSES, Loss
from mrdl.optimizers import OPTIMIZERS, Optimizer


class Step(NamedTuple):
    """A layer in its place: shapes without the batch, its weights and where they start."""
    index: int
    name: str
    layer: Layer
    output: Shape
    weights: list[Weight]
    offsets: list[int]


class Sequential:
    """A stack of layers. `dtype` is float32, or float64 for checks."""

    def __init__(self, layers: list[Layer] = (), name: str = "sequential", dtype: str = "float32"):
        need(isinstance(name, str) and name != "", f"the model's name {shown(name)} is no string")
        need(dtype in ("float32", "float64"),
             f"dtype {shown(dtype)} is not supported; float32 or float64")
        self.name, self.dtype = name, np.dtype(dtype)
        self.input_shape: Shape | None = None
        self.layers: list[Layer] = []
        self.weights: np.ndarray | None = None          # the flat vector
        self.optimizer: Optimizer | None = None
        self.loss: Loss | None = None
        self.metrics: list = []
        self.slots: np.ndarray | None = None            # the updater's state
        self.iterations = 0
        for layer in layers:
            self._put(layer)
        self.names()
        if self.input_shape is not None:
            self.stack()                                # shapes that do not fit are said here

    def add(self, layer: Layer) -> None:
        """Puts a layer on top; an Input stands first and gives the shape of one example.

        Weights that are there stay."""
        self._put(layer)
        try:
            self.names()
            if self.input_shape is not None:
                self.stack()
        except ConfigError:
            self.layers.pop()
            raise
        self.slots, self.iterations = None, 0

    def _put(self, layer: Layer) -> None:
        need(isinstance(layer, tuple(LAYERS)), f"{shown(layer)} is not a layer of mrdl.layers")
        if isinstance(layer, Input):
            need(not self.layers and self.input_shape is None,
                 "Input must be the first layer, once")
            self.input_shape = layer.shape
        else:
            self.layers.append(layer)

    # -- shapes and weights

    def stack(self) -> list[Step]:
        """The layers with their shapes and their places in the flat vector."""
        need(self.input_shape is not None,
             "the model has no input shape yet: begin with Input(shape) or call build(shape)")
        shape, start, steps = self.input_shape, 0, []
        for index, (layer, name) in enumerate(zip(self.layers, self.names())):
            try:
                weights = layer.weights(shape)
                shape = layer.output(shape)
            except ConfigError as error:
                raise ConfigError(f"layer {index + 1}, {error}") from None
            offsets = []
            for weight in weights:
                offsets.append(start)
                start += weight.size
            steps.append(Step(index, name, layer, shape, weights, offsets))
        return steps

    def names(self) -> list[str]:
        """Each layer's own name, or its kind's with the first number that is free."""
        taken, names, next_of = {"input_layer"}, [], {}
        for layer in self.layers:
            if layer.name is not None:
                need(layer.name not in taken, f"two layers have the name {shown(layer.name)}")
                taken.add(layer.name)
        for layer in self.layers:
            name = base = layer.name or snake(type(layer).__name__)
            while layer.name is None and name in taken:
                next_of[base] = next_of.get(base, 0) + 1
                name = f"{base}_{next_of[base]}"
            taken.add(name)
            names.append(name)
        return names

    @property
    def output_shape(self) -> Shape:
        return self.stack()[-1].output if self.layers else self.input_shape

    @property
    def output_activation(self) -> str:
        """The activation of the last layer that computes something."""
        for layer in reversed(self.layers):
            if layer.operation is not None:
                return getattr(layer, "activation", "linear")
        return "linear"

    def count_params(self) -> int:
        return sum(w.size for step in self.stack() for w in step.weights)

    def build(self, input_shape: Shape | int | None = None, seed: int = 0) -> "Sequential":
        """Draws the weights, keyed by `seed` and the layer; called by `fit` where it was not."""
        if input_shape is not None and self.input_shape is None:
            self.input_shape = Input(input_shape).shape
            try:
                self.stack()
            except ConfigError:
                self.input_shape = None
                raise
        need(input_shape is None or Input(input_shape).shape == self.input_shape,
             f"the model takes examples of shape {self.input_shape}, not {shown(input_shape)}")
        need(self.layers != [], "the model has no layers")
        drawn, size = 0 if self.weights is None else len(self.weights), self.count_params()
        if self.weights is None or drawn < size:        # `add` may have come after `build`
            weights = self._empty(size)
            if drawn:
                weights[:drawn] = self.weights
            for step, weight, start in self._places():
                if start >= drawn:
                    own = getattr(weight.initializer, "seed", None)
                    rng = (seeds.generator("weights", seed, step.index, weight.name)
                           if own is None else seeds.generator("initializer", own))
                    weight.from_keras(weight.initializer(weight.keras, rng),
                                      weights[start:start + weight.size])
            self.weights = weights
        return self

    def _empty(self, size: int) -> np.ndarray:
        try:
            return zeros(size, self.dtype)
        except (ValueError, MemoryError):
            raise ConfigError(f"the model's {size:,} parameters do not fit into memory") from None

    def _places(self) -> Iterator[tuple[Step, Weight, int]]:
        for step in self.stack():
            for weight, start in zip(step.weights, step.offsets):
                yield step, weight, start

    def _views(self) -> Iterator[tuple[Step, Weight, np.ndarray]]:
        for step, weight, start in self._places():
            yield step, weight, self.weights[start:start + weight.size]

    def moments(self) -> list[tuple[int, int, int]]:
        """Where moving means and variances begin in the flat vector, and how many there are, layer by layer."""
        found = []
        for step in self.stack():
            places = {w.name: (start, w.size) for w, start in zip(step.weights, step.offsets)}
            if "moving_mean" in places:
                (mean, size), (variance, _) = places["moving_mean"], places["moving_variance"]
                found.append((mean, variance, size))
        return found

    def get_weights(self) -> list[np.ndarray]:
        """The tensors in Keras's order and shapes: kernel [in, out], bias [out]."""
        self.build()
        return [weight.to_keras(view) for _, weight, view in self._views()]

    def set_weights(self, arrays: list[np.ndarray]) -> None:
        """The other way; shapes must be those of `get_weights`."""
        self.build()
        views = list(self._views())
        if len(arrays) != len(views):
            raise ValueError(f"the model has {len(views)} weights, {len(arrays)} were given")
        for (step, weight, view), array in zip(views, arrays):
            if np.shape(array) != weight.keras:
                raise ValueError(f"{step.name}/{weight.name} has the shape {weight.keras}, "
                                 f"not {np.shape(array)}")
        for (_, weight, view), array in zip(views, arrays):
            weight.from_keras(np.asarray(array, self.dtype), view)

    # -- training

    def compile(self, optimizer="rmsprop", loss=None, metrics=()) -> None:
        """Chooses the updater, the loss and the metrics, by Keras's names or as objects."""
        need(loss is not None, "compile needs a loss, such as 'sparse_categorical_crossentropy'")
        need(optimizer is not None, "compile needs an optimizer, such as 'adam'")
        need(isinstance(metrics, (list, tuple)), f"metrics={shown(metrics)} must be a list")
        optimizer, loss = (lookup(optimizer, OPTIMIZERS, "optimizer"), lookup(loss, LOSSES, "loss"))
        if self.layers:
            loss.fuses(self.output_activation)
        metrics_of.named(metrics, loss, self.output_shape if self.input_shape is not None else None)
        self.optimizer, self.loss, self.metrics = optimizer, loss, list(metrics)
        self.slots, self.iterations = None, 0

    def compiled(self) -> "Sequential":
        if self.loss is None:
            raise ConfigError("the model is not compiled: call compile(optimizer, loss) first")
        return self

    def named_metrics(self) -> dict[str, metrics_of.Metric]:
        return metrics_of.named(self.metrics, self.loss, self.output_shape)

    def fit(self, x, y, **options):
        """Trains on arrays in this process; `arrays.fit` has the options. Returns a History."""
        from mrdl import arrays
        return arrays.fit(self, x, y, **options)

    def evaluate(self, x, y, sample_weight=None, batch_size: int = 256) -> dict[str, Any]:
        """The loss and metrics on arrays by their names: floats, or lists of them."""
        from mrdl import arrays
        return arrays.evaluate(self, x, y, sample_weight, batch_size)

    def predict(self, x, batch_size: int = 256) -> np.ndarray:
        """The outputs, [n, *output_shape]."""
        from mrdl import arrays
        return arrays.predict(self, x, batch_size)

    # -- the spec

    def get_config(self) -> dict[str, Any]:
        return spec.config(self)

    def to_json(self, **options) -> str:
        """The spec in Keras's JSON form; with what `compile` was given, where it was."""
        return json.dumps(spec.form(self), **options)

    def summary(self) -> str:
        """Prints and returns the table of layers, shapes and parameters."""
        rows = [("layer", "output", "parameters")]
        rows += [(f"{s.name} ({type(s.layer).__name__})", str((None, *s.output)),
                  f"{sum(w.size for w in s.weights):,}") for s in self.stack()]
        wide = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}" for a, b, c in rows]
        lines.insert(1, "-" * len(lines[0]))
        size = self.count_params()
        lines.append(f"{size:,} parameters, {size * self.dtype.itemsize / 1e6:.1f} MB")
        text = "\n".join([f'Model "{self.name}"', *lines])
        print(text)
        return text

    # -- files

    def to_safetensors(self) -> bytes:
        self.build()
        tensors = {f"{step.name}/{weight.name}": weight.to_keras(view)
                   for step, weight, view in self._views()}
        return save_tensors(tensors, {"spec": self.to_json()})    # one key: their order is not fixed

    def save(self, path: str) -> None:
        """Writes PATH/model.json and PATH/model.safetensors (a folder), as a finished run has them."""
        from mrdl.storage import Storage
        folder = Storage(path)
        folder.write("model.json", self.to_json(indent=2).encode())
        folder.write("model.safetensors", self.to_safetensors())

    def load_weights(self, data: bytes, source: str = "model.safetensors") -> "Sequential":
        """Sets the weights from safetensors bytes; nothing in them is executed."""
        try:
            tensors = load_tensors(data)        # takes no more memory than there are bytes
        except (SafetensorError, ValueError, KeyError) as error:
            raise ConfigError(f"{source} is no safetensors file: {shown(str(error))}") from None
        wanted = {f"{step.name}/{weight.name}": weight.keras for step, weight, _ in self._places()}
        odd = sorted(set(wanted) ^ set(tensors))
        need(not odd, f"{source} does not belong to this model: {shown(odd)}")
        for name, shape in wanted.items():
            given = tensors[name]
            need(given.shape == shape and given.dtype.kind == "f"
                 and np.can_cast(given.dtype, self.dtype),
                 f"{source}: {shown(name)} is {given.dtype} of the shape {shown(given.shape)}, "
                 f"not {self.dtype} of {shown(shape)}")
        self.weights = self._empty(self.count_params())
        self.set_weights([tensors[name] for name in wanted])
        return self


def model_from_json(text: str | bytes) -> Sequential:
    """The model of a Keras JSON spec, compiled where the spec says so; its weights are not drawn.

    Raises ConfigError for anything mrdl does not have; nothing in the text is executed."""
    found = spec.parse(text)
    model = Sequential(found.layers, found.name, found.dtype)
    if found.loss is not None:
        model.compile(found.optimizer, found.loss, found.metrics)
    return model


def load_model(path: str) -> Sequential:
    """The model of a folder that `save` or a finished run wrote."""
    from mrdl.storage import Storage
    folder = Storage(path)
    for name in ("model.json", "model.safetensors"):
        if not folder.exists(name):
            raise ConfigError(f"{path} holds no {name}: it is no saved model or finished run")
    return model_from_json(folder.read("model.json")).load_weights(
        folder.read("model.safetensors"), f"{path}/model.safetensors")
