"""Checks whether a model fits a dataset: shape, targets, vocabulary and columns."""
import json
import math
from typing import Any

import numpy as np

from mrdl.config import ConfigError, need
from mrdl.data import dataset
from mrdl.data.folds import apart
from mrdl.data.reference import parse
from mrdl.data.tables.kinds import Label, Numeric, Weight
from mrdl.data.tables.table import Table
from mrdl.layers import Input
from mrdl.losses import Loss
from mrdl.models.model import Model
from mrdl.models.saving import model_from_json
from mrdl.runners.cluster import Cluster
from mrdl.storage.schemes import store_at
from mrdl.training.inputs import check_target


def features_of(data: dataset.Dataset) -> dict[str, Any]:
    """The features that a model trained on this dataset expects in other data: see Run.features."""
    return {"text": data.text, "columns": data.columns if data.named else None,
            "table": data.table}


def same_features(known: dict[str, Any], of: str, data: dataset.Dataset, label: bool = True) -> None:
    """Raises ConfigError if `data` has other features than `of`, on which the model was trained; with `label`, also if the label's
    classes are others."""
    text, columns = known["text"], known["columns"]
    need(text is None or (data.text is not None and all(data.text[key] == text[key] for key in ("unit", "vocabulary"))),
         f"{data.url} does not have the vocabulary of {of}: prepare it with --like the dataset that the model was trained on")
    if data.columns == columns and _numbers(known.get("table"), columns, label) != _numbers(data.table, columns, label):
        raise ConfigError(f"{data.url} has the columns of {of}, but its schema makes other numbers of them: prepare it with --like "
                          "the dataset that the model was trained on")
    if columns is None or not data.named or data.columns == columns:
        return
    odd = [name for name in columns if name not in data.columns]
    raise ConfigError(f"{data.url} has " + (f"no column {odd[0]!r}, which {of} has" if odd else
                      f"other columns than {of}, or in another order")
                      + ": prepare it with --like the dataset that the model was trained on, which takes columns by name")


def _numbers(table: dict[str, Any] | None, columns: list[str], label: bool) -> dict[str, Any]:
    """What decides which numbers become of columns; without a table they are numbers as they are."""
    made = Table.load(json.dumps(table).encode()) if table else Table({name: Numeric(missing="refuse") for name in columns})
    kinds = {name: made.columns[name] for name in made.needed(label) if not isinstance(made.columns[name], Weight)}
    return {name: kind.decides() for name, kind in kinds.items()
            # a label that is an amount may be there or not
            if not isinstance(kind, Label) or kind.decides()}


def reached(cluster: Cluster, *datasets: dataset.Dataset) -> None:
    """Lets the cluster's tasks read the raw files that datasets refer to; ConfigError if they cannot."""
    for data in datasets:
        if data.raw:
            cluster.backend.reads([file["path"] for file in data.raw])
            plan, _ = parse(store_at(apart(data.url)[0]).read(data.shards[0].name))
            cluster.packages = tuple(dict.fromkeys([*cluster.packages, *plan.schema.needs]))


def fitted(model: Model, data: dataset.Dataset) -> None:
    """Raises ConfigError if the model does not fit the data; called before the first job."""
    need(not model.stateful, "a dataset's rows are shuffled, so stateful=True cannot carry states from one minibatch to "
         "the next; make the sequences longer and train on them with tbptt")
    if data.target is None:
        raise ConfigError(f"{data.url} has no labels: prepare it with --label")
    if model.input_shape is None:
        model.input_shape = Input(data.shape).shape
    if model.input_shape != tuple(data.shape):
        alike = None not in model.input_shape and math.prod(model.input_shape) == math.prod(data.shape)
        raise ConfigError(f"the model takes examples of shape {model.input_shape}, but {data.url} has {tuple(data.shape)}; " + (
            "a Reshape layer can turn one into the other" if alike else
            "give its Input this shape, or prepare the data with the features that the model takes"))
    check_target(model, data.target.shape)
    for step in model.stack() if data.text else ():
        ids = getattr(step.layer, "count", None) if step.inputs == (0,) else None
        need(ids is None or ids >= data.target.classes, f"{step.name} takes ids below {ids}, but the text of {data.url} has "
             f"{data.target.classes} tokens")
    if isinstance(model.loss, Loss) and data.target.low is not None:
        model.loss.check_range(np.array([data.target.low, data.target.high]), f"{data.url}: ")
    if isinstance(model.loss, Loss) and model.loss.sparse and not model.loss.joint:      # with several outputs, workers check it
        units = model.output_shape[-1]
        if data.target.low is not None and data.target.classes is None or (data.target.classes or 0) > units:
            raise ConfigError(f"the model distinguishes {units} classes, but " + (
                f"the text of {data.url} has {data.target.classes} tokens" if data.text else
                f"the labels of {data.url} go from {data.target.low:g} to {data.target.high:g}"
                + ("" if data.target.classes else " and are not class numbers")))


def rebuilt(model: Model) -> None:
    """Raises ConfigError if workers cannot build the model."""
    try:
        model_from_json(model.to_json())
    except ConfigError as error:
        raise ConfigError("workers build the model from its JSON, so it cannot contain classes of your own: "
                          f"{error}") from None
