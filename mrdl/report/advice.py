"""One-line advice on what a user may not have intended, and what would help."""
from collections.abc import Iterable

import numpy as np

from mrdl import losses, metrics
from mrdl.data.dataset import Shard
from mrdl.data.windows import Arrays
from mrdl.layers import Normalization, Rescaling
from mrdl.models.answers import named as names_of
from mrdl.printing import clean, counted
from mrdl.rounds.record import Scored, Trained
from mrdl.training.class_weights import by_class
from mrdl.training.protocol import LayeredModel

FEW = 10                        # updates per epoch that are few for several workers
DIVERGED = 100.0                # a mean cross-entropy above this means that the weights have grown without bound
CLASSES = 256                   # if there are more classes, no frequencies are kept
ACCURACIES = metrics.SparseCategoricalAccuracy, metrics.CategoricalAccuracy, metrics.BinaryAccuracy
ENTROPIES = losses.SparseCategoricalCrossentropy, losses.CategoricalCrossentropy, losses.BinaryCrossentropy


def of_workers(shards: list[Shard], workers: int, batch_size: int) -> list[str]:
    """Advice if some workers have no shard, or if there are so many workers that the model gets few updates."""
    sizes, lines = [s.n for s in shards if s.n], []
    used = min(workers, len(sizes))
    if used < workers:
        there = "is 1 shard" if used == 1 else f"are {used} shards"
        lines.append(f"{used} of {workers} workers train{'s' * (used == 1)}, as there {there} with rows; for more: "
                     f"mrdl prepare --shards {workers}")
    alone = sum(-(-n // batch_size) for n in sizes)
    if used > 1 and alone / used < FEW:
        lines.append(f"{sum(sizes):,} rows are few for {used} workers: an epoch is {counted(-(-alone // used), 'update')} of "
                     f"the model, with one worker it would be {alone}; --workers 1 or a smaller --batch-size learns more per epoch")
    return lines


def targets(model: LayeredModel, arrays: Arrays, class_weight: dict[str, float] | None = None) -> metrics.Sums:
    """Statistics of the targets of rows, as sums that can be added: class frequencies, or moments; each without and with
    the weights of rows and classes.

    Empty if no baseline can be computed from them: for several outputs, sequences, or many classes."""
    heads, y = model.heads(), arrays["y"]
    head, y = heads[0], y.reshape(len(y), -1)
    if len(heads) > 1 or len(head.shape) != 1 or head.loss.joint:
        return {}
    weight = np.ones((2, len(y)))
    if "w" in arrays:
        weight[1] = arrays["w"]
    if class_weight:
        weight[1] *= by_class({int(label): each for label, each in class_weight.items()}, y)
    if head.loss.activation is None and not head.loss.sparse:
        y = y.astype("f8")
        return {"count": weight.sum(1), "sum": np.stack([(w[:, None] * y).sum(0) for w in weight]),
                "squares": np.stack([(w[:, None] * y * y).sum(0) for w in weight])}
    classes = max(2, head.shape[0])
    if classes > CLASSES or (head.loss.activation == "sigmoid" and head.shape[0] > 1):
        return {}
    labels = y.argmax(1) if y.shape[1] > 1 else np.rint(y[:, 0]).astype(int)
    labels = labels.clip(0, classes - 1)        # labels outside are reported elsewhere
    return {"count": weight.sum(1), "classes": np.stack([np.bincount(labels, w, classes) for w in weight])}


def added(records: Iterable[Trained | Scored]) -> metrics.Sums:
    """The statistics of targets of all records, added up."""
    sums: metrics.Sums = {}
    for record in records:
        metrics.add(sums, record.targets)
    return sums


def of_model(model: LayeredModel, values: dict[str, metrics.Value], sums: metrics.Sums) -> str | None:
    """Advice if the model has diverged, or is no better than always predicting the mean of the targets or their most
    frequent class; None if it is better, or if that is unknown. `values`: its loss and metrics on rows with these
    targets. (Metrics do not weight rows.)"""
    if not sums or not sums["count"].all():
        return None
    head, counts = model.heads()[0], sums["count"]
    scale = counts[1] / counts[0]               # a loss is the weighted sum divided by the number of rows
    pure = all(w.regularizer is None for _, w, _ in model.places())      # the loss contains no penalties
    inputs = "scale the inputs (a Normalization layer), " * (not any(isinstance(layer, Normalization) for layer in model.layers))
    if pure and isinstance(head.loss, ENTROPIES) and not values["loss"] <= DIVERGED * scale:
        return f"training has diverged (loss {values['loss']:.4g}): {inputs}try a lower learning rate"
    named = {type(metric): values[name] for name, metric in head.metrics.items() if name in values}
    if "classes" in sums:
        rows, shares = sums["classes"] / counts[:, None]
        found = [accuracy <= rows.max() for kind, accuracy in named.items() if kind in ACCURACIES]
        if pure and isinstance(head.loss, ENTROPIES) and not getattr(head.loss, "label_smoothing", 0.0):
            seen = shares[shares > 0]
            found.append(values["loss"] >= -scale * (seen * np.log(seen)).sum())
        if not found or not all(found):
            return None
        of = "rows" if np.array_equal(rows, shares) else "weight"
        name = clean(names_of(model.classes, len(shares))[shares.argmax()])
        what = f"always answering class {name}, which is that of {100 * shares.max():.3g} % of the {of}"
    else:
        mean, squares = sums["sum"] / counts[:, None], sums["squares"] / counts[:, None]
        variance, weighted = (squares - mean ** 2).mean(1).tolist()
        errors = {metrics.MeanSquaredError: lambda value: value, metrics.RootMeanSquaredError: lambda value: value ** 2,
                  metrics.R2Score: lambda value: variance * (1 - value)}
        found = [("mean squared error", variance, errors[kind](value))
                 for kind, value in named.items() if kind in errors and not isinstance(value, list)]
        if pure and isinstance(head.loss, losses.MeanSquaredError):
            found.insert(0, ("mean squared error" if scale == 1 else "loss", weighted * scale, values["loss"]))
        if not found or not found[0][2] >= found[0][1]:
            return None
        name, baseline, error = found[0]
        what = f"always predicting the mean of the targets ({name} {baseline:.4g}, the model's is {error:.4g})"
    targets = "scale the targets, " * ("sum" in sums and not isinstance(model.layers[-1], Rescaling))
    return f"the model is no better than {what}: {inputs}{targets}train longer, or try another learning rate"
