"""Sequences in windows of steps: truncated back-propagation through time, and minibatches as long as their longest."""
import json
import math

import numpy as np

from mrdl import metrics, seeds
from mrdl.config import need
from mrdl.layers import (
    BatchNormalization,
    Bidirectional,
    CategoryEncoding,
    Embedding,
    GlobalAveragePooling1D,
    Input,
    Masking,
)
from mrdl.layers.recurrent import Recurrent
from mrdl.layers.recurring import RecurrentOperation
from mrdl.model import Model
from mrdl.network import Network
from mrdl.saving import model_from_json
from mrdl.trainer import Arrays, Learner


def windowed(model: Model, steps: int) -> Model:
    """The model for sequences of so many steps; its weights have the same places."""
    form = json.loads(model.to_json())
    for entry in form["config"]["layers"]:
        if entry["class_name"] == "InputLayer":
            shape = entry["config"]["batch_shape"]
            shape[1] = steps
            if shape[1:] == [1] and any(isinstance(layer, CategoryEncoding) for layer in model.layers):
                shape.append(1)         # else it would be one id, not a sequence of one
    return model_from_json(json.dumps(form))


def check(model: Model, tbptt: int | None, tbptt_backward: int | None, buckets: tuple | list | None) -> None:
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
    T, what = shapes[0][0], "tbptt" if tbptt else "buckets"
    layers, sequences = [], {0}
    for number, step in enumerate(model.stack(), 1):
        if sequences & set(step.inputs):
            need(heeds(step.layer) and (len(step.shapes[0]) > 1 or isinstance(step.layer, (Embedding, CategoryEncoding))),
                 f"{what}: {step.name} mixes steps: a window of them would not be part of the whole")
            layers.append(step.layer)
            if step.output[:1] == (T,) and len(step.output) > 1:
                sequences.add(number)
    need(windowed(model, 1).count_params() == model.count_params(), f"{what}: a layer has weights for each step")
    if tbptt:
        need(outputs[0][:1] == (T,) and len(outputs[0]) > 1, "tbptt needs an output for each step: give the recurrent "
             "layers return_sequences=True")
        back = next((layer for layer in layers if isinstance(layer, Bidirectional) or getattr(layer, "go_backwards", False)),
                    None)
        need(back is None, f"tbptt: {type(back).__name__} reads backwards, from steps of later windows")
    if buckets:
        need(list(buckets) == sorted(set(buckets)) and min(buckets) >= 1, f"buckets={list(buckets)} must be numbers of "
             "steps that rise from 1 or more")
        need(masking(model) is not None, "buckets need a mask: begin with Masking or Embedding(mask_zero=True)")


def heeds(layer) -> bool:
    """Does it take each step by itself, or step after step, and leave out those that do not count?"""
    return layer.supports_masking or isinstance(layer, (
        Recurrent, Bidirectional, GlobalAveragePooling1D, BatchNormalization))


def masking(model: Model) -> Masking | Embedding | None:
    """The first layer, where it says which steps count."""
    first = next((layer for layer in model.layers if not isinstance(layer, Input)), None)
    return first if isinstance(first, Masking) or (isinstance(first, Embedding) and first.mask_zero) else None


def lengths(model: Model, x: np.ndarray) -> np.ndarray:
    """Steps of each of x[n, T, ...] up to the last that counts, at least 1."""
    layer = masking(model)
    counts = x != 0 if isinstance(layer, Embedding) else (x != x.dtype.type(layer.mask_value)).reshape(*x.shape[:2], -1).any(2)
    return np.maximum(1, (counts * np.arange(1, x.shape[1] + 1)).max(1))


class SequenceLearner:
    """A Learner's work on sequences, window by window.

    tbptt (Williams & Peng 1990): each window of so many steps is an update of its own, which begins with the states
    that the window before ended with; gradients go back to the window's first step, or with tbptt_backward through
    its last steps alone, as in DL4J. Every window counts as an update.
    buckets: a minibatch is cut to the least of these lengths that holds its longest sequence."""

    def __init__(self, model: Model, weights: np.ndarray, slots: np.ndarray, *, tbptt: int | None = None,
                 tbptt_backward: int | None = None, buckets: tuple | list | None = None, iterations: int = 0, **options):
        self.model, self.given = model, (weights, slots)
        self.tbptt, self.backward, self.buckets = tbptt, tbptt_backward, buckets
        self.options, self.iterations = options, iterations
        self.sums: metrics.Sums = {}
        self.updates = self.terms = 0
        self.learners: dict[int, Learner] = {}          # by steps

    def of(self, steps: int) -> Learner:
        if steps not in self.learners:
            learner = self.learners[steps] = Learner(windowed(self.model, steps), *self.given, **self.options)
            for operation in recurrent(learner.net):
                operation.back = self.backward
        return self.learners[steps]

    @property
    def length_of(self):
        return (lambda x: lengths(self.model, x)) if self.buckets else None

    def reset(self) -> None:
        """Nothing goes on from minibatch to minibatch: `check` says so."""

    def step(self, arrays: Arrays, index: np.ndarray, key: int, number: int) -> None:
        cut = {name: array[index] for name, array in arrays.items()}
        steps = cut["x"].shape[1]
        if self.buckets:
            longest = int(lengths(self.model, cut["x"]).max())
            steps = min([steps, *(b for b in self.buckets if b >= longest)])
        window, before = self.tbptt or steps, None
        whole = len(self.model.output_shape) == 1           # a label of the sequence
        for i in range(math.ceil(steps / window)):
            part = slice(i * window, min((i + 1) * window, steps))
            learner = self.of(part.stop - part.start)
            for operation in recurrent(learner.net):
                operation.carry = False
            if before:
                for operation, earlier in zip(recurrent(learner.net), recurrent(before.net)):
                    operation.go_on(earlier)
            learner.iterations, learner.sums, updates, terms = self.iterations, self.sums, learner.updates, learner.terms
            window_of = {name: np.ascontiguousarray(cut[name][:, part]) for name in ("x",) + ("y",) * (not whole)}
            learner.step(cut | window_of, np.arange(len(index)),
                         seeds.key(key, "window", i) if self.tbptt else key, number)
            self.iterations = learner.iterations
            self.updates += learner.updates - updates
            self.terms += learner.terms - terms
            before = learner


def recurrent(net: Network) -> list[RecurrentOperation]:
    """Its operations that have states."""
    return [operation for operation in net.operations if isinstance(operation, RecurrentOperation)]


def learner_for(model: Model, weights: np.ndarray, slots: np.ndarray, *, tbptt=None, tbptt_backward=None, buckets=None,
                **options) -> Learner | SequenceLearner:
    """What trains the model under these options, which `check` has passed."""
    if tbptt is None and not buckets:
        return Learner(model, weights, slots, **options)
    return SequenceLearner(model, weights, slots, tbptt=tbptt, tbptt_backward=tbptt_backward, buckets=buckets, **options)
