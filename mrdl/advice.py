"""What a user may not have meant: said in a line, with what would help."""
from collections.abc import Iterable
from typing import Any

import numpy as np

from mrdl import losses, metrics
from mrdl.dataset import Shard
from mrdl.layers import Normalization
from mrdl.model import Model
from mrdl.report import counted

FEW = 10                        # updates an epoch, of several workers
DIVERGED = 100.0                # a mean cross-entropy beyond it is of weights that grew without bound
CLASSES = 256                   # of more, no frequencies are kept
ACCURACIES = metrics.SparseCategoricalAccuracy, metrics.CategoricalAccuracy, metrics.BinaryAccuracy
ENTROPIES = losses.SparseCategoricalCrossentropy, losses.CategoricalCrossentropy, losses.BinaryCrossentropy


def of_workers(shards: list[Shard], workers: int, batch_size: int) -> list[str]:
    """On workers without a shard; on so many that each does little, and the model has few updates."""
    sizes, lines = [s.n for s in shards if s.n], []
    used = min(workers, len(sizes))
    if used < workers:
        there = "is 1 shard" if used == 1 else f"are {used} shards"
        lines.append(f"{used} of {workers} workers train{'s' * (used == 1)}, as there {there} with rows; for more: "
                     f"mrdl prepare --shards {workers}")
    alone = sum(-(-n // batch_size) for n in sizes)
    if used > 1 and alone / used < FEW:
        lines.append(f"{sum(sizes):,} rows are few for {used} workers: an epoch is {counted(-(-alone // used), 'update')} of "
                     f"the model, with one worker {alone}; --workers 1 or a smaller --batch-size learns more in as many epochs")
    return lines


def targets(model: Model, y: np.ndarray) -> metrics.Sums:
    """What the targets of rows are like, in sums that add up: class frequencies, or moments.

    Nothing where that is no baseline: of several outputs, sequences, many classes."""
    heads = model.heads()
    head, y = heads[0], y.reshape(len(y), -1)
    if len(heads) > 1 or len(head.shape) != 1:
        return {}
    if head.loss.activation is None and not head.loss.sparse:
        y = y.astype("f8")
        return {"count": np.full(y.shape[1], len(y), "f8"), "sum": y.sum(0), "squares": (y * y).sum(0)}
    classes = max(2, head.shape[0])
    if classes > CLASSES or (head.loss.activation == "sigmoid" and head.shape[0] > 1):
        return {}
    labels = y.argmax(1) if y.shape[1] > 1 else np.rint(y[:, 0]).astype(int)
    return {"classes": np.bincount(labels.clip(0, classes - 1), minlength=classes).astype("f8")}     # others: told elsewhere


def added(records: Iterable[dict[str, Any]]) -> metrics.Sums:
    """The targets of all records."""
    sums: metrics.Sums = {}
    for record in records:
        metrics.add(sums, record["targets"])
    return sums


def of_model(model: Model, values: dict[str, metrics.Value], sums: metrics.Sums, pure: bool) -> str | None:
    """Where it has diverged, or is no better than the mean of its targets or than their most frequent class; None where
    it is, or nothing tells. `values` are its loss and metrics on rows with these targets; `pure`: no weights and penalties
    are in the loss."""
    if not sums:
        return None
    head = model.heads()[0]
    inputs = "scale the inputs (a Normalization layer), " * (not any(isinstance(layer, Normalization) for layer in model.layers))
    if pure and isinstance(head.loss, ENTROPIES) and not values["loss"] <= DIVERGED:
        return f"training has diverged (loss {values['loss']:.4g}): {inputs}try a lower learning rate"
    named = {type(metric): values[name] for name, metric in head.metrics.items() if name in values}
    if "classes" in sums:
        shares = sums["classes"] / sums["classes"].sum()
        found = [accuracy <= shares.max() for kind, accuracy in named.items() if kind in ACCURACIES]
        if pure and isinstance(head.loss, ENTROPIES) and not getattr(head.loss, "label_smoothing", 0.0):
            seen = shares[shares > 0]
            found.append(values["loss"] >= -(seen * np.log(seen)).sum())
        if not found or not all(found):
            return None
        what = f"always answering class {shares.argmax()}, which is that of {100 * shares.max():.3g} % of the rows"
    else:
        variance = float((sums["squares"] / sums["count"] - (sums["sum"] / sums["count"]) ** 2).mean())
        errors = {metrics.MeanSquaredError: lambda value: value, metrics.RootMeanSquaredError: lambda value: value ** 2,
                  metrics.R2Score: lambda value: variance * (1 - value)}
        found = [errors[kind](value) for kind, value in named.items() if kind in errors and not isinstance(value, list)]
        if pure and isinstance(head.loss, losses.MeanSquaredError):
            found.append(values["loss"])
        if not found or not (error := found[0]) >= variance:
            return None
        what = f"always predicting the mean of the targets (mean squared error {variance:.4g}, the model's is {error:.4g})"
    return (f"the model is no better than {what}: {inputs}" + "scale the targets, " * ("sum" in sums)
            + "train longer, or try another learning rate")
