"""Keras's fit, evaluate and predict: a model on arrays, in this process."""
from dataclasses import dataclass, field

import numpy as np

from mrdl import limits, metrics, seeds
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


@dataclass
class History:
    """What `fit` returns, as in Keras.

    Args:
        history: for each name, a list of one value per epoch: history["loss"][0] is the loss of
            the first epoch. Names of validation values begin with `val_`.
        epoch: the numbers of the epochs, beginning with `initial_epoch`."""
    history: dict[str, list[metrics.Value]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)


def fit(model: LayeredModel, x, y, *, batch_size: int, epochs: int, sample_weight, class_weight: dict | None,
        validation_data: tuple | None, seed: int, initial_epoch: int, verbose: int | str, tbptt: int | None,
        tbptt_backward: int | None, buckets: tuple | None) -> History:
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
    learner = sequences.learner_for(
        model, model.weights, model.slots, batch_size=min(batch_size, n), iterations=model.iterations,
        rate_scale=model.rate_scale, class_weight=class_weight, **options)
    history, printed = History(), Epochs(verbose, epochs, -(-n // batch_size))

    def seen() -> dict[str, metrics.Value]:
        return metrics.values({k: v for k, v in learner.sums.items() if k != "gradient_norm"}, model.named_metrics())
    for epoch in range(initial_epoch, epochs):
        learner.sums = {}
        learner.reset()
        printed.begin(epoch)
        own = max(epoch, model.epochs)          # the key of random numbers: it counts on from `fit` to `fit`
        key = seeds.key(seed, "dropout", own, 0)
        for number, rows, index in minibatches([(n, arrays)], batch_size, None if model.stateful else seed, own, 0,
                                               of_length=learner.length_of):
            learner.step(rows, index, key, number)
            model.iterations = learner.iterations       # set here, so that after Ctrl-C it still fits the weights
            printed.step(number + 1, seen)
        model.epochs = own + 1
        logs = seen()
        if validation_data is not None:
            logs |= {"val_" + name: value for name, value in scored(model, held).items()}
        history.epoch.append(epoch)
        for name, value in logs.items():
            history.history.setdefault(name, []).append(value)
        printed.end(logs)
    return history


def adapt(model: LayeredModel, x) -> None:
    """Sets the mean and variance of each Normalization layer to those of its input, for x."""
    x = joined(x, model.input_names(), "x", model.dtype)
    fitting(model, x)
    need(moments.places_of(model) != [], "the model has no Normalization layer to adapt")
    moments.adapt(model, x, again=True)


def evaluate(model: LayeredModel, x, y, sample_weight=None, batch_size: int = 256) -> dict[str, metrics.Value]:
    need(batch_size >= 1, "batch_size must be 1 or more")
    return scored(model, checked(model, x, y, sample_weight), batch_size)


def scored(model: LayeredModel, arrays: Arrays, batch_size: int = 256) -> dict[str, metrics.Value]:
    """The loss and metrics on arrays that have passed `checked`."""
    limits.check(model, at_once(model, min(batch_size, len(arrays["x"]))))
    scorer = Scorer(model, model.weights, min(batch_size, len(arrays["x"])))
    scorer.add(arrays)
    return metrics.values(scorer.sums, model.named_metrics())


def predict(model: LayeredModel, x, batch_size: int = 256) -> np.ndarray:
    need(batch_size >= 1, "batch_size must be 1 or more")
    x = joined(x, model.input_names(), "x", model.dtype)
    fitting(model, x)
    batch_size = at_once(model, min(batch_size, max(1, len(x))))
    limits.check(model, batch_size)
    net = Network(model, batch_size, model.weights)
    found = [np.empty((len(x), *shape), model.dtype) for shape in model.output_shapes()]
    for start in range(0, len(x), batch_size):
        index = np.arange(start, min(start + batch_size, len(x)))
        net.read(x, index)
        net.forward()
        for out, y in zip(found, net.outputs):
            out[index] = y[:, :len(index)].T.reshape(-1, *out.shape[1:])
    return found[0] if len(found) == 1 else found
