"""Keras's helpers for arrays, under their names in keras.utils."""
import math
import random
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mrdl.config import ConfigError, need, shown

__all__ = ["normalize", "pad_sequences", "plot_model", "set_random_seed", "timeseries_dataset_from_array", "to_categorical"]


def to_categorical(x, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows of class numbers, as float64.

    Args:
        x: class numbers from 0, an array or list of any shape; a last axis of size 1 is dropped.
        num_classes: how many classes there are. None: one more than the largest number.

    Returns:
        An array [*shape, num_classes] of 0 and 1.

    Raises:
        ConfigError: a number is below 0 or not below num_classes."""
    x = np.asarray(x).astype("int64")
    shape = x.shape[:-1] if x.ndim > 1 and x.shape[-1] == 1 else x.shape
    x = x.reshape(shape)
    need(x.size > 0 or bool(num_classes), "to_categorical: there is nothing to count the classes of: give num_classes")
    count = num_classes or int(x.max()) + 1
    need(x.size == 0 or 0 <= x.min() and x.max() < count,
         f"to_categorical: class numbers must be from 0 to {count - 1}, not " + (f"{x.min()} to {x.max()}" if x.size else ""))
    return np.eye(count)[x]


def pad_sequences(sequences: Sequence, maxlen: int | None = None, dtype: str = "int32", padding: str = "pre", truncating: str = "pre",
                  value: Any = 0.0) -> np.ndarray:
    """Sequences of several lengths as one array.

    Args:
        sequences: a list of lists or arrays, each [steps, ...].
        maxlen: steps of the array, to which longer sequences are cut. None: those of the longest.
        dtype: of the array.
        padding: whether `value` comes before ("pre") or behind ("post") a shorter sequence.
        truncating: whether a longer one loses its first ("pre") or last ("post") steps.
        value: what fills the array.

    Returns:
        An array [sequences, maxlen, ...].

    Raises:
        ConfigError: an argument is none of these, or the steps of two sequences differ in shape."""
    for name, given in (("padding", padding), ("truncating", truncating)):
        need(given in ("pre", "post"), f"pad_sequences: {name}={shown(given)} must be 'pre' or 'post'")
    odd = next((i for i, one in enumerate(sequences) if not hasattr(one, "__len__")), None)
    need(odd is None, f"pad_sequences: number {odd} is no sequence")
    maxlen = max(map(len, sequences), default=0) if maxlen is None else maxlen
    shape = next((np.asarray(one).shape[1:] for one in sequences if len(one)), ())
    made = np.full((len(sequences), maxlen, *shape), value, dtype=dtype)
    for i, one in enumerate(sequences):
        part = np.asarray(one[max(0, len(one) - maxlen):] if truncating == "pre" else one[:maxlen], dtype=dtype)
        if len(part):
            need(part.shape[1:] == shape, f"pad_sequences: the steps of number {i} have the shape {part.shape[1:]}, not {shape}")
            made[i, maxlen - len(part) if padding == "pre" else 0:][:len(part)] = part
    return made


def normalize(x, axis: int = -1, order: int = 2) -> np.ndarray:
    """Divides by the norm along an axis; where that is 0, by 1.

    Args:
        x: an array.
        axis: along which the norm is taken.
        order: of the norm: 2 the Euclidean one, 1 the sum of absolute values."""
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    return np.asarray(x) / np.expand_dims(np.where(norm == 0, 1, norm), axis)


class Windows:
    """Minibatches of windows over a series, as `fit`, `evaluate` and `predict` take them."""

    def __init__(self, data: np.ndarray, targets: np.ndarray | None, starts: np.ndarray, steps: np.ndarray, batch_size: int):
        self.data, self.targets, self.starts, self.steps, self.batch_size = data, targets, starts, steps, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.starts) / self.batch_size)

    def __getitem__(self, number: int):
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} minibatches")
        starts = self.starts[number * self.batch_size:][:self.batch_size]
        x = self.data[starts[:, None] + self.steps]
        return x if self.targets is None else (x, self.targets[starts])

    def __iter__(self) -> Iterator:
        return (self[number] for number in range(len(self)))


def timeseries_dataset_from_array(data, targets, sequence_length: int, sequence_stride: int = 1, sampling_rate: int = 1,
                                  batch_size: int | None = 128, shuffle: bool = False, seed: int | None = None,
                                  start_index: int | None = None, end_index: int | None = None, format: str = "tf") -> Windows:
    """Windows over a series, in minibatches, for `fit`, `evaluate` and `predict`.

    Args:
        data: [steps, ...].
        targets: targets[i] is that of the window that begins at step i. None: there are none.
        sequence_length: steps of a window.
        sequence_stride: steps from the begin of a window to that of the next.
        sampling_rate: each so many steps one is taken.
        batch_size: windows of a minibatch; the last one may be smaller.
        shuffle: whether windows are permuted, once.
        seed: of their order. None: 0.
        start_index: the first step that is used. None: the first there is.
        end_index: the first step that is not. None: all are used.
        format: as in Keras; it has no effect.

    Returns:
        An object that yields (x, targets), or x; it has a len and may be indexed.

    Raises:
        ConfigError: a number is out of its range."""
    data = np.asarray(data)
    start, stop = start_index or 0, len(data) if end_index is None else end_index
    need(0 <= start < stop <= len(data), f"timeseries_dataset_from_array: start_index={start} and end_index={stop} must be steps of {len(data)}, "
         "in this order")
    for name, value in (("sequence_length", sequence_length), ("sequence_stride", sequence_stride), ("sampling_rate", sampling_rate),
                        ("batch_size", batch_size)):
        need(isinstance(value, int) and value >= 1, f"timeseries_dataset_from_array: {name}={shown(value)} must be 1 or more")
    count = stop - start - (sequence_length - 1) * sampling_rate
    if targets is not None:
        targets = np.asarray(targets)[start:]
        count = min(count, len(targets))
    starts = np.arange(0, max(0, count), sequence_stride)
    if shuffle:
        np.random.RandomState(seed or 0).shuffle(starts)
    return Windows(data[start:stop], targets, starts, np.arange(sequence_length) * sampling_rate, batch_size)


def set_random_seed(seed: int) -> None:
    """Seeds Python's and NumPy's random numbers. Those of mrdl come from `seed` of `build`, `fit` and runs, 0 if nothing is said.

    Args:
        seed: a whole number from 0."""
    random.seed(seed)
    np.random.seed(seed)


def dot(model, show_shapes: bool = False, show_layer_names: bool = False, rankdir: str = "TB") -> str:
    """The graph of a model's layers in the language of Graphviz.

    Args:
        model: a Model or Sequential whose input shape is known.
        show_shapes: whether each layer has its output's shape.
        show_layer_names: whether each has its name.
        rankdir: "TB": from top to bottom; "LR": from left to right."""
    names, lines, of = model.input_names(), [f"rankdir={rankdir};", "node [shape=box];"], {}

    def node(number: int, kind: str, name: str, shape: tuple) -> None:
        text = "\\n".join([f"{name} ({kind})" if show_layer_names else kind, *[f"{(None, *shape)}"] * show_shapes])
        lines.append(f'{number} [label="{text}"];')
    for number, (name, shape) in enumerate(zip(names, model.input_shapes())):
        node(number, "Input", name, shape)
        of[number] = number
    for number, step in enumerate(model.stack(), len(names)):
        node(number, type(step.layer).__name__, step.name, step.output)
        of |= {number: number} | {part: number for part, _ in step.parts}
        lines += [f"{of[source]} -> {number};" for source in step.inputs]
    return "\n  ".join(["digraph model {", *lines]) + "\n}\n"


def plot_model(model, to_file: str = "model.png", show_shapes: bool = False, show_dtype: bool = False, show_layer_names: bool = False,
               rankdir: str = "TB", expand_nested: bool = False, dpi: int = 200, show_layer_activations: bool = False,
               show_trainable: bool = False, splines: str = "ortho", **kwargs) -> None:
    """Draws a model's layers into a file.

    Args:
        model: a Model or Sequential whose input shape is known.
        to_file: the file; its ending is the format. A picture (.png, .svg, .pdf) needs Graphviz and
            pydot; .dot, the text that Graphviz draws, needs nothing.
        show_shapes: whether each layer has its output's shape.
        show_dtype: as in Keras; it has no effect.
        show_layer_names: whether each layer has its name.
        rankdir: "TB": from top to bottom; "LR": from left to right.
        expand_nested: as in Keras; it has no effect.
        dpi: dots of an inch, of a .png.
        show_layer_activations: as in Keras; it has no effect.
        show_trainable: as in Keras; it has no effect.
        splines: as in Keras; it has no effect.
        **kwargs: further arguments of Keras's; they have no effect.

    Raises:
        ConfigError: pydot or Graphviz is missing, or the format unknown."""
    text, kind = dot(model, show_shapes, show_layer_names, rankdir), str(to_file).rpartition(".")[2]
    if kind == "dot":
        with open(to_file, "w", encoding="utf-8") as file:
            file.write(text)
        return
    try:
        import pydot
    except ImportError:
        raise ConfigError('plot_model needs pydot and Graphviz: pip install pydot; or write plot_model(model, "model.dot")') from None
    need(shutil.which("dot") is not None, 'plot_model needs Graphviz, whose program dot is missing; or write plot_model(model, "model.dot")')
    graph, = pydot.graph_from_dot_data(text)
    graph.set_dpi(str(dpi))
    graph.write(str(to_file), format=kind)
