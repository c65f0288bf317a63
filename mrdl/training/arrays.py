"""Keras's fit, evaluate and predict: a model on arrays, in this process."""
from itertools import islice
from typing import Any

import numpy as np

from mrdl import limits, metrics, seeds
from mrdl.callbacks import CallbackList, History
from mrdl.config import need, shown, typed
from mrdl.data.windows import Arrays
from mrdl.training import moments, sequences
from mrdl.training.class_weights import check_class_weight
from mrdl.training.epochs import Epochs
from mrdl.training.feeds import WANTED, ArrayFeed, Yielded, YieldedFeed, yields
from mrdl.training.inputs import checked, fitting, joined
from mrdl.training.learner import Learner
from mrdl.training.moving import finish
from mrdl.training.network import Network, at_once
from mrdl.training.protocol import LayeredModel
from mrdl.training.scoring import Scorer

BATCH = 32                      # examples of a minibatch, where nothing else is asked for: as in Keras
AT_ONCE = 256                   # examples that are scored at once, where nothing else is asked for


def fit(model: LayeredModel, x, y, *, batch_size: int | None, epochs: int, sample_weight, class_weight: dict | None,
        validation_data: Any, seed: int, initial_epoch: int, verbose: int | str, tbptt: int | None,
        tbptt_backward: int | None, buckets: tuple | None, callbacks: Any = None, validation_split: float = 0.0, shuffle: bool = True,
        steps_per_epoch: int | None = None, validation_steps: int | None = None, validation_batch_size: int | None = None,
        validation_freq: Any = 1) -> History:
    """Implements `Model.fit`; the arguments are documented there."""
    batch_size = BATCH if batch_size is None else batch_size
    need(batch_size >= 1 and epochs >= 1, "batch_size and epochs must be 1 or more")
    need(initial_epoch >= 0, "initial_epoch must be 0 or more")
    need(shuffle in (True, False), f"shuffle={shown(shuffle)} must be True or False")
    need(0 <= validation_split < 1, f"validation_split={shown(validation_split)} must be from 0 to 1")
    model.compiled()
    options = sequences.plain(tbptt, tbptt_backward, buckets)
    order = seed if shuffle and not model.stateful else None
    held: Any = None
    if yields(x):
        need(y is None and sample_weight is None, "y and sample_weight must be in the minibatches that x yields")
        need(validation_split == 0, "validation_split is for arrays: give validation_data")
        feed = YieldedFeed(model, x, order, steps_per_epoch, max(initial_epoch, model.epochs), seed)
        check_class_weight(class_weight, model)
    else:
        need(y is not None, "y is missing: model.fit(x, y)")
        x = joined(x, model.input_names(), "x", model.dtype)
        if model.input_shape is None:
            model.build(np.shape(x)[1:], seed)
        model.build(seed=seed)
        arrays = checked(model, x, y, sample_weight)
        if validation_split and validation_data is None:
            cut = int(len(x) * (1.0 - validation_split))
            need(0 < cut < len(x), f"validation_split={validation_split} leaves nothing of {len(x)} examples to train or to score")
            arrays, held = ({name: values[part] for name, values in arrays.items()} for part in (slice(cut), slice(cut, None)))
        check_class_weight(class_weight, model, arrays["y"].max(initial=0))
        feed = ArrayFeed(arrays, batch_size, order, steps_per_epoch)
    if validation_data is not None and not yields(validation_data):
        need(isinstance(validation_data, (tuple, list)) and len(validation_data) in (2, 3),
             "validation_data must be (x, y) or (x, y, sample_weight), or yield such minibatches")
        held = checked(model, *validation_data)
    if held is not None and validation_steps is not None:
        held = {name: values[:validation_steps * (validation_batch_size or batch_size)] for name, values in held.items()}
    sequences.check(model, **options)
    if isinstance(feed, ArrayFeed):
        moments.adapt(model, feed.arrays["x"])
    need(not moments.unadapted(model), "a Normalization has no mean and variance yet: call model.adapt(x) on an array of examples first")
    if model.slots is None:
        model.slots = model.optimizer.start(model.weights)
    limits.check(model if tbptt is None else model.windowed(tbptt), feed.largest, training=True)
    calls = CallbackList(callbacks, add_history=True, model=model, verbose=verbose, epochs=epochs, steps=feed.steps)
    model.history, model.stop_training = calls.history, False
    calls.on_train_begin()
    initial_epoch = calls.params.pop("initial_epoch", initial_epoch)        # BackupAndRestore sets it
    weights, logs = model.weights, {}
    largest = feed.largest

    def learning() -> Learner | sequences.SequenceLearner:
        return sequences.learner_for(model, model.weights, model.slots, batch_size=largest, iterations=model.iterations,
                                     rate_scale=model.rate_scale, class_weight=class_weight, **options)
    learner = learning()
    feed.of_length = learner.length_of
    printed = Epochs(verbose, epochs, feed.steps)

    def seen() -> dict[str, metrics.Value]:
        return metrics.values({k: v for k, v in learner.sums.items() if k != "gradient_norm"}, model.named_metrics())
    for epoch in range(initial_epoch, epochs):
        learner.sums = {}
        learner.reset()
        printed.begin(epoch)
        calls.on_epoch_begin(epoch)
        own = max(epoch, model.epochs)          # the key of random numbers: it counts on from `fit` to `fit`
        key = seeds.key(seed, "dropout", own, 0)
        for done, (number, rows, index) in enumerate(feed.epoch(own)):
            if len(index) > largest:            # a larger minibatch than those before
                largest, sums = len(index), learner.sums
                learner = learning()
                learner.sums = sums
            if calls.batches["train"]:
                calls.on_train_batch_begin(done)
            learner.step(rows, index, key, number)
            model.iterations = learner.iterations       # set here, so that after Ctrl-C it still fits the weights
            if calls.batches["train"]:
                calls.on_train_batch_end(done, seen())
            printed.step(done + 1, seen)
            if model.stop_training:
                break
        model.epochs = own + 1
        logs = seen()
        if (held is not None or validation_data is not None) and scores_at(validation_freq, epoch + 1):
            found = (scored(model, held, AT_ONCE if validation_batch_size is None else validation_batch_size, calls)
                     if held is not None else scored_batches(model, validation_data, validation_steps, calls))
            logs |= {"val_" + name: value for name, value in found.items()}
        calls.on_epoch_end(epoch, logs)
        if model.weights is not weights:                # a callback loaded others: the learner trains these
            weights[:], model.weights = model.weights, weights
        printed.end(logs)
        if model.stop_training:
            break
    finish(model)
    calls.on_train_end(logs)
    return calls.history


def adapt(model: LayeredModel, x) -> None:
    """Sets the mean and variance of each Normalization layer to those of its input, for x."""
    x = joined(x, model.input_names(), "x", model.dtype)
    fitting(model, x)
    need(moments.places_of(model) != [], "the model has no Normalization layer to adapt")
    moments.adapt(model, x, again=True)


def on_batch(model: LayeredModel, x, y, sample_weight) -> Arrays:
    """The minibatch's arrays, for which the model is built."""
    need(y is not None, "y is missing")
    model.compiled()
    return checked(model, x, y, sample_weight)


def train_on_batch(model: LayeredModel, x, y, sample_weight, class_weight: dict | None) -> dict[str, metrics.Value]:
    """One update; the loss and metrics before it."""
    arrays = on_batch(model, x, y, sample_weight)
    check_class_weight(class_weight, model, arrays["y"].max(initial=0))
    sequences.check(model, **sequences.plain(None, None, None))
    if model.slots is None:
        model.slots = model.optimizer.start(model.weights)
    n = len(arrays["x"])
    wanted = (model.weights, model.slots, model.optimizer)
    frozen = model.frozen()
    kept, still, largest, learner = model.learner or ((None,) * 3, frozen, 0, None)
    if n > largest or frozen != still or any(a is not b for a, b in zip(kept, wanted)):
        limits.check(model, n, training=True)
        learner = Learner(model, model.weights, model.slots, batch_size=n, rate_scale=model.rate_scale)
        model.learner = wanted, frozen, n, learner
    learner.iterations, learner.sums = model.iterations, {}
    learner.class_weight = {int(k): float(v) for k, v in (class_weight or {}).items()}
    learner.step(arrays, np.arange(n), seeds.key(0, "dropout", model.epochs, 0), model.iterations)
    model.iterations = learner.iterations
    return metrics.values({k: v for k, v in learner.sums.items() if k != "gradient_norm"}, model.named_metrics())


def test_on_batch(model: LayeredModel, x, y, sample_weight) -> dict[str, metrics.Value]:
    """The loss and metrics."""
    return scored(model, on_batch(model, x, y, sample_weight))


def scores_at(freq: Any, epoch: int) -> bool:
    """Is this epoch, counted from 1, one after which held-out examples are scored?"""
    return epoch in freq if isinstance(freq, (list, tuple, set)) else epoch % typed(freq, int, "validation_freq") == 0


def first_of(steps: int | None, batch_size: int | None, values: Any) -> Any:
    """The examples of so many minibatches; None: all."""
    return values if steps is None or values is None else values[:steps * (BATCH if batch_size is None else batch_size)]


def evaluate(model: LayeredModel, x, y, sample_weight=None, batch_size: int | None = None, callbacks: Any = None,
             steps: int | None = None) -> dict[str, metrics.Value]:
    if yields(x):
        need(y is None and sample_weight is None, "y and sample_weight must be in the minibatches that x yields")
        return scored_batches(model, x, steps, CallbackList(callbacks, model=model, verbose=0, steps=steps))
    need(y is not None, "y is missing: model.evaluate(x, y)")
    need(batch_size is None or batch_size >= 1, "batch_size must be 1 or more")
    arrays = {name: first_of(steps, batch_size, values) for name, values in checked(model, x, y, sample_weight).items()}
    batch_size = AT_ONCE if batch_size is None else batch_size
    return scored(model, arrays, batch_size, CallbackList(callbacks, model=model, verbose=0, steps=-(-len(arrays["x"]) // batch_size)))


def scored_batches(model: LayeredModel, x: Any, steps: int | None, calls: CallbackList) -> dict[str, metrics.Value]:
    """The loss and metrics over what yields minibatches."""
    scorer, sums, largest = None, {}, 0
    calls.on_test_begin()
    for number, batch in enumerate(islice(Yielded(x).batches(), steps)):
        calls.on_test_batch_begin(number)
        need(batch[1] is not None, f"a minibatch must be {WANTED}")
        arrays = checked(model, *batch)
        if len(arrays["x"]) > largest:
            largest = len(arrays["x"])
            limits.check(model, at_once(model, largest))
            scorer = Scorer(model, model.weights, largest)
            scorer.sums = sums
        scorer.add(arrays)
        if calls.batches["test"]:
            calls.on_test_batch_end(number, metrics.values(sums, model.named_metrics()))
    need(scorer is not None, "x yields no minibatches")
    found = metrics.values(sums, model.named_metrics())
    calls.on_test_end(found)
    return found


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


def predict(model: LayeredModel, x, batch_size: int | None = None, callbacks: Any = None, steps: int | None = None):
    if yields(x):
        need(not callbacks, "predict: callbacks are for arrays, not for what yields minibatches")
        parts = [predict(model, batch[0]) for batch in islice(Yielded(x).batches(), steps)]
        need(parts != [], "x yields no minibatches")
        return [np.concatenate(of) for of in zip(*parts)] if isinstance(parts[0], list) else np.concatenate(parts)
    need(batch_size is None or batch_size >= 1, "batch_size must be 1 or more")
    x = joined(x, model.input_names(), "x", model.dtype)
    fitting(model, x)
    x = first_of(steps, batch_size, x)
    batch_size = at_once(model, min(AT_ONCE if batch_size is None else batch_size, max(1, len(x))))
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
