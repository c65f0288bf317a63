"""A sensible network for a dataset of rows, and how long to train it: `mrdl train auto`."""
import json
import math
from collections.abc import Sequence
from typing import Any

from mrdl.config import need
from mrdl.data import dataset, holdout
from mrdl.data.tables.kinds import Boolean, Categorical, Date, Kind, Numeric
from mrdl.data.tables.kinds.date import FIRST
from mrdl.data.tables.statistics import PARTS
from mrdl.data.tables.table import SCHEMA, Table
from mrdl.driver.embedding import embedded
from mrdl.driver.inference import describe
from mrdl.driver.preparation.columns import given, of_dataset
from mrdl.layers import Dense, Dropout, Input, Normalization, Rescaling
from mrdl.layers.layer import Layer
from mrdl.metrics import R2Score
from mrdl.models.model import Model
from mrdl.models.sequential import Sequential
from mrdl.optimizers import Adam, AdamW
from mrdl.runners.cluster import Cluster

AUTO = "auto"                   # in the place of a model's file
HIDDEN, LEAST = 200, 8          # units of a hidden layer, and of the first one for sparse rows at least
WEIGHTS = 1 << 24               # of that layer, at most
PER_FEATURE = 2                 # training rows for each feature of sparse rows, below which hidden layers learn no more than an output alone
YEAR = 365.2425 * 86400         # seconds
MANY = 20                       # classes of labels that are numbers, above which they are taken for amounts
# Training rows, below which a network of this size learns them by heart, and the loss of the few held-out
# rows beside them is too much chance to stop by. Then: the share of hidden units that is left out, AdamW's
# weight decay (at its rate half a percent of each weight an update), and epochs
SMALL, DROPOUT, DECAY, SHORT = 1_000, 0.3, 5.0, 50
ALONE = 50_000                  # examples, below which averaging costs more than it brings
BATCHES = ((20_000, 32), (1_000_000, 128))      # minibatches by how many examples there are; more of more
PATIENCE = 10                   # epochs without a better loss
EPOCHS = 2_000_000              # examples trained on at most, where nothing else ends a run


def tabular(data: str | dataset.Dataset | Table, hidden: Sequence[int] | None = None, *, dropout: float | None = None,
            runner: str | Cluster = "local", cores: int | None = None) -> Model:
    """A network for rows of a table: Normalization of its numbers, Dense layers, and an output for its label.

    The mean and deviation of each number are those over the training shards of a dataset, by one
    map-only job; of a schema alone those that it has, and its amounts to predict are taken as they
    are. What a schema made of words stays 0 and 1. Of sparse rows nothing is normalised: prepare has scaled
    their numbers; beside columns of ids they have a Dense layer of their own. Columns of which the
    schema makes ids (categories with `encode_as` "index", texts with "ids") are inputs of their own,
    each behind an Embedding of min(50, (n + 1) // 2) numbers for n ids. A label with names of classes, or one of whole numbers
    from 0 to 19 at most, gets a softmax; any other is an amount, and the network's output is in its
    units.

    Args:
        data: the dataset, or its folder; or a schema: a schema.json, or what it says as
            `infer_schema(..).table`.
        hidden: the units of each hidden layer. None: 200 and 200, as H2O has it; of sparse rows fewer
            in the first, so that it has 16 million weights at most, and none where they are few (`wide`).
        dropout: the share of the hidden units that is left out while training, at least 0 and below 1.
            None: 0.3 where training rows are few (`small`), 0 else.
        runner: where the job runs: "inline", "local", "hadoop" or "spark"; or a Cluster.
        cores: tasks that run at once on this machine. None: one for each core.

    Returns:
        The model, compiled with Adam; where training rows are few with AdamW, and a weight decay of 5.

    Raises:
        ConfigError: the dataset has no label, or its rows are no lists of numbers.
        DataError: there is no dataset, or no schema."""
    if isinstance(data, str):
        data = given(data) if data.endswith(".json") else dataset.load(data)
    found = of_schema(data) if isinstance(data, Table) else data
    need(len(found.shape) == 1 and not found.text, f"{found.url}: has rows of shape {found.shape}, and `{AUTO}` is for tables: "
         "write a model for it (docs/keras.md)")
    need(found.target is not None and not found.target.shape, f"{found.url}: has no label with one value: prepare it with --label")
    classes, few_rows = classes_of(found), small(found)
    first = _units(found)
    if hidden is None:
        hidden = () if wide(found) else (first, HIDDEN)
    if dropout is None:
        dropout = DROPOUT if few_rows else 0.0
    layers: list[Layer] = []
    for units in hidden:
        layers += [Dense(units, "relu"), *[Dropout(dropout)] * bool(dropout)]
    middle, deviation = found.spread or (0.0, 1.0)
    last = [Dense(classes, "softmax")] if classes else [Dense(1), Rescaling(deviation or 1.0, middle)]
    model = _joined(found, [*layers, *last], first, runner, cores)
    optimizer = AdamW(weight_decay=DECAY) if few_rows else Adam()
    if classes:
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    else:
        model.compile(optimizer, "mean_squared_error", metrics=["mean_absolute_error", R2Score()])
    return model


def _rows(data: dataset.Dataset) -> int:
    """How many rows there are to train on."""
    return sum(shard.n for shard in data.train())


def small(data: dataset.Dataset) -> bool:
    """Whether its training rows are few, fewer than 1,000, and so different that a network can learn them by heart.

    Where all features are categories, of which each row that is possible comes ten times, it cannot;
    and what prepare holds out, equal rows together, are kinds of rows then, which tell when to stop.
    Sparse rows, of which this was not measured, count as many, and so does a schema alone."""
    n = _rows(data)
    return not data.sparse and 0 < n < min(SMALL, holdout.REPEATED * _possible(data))


def _units(data: dataset.Dataset) -> int:
    """Those of the first hidden layer."""
    return max(LEAST, min(HIDDEN, WEIGHTS // data.shape[0])) if data.sparse else HIDDEN


def wide(data: dataset.Dataset) -> bool:
    """Whether its rows are sparse, and so few for their many features, fewer than two each, that an output without hidden layers
    learns as much, with fewer weights. Columns of ids need layers that join them."""
    return (data.sparse and 0 < _rows(data) < PER_FEATURE * data.shape[0] and (classes_of(data) or 1) <= _units(data)
            and not any(kind.ids for kind in (of_dataset(data).columns.values() if data.table else ())))


def _possible(data: dataset.Dataset) -> float:
    """How many rows there can be that differ in their features; of amounts any number."""
    if not data.table:
        return math.inf
    return math.prod((kind.ids or kind.width) if isinstance(kind, Categorical) else
                     2 ** kind.width if isinstance(kind, Boolean) else math.inf
                     for kind in of_dataset(data).columns.values() if kind.width)


def _joined(data: dataset.Dataset, layers: list[Layer], units: int, runner: str | Cluster, cores: int | None) -> Model:
    """The layers behind those that take the features. `units`: of a layer that takes sparse ones beside columns of ids."""
    columns = of_dataset(data).columns if data.table else {}
    ids = [name for name, kind in columns.items() if kind.ids]
    if data.sparse and not ids:
        return Sequential([Input(data.shape, sparse=True), *layers])
    moments = None if data.sparse else _moments(data, runner, cores)
    if not ids:
        return Sequential([Input(data.shape), Normalization(-1, *moments), *layers])
    inputs, x = embedded(columns, moments, units)
    for layer in layers:
        x = layer(x)
    return Model(inputs, x)


def of_schema(table: Table) -> dataset.Dataset:
    """What is known of a dataset before there are rows."""
    classes = len(table.columns[table.label].classes) or None if table.label is not None else None
    return dataset.Dataset(SCHEMA, "", [], (table.width,), None if table.label is None else dataset.Target((), classes), table.weight is not None,
                           [], "float32", 0, table=json.loads(table.dump()), sparse=table.sparse)


def _moments(data: dataset.Dataset, runner: str | Cluster, cores: int | None) -> tuple[list[float], list[float]]:
    """The mean and variance by which each feature is normalised."""
    if not data.shards:
        each = [pair for kind in of_dataset(data).columns.values() for pair in _expected(kind)]
        return [mean for mean, _ in each], [variance or 1.0 for _, variance in each]
    rows, scaled = describe(data.url, runner=runner, cores=cores), _numbers(data)
    return ([row["mean"] if own else 0.0 for row, own in zip(rows, scaled)],
            [row["std"] ** 2 or 1.0 if own else 1.0 for row, own in zip(rows, scaled)])


def _expected(kind: Kind) -> list[tuple[float, float]]:
    """The mean and the variance of each feature of a column, as far as the schema has them."""
    plain, mean = [(0.0, 1.0)] * kind.width, getattr(kind, "mean", None) or 0.0
    deviation = getattr(kind, "deviation", None) or 0.0
    if isinstance(kind, Numeric) and kind.scale == "none":
        return [(mean, deviation ** 2), *plain[1:]]
    if not isinstance(kind, Date):
        return plain
    found = []
    for part in kind.parts:
        size = PARTS.get(part)                          # of a cycle, whose numbers are taken for equally frequent
        if size and kind.cyclic:
            found += [(0.0, 0.5)] * 2
        elif size:
            found.append(((size - 1) / 2 + FIRST.get(part, 0), (size ** 2 - 1) / 12))
        else:
            found.append((1970 + mean / YEAR, (deviation / YEAR) ** 2) if part == "year" else (0.0, 1.0))
    return found + plain[len(found):]


def classes_of(data: dataset.Dataset) -> int | None:
    """How many classes the label has, where it is a class; None: it is an amount."""
    if data.table:
        table = of_dataset(data)
        if table.label is not None and (names := table.columns[table.label].classes):
            return len(names)
    classes = data.target.classes
    return classes if classes and classes <= MANY and data.target.low == 0 else None


def _numbers(data: dataset.Dataset) -> list[bool]:
    """Of each feature whether it is a number of the input as it stands, or of a date: a year is about 2000."""
    if not data.table:
        return [True] * data.shape[0]
    return [isinstance(kind, Date) or isinstance(kind, Numeric) and kind.scale == "none" and i == 0
            for name, kind in of_dataset(data).columns.items() for i in range(kind.width)]


def defaults(data: dataset.Dataset, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a run on it. `given`: what the user says."""
    n, shards, few_rows = _rows(data), len(data.train()), small(data)
    workers = given.get("workers") or given.get("fragments") or (1 if n < ALONE else 2)
    batch = next((size for most, size in BATCHES if n < most), 256)
    watched = bool(data.validation()) and not few_rows
    epochs = SHORT if few_rows else max(10, min(200 if watched else 50, EPOCHS // max(n, 1)))
    rules = [f"val_loss patience {PATIENCE * -(-shards // workers)}"] if watched else []        # in rounds
    if not {"epochs", "rounds"} & {*given}:
        rules.append(f"epochs {epochs}")
    return {"workers": workers, "batch_size": batch, **({"until": ", ".join(rules)} if rules else {})}


def of_few(data: dataset.Dataset) -> str:
    """What to tell of the network for a dataset of few rows, behind the options of its run; else nothing."""
    if wide(data):
        return f"; no hidden layer, as the {_rows(data):,} rows to train on are few for {data.shape[0]:,} features"
    return f"; dropout {DROPOUT:g} and weight decay {DECAY:g}, as the {_rows(data):,} rows to train on are few" if small(data) else ""
