"""Model: layers over one flat vector; Keras's methods, and Keras's JSON as the spec."""
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from safetensors.numpy import save as save_tensors

from mrdl import limits
from mrdl import metrics as metrics_of
from mrdl.config import ConfigError, lookup, need, shown, typed
from mrdl.kernels import zeros
from mrdl.layers import CategoryEncoding, Input
from mrdl.layers.layer import Symbol, Weight
from mrdl.layers.operation import Shape
from mrdl.losses import LOSSES, Loss
from mrdl.models import drawing, summary, tensors
from mrdl.models.formats import keras_writer
from mrdl.models.graph import Graph
from mrdl.optimizers import OPTIMIZERS, Optimizer
from mrdl.training import arrays
from mrdl.training.protocol import Head, Step

ATTRIBUTES = {"name", "dtype", "graph", "layers", "input_shape", "weights", "optimizer", "loss", "loss_weights", "metrics",
              "slots", "iterations", "epochs", "rate_scale", "features"}


def over(activation: str, made: Shape, shape: Shape) -> str:
    """The activation of an output made in one shape and seen in another: a softmax runs over its own last axis."""
    return f"{activation} over {made[-1]}" if activation == "softmax" and made[-1] != shape[-1] else activation


class Model:
    """Layers over one flat vector: what lies between `inputs`, which Input gave, and `outputs`.

    Several inputs are one row of features, in their order: as arrays a list, in a dataset all
    columns together; so are the targets of several outputs.

    Args:
        inputs: an Input, or what it gave, or a list of them.
        outputs: what a layer's call gave, or a list of such.
        name: the model's name in its spec.
        dtype: of weights and data: "float32", or "float64" for checks.

    Raises:
        ConfigError: layers do not fit each other, or an input is missing."""

    def __init__(self, inputs, outputs, name: str = "functional", dtype: str = "float32"):
        self._begin(name, dtype)
        self.graph = Graph(inputs, outputs)
        self.layers = self.graph.layers
        shapes = [layer.shape for layer in self.graph.inputs]
        self.input_shape = shapes[0] if len(shapes) == 1 else (sum(map(math.prod, shapes)),)
        self.names()
        self.stack()

    def _begin(self, name: str, dtype: str) -> None:
        need(isinstance(name, str) and name != "", f"the model's name {shown(name)} is no string")
        need(dtype in ("float32", "float64"),
             f"dtype {shown(dtype)} is not supported; float32 or float64")
        self.name, self.dtype = name, np.dtype(dtype)
        self.weights: np.ndarray | None = None          # the flat vector
        self.optimizer: Optimizer | None = None
        self.loss: Loss | list[Loss] | None = None      # a list where there are several outputs
        self.loss_weights: list[float] = [1.0]
        self.metrics: list = []                         # of one output; of several a list of lists
        self.fresh_updater()
        self.features: dict[str, Any] | None = None     # of the dataset it was trained on: see Run.features
        self.epochs = 0                                 # trained: the next one's order and dropout are of this number

    def fresh_updater(self) -> None:
        """Training begins with an updater that has done nothing; `compile` does so too."""
        self.slots: np.ndarray | None = None            # its state
        self.iterations = 0                             # updates done: what schedules and Adam's t count
        self.rate_scale = 1.0                           # of the learning rate: halved by rounds that were not finite

    def __setattr__(self, name: str, value: Any) -> None:
        """ConfigError for what has no effect, such as Keras's trainable=False."""
        if name not in ATTRIBUTES:
            raise ConfigError(f"model.{name} = {shown(value)} is not supported" + (
                ": all weights of a model are trained" if name == "trainable" else ""))
        object.__setattr__(self, name, value)

    # -- shapes and weights

    def stack(self) -> list[Step]:
        """The calls of layers in their order, with their places in the flat vector."""
        start, places, seen, steps = 0, {}, set(), []
        names = self._by_layer()
        first: dict[int, Symbol] = {}
        for call in self.graph.calls:
            first.setdefault(id(call.layer), call)
        for layer in self.layers:               # in their order, which is that of Keras's weights
            if isinstance(layer, Input):
                continue
            weights, offsets = self._weights(first[id(layer)]), []
            for weight in weights:
                offsets.append(start)
                start += weight.size
            places[id(layer)] = weights, offsets
        for number, call in enumerate(self.graph.calls):
            key, again = id(call.layer), id(call.layer) in seen
            seen.add(key)
            need(self._weights(call) == places[key][0],
                 f"{names[key]} is called with inputs of other shapes: its weights do not fit both")
            index = len(self.layers) + number if again else self.graph.numbers[key]
            steps.append(Step(index, names[key], call.layer, call.shape, *places[key], self.graph.sources(call),
                              [x.shape for x in call.inputs], again, self.graph.parts_of(call)))
        return steps

    @staticmethod
    def _weights(call: Symbol) -> list[Weight]:
        return [] if call.layer.merges else call.layer.weights(call.inputs[0].shape)

    def input_shapes(self) -> list[Shape]:
        """The shape of an example of each input, without the batch."""
        return [layer.shape for layer in self.graph.inputs]

    def input_names(self) -> list[str]:
        """The name of each input."""
        names = self._by_layer()
        return [names[id(layer)] for layer in self.graph.inputs]

    def output_shapes(self) -> list[Shape]:
        """The shape of an example of each output, without the batch."""
        return [output.shape for output in self.graph.outputs]

    def output_tensors(self) -> list[int]:
        """The numbers of the tensors that are outputs."""
        return list(map(self.graph.place, self.graph.outputs))

    def output_activations(self) -> list[str]:
        """The activations of the layers that compute the outputs."""
        made: dict[int, Symbol] = {}            # by the id of a view: what it is another shape of
        for call in self.graph.calls:
            if call.layer.operation is None:
                made[id(call)] = made.get(id(call.inputs[0]), call.inputs[0])
        return [over(symbol.layer.last_activation, symbol.shape, output.shape) for output in self.graph.outputs
                for symbol in [made.get(id(output), output)]]

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
        """Those of the layers that give them."""
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

    def count_params(self) -> int:
        """How many numbers the weights are, those that no training changes too."""
        return sum(w.size for _, w, _ in self.places())

    def build(self, input_shape: Shape | int | None = None, seed: int = 0) -> "Model":
        """Draws the weights, where there are none yet; `fit` does so by itself.

        Args:
            input_shape: of an example, without the batch. None: the model knows it.
            seed: of the draws, with the layer's number; weights are the same in every process.

        Returns:
            The model.

        Raises:
            ConfigError: the shape is another one than the layers', or the weights do not fit into
                memory."""
        need(input_shape is None or Input(input_shape).shape == self.input_shape,
             f"the model takes examples of shape {self.input_shape}, not {shown(input_shape)}")
        need(self.layers != [], "the model has no layers")
        if self.weights is None or len(self.weights) < self.count_params():     # `add` may have come after `build`
            self.weights = drawing.drawn(self, seed)
        return self

    def empty(self, size: int) -> np.ndarray:
        """Zeros; ConfigError where they do not fit into memory.

        Args:
            size: how many numbers."""
        limits.allow(size * self.dtype.itemsize, f"the model's {size:,} parameters")
        try:
            return zeros(size, self.dtype)
        except (ValueError, MemoryError):
            raise ConfigError(f"the model's {size:,} parameters do not fit into memory") from None

    def places(self) -> Iterator[tuple[Step, Weight, int]]:
        """Each weight once, in Keras's order, with where it starts."""
        for step in sorted(self.stack(), key=lambda step: step.index):
            if step.again:
                continue
            for weight, start in zip(step.weights, step.offsets):
                yield step, weight, start

    def _views(self) -> Iterator[tuple[Step, Weight, np.ndarray]]:
        for step, weight, start in self.places():
            yield step, weight, self.weights[start:start + weight.size]

    def moments(self, mean: str = "moving_mean", variance: str = "moving_variance") -> list[tuple[int, int, int]]:
        """Where weights of these names begin in the flat vector, and how many there are, layer by layer.

        Args:
            mean: the name of the weights that are means.
            variance: the name of those that are variances."""
        found = []
        for step in self.stack():
            if step.again:
                continue
            places = {w.name: (start, w.size) for w, start in zip(step.weights, step.offsets)}
            if mean in places:
                found.append((places[mean][0], *places[variance]))
        return found

    def windowed(self, steps: int) -> "Model":
        """The model of one input for sequences of so many steps: the same layers, whose weights have the same places.

        Its calls give one tensor each: `training.sequences.check` refuses others.

        Args:
            steps: of a sequence, 1 or more."""
        shape = (steps, *self.input_shapes()[0][1:])
        if shape == (1,) and any(isinstance(layer, CategoryEncoding) for layer in self.layers):
            shape = (1, 1)              # else it would be one id, not a sequence of one
        model = self._over(shape)
        if self.loss is not None:
            model.compile(self.optimizer, self.loss, self.metrics, self.loss_weights)
        return model

    def _over(self, shape: Shape) -> "Model":
        """The same layers over an input of another shape."""
        first = Input(shape)
        return Model(first, self.graph.over(first), self.name, self.dtype.name)

    def get_weights(self) -> list[np.ndarray]:
        """The tensors in Keras's order and shapes: kernel [in, out], bias [out]."""
        self.build()
        return [weight.to_keras(view) for _, weight, view in self._views()]

    def set_weights(self, arrays: list[np.ndarray]) -> None:
        """Sets the weights.

        Args:
            arrays: tensors in the order and of the shapes that `get_weights` gives.

        Raises:
            ValueError: there are more or fewer, or one has another shape."""
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

    def compile(self, optimizer="rmsprop", loss=None, metrics=(), loss_weights=None) -> None:
        """Chooses the updater, the loss and the metrics; the updater begins anew.

        With several outputs `loss`, `metrics` and `loss_weights` are lists, or dicts by the names
        of the layers that give the outputs; one loss or list of metrics is for each.

        Args:
            optimizer: an optimizer, its name or its Keras dict (mrdl.optimizers). "rmsprop", as in
                Keras.
            loss: a loss, its name or its Keras dict (mrdl.losses). A cross-entropy wants its own
                activation at the output, or from_logits=True.
            metrics: metrics, as objects, names or Keras dicts (mrdl.metrics); "accuracy" is the
                form that fits the loss. None by default.
            loss_weights: what each output's loss counts in the sum of them. None: 1 each.

        Raises:
            ConfigError: a name is unknown, or these and the outputs do not fit."""
        need(loss is not None, "compile needs a loss, such as 'sparse_categorical_crossentropy'")
        need(optimizer is not None, "compile needs an optimizer, such as 'adam'")
        need(isinstance(metrics, (list, tuple, dict)), f"metrics={shown(metrics)} must be a list")
        optimizer = lookup(optimizer, OPTIMIZERS, "optimizer")
        nested = any(isinstance(m, (list, tuple)) for m in metrics)
        losses = [lookup(one, LOSSES, "loss") for one in self._each("loss", loss, isinstance(loss, (list, tuple)))]
        measured = [list(ms or ()) for ms in self._each("metrics", metrics, nested)]
        weights = [typed(1.0 if w is None else w, float, "loss_weights") for w in self._each(
            "loss_weights", loss_weights, isinstance(loss_weights, (list, tuple)))]
        need(None not in losses, "compile needs a loss for each output")
        known = getattr(self, "input_shape", None) is not None
        if self.layers:
            for one, activation in zip(losses, self.output_activations()):
                one.fuses(activation)
        for one, ms, shape in zip(losses, measured, self.output_shapes() if known else [None] * len(losses)):
            metrics_of.named(ms, one, shape)
        several = len(losses) > 1
        self.loss, self.metrics = (losses, measured) if several else (losses[0], measured[0])
        self.optimizer, self.loss_weights = optimizer, weights
        self.fresh_updater()

    def _each(self, what: str, given: Any, several: bool) -> list:
        """One for each output."""
        names = self.output_names()
        if isinstance(given, dict) and "class_name" not in given:
            odd = sorted(set(given) - set(names))
            need(not odd, f"{what}: there is no output {shown(odd)}; there are {', '.join(names)}")
            return [given.get(name) for name in names]
        if several:
            need(len(given) == len(names), f"{what}={shown(given)} must have one for each output: {', '.join(names)}")
            return list(given)
        return [given] * len(names)

    def heads(self) -> list[Head]:
        """The outputs of a compiled model, with what is asked of each."""
        several = isinstance(self.compiled().loss, list)
        losses, metrics = (self.loss, self.metrics) if several else ([self.loss], [self.metrics])
        return [Head(name if several else "", shape, loss, weight, metrics_of.named(ms, loss, shape))
                for name, shape, loss, weight, ms in zip(
                    self.output_names(), self.output_shapes(), losses, self.loss_weights, metrics)]

    def compiled(self) -> "Model":
        """The model; ConfigError where `compile` was not called."""
        if self.loss is None:
            raise ConfigError("the model is not compiled: call compile(optimizer, loss) first")
        return self

    def named_metrics(self) -> dict[str, metrics_of.Metric]:
        """All outputs' metrics, by the names they are reported by."""
        return {head.prefix + name: metric for head in self.heads() for name, metric in head.metrics.items()}

    def fit(self, x, y, *, batch_size: int = 32, epochs: int = 1, sample_weight=None,
            class_weight: dict | None = None, validation_data: tuple | None = None, seed: int = 0,
            initial_epoch: int = 0, verbose: int | str = "auto", tbptt: int | None = None,
            tbptt_backward: int | None = None, buckets: tuple | None = None) -> arrays.History:
        """Trains on arrays in this process, as Keras does; rows are permuted by (seed, epoch).

        A further call goes on: with the updater's state, and with orders and dropout of epochs that
        the model has not seen. Where a layer is stateful, rows stay in their order, and an epoch
        begins at state 0.

        Args:
            x: examples [n, *input_shape]; of several inputs a list, or a dict by their names.
            y: targets, as the loss takes them: [n, *output_shape], or class numbers [n]; of several
                outputs a list, or a dict by their names.
            batch_size: examples of a minibatch, 1 or more; the last one of an epoch may be smaller.
                32, as in Keras.
            epochs: the number of the last epoch, 1 or more, as in Keras: `epochs - initial_epoch`
                are trained.
            sample_weight: the weight of each example's loss [n], 0 or more. None: 1.
            class_weight: the weight of each class's examples, {class number: 0 or more}. None: 1.
            validation_data: (x, y) or (x, y, sample_weight), scored after each epoch. None: nothing
                is.
            seed: of the order of rows, dropout and noise, and of weights that were not drawn yet.
            initial_epoch: the number of epochs that count as done, 0 or more.
            verbose: 1 ("auto") prints a bar for each epoch, 2 a line, 0 nothing.
            tbptt: steps of a window in which sequences are trained (truncated back-propagation
                through time, Williams & Peng 1990). None: whole sequences.
            tbptt_backward: steps at a window's end that gradients go back through, from 1 to
                `tbptt`. None: all of the window.
            buckets: rising numbers of steps: a minibatch of masked sequences is cut to the least of
                them that holds its longest one. None: no minibatch is cut.

        Returns:
            A History: the loss and metrics of each epoch.

        Raises:
            ConfigError: arrays, options and model do not fit each other, or the model is not
                compiled."""
        return arrays.fit(
            self, x, y, batch_size=batch_size, epochs=epochs, sample_weight=sample_weight,
            class_weight=class_weight, validation_data=validation_data, seed=seed,
            initial_epoch=initial_epoch, verbose=verbose, tbptt=tbptt, tbptt_backward=tbptt_backward,
            buckets=buckets)

    def adapt(self, x) -> None:
        """Sets the mean and variance of each Normalization from arrays; `fit` does so where nobody did.

        Args:
            x: examples [n, *input_shape]; of several inputs a list, or a dict by their names.

        Raises:
            ConfigError: the model has no Normalization, or takes other examples."""
        arrays.adapt(self, x)

    def evaluate(self, x, y, sample_weight=None, batch_size: int = 256) -> dict[str, Any]:
        """The loss and metrics on arrays.

        Args:
            x: examples [n, *input_shape]; of several inputs a list, or a dict by their names.
            y: targets, as for `fit`.
            sample_weight: the weight of each example's loss [n], 0 or more. None: 1.
            batch_size: examples at once, 1 or more. 256, which is quick and takes little memory.

        Returns:
            By name numbers, or lists of them for metrics by class.

        Raises:
            ConfigError: the arrays do not fit the model, or it is not compiled."""
        return arrays.evaluate(self, x, y, sample_weight, batch_size)

    def predict(self, x, batch_size: int = 256) -> np.ndarray:
        """The outputs for arrays.

        Args:
            x: examples [n, *input_shape]; of several inputs a list, or a dict by their names.
            batch_size: examples at once, 1 or more. 256, which is quick and takes little memory.

        Returns:
            An array [n, *output_shape]; of several outputs a list of them.

        Raises:
            ConfigError: the arrays do not fit the model."""
        return arrays.predict(self, x, batch_size)

    # -- the spec

    def get_config(self) -> dict[str, Any]:
        """The layers and how they are joined, in Keras's form."""
        return keras_writer.config(self)

    def to_json(self, **options) -> str:
        """The spec in Keras's JSON form; with what `compile` was given, where it was.

        Args:
            **options: as json.dumps takes them, such as indent=2."""
        return json.dumps(keras_writer.form(self), **options)

    def summary(self) -> str:
        """Prints and returns the table of layers, shapes and parameters."""
        text = summary.text(self)
        print(text)
        return text

    # -- files

    def to_safetensors(self) -> bytes:
        """The weights as the bytes of a safetensors file, by LAYER/WEIGHT, with the spec."""
        self.build()
        found = {name: weight.to_keras(view) for name, weight, view in tensors.named(self, self.weights)}
        return save_tensors(found, {"spec": self.to_json()})    # one key: their order is not fixed

    def save(self, path: str) -> None:
        """Writes a folder as a finished run has it.

        model.json and model.safetensors; where the model was trained optimizer.safetensors, the
        updater's state, with which training goes on; where it was trained on a dataset
        features.json, what that dataset's features are. saved.json has the hashes of the model's
        files.

        Args:
            path: the folder, a path or an hdfs:// URL; a model that is there is replaced."""
        from mrdl.runs.run import Run
        run = Run(path)
        run.store.remove(tensors.UPDATER)       # that of the weights that were there
        run.save(tensors.files(self), self.features)

    def load_weights(self, data: bytes, source: str = "model.safetensors") -> "Model":
        """Sets the weights from the bytes of a safetensors file; nothing in them is executed.

        Args:
            data: the bytes, as `to_safetensors` gives them.
            source: what the bytes are called in errors.

        Returns:
            The model.

        Raises:
            ConfigError: the bytes are damaged, or of another model."""
        tensors.load_weights(self, data, source)
        return self
