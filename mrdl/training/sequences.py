"""Training on sequences: windows for truncated back-propagation through time, and buckets that cut minibatches to length."""
import math

import numpy as np

from mrdl import metrics, seeds
from mrdl.config import need, typed
from mrdl.data.windows import Arrays
from mrdl.layers import (
    BatchNormalization,
    Bidirectional,
    CategoryEncoding,
    Concatenate,
    Embedding,
    GlobalAveragePooling1D,
    Input,
    LayerNormalization,
    Masking,
    Normalization,
)
from mrdl.layers.normalization import last_axes
from mrdl.layers.recurrent import Recurrent
from mrdl.layers.recurrent_operations import RecurrentOperation
from mrdl.training.learner import Learner
from mrdl.training.network import Network
from mrdl.training.protocol import LayeredModel, Step


def plain(tbptt: int | None, tbptt_backward: int | None, buckets: tuple | list | None) -> dict:
    """The options as plain numbers and a list of numbers; ConfigError for anything else."""
    return {"tbptt": typed(tbptt, int | None, "tbptt"), "tbptt_backward": typed(tbptt_backward, int | None, "tbptt_backward"),
            "buckets": None if buckets is None else list(typed(buckets, tuple[int, ...], "buckets"))}


def takers(model: LayeredModel) -> tuple[dict[int, Step], set[int]]:
    """The calls of layers whose input has the steps of the model's input (by the number of the tensor that they compute),
    and the numbers of all tensors that have these steps."""
    T, found, sequences = model.input_shapes()[0][0], {}, {0}
    for number, step in enumerate(model.stack(), 1):
        if sequences & set(step.inputs):
            found[number] = step
            if step.output[:1] == (T,) and len(step.output) > 1:
                sequences.add(number)
    return found, sequences


def check(model: LayeredModel, tbptt: int | None, tbptt_backward: int | None, buckets: list[int] | None) -> None:
    """Raises ConfigError if the options do not fit each other, or the model, whose input shape must be known."""
    if tbptt is None and not buckets:
        need(tbptt_backward is None, "tbptt_backward is given without tbptt, the steps of a window")
        return
    need(not model.stateful, "tbptt and buckets cannot be used with stateful layers: "
         "these carry states from minibatch to minibatch, "
         "those work inside a sequence")
    need(tbptt is None or tbptt >= 1, f"tbptt={tbptt} must be 1 or more steps")
    need(tbptt_backward is None or (tbptt is not None and 1 <= tbptt_backward <= tbptt),
         f"tbptt_backward={tbptt_backward} must be from 1 to tbptt={tbptt}")
    need(not any(getattr(step.layer, "return_state", False) for step in model.stack()),
         "tbptt and buckets cannot be used with return_state=True")
    shapes, outputs = model.input_shapes(), model.output_shapes()
    need(len(shapes) == len(outputs) == 1 and shapes[0] != (), "tbptt and buckets need a model with one input and one output")
    what, (found, sequences) = "tbptt" if tbptt else "buckets", takers(model)
    for number, step in found.items():
        layer = step.layer
        need(heeds(layer, step.shapes[0]), f"{what} cannot be used with {step.name}, which mixes steps: "
             "a window gives other results than the whole")
        if tbptt:
            need(number in sequences, f"tbptt needs an output for each step, but {step.name} gives one for all steps: give "
                 "recurrent layers return_sequences=True")
            need(not (isinstance(layer, Bidirectional) or getattr(layer, "go_backwards", False)),
                 f"tbptt cannot be used with {type(layer).__name__}, which reads backwards, from steps of later windows")
    need(model.windowed(1).count_params() == model.count_params(), f"{what} cannot be used with this model: "
         "a layer has weights for each step")
    if buckets:
        need(buckets == sorted(set(buckets)) and buckets[0] >= 1, f"buckets={buckets} must be numbers of steps in ascending "
             "order, each at least 1")
        need(masking(model) is not None, "buckets need a mask: the model must begin with Masking or Embedding(mask_zero=True)")


def heeds(layer, shape: tuple) -> bool:
    """Does the layer handle each step alone, or one step after another, and leave masked steps out? (For an input of
    this shape.)"""
    if isinstance(layer, (LayerNormalization, Normalization)):
        return len(last_axes(layer, shape)) < len(shape)
    if isinstance(layer, Concatenate) and layer.places(shape) == 0:
        return False
    return (layer.supports_masking or isinstance(layer, (Recurrent, Bidirectional, GlobalAveragePooling1D, BatchNormalization))
            ) and (len(shape) > 1 or isinstance(layer, (Embedding, CategoryEncoding)))


def masking(model: LayeredModel) -> Masking | Embedding | None:
    """The first layer, if it makes a mask."""
    first = next((layer for layer in model.layers if not isinstance(layer, Input)), None)
    return first if isinstance(first, Masking) or (isinstance(first, Embedding) and first.mask_zero) else None


def counting(model: LayeredModel, x: np.ndarray) -> np.ndarray:
    """Which steps of x[n, T, ...] the first layer leaves unmasked: [n, T]."""
    value = model.dtype.type(getattr(masking(model), "mask_value", 0))
    return (x.astype(model.dtype, copy=False) != value).reshape(*x.shape[:2], -1).any(2)


def lengths(counts: np.ndarray) -> np.ndarray:
    """The length of each row of counts[n, T], up to its last unmasked step; at least 1."""
    return np.maximum(1, (counts * np.arange(1, counts.shape[1] + 1)).max(1))


class SequenceLearner:
    """A Learner for sequences, which it trains on window by window.

    tbptt (Williams & Peng 1990): each window of this many steps is one update, which begins with the states at the end
    of the window before it. Gradients flow back to the window's first step; with tbptt_backward only through its last
    steps, as in DL4J. A window whose steps are all masked is left out.
    buckets: each minibatch is cut to the smallest of these lengths that holds its longest sequence."""

    def __init__(self, model: LayeredModel, weights: np.ndarray, slots: np.ndarray, *, tbptt: int | None = None,
                 tbptt_backward: int | None = None, buckets: tuple | list | None = None, iterations: int = 0, **options):
        self.model, self.given = model, (weights, slots)
        self.tbptt, self.backward, self.buckets = tbptt, tbptt_backward, buckets
        self.each = model.output_tensors()[0] in takers(model)[1]       # does each step have a target?
        self.flat = not model.heads()[0].loss.sparse    # targets may be stored as one row of all steps
        self.masked = masking(model) is not None
        self.options, self.iterations = options, iterations
        self.sums: metrics.Sums = {}
        self.updates = self.terms = 0
        self.learners: dict[int, Learner] = {}          # number of steps -> learner

    def of(self, steps: int) -> Learner:
        if steps not in self.learners:
            learner = self.learners[steps] = Learner(self.model.windowed(steps), *self.given, **self.options)
            for operation in recurrent(learner.net):
                operation.back = self.backward
        return self.learners[steps]

    @property
    def length_of(self):
        return (lambda x: lengths(counting(self.model, x))) if self.buckets else None

    def reset(self) -> None:
        """Does nothing: no states are carried between minibatches, as `check` refuses stateful layers."""

    def step(self, arrays: Arrays, index: np.ndarray, key: int, number: int) -> None:
        cut = {name: array[index] for name, array in arrays.items()}
        if self.flat:
            cut["y"] = cut["y"].reshape(len(index), *self.model.output_shape)
        steps = cut["x"].shape[1]
        counts = counting(self.model, cut["x"]) if self.masked else None
        if self.buckets:
            longest = int(lengths(counts).max())
            steps = min([steps, *(b for b in self.buckets if b >= longest)])
        window, before = self.tbptt or steps, None
        for i in range(math.ceil(steps / window)):
            part = slice(i * window, min((i + 1) * window, steps))
            if self.tbptt and counts is not None and not counts[:, part].any():
                continue
            learner = self.of(part.stop - part.start)
            for operation in recurrent(learner.net):
                operation.carry = False
            if before:
                for operation, earlier in zip(recurrent(learner.net), recurrent(before.net)):
                    operation.go_on(earlier)
            learner.iterations, learner.sums, updates, terms = self.iterations, self.sums, learner.updates, learner.terms
            window_of = {name: np.ascontiguousarray(cut[name][:, part]) for name in ("x",) + ("y",) * self.each}
            learner.step(cut | window_of, np.arange(len(index)),
                         seeds.key(key, "window", i) if self.tbptt else key, number)
            self.iterations = learner.iterations
            self.updates += learner.updates - updates
            self.terms += learner.terms - terms
            before = learner


def recurrent(net: Network) -> list[RecurrentOperation]:
    """The network's operations that have recurrent states."""
    return [operation for operation in net.operations if isinstance(operation, RecurrentOperation)]


def learner_for(model: LayeredModel, weights: np.ndarray, slots: np.ndarray, *, tbptt=None, tbptt_backward=None, buckets=None,
                **options) -> Learner | SequenceLearner:
    """The learner for the model and these options, which must have passed `check`."""
    if tbptt is None and not buckets:
        return Learner(model, weights, slots, **options)
    return SequenceLearner(model, weights, slots, tbptt=tbptt, tbptt_backward=tbptt_backward, buckets=buckets, **options)
