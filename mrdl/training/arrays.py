"""Keras's fit, evaluate and predict: a model on arrays, in this process."""
from typing import Any

import numpy as np

from mrdl import limits, metrics, seeds
from mrdl.callbacks import CallbackList, History
from mrdl.config import need
from mrdl.data.windows import Arrays
from mrdl.training import moments, sequences
from mrdl.training.class_weights import check_class_weight
from mrdl.training.epochs import Epochs
from mrdl.training.inputs import checked, fitting, joined
from mrdl.training.minibatches import minibatches
from mrdl.training.network import Network, at_once
from mrdl.training.protocol import LayeredModel
from mrdl.training.scoring import Scorer

AT_ONCE = 256                   # examples that are scored at once, where nothing else is asked for


def fit(model: LayeredModel, x, y, *, batch_size: int, epochs: int, sample_weight, class_weight: dict | None,
        validation_data: tuple | None, seed: int, initial_epoch: int, verbose: int | str, tbptt: int | None,
        tbptt_backward: int | None, buckets: tuple | None, callbacks: Any = None) -> History:
    """Implements `Model.fit`; the arguments are documented there."""
    need(batch_size >= 1 and epochs >= 1, "batch_size and epochs must be 1 or more")
    need(initial_epoch >= 0, "initial_epoch must be 0 or more")
    model.compiled()
    options = sequences.plain(tbptt, tbptt_backward, buckets)
    if model.input_shape is None:
        model.build(np.shape(x)[1:], seed)
    model.build(seed=seed)
    arrays = checked(model, x, y, sample_weight)
    check_class_weight(class_weight, model, arrays["y"].max(initial=0))
    if validation_data is not None:
        need(isinstance(validation_data, (tuple, list)) and len(validation_data) in (2, 3),
             "validation_data must be (x, y) or (x, y, sample_weight)")
        held = checked(model, *validation_data)
    sequences.check(model, **options)
    moments.adapt(model, arrays["x"])
    if model.slots is None:
        model.slots = model.optimizer.start(model.weights)
    n = len(arrays["x"])
    limits.check(model if tbptt is None else model.windowed(tbptt), min(batch_size, n), training=True)
    steps = -(-n // batch_size)
    calls = CallbackList(callbacks, add_history=True, model=model, verbose=verbose, epochs=epochs, steps=steps)
    model.history, model.stop_training = calls.history, False
    calls.on_train_begin()
    initial_epoch = calls.params.pop("initial_epoch", initial_epoch)        # BackupAndRestore sets it
    weights, logs = model.weights, {}
    learner = sequences.learner_for(
        model, model.weights, model.slots, batch_size=min(batch_size, n), iterations=model.iterations,
        rate_scale=model.rate_scale, class_weight=class_weight, **options)
    printed = Epochs(verbose, epochs, steps)

    def seen() -> dict[str, metrics.Value]:
        return metrics.values({k: v for k, v in learner.sums.items() if k != "gradient_norm"}, model.named_metrics())
    for epoch in range(initial_epoch, epochs):
        learner.sums = {}
        learner.reset()
        printed.begin(epoch)
        calls.on_epoch_begin(epoch)
        own = max(epoch, model.epochs)          # the key of random numbers: it counts on from `fit` to `fit`
        key = seeds.key(seed, "dropout", own, 0)
        for number, rows, index in minibatches([(n, arrays)], batch_size, None if model.stateful else seed, own, 0,
                                               of_length=learner.length_of):
            if calls.batches["train"]:
                calls.on_train_batch_begin(number)
            learner.step(rows, index, key, number)
            model.iterations = learner.iterations       # set here, so that after Ctrl-C it still fits the weights
            if calls.batches["train"]:
                calls.on_train_batch_end(number, seen())
            printed.step(number + 1, seen)
            if model.stop_training:
                break
        model.epochs = own + 1
        logs = seen()
        if validation_data is not None:
            logs |= {"val_" + name: value for name, value in scored(model, held, calls=calls).items()}
        calls.on_epoch_end(epoch, logs)
        if model.weights is not weights:                # a callback loaded others: the learner trains these
            weights[:], model.weights = model.weights, weights
        printed.end(logs)
        if model.stop_training:
            break
    calls.on_train_end(logs)
    return calls.history


def adapt(model: LayeredModel, x) -> None:
    """Sets the mean and variance of each Normalization layer to those of its input, for x."""
    x = joined(x, model.input_names(), "x", model.dtype)
    fitting(model, x)
    need(moments.places_of(model) != [], "the model has no Normalization layer to adapt")
    moments.adapt(model, x, again=True)


def evaluate(model: LayeredModel, x, y, sample_weight=None, batch_size: int = AT_ONCE, callbacks: Any = None) -> dict[str, metrics.Value]:
    need(batch_size >= 1, "batch_size must be 1 or more")
    arrays = checked(model, x, y, sample_weight)
    return scored(model, arrays, batch_size, CallbackList(callbacks, model=model, verbose=0, steps=-(-len(arrays["x"]) // batch_size)))


def scored(model: LayeredModel, arrays: Arrays, batch_size: int = AT_ONCE, calls: CallbackList | None = None) -> dict[str, metrics.Value]:
    """The loss and metrics on arrays that have passed `checked`."""
    limits.check(model, at_once(model, min(batch_size, len(arrays["x"]))))
    scorer = Scorer(model, model.weights, min(batch_size, len(arrays["x"])))
    calls = calls or CallbackList()

    def seen() -> dict[str, metrics.Value]:
        return metrics.values(scorer.sums, model.named_metrics())
    calls.on_test_begin()
    if calls.batches["test"]:
        for number, start in enumerate(range(0, len(arrays["x"]), scorer.batch_size)):
            calls.on_test_batch_begin(number)
            scorer.add({name: values[start:start + scorer.batch_size] for name, values in arrays.items() if values is not None})
            calls.on_test_batch_end(number, seen())
    else:
        scorer.add(arrays)
    found = seen()
    calls.on_test_end(found)
    return found


def predict(model: LayeredModel, x, batch_size: int = AT_ONCE, callbacks: Any = None) -> np.ndarray:
    need(batch_size >= 1, "batch_size must be 1 or more")
    x = joined(x, model.input_names(), "x", model.dtype)
    fitting(model, x)
    batch_size = at_once(model, min(batch_size, max(1, len(x))))
    limits.check(model, batch_size)
    net = Network(model, batch_size, model.weights)
    found = [np.empty((len(x), *shape), model.dtype) for shape in model.output_shapes()]
    calls = CallbackList(callbacks, model=model, verbose=0, steps=-(-len(x) // batch_size))
    calls.on_predict_begin()
    for number, start in enumerate(range(0, len(x), batch_size)):
        calls.on_predict_batch_begin(number)
        index = np.arange(start, min(start + batch_size, len(x)))
        net.read(x, index)
        net.forward()
        for out, y in zip(found, net.outputs):
            out[index] = y[:, :len(index)].T.reshape(-1, *out.shape[1:])
        if calls.batches["predict"]:
            made = [out[index] for out in found]
            calls.on_predict_batch_end(number, {"outputs": made[0] if len(made) == 1 else made})
    calls.on_predict_end()
    return found[0] if len(found) == 1 else found
