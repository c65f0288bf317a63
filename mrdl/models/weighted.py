"""The weights of a model, which lie in one flat vector: they are drawn, read, set, and go into files and out."""
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from mrdl import limits
from mrdl.config import ConfigError, need, shown
from mrdl.kernels import zeros
from mrdl.layers import Input
from mrdl.layers.layer import Weight
from mrdl.layers.operation import Shape
from mrdl.models import drawing, sharing, tensors
from mrdl.models.trainer import Trainer
from mrdl.storage.tensorfile import packed
from mrdl.training.protocol import Step, ranges


def without_batch(shape: Any) -> Any:
    """The shape of an example; Keras's build((None, 4)) has the batch as None before it."""
    return tuple(shape[1:]) if isinstance(shape, (tuple, list)) and shape and shape[0] is None else shape


class Weighted(Trainer):
    """What a model does with its weights. mrdl.Model says by `stack` which there are, and where they begin in the vector."""

    def count_params(self) -> int:
        """How many numbers the weights are, those that no training changes too."""
        return sum(w.size for _, w, _ in self.places())

    def build(self, input_shape: Shape | int | None = None, seed: int = 0) -> "Weighted":
        """Draws the weights, where there are none yet; `fit` does so by itself.

        Args:
            input_shape: of an example, without the batch, or with None for it: (None, 4). None: the
                model knows it.
            seed: of the draws, with the layer's number; weights are the same in every process.

        Returns:
            The model.

        Raises:
            ConfigError: the shape is another one than the layers', or the weights do not fit into
                memory."""
        input_shape = without_batch(input_shape)
        need(input_shape is None or Input(input_shape).shape == self.input_shape,
             f"the model takes examples of shape {self.input_shape}, not {shown(input_shape)}")
        need(self.layers != [], "the model has no layers")
        if self.weights is None or len(self.weights) < self.count_params():     # `add` may have come after `build`
            object.__setattr__(self, "weights", drawing.drawn(self, seed))
            self._lend()
            sharing.drawn(self)
        else:
            sharing.pull(self)
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

    def publish(self) -> None:
        """Says that the layers' weights are those of this model: to call where its vector was written to."""
        sharing.publish(self)

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

    def frozen(self) -> list[tuple[int, int]]:
        """The (start, stop) ranges of the flat vector that training leaves as they are: the weights of frozen layers."""
        return ranges((start, start + w.size) for _, w, start in self.places() if w.frozen)

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """Copies of the weights that training changes, in Keras's order and shapes."""
        self.build()
        return [weight.to_keras(view) for _, weight, view in self._views() if weight.trainable]

    @property
    def non_trainable_weights(self) -> list[np.ndarray]:
        """Copies of the weights that the updater does not change: of frozen layers, and moving means and variances."""
        self.build()
        return [weight.to_keras(view) for _, weight, view in self._views() if not weight.trainable]

    def moments(self, mean: str = "moving_mean", variance: str = "moving_variance") -> list[tuple[int, int, int]]:
        """Where weights of these names begin in the flat vector, and how many there are, layer by layer.

        Args:
            mean: the name of the weights that are means.
            variance: the name of those that are variances."""
        found = []
        for step in self.stack():
            if step.again or step.frozen and mean == "moving_mean":        # those of a frozen layer stay as they are
                continue
            places = {w.name: (start, w.size) for w, start in zip(step.weights, step.offsets)}
            if mean in places:
                found.append((places[mean][0], *places[variance]))
        return found

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
        self.publish()

    # -- files

    def to_safetensors(self) -> bytes:
        """The weights as the bytes of a safetensors file, by LAYER/WEIGHT, with the spec."""
        self.build()
        found = {name: weight.view(view) for name, weight, view in tensors.named(self, self.weights)}
        return packed(found, {"spec": self.to_json()})    # one key: their order is not fixed

    def save(self, path: str) -> None:
        """Writes a file of Keras, or a folder as a finished run has it.

        A name that ends with .keras or .h5: one file that Keras 3 loads, with the layers, weights,
        what `compile` was given, and the optimizer's state; needs h5py (pip install 'mrdl[keras]').
        Any other name: a folder with model.json and model.safetensors; where the model was trained optimizer.safetensors, the
        updater's state, with which training goes on; where it was trained on a dataset
        features.json, what that dataset's features are. saved.json has the hashes of the model's
        files.

        Args:
            path: the file or folder, a path or an hdfs:// URL; a model that is there is replaced.

        Raises:
            ConfigError: h5py is missing."""
        from mrdl.models.formats import keras_file  # imported here, because workers do not need it
        from mrdl.runs.run import Run
        path = os.fspath(path)
        if keras_file.is_keras(path):
            keras_file.save(self, path)
            return
        run = Run(path)
        run.store.remove(tensors.UPDATER)       # that of the weights that were there
        run.save(tensors.files(self), self.features)

    def save_weights(self, path: str) -> None:
        """Writes the weights, and the optimizer's state if the model is compiled, as Keras 3 does.

        Args:
            path: a path or an hdfs:// URL that ends with .weights.h5.

        Raises:
            ConfigError: the name ends otherwise, or h5py is missing."""
        from mrdl.models.formats import keras_file  # imported here, because workers do not need it
        keras_file.save_weights(self, os.fspath(path))

    def load_weights(self, data: "bytes | str | os.PathLike", source: str = "model.safetensors") -> "Weighted":
        """Sets the weights from a file; nothing in it is executed.

        Args:
            data: the path or hdfs:// URL of a file that Keras 2 or 3 wrote (.weights.h5, .h5,
                .keras; the optimizer's state in it is taken too if the model is compiled), or the
                bytes of a safetensors file, as `to_safetensors` gives them.
            source: what the bytes are called in errors.

        Returns:
            The model.

        Raises:
            ConfigError: the file is damaged, or of another model, or h5py is missing."""
        if isinstance(data, (str, os.PathLike)):
            from mrdl.models.formats import keras_file
            keras_file.load_weights(self, os.fspath(data))
        else:
            tensors.load_weights(self, data, source)
        return self
