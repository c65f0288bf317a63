"""Applies a model to a dataset or to raw rows, by map-only jobs: computes loss and metrics, outputs, or layers' means and variances."""
import math
from collections.abc import Callable, Sequence
from itertools import islice
from shlex import quote
from typing import Any

import numpy as np

from mrdl import limits, metrics
from mrdl.config import ConfigError, need, several, typed
from mrdl.data import dataset
from mrdl.data.sources import listed
from mrdl.driver import raw, schedule
from mrdl.driver.exchanges.plain import PlainExchange, plan_file
from mrdl.driver.fits import fitted, reached, same_features
from mrdl.driver.raw import Counted
from mrdl.driver.scoring import OnTask, described, score, seals, state_file
from mrdl.jobs.predict import Predict
from mrdl.layers import Input, Normalization
from mrdl.metrics import Value
from mrdl.models.model import Model
from mrdl.models.saving import load_model
from mrdl.models.sequential import Sequential
from mrdl.report import advice, scored
from mrdl.report.assessed import Assessed, answers
from mrdl.rounds import plan
from mrdl.rounds.merged import RoundError
from mrdl.runners.cluster import Cluster, opened
from mrdl.runners.output import Output
from mrdl.runs.commits import RunError
from mrdl.runs.filling import filling, names
from mrdl.runs.run import Run
from mrdl.storage.base import Storage
from mrdl.storage.schemes import store_at
from mrdl.training import moments
from mrdl.training.network import at_once

BEGUN, PREDICTIONS = "_predicting", ("part-*", "columns.csv")
AT_ONCE = 256                   # the largest number of examples that workers take at once
DESCRIBED = 1 << 16             # features of sparse rows that are described, at most
VALUE = 10                      # bytes of an output in a CSV line, roughly


def adapt(model: Model, data: str, *, runner: str | Cluster = "local", cores: int | None = None) -> None:
    """Sets the mean and variance of each Normalization layer to those of its input, over the training shards.

    Runs one map-only job; a second call replaces the values of the first. For arrays use `model.adapt(x)`.

    Args:
        model: the model to adapt; its input shape must be that of the dataset; if it has none yet,
            it gets the dataset's.
        data: the dataset's folder, a path or an hdfs:// URL.
        runner: "inline", "local", "hadoop" or "spark"; or a Cluster, which stays open.
        cores: tasks that run at once on this machine. None: one for each core.

    Raises:
        ConfigError: the model has no Normalization to adapt, or takes other examples.
        DataError: there is no dataset."""
    found = dataset.load(data)
    if model.input_shape is None:
        model.input_shape = Input(found.shape).shape
    need(model.input_shape == tuple(found.shape), f"the model takes examples of shape {model.input_shape}, {data} has "
         f"{tuple(found.shape)}")
    places = moments.unadapted(model, again=True)
    need(places != [], "the model has no Normalization to adapt")
    moments.written(model.weights, places, _seen(model, places, found, "adapt", runner, cores), counted=True)
    model.publish()


def describe(data: str, *, runner: str | Cluster = "local", cores: int | None = None,
             on_task: OnTask = None) -> list[dict[str, Any]]:
    """Computes statistics of each feature, over the training shards, by one map-only job.

    Args:
        data: the dataset's folder, a path or an hdfs:// URL.
        runner: "inline", "local", "hadoop" or "spark"; or a Cluster, which stays open.
        cores: tasks that run at once on this machine. None: one for each core.
        on_task: called as tasks end: on_task(kind, done, total). None: not called.

    Returns:
        For each feature of the last axis {"feature", "n", "mean", "std", "min", "max"}: its name or
        number, the number of values, their mean and standard deviation, the smallest and the
        largest value.

    Raises:
        ConfigError: the dataset is text, has no rows to train on, or sparse ones of more than
            65,536 features.
        DataError: there is no dataset."""
    found = dataset.load(data)
    need(not found.text, f"{data} is text, and the mean of its ids says nothing: use mrdl show {quote(data)}")
    need(not found.sparse or found.shape[0] <= DESCRIBED, f"{data} has {found.shape[0]:,} features, too many to describe each: use "
         f"mrdl show {quote(data)}, or describe the columns of the table: mrdl describe INPUT..")
    layer = Normalization(-1 if found.shape else None)
    model = Sequential([Input(found.shape), layer], dtype="float64").build()
    m, = _seen(model, moments.places_of(model), found, "describe", runner, cores, on_task)
    names = found.columns if len(found.columns) == len(m.mean) else range(len(m.mean))
    return [{"feature": name, "n": m.n, "mean": mean, "std": std, "min": low, "max": high}
            for name, mean, std, low, high in zip(names, m.mean.tolist(), np.sqrt(m.m2 / m.n).tolist(),
                                                  m.low.tolist(), m.high.tolist())]


def _seen(model, places, data: dataset.Dataset, what: str, runner, cores,
          on_task: OnTask = None) -> list[moments.Moments]:
    shards = [(data, s) for s in data.train() if s.n]
    need(shards != [], f"{data.url} has no rows to train on")
    with opened(runner, cores) as cluster, state_file(model, cluster) as state:
        reached(cluster, data)
        return described(PlainExchange(cluster), f"mrdl {what} {data.url}", state, model, shards, cluster.cores,
                         at_once(model, moments.ADAPTING), places, on_task)


class Scores(dict[str, Value]):
    """A model's loss and metrics by name.

    Args:
        values: the loss and the metrics.
        report: for a model with one output: precision and recall by class, or the error, beside the
            score of always answering the most frequent class or the mean (mrdl.report.scored);
            else {}.
        rows: for raw rows how many there were, and which could not be read; else None."""

    def __init__(self, values: dict[str, Value], report: dict[str, Any], rows: Counted | None = None):
        super().__init__(values)
        self.report, self.rows = report, rows


def _written(header: bool | None, delimiter: str | None, decimal: str | None, skip: int | None, encoding: str | None,
             multiline: bool) -> dict[str, Any]:
    """What the user says of how raw rows are written."""
    return {"header": header, "delimiter": delimiter, "decimal": decimal, "skip": typed(skip, int | None, "skip"), "encoding": encoding,
            "multiline": multiline}


def _of_raw_rows(why: str = "", **given: Any) -> None:
    """ConfigError where one of these options is given for a dataset."""
    odd = [name for name, value in given.items() if value or (name, value) == ("header", False)]
    need(not odd, f"{', '.join(odd)}: only possible with raw rows{why}")


def evaluate(run: str, data: str | list[str], *, part: str = "all", runner: str | Cluster = "local",
             cores: int | None = None, on_task: OnTask = None, label: str | None = None, max_bad: float | None = None,
             header: bool | None = None, delimiter: str | None = None, decimal: str | None = None, skip: int | None = None,
             encoding: str | None = None, multiline: bool = False, missing: Sequence[str] = (), worst: int = 0, ids: Sequence[str] = (),
             said: Callable[[str], None] = lambda text: None) -> Scores:
    """Computes the loss and metrics of a finished run or saved model on a dataset or on raw rows, by one map-only job.

    Args:
        run: the run's or the model's folder, a path or an hdfs:// URL.
        data: the dataset's folder; or raw rows: files, folders or patterns, whose columns are
            matched by name with those of the training data.
        part: which of a dataset's shards: "all", "train" or "validation".
        runner: "inline", "local", "hadoop" or "spark"; or a Cluster, which stays open.
        cores: tasks that run at once on this machine. None: one for each core.
        on_task: called as tasks end: on_task(kind, done, total). None: not called.
        label: for raw rows: the column with the labels. None: that of the data that the model was
            trained on.
        max_bad: for raw rows: the share that may be bad, from 0 to 1. None: as of `prepare`.
        header: for raw rows: whether the first line names the columns. None: as the training data
            was written, or else detected; and so for the next four.
        delimiter: for raw rows: what stands between the fields.
        decimal: for raw rows: "." or ",": what stands before the fraction of numbers.
        skip: for raw rows: how many lines stand above the header of each file.
        encoding: for raw rows: that of text, as Python calls it.
        multiline: for raw rows: whether quoted fields may go on over several lines.
        missing: for raw rows: words that mean that a value is missing, in any column, beside those
            of the training data.
        worst: for raw rows: how many of those with the largest losses are in the result's
            `rows.worst`. 0: none.
        ids: the columns that name these rows. Without them: the file, and the place in it.
        said: called with messages for the user before the job begins.

    Returns:
        {"loss": ..., "accuracy": ...}: numbers; for metrics with one value per class, lists. Its
        `report` compares them with the simplest answers.

    Raises:
        ConfigError: the model does not fit the data or is not compiled, the data has other columns
            or another vocabulary than it was trained on, or the part has no rows.
        DataError: there is no dataset; raw rows lack columns, or too many of them are bad.
        RunError: a file of the model is damaged."""
    model = load_model(run, updater=False)
    inputs, written = listed(data), _written(header, delimiter, decimal, skip, encoding, multiline)
    if of_data := raw.is_dataset(inputs):
        _of_raw_rows(label=label, **written, missing=missing, worst=worst)
        found, = map(dataset.load, inputs)
        same_features(model.features, run, found)
        fitted(model.compiled(), found)
        held = [(found, s) for s in found.shards if s.n and part in ("all", s.role)]
        need(held != [], f"{inputs[0]} has no rows in its part {part!r}")
    else:
        need(part == "all", f"part {part!r}: only possible with a dataset")
        need(typed(worst, int, "worst") >= 0, f"worst {worst}: must be 0 or more")
        need(max_bad is None or 0 <= typed(max_bad, float, "max_bad") <= 1, f"max_bad {max_bad}: must be from 0 to 1")
    limits.check(model.compiled(), at_once(model, AT_ONCE))
    known = answers(model, model.classes)
    assessed = known and Assessed(len(known.classes), known.what == "output")
    rows = None
    with opened(runner, cores) as cluster:
        if of_data:
            reached(cluster, found)
            with state_file(model, cluster) as state:
                sums, targets = score(PlainExchange(cluster), f"mrdl evaluate {run}", state, model, held, cluster.cores, on_task,
                                      assessed)
            values = {name.removeprefix("val_"): value for name, value in sums.items()}
        else:
            sums, targets, rows = raw.evaluate_rows(model, run, inputs, cluster, label=label, max_bad=max_bad,
                                                    written=written, missing=several(missing),
                                                    assessed=assessed, on_task=on_task, said=said, worst=worst, ids=several(ids))
            values = metrics.values(sums, model.named_metrics())
        report = scored.report(assessed, known.classes) if assessed else {}
        if text := advice.of_model(model, values, targets):
            cluster.warned(text)
    return Scores(values, report, rows)


def predict(run: str, data: str | list[str], out: str, *, probabilities: bool = False, runner: str | Cluster = "local",
            cores: int | None = None, on_task: OnTask = None, ids: Sequence[str] = (), keep: Sequence[str] = (),
            format: str | None = None, header: bool | None = None, delimiter: str | None = None, decimal: str | None = None,
            skip: int | None = None, encoding: str | None = None, multiline: bool = False, missing: Sequence[str] = (), loss: bool = False,
            said: Callable[[str], None] = lambda text: None) -> int | Counted:
    """Writes a model's outputs for a dataset or for raw rows.

    For a dataset there is one line of CSV per example: OUT/part-00000.. has the examples of the
    shards in their order, OUT/columns.csv the names of the columns. For raw rows the parts, one
    after the other, are one file in the order of the input, with a line for each row, also for
    those that cannot be read; as CSV, part-00000 is the header. If it fails, nothing is left in
    OUT; what a killed call has left there is removed by the next one.

    Args:
        run: the run's or the model's folder, a path or an hdfs:// URL.
        data: the dataset's folder; or raw rows: files, folders or patterns, whose columns are
            matched by name with those of the training data.
        out: the folder to make.
        probabilities: for a model that classifies each step of a sequence (or each pixel): whether
            to write the probabilities of all classes. False: only the likeliest class and its
            probability, which takes much less space. For other models all outputs are written.
        runner: "inline", "local", "hadoop" or "spark"; or a Cluster, which stays open.
        cores: tasks that run at once on this machine. None: one for each core.
        on_task: called as tasks end: on_task(kind, done, total). None: not called.
        ids: for raw rows: the columns that identify a row; they come first in each line. Without
            `ids` and `keep`: the file, and the place of the row in it.
        keep: for raw rows: other columns to write as they are, after `ids`.
        format: for raw rows: "csv", "jsonl" or "parquet". None: "jsonl" for JSON lines, else "csv".
        header: for raw rows: whether the first line names the columns. None: as the training data
            was written, or else detected; and so for the next four.
        delimiter: for raw rows: what stands between the fields.
        decimal: for raw rows: "." or ",": what stands before the fraction of numbers.
        skip: for raw rows: how many lines stand above the header of each file.
        encoding: for raw rows: that of text, as Python calls it.
        multiline: for raw rows: whether quoted fields may go on over several lines.
        missing: for raw rows: words that mean that a value is missing, in any column, beside those
            of the training data.
        loss: for raw rows with labels: whether each line has the label, and the loss behind the
            prediction.
        said: called with messages for the user before the job begins.

    Returns:
        For a dataset the number of examples; for raw rows a Counted: the number of rows, and those
        that could not be read.

    Raises:
        RunError: `out` exists, or another process is writing to it.
        ConfigError: the model does not fit the data, or is stateful.
        DataError: there is no dataset, raw rows lack columns, or none of more than five can be
            read."""
    model, place = load_model(run, updater=False), store_at(out)
    inputs, written = listed(data), _written(header, delimiter, decimal, skip, encoding, multiline)

    def vacant() -> None:
        if (there := names(place)) and BEGUN not in there:
            raise RunError(f"{out} exists; give another directory, or remove it")
    vacant()
    if not raw.is_dataset(inputs):
        need(not model.stateful, "rows are split among mappers: with a stateful model, call model.predict on arrays")
        limits.check(model, at_once(model, AT_ONCE))
        with opened(runner, cores) as cluster:
            return raw.predict_rows(model, run, inputs, place, cluster, ids=several(ids), keep=several(keep), format=format,
                                    written=written, missing=several(missing), on_task=on_task, said=said,
                                    fill=lambda: filling(place, BEGUN, PREDICTIONS, vacant), loss=loss)
    _of_raw_rows("; a dataset's are shuffled, and their columns are features", ids=ids, keep=keep, format=format, **written, missing=missing,
                 loss=loss)
    data, = inputs
    found = dataset.load(data)
    need(not model.stateful, "a dataset's rows are shuffled: with a stateful model, call model.predict on arrays")
    same_features(Run(run).features(), run, found, label=False)
    if model.input_shape != tuple(found.shape):
        raise ConfigError(f"the model takes examples of shape {model.input_shape}, {data} has "
                          f"{tuple(found.shape)}")
    limits.check(model, at_once(model, AT_ONCE))
    shards = [s for s in found.shards if s.n]
    asked = plan.Plan(model.to_json(), 0, 0, 0, None, 1, 0, [],
                      score=[plan.name(found.uid, s.index) for s in shards], seals=seals([(found, s) for s in shards]))
    places = 0 if probabilities or not model.classifies_places else math.prod(model.output_shape[:-1])
    outputs = 2 * places or sum(map(math.prod, model.output_shapes()))
    files = {s.path: (f"part-{number:05d}", s.n) for number, s in enumerate(shards)}
    with opened(runner, cores) as cluster, state_file(model, cluster) as state, plan_file(asked, cluster) as path:
        reached(cluster, found)
        hands = [[s.path for s in hand] for hand in schedule.of_shards(shards, cluster, VALUE * outputs)]
        schedule.tell_shared(cluster, len(hands), len(shards))
        with cluster.run(Predict, hands, ["--state", state, "--plan", path, *["--probabilities"] * probabilities],
                         name=f"mrdl predict {run}", on_task=on_task) as output, filling(place, BEGUN, PREDICTIONS, vacant):
            for part, hand in enumerate(hands):
                _taken(output, part, [files[path] for path in hand], place)
            targets = int(np.prod(found.target.shape)) if found.target else 0
            columns = ["target"] if targets == 1 else [f"target{i}" for i in range(targets)]
            columns += ["class"] if model.classifies else []
            columns += ([f"{what}{i}" for what in ("class", "probability") for i in range(places)]
                        or [f"output{i}" for i in range(outputs)])
            place.write("columns.csv", (",".join(columns) + "\n").encode())
    return sum(s.n for s in shards)


def _taken(output: Output, part: int, files: list[tuple[str, int]], place: Storage) -> None:
    """Splits a part of a job's output into files, given as (name, number of lines); RoundError if it has another number
    of lines."""
    if len(files) == 1:
        output.move(part, place.path(files[0][0]))
        return
    lines = output.lines(part)
    for name, n in files:
        own = [line + b"\n" for line in islice(lines, n)]
        if len(own) < n:
            raise RoundError(f"{name}: {len(own)} predictions of {n}: examples were lost")
        place.write(name, b"".join(own))
    if next(lines, None) is not None:
        raise RoundError(f"{name}: more predictions than {n}: examples came twice")
