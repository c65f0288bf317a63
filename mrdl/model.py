"""Sequential: layers over one flat vector; Keras's methods, and Keras's JSON as the spec."""
import json
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from mrdl import metrics as metrics_of
from mrdl import seeds
from mrdl.config import ConfigError, lookup, serialize, snake
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
        self.name, self.dtype = name, np.dtype(dtype)
        if self.dtype.name not in ("float32", "float64"):
            raise ConfigError(f"dtype {self.dtype} is not supported; float32 or float64")
        self.input_shape: Shape | None = None
        self.layers: list[Layer] = []
        self.weights: np.ndarray | None = None          # the flat vector
        self.optimizer: Optimizer | None = None
        self.loss: Loss | None = None
        self.metrics: list = []
        self.slots: np.ndarray | None = None            # the updater's state
        self.iterations = 0
        for layer in layers:
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Puts a layer on top; an Input stands first and gives the shape of one example."""
        if not isinstance(layer, tuple(LAYERS)):
            raise ConfigError(f"{layer!r} is not a layer of mrdl.layers")
        if isinstance(layer, Input):
            if self.layers or self.input_shape is not None:
                raise ConfigError("Input must be the first layer, once")
            self.input_shape = layer.shape
        else:
            self.layers.append(layer)
            self.weights = self.slots = None
        if self.input_shape is not None:
            self.stack()                                # shapes that do not fit are said here

    # -- shapes and weights

    def stack(self) -> list[Step]:
        """The layers with their shapes and their places in the flat vector."""
        if self.input_shape is None:
            raise ConfigError("the model has no input shape yet: begin with Input(shape) or call "
                              "build(shape)")
        shape, start, steps, taken = self.input_shape, 0, [], {}
        for index, layer in enumerate(self.layers):
            base = layer.name or snake(type(layer).__name__)
            count = taken[base] = taken.get(base, -1) + 1
            weights = layer.weights(shape)
            offsets = []
            for weight in weights:
                offsets.append(start)
                start += weight.size
            try:
                shape = layer.output(shape)
            except ConfigError as error:
                raise ConfigError(f"layer {index + 1}, {error}") from None
            steps.append(Step(index, f"{base}_{count}" if count else base, layer, shape, weights,
                              offsets))
        return steps

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
        elif input_shape is not None and Input(input_shape).shape != self.input_shape:
            raise ConfigError(f"the model takes examples of shape {self.input_shape}, "
                              f"not {Input(input_shape).shape}")
        if self.weights is None:
            if not self.layers:
                raise ConfigError("the model has no layers")
            self.weights = np.empty(self.count_params(), self.dtype)
            for step, weight, view in self._views():
                rng = seeds.generator("weights", seed, step.index, weight.name)
                weight.from_keras(weight.initializer(weight.keras, rng), view)
        return self

    def _views(self):
        for step in self.stack():
            for weight, start in zip(step.weights, step.offsets):
                yield step, weight, self.weights[start:start + weight.size]

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
        if loss is None:
            raise ConfigError("compile needs a loss, such as 'sparse_categorical_crossentropy'")
        optimizer, loss = (lookup(optimizer, OPTIMIZERS, "optimizer"), lookup(loss, LOSSES, "loss"))
        if self.layers:
            loss.fuses(self.output_activation)
        metrics_of.named(metrics, loss, 1)
        self.optimizer, self.loss, self.metrics = optimizer, loss, list(metrics)
        self.slots, self.iterations = None, 0

    def compiled(self) -> "Sequential":
        if self.loss is None:
            raise ConfigError("the model is not compiled: call compile(optimizer, loss) first")
        return self

    def named_metrics(self) -> dict[str, metrics_of.Metric]:
        return metrics_of.named(self.metrics, self.loss, int(np.prod(self.output_shape)))

    def fit(self, x, y, **options):
        """Trains on arrays in this process; `trainer.fit` has the options. Returns a History."""
        from mrdl import trainer
        return trainer.fit(self, x, y, **options)

    def evaluate(self, x, y, sample_weight=None, batch_size: int = 256) -> dict[str, float]:
        """The loss and metrics on arrays, as a dict of floats."""
        from mrdl import trainer
        return trainer.evaluate(self, x, y, sample_weight, batch_size)

    def predict(self, x, batch_size: int = 256) -> np.ndarray:
        """The outputs, [n, *output_shape]."""
        from mrdl import trainer
        return trainer.predict(self, x, batch_size)

    # -- the spec

    def get_config(self) -> dict[str, Any]:
        layers = []
        if self.input_shape is not None:
            layers.append({"module": "keras.layers", "class_name": "InputLayer", "config": {
                "batch_shape": [None, *self.input_shape], "dtype": self.dtype.name,
                "sparse": False, "name": "input_layer"}, "registered_name": None})
            names = [step.name for step in self.stack()]
        else:
            names = [layer.name for layer in self.layers]
        for layer, name in zip(self.layers, names):
            form = serialize(layer)
            form["config"] |= {"name": name, "dtype": self.dtype.name}
            layers.append(form)
        return {"name": self.name, "dtype": self.dtype.name, "layers": layers}

    def to_json(self, **options) -> str:
        """The spec in Keras's JSON form; with what `compile` was given, where it was."""
        spec = {"module": "keras", "class_name": "Sequential", "config": self.get_config(),
                "registered_name": "Sequential"}
        if self.input_shape is not None:
            spec["build_config"] = {"input_shape": [None, *self.input_shape]}
        if self.loss is not None:
            spec["compile_config"] = {
                "optimizer": serialize(self.optimizer), "loss": serialize(self.loss),
                "metrics": [serialize(m) for m in self.metrics] or None}
        return json.dumps(spec, **options)

    def summary(self) -> str:
        """Prints and returns the table of layers, shapes and parameters."""
        rows = [("layer", "output", "parameters")]
        rows += [(f"{s.name} ({type(s.layer).__name__})", str((None, *s.output)),
                  f"{sum(w.size for w in s.weights):,}") for s in self.stack()]
        wide = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}" for a, b, c in rows]
        lines.insert(1, "-" * len(lines[0]))
        text = "\n".join([f'Model "{self.name}"', *lines,
                          f"{self.count_params():,} parameters, "
                          f"{self.count_params() * self.dtype.itemsize / 1e6:.1f} MB"])
        print(text)
        return text

    # -- files

    def to_safetensors(self) -> bytes:
        self.build()
        tensors = {f"{step.name}/{weight.name}": weight.to_keras(view)
                   for step, weight, view in self._views()}
        return save_tensors(tensors, {"format": "mrdl", "spec": self.to_json()})

    def save(self, path: str) -> None:
        """Writes PATH/model.json and PATH/model.safetensors (a folder), as a finished run has them."""
        from mrdl.storage import Storage
        folder = Storage(path)
        folder.write("model.json", self.to_json(indent=2).encode())
        folder.write("model.safetensors", self.to_safetensors())

    def load_weights(self, data: bytes, source: str = "model.safetensors") -> "Sequential":
        """Sets the weights from safetensors bytes; nothing in them is executed."""
        try:
            tensors = load_tensors(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise ConfigError(f"{source} is no safetensors file: {error}") from None
        self.build()
        wanted = [f"{step.name}/{weight.name}" for step, weight, _ in self._views()]
        if set(wanted) != set(tensors):
            odd = sorted(set(wanted) ^ set(tensors))
            raise ConfigError(f"{source} does not belong to this model: {', '.join(odd[:5])}")
        self.set_weights([tensors[name] for name in wanted])
        return self


def model_from_json(text: str) -> Sequential:
    """The model of a Keras JSON spec, built and compiled where the spec says so.

    Raises ConfigError for anything mrdl does not have; nothing in the text is executed."""
    try:
        spec = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the spec is no JSON: {error}") from None
    if not isinstance(spec, dict) or spec.get("class_name") != "Sequential":
        raise ConfigError("the spec is no Sequential model in Keras's JSON form")
    config = spec.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise ConfigError("the spec has no list of layers")
    dtype = config.get("dtype", "float32")
    dtype = dtype.get("config", {}).get("name", "float32") if isinstance(dtype, dict) else dtype
    model = Sequential(name=config.get("name") or "sequential", dtype=dtype)
    for entry in config["layers"]:
        if isinstance(entry, dict) and entry.get("class_name") == "InputLayer":
            shape = (entry.get("config") or {}).get("batch_shape")
            if not isinstance(shape, list) or len(shape) < 2:
                raise ConfigError("InputLayer: batch_shape must be [null, ...]")
            model.add(Input(tuple(shape[1:])))
            continue
        layer = lookup(entry, LAYERS, "layer")
        if layer is None:
            raise ConfigError("the spec has an empty layer")
        model.add(layer)
    shape = (spec.get("build_config") or {}).get("input_shape")
    if model.input_shape is None and shape:
        model.input_shape = Input(tuple(shape[1:])).shape
    compiled = spec.get("compile_config")
    if compiled:
        model.compile(compiled.get("optimizer") or "rmsprop", compiled.get("loss"),
                      compiled.get("metrics") or ())
    return model


def load_model(path: str) -> Sequential:
    """The model of a folder that `save` or a finished run wrote."""
    from mrdl.storage import Storage
    folder = Storage(path)
    for name in ("model.json", "model.safetensors"):
        if not folder.exists(name):
            raise ConfigError(f"{path} holds no {name}: it is no saved model or finished run")
    return model_from_json(folder.read("model.json").decode()).load_weights(
        folder.read("model.safetensors"), f"{path}/model.safetensors")
