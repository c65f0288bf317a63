"""Sequences in windows of steps: truncated back-propagation through time, and minibatches as long as their longest."""
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
    """The options as numbers and a list of numbers; ConfigError for anything else."""
    return {"tbptt": typed(tbptt, int | None, "tbptt"), "tbptt_backward": typed(tbptt_backward, int | None, "tbptt_backward"),
            "buckets": None if buckets is None else list(typed(buckets, tuple[int, ...], "buckets"))}


def takers(model: LayeredModel) -> tuple[dict[int, Step], set[int]]:
    """The calls that take the steps of the input, by what they give, and all tensors that have these steps."""
    T, found, sequences = model.input_shapes()[0][0], {}, {0}
    for number, step in enumerate(model.stack(), 1):
        if sequences & set(step.inputs):
            found[number] = step
            if step.output[:1] == (T,) and len(step.output) > 1:
                sequences.add(number)
    return found, sequences


def check(model: LayeredModel, tbptt: int | None, tbptt_backward: int | None, buckets: list[int] | None) -> None:
    """ConfigError where the options do not fit each other or the model, whose input shape is known."""
    if tbptt is None and not buckets:
        need(tbptt_backward is None, "tbptt_backward is given without tbptt, the steps of a window")
        return
    need(not model.stateful, "stateful layers carry states from minibatch to minibatch, tbptt and buckets inside of a "
         "sequence: choose one")
    need(tbptt is None or tbptt >= 1, f"tbptt={tbptt} must be 1 or more steps")
    need(tbptt_backward is None or (tbptt is not None and 1 <= tbptt_backward <= tbptt),
         f"tbptt_backward={tbptt_backward} must be from 1 to tbptt={tbptt}")
    need(not any(getattr(layer, "return_state", False) for layer in model.layers),
         "tbptt and buckets are not for models that hand states on (return_state)")
    shapes, outputs = model.input_shapes(), model.output_shapes()
    need(len(shapes) == len(outputs) == 1 and shapes[0] != (), "tbptt and buckets are for models of one input and output")
    what, (found, sequences) = "tbptt" if tbptt else "buckets", takers(model)
    for number, step in found.items():
        layer = step.layer
        need(heeds(layer, step.shapes[0]), f"{what}: {step.name} mixes steps: a window of them would not be part of the whole")
        if tbptt:
            need(number in sequences, f"tbptt needs an output for each step, and {step.name} gives one of them all: give "
                 "recurrent layers return_sequences=True")
            need(not (isinstance(layer, Bidirectional) or getattr(layer, "go_backwards", False)),
                 f"tbptt: {type(layer).__name__} reads backwards, from steps of later windows")
    need(model.windowed(1).count_params() == model.count_params(), f"{what}: a layer has weights for each step")
    if buckets:
        need(buckets == sorted(set(buckets)) and buckets[0] >= 1, f"buckets={buckets} must be numbers of steps that rise "
             "from 1 or more")
        need(masking(model) is not None, "buckets need a mask: begin with Masking or Embedding(mask_zero=True)")


def heeds(layer, shape: tuple) -> bool:
    """Does it take each step of that shape by itself, or step after step, and leave out those that do not count?"""
    if isinstance(layer, (LayerNormalization, Normalization)):
        return len(last_axes(layer, shape)) < len(shape)
    if isinstance(layer, Concatenate) and layer.places(shape) == 0:
        return False
    return (layer.supports_masking or isinstance(layer, (Recurrent, Bidirectional, GlobalAveragePooling1D, BatchNormalization))
            ) and (len(shape) > 1 or isinstance(layer, (Embedding, CategoryEncoding)))


def masking(model: LayeredModel) -> Masking | Embedding | None:
    """The first layer, where it says which steps count."""
    first = next((layer for layer in model.layers if not isinstance(layer, Input)), None)
    return first if isinstance(first, Masking) or (isinstance(first, Embedding) and first.mask_zero) else None


def counting(model: LayeredModel, x: np.ndarray) -> np.ndarray:
    """Which steps of x[n, T, ...] count, as the first layer says: [n, T]."""
    value = model.dtype.type(getattr(masking(model), "mask_value", 0))
    return (x.astype(model.dtype, copy=False) != value).reshape(*x.shape[:2], -1).any(2)


def lengths(counts: np.ndarray) -> np.ndarray:
    """Steps of each row of counts[n, T] up to the last that counts, at least 1."""
    return np.maximum(1, (counts * np.arange(1, counts.shape[1] + 1)).max(1))


class SequenceLearner:
    """A Learner's work on sequences, window by window.

    tbptt (Williams & Peng 1990): each window of so many steps is an update of its own, which begins with the states
    that the window before ended with; gradients go back to the window's first step, or with tbptt_backward through
    its last steps alone, as in DL4J. Every window counts as an update; one in which no step counts is left out.
    buckets: a minibatch is cut to the least of these lengths that holds its longest sequence."""

    def __init__(self, model: LayeredModel, weights: np.ndarray, slots: np.ndarray, *, tbptt: int | None = None,
                 tbptt_backward: int | None = None, buckets: tuple | list | None = None, iterations: int = 0, **options):
        self.model, self.given = model, (weights, slots)
        self.tbptt, self.backward, self.buckets = tbptt, tbptt_backward, buckets
        self.each = model.output_tensors()[0] in takers(model)[1]       # are the targets those of steps?
        self.flat = not model.heads()[0].loss.sparse    # may be what the targets are
        self.masked = masking(model) is not None
        self.options, self.iterations = options, iterations
        self.sums: metrics.Sums = {}
        self.updates = self.terms = 0
        self.learners: dict[int, Learner] = {}          # by steps

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
        """Nothing goes on from minibatch to minibatch: `check` says so."""

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
    """Its operations that have states."""
    return [operation for operation in net.operations if isinstance(operation, RecurrentOperation)]


def learner_for(model: LayeredModel, weights: np.ndarray, slots: np.ndarray, *, tbptt=None, tbptt_backward=None, buckets=None,
                **options) -> Learner | SequenceLearner:
    """What trains the model under these options, which `check` has passed."""
    if tbptt is None and not buckets:
        return Learner(model, weights, slots, **options)
    return SequenceLearner(model, weights, slots, tbptt=tbptt, tbptt_backward=tbptt_backward, buckets=buckets, **options)
