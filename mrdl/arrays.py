"""A model on arrays in this process: fit, evaluate and predict as Keras has them."""
import math
from dataclasses import dataclass, field

import numpy as np

from mrdl import limits, metrics, moments, seeds, truncated
from mrdl.config import ConfigError, need, shown
from mrdl.epochs import Epochs
from mrdl.layers import Masking
from mrdl.layers.layer import Shape
from mrdl.network import Network, at_once
from mrdl.protocol import LayeredModel
from mrdl.trainer import Arrays, Scorer, check_class_weight, minibatches


@dataclass
class History:
    """What `fit` saw: history["loss"][epoch] and so on, as in Keras."""
    history: dict[str, list[metrics.Value]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)


def numbers(array, name: str, dtype: np.dtype) -> np.ndarray:
    """The array as blocks hold it: bytes, int32 where whole numbers fit, else floats."""
    try:
        array = np.ascontiguousarray(array)
    except ValueError as error:                 # rows of different lengths
        raise ConfigError(f"{name}: {error}") from None
    need(array.dtype.kind in "buif", f"{name} holds {array.dtype}, not numbers")
    if array.dtype.name in ("uint8", "uint16", "int32", "float32", "float64"):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    fits = array.dtype.kind in "bui" and (array.size == 0 or (
        array.min() >= -2 ** 31 and array.max() < 2 ** 31))
    return array.astype(np.int32 if fits else dtype)


def joined(given, names: list[str], what: str, dtype: np.dtype):
    """One array of what was given for each of several inputs or outputs: a list, or a dict by their names."""
    if isinstance(given, dict):
        need(set(given) == set(names), f"{what} has the names {shown(sorted(given))}, not {', '.join(names)}")
        given = [given[name] for name in names]
    if len(names) == 1 or not isinstance(given, (list, tuple)):
        return numbers(given[0] if isinstance(given, list) and len(given) == 1 == len(names)
                       and np.ndim(given[0]) else given, what, dtype)
    need(len(given) == len(names), f"{what} is a list of {len(given)}, not of {len(names)}: {', '.join(names)}")
    each = [numbers(one, f"{what} {name}", dtype) for one, name in zip(given, names)]
    need(len({len(one) for one in each}) == 1, f"{what}: the arrays differ in length")
    return np.concatenate([one.reshape(len(one), math.prod(one.shape[1:])) for one in each], 1)


def checked(model: LayeredModel, x, y, w=None) -> Arrays:
    """The arrays of examples, as blocks hold them; ConfigError where they do not fit the model."""
    arrays = {"x": joined(x, model.input_names(), "x", model.dtype),
              "y": joined(y, model.output_names(), "y", model.dtype)}
    if w is not None:
        arrays["w"] = numbers(w, "sample_weight", model.dtype).astype(model.dtype, copy=False)
        if arrays["w"].shape[1:] == (1,):
            arrays["w"] = arrays["w"][:, 0].copy()
        need(arrays["w"].ndim == 1, "sample_weight must hold one number an example, not the shape "
             + shown(arrays["w"].shape))
        need(bool((arrays["w"] >= 0).all() and np.isfinite(arrays["w"]).all()),
             "sample_weight must hold finite numbers of 0 and more")
    lengths = {len(a) for a in arrays.values()}
    need(len(lengths) == 1 and 0 not in lengths, "x, y and the sample weights must have one length, not 0: they have "
         + ", ".join(str(len(array)) for array in arrays.values()))
    fitting(model, arrays["x"])
    y = arrays["y"]
    check_target(model.compiled(), y.shape[1:])
    heads, at, masked = model.heads(), 0, any(
        isinstance(layer, Masking) or getattr(layer, "mask_zero", False) for layer in model.layers)
    for head in heads:
        width = head.loss.steps(head.shape) if head.loss.sparse else math.prod(head.shape)
        labels = y.reshape(len(y), -1)[:, at:at + width]
        if head.loss.sparse and y.dtype.kind == "f":
            need(bool(((labels == np.rint(labels)) & (abs(labels) < 2 ** 31)).all()),
                 f"{type(head.loss).__name__}: y must hold class numbers")
        if not masked:                          # of masked steps targets may be anything
            head.loss.check_range(labels)
        at += width
    return arrays


def check_target(model: LayeredModel, shape: Shape) -> None:
    """ConfigError where targets of this shape, of one example, do not fit the outputs."""
    heads = model.heads()
    if len(heads) == 1:
        heads[0].loss.check(heads[0].shape, shape)
        return
    wanted = sum(head.loss.steps(head.shape) if head.loss.sparse else math.prod(head.shape) for head in heads)
    need(math.prod(shape) == wanted, f"the {len(heads)} outputs take {wanted} values an example, the targets "
         f"have {math.prod(shape)}")
    for head in heads:
        head.loss.check(head.shape, head.shape[:-1] if head.loss.sparse else head.shape)


def fitting(model: LayeredModel, x: np.ndarray) -> None:
    """Builds the model on examples such as x's; ConfigError where its input has another shape."""
    model.build(x.shape[1:] if model.input_shape is None else None)
    need(x.shape[1:] == model.input_shape,
         f"the model takes examples of shape {model.input_shape}, not {shown(x.shape[1:])}")


def fit(model: LayeredModel, x, y, *, batch_size: int = 32, epochs: int = 1, sample_weight=None,
        class_weight: dict | None = None, validation_data: tuple | None = None, seed: int = 0,
        initial_epoch: int = 0, verbose: int | str = "auto", tbptt: int | None = None, tbptt_backward: int | None = None,
        buckets: tuple | None = None) -> History:
    """Trains on arrays in this process, rows permuted by (seed, epoch); returns a History.

    x is [n, *input_shape], y what the loss takes; `epochs` is the number of the last, as in Keras. A further call goes
    on: with the updater's state, and with orders and dropout of epochs that the model has not seen. `tbptt`: steps of a
    window of truncated back-propagation; `buckets`: lengths to cut minibatches of masked sequences to, of like length
    (mrdl.truncated). Where a layer is stateful, rows stay in their order, and an epoch begins at state 0.
    `verbose`: 1 ("auto") prints a bar for each epoch, 2 a line, 0 nothing.
    ConfigError where they do not fit the model."""
    need(batch_size >= 1 and epochs >= 1, "batch_size and epochs must be 1 or more")
    need(initial_epoch >= 0, "initial_epoch must be 0 or more")
    model.compiled()
    options = truncated.plain(tbptt, tbptt_backward, buckets)
    if model.input_shape is None:
        model.build(np.shape(x)[1:], seed)
    model.build(seed=seed)
    arrays = checked(model, x, y, sample_weight)
    check_class_weight(class_weight, model, arrays["y"].max(initial=0))
    if validation_data is not None:
        need(isinstance(validation_data, (tuple, list)) and len(validation_data) in (2, 3),
             "validation_data must be (x, y) or (x, y, sample_weight)")
        held = checked(model, *validation_data)
    truncated.check(model, **options)
    moments.adapt(model, arrays["x"])
    if model.slots is None:
        model.slots = model.optimizer.start(model.weights)
    n = len(arrays["x"])
    limits.check(model if tbptt is None else model.windowed(tbptt), min(batch_size, n), training=True)
    learner = truncated.learner_for(
        model, model.weights, model.slots, batch_size=min(batch_size, n), iterations=model.iterations,
        rate_scale=model.rate_scale, class_weight=class_weight, **options)
    history, printed = History(), Epochs(verbose, epochs, -(-n // batch_size))

    def seen() -> dict[str, metrics.Value]:
        return metrics.values({k: v for k, v in learner.sums.items() if k != "gradient_norm"}, model.named_metrics())
    for epoch in range(initial_epoch, epochs):
        learner.sums = {}
        learner.reset()
        printed.begin(epoch)
        own = max(epoch, model.epochs)          # what is drawn is keyed by: another `fit` goes on where this one ends
        key = seeds.key(seed, "dropout", own, 0)
        for number, rows, index in minibatches([(n, arrays)], batch_size, None if model.stateful else seed, own, 0,
                                               of_length=learner.length_of):
            learner.step(rows, index, key, number)
            model.iterations = learner.iterations       # which an interrupt must not leave behind the weights
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
    """Sets the mean and variance of each Normalization to those of what reaches it."""
    x = joined(x, model.input_names(), "x", model.dtype)
    fitting(model, x)
    need(moments.places_of(model) != [], "the model has no Normalization to adapt")
    moments.adapt(model, x, again=True)


def evaluate(model: LayeredModel, x, y, sample_weight=None, batch_size: int = 256) -> dict[str, metrics.Value]:
    need(batch_size >= 1, "batch_size must be 1 or more")
    return scored(model, checked(model, x, y, sample_weight), batch_size)


def scored(model: LayeredModel, arrays: Arrays, batch_size: int = 256) -> dict[str, metrics.Value]:
    """The loss and metrics on arrays that were `checked`."""
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
