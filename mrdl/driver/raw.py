"""A model over raw rows, by map-only jobs: a line for each row, in the order of the input."""
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from glob import has_magic
from importlib.util import find_spec
from typing import Any

from mrdl import metrics
from mrdl.config import need
from mrdl.data.dataset import DESCRIPTION, load
from mrdl.data.facts import FEW_BAD
from mrdl.data.folds import apart
from mrdl.data.misread import Misread, misread
from mrdl.data.schema import Schema
from mrdl.data.sources import DataError, demand
from mrdl.data.tables.kinds import Label, Weight
from mrdl.data.tables.table import Table
from mrdl.driver.notebook import notebook
from mrdl.driver.preparation import planning
from mrdl.driver.preparation.outcome import tolerated
from mrdl.driver.scoring import state_file
from mrdl.jobs.evaluate_rows import EvaluateRows
from mrdl.jobs.predict_rows import PredictRows
from mrdl.models.features import class_names, matched, table_of
from mrdl.models.model import Model
from mrdl.printing import few
from mrdl.report.assessed import Assessed
from mrdl.rounds.merged import RoundError
from mrdl.runners.cluster import Cluster
from mrdl.runners.output import Output
from mrdl.runners.streaming import Job
from mrdl.runs.run import Run
from mrdl.storage.base import Storage
from mrdl.storage.paths import exists, is_folder, move, size
from mrdl.storage.schemes import store_at
from mrdl.training.inputs import check_target
from mrdl.worker.scored import FORMATS, TABLE, Lines
from mrdl.worker.worst import largest

SAMPLES = 5                     # bad rows that are shown


@dataclass
class Counted:
    """What became of raw rows.

    Args:
        rows: how many there were.
        bad: of those that could not be read how many there were for each reason.
        misread: of values that their column cannot have the columns, and how many rows have each.
        left_out: how many lack a value without which the schema uses no row.
        unseen: by column how many have a value that the schema does not know.
        samples: some of the bad ones: file, offset, reason, text.
        worst: those with the largest losses, where they were asked for: loss, file, place, ids, label,
            prediction."""
    rows: int = 0
    bad: Counter = field(default_factory=Counter)
    misread: Misread = field(default_factory=dict)
    left_out: int = 0
    unseen: Counter = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)

    def add(self, note: dict[str, Any]) -> None:
        self.rows += note["rows"]
        self.bad.update(note["bad"])
        self.misread = misread([self.misread, note["misread"]])
        self.left_out += note["left_out"]
        self.unseen.update(note["unseen"])
        self.samples = (self.samples + note["samples"])[:SAMPLES]

    def facts(self) -> dict[str, Any]:
        """What `tolerated` judges by."""
        return {"bad": self.bad, "misread": self.misread, "samples": self.samples, "characters": 0, "rows": [self.rows - self.bad.total()]}


def is_dataset(inputs: Sequence[str]) -> bool:
    """Whether the input is one folder, in which there is a dataset."""
    folder, _ = apart(inputs[0])
    return len(inputs) == 1 and is_folder(folder) and store_at(folder).exists(DESCRIPTION)


def there(inputs: Sequence[str]) -> bool:
    """Whether there may be raw rows: several inputs, a pattern, or what exists."""
    return len(inputs) > 1 or has_magic(inputs[0]) or is_folder(inputs[0]) or exists(inputs[0])


def predict_rows(model: Model, run: str, inputs: Sequence[str], place: Storage, cluster: Cluster, *, ids: Sequence[str],
                 keep: Sequence[str], format: str | None, written: Mapping[str, Any], missing: Sequence[str], on_task: Callable | None, said: Callable[[str], None],
                 fill: Callable, loss: bool) -> Counted:
    """Writes a line for each raw row into a folder: part-00000 has the header (of CSV), the others the rows. Of Parquet each part is a file.

    `written`: what the user says of how the rows are written, as `sniff` takes it; `missing`: words for missing values; `fill`: what is to be entered while the
    folder is filled; `loss`: whether the rows have the label and the loss too."""
    need(format is None or format in (*FORMATS, TABLE), f"format {format}: must be {', '.join(FORMATS)} or {TABLE}")
    need(format != TABLE or find_spec("pyarrow"), f"to write {TABLE}: pip install 'mrdl[arrow]'")
    table = table_of(model, run).written(missing, written["decimal"])
    kept = list(dict.fromkeys([*ids, *keep]))
    if loss:
        one_each(model)
        table = labelled(table, run, None)
    schema = _told(matched(inputs, table, run, kept, rest=loss, **written), run, said)
    format = format or schema.scored
    lines = Lines(model, class_names(table), kept, format, unit=schema.unit, label=table.label if loss else None)
    lines.check()
    counted, first = Counted(), int(format == "csv")
    with notebook(cluster) as notes, _job(PredictRows, f"mrdl predict {run}", model, schema, {
            "classes": class_names(table), "kept": kept, "format": format, "types": schema.types([*kept, table.label] if loss else kept),
            "notes": notes.url, "loss": loss},
            cluster, on_task, ("pyarrow",) if format == TABLE else ()) as output, fill():
        found = _noted(output, notes)
        for part in ordered(found):
            counted.add(found[part])
        if counted.bad.total() > FEW_BAD:
            tolerated(counted.facts(), 1.0)
        if first:
            place.write("part-00000", lines.header())
        filled = [part for part in ordered(found) if found[part]["rows"]]
        for number, part in enumerate(filled, first):
            if format == TABLE:
                move(notes.path(f"{_number(output.parts[part])}.{TABLE}"), place.path(f"part-{number:05d}.{TABLE}"))
            else:
                output.move(part, place.path(f"part-{number:05d}"))
    return counted


def evaluate_rows(model: Model, run: str, inputs: Sequence[str], cluster: Cluster, *, label: str | None, written: Mapping[str, Any], missing: Sequence[str],
                  max_bad: float | None, assessed: Assessed | None, on_task: Callable | None, said: Callable[[str], None],
                  worst: int, ids: Sequence[str]) -> tuple[metrics.Sums, metrics.Sums, Counted]:
    """The sums of a model's loss and metrics over raw rows, what their labels are like, and what became of them. DataError where
    too many of them cannot be read, by `max_bad`. `written`, `missing`: as for predict_rows; `assessed`: gets what a report is made of; `worst`: how many of the
    rows with the largest losses are wanted; `ids`: the columns that name these."""
    need(not model.stateful, "rows are split among mappers, so a stateful model cannot be scored on them")
    check_target(model, ())
    table = labelled(table_of(model, run), run, label).written(missing, written["decimal"])
    if worst:
        one_each(model)
    schema = _told(matched(inputs, table, run, ids, rest=True, **written), run, said)
    sums, targets, counted = {}, {}, Counted()
    with _job(EvaluateRows, f"mrdl evaluate {run}", model, schema, {
            "report": assessed and assessed.asked, "worst": worst, "ids": [*ids], "classes": class_names(table)}, cluster, on_task) as output:
        notes = [json.loads(b"".join(output.lines(part))) for part in range(len(output.parts))]
    for note in (notes[part] for part in ordered(notes)):
        counted.add(note)
        metrics.add(sums, note["sums"])
        metrics.add(targets, note["targets"])
        if assessed:
            assessed.merge(note["report"])
        counted.worst = largest([*counted.worst, *note["worst"]], worst)
    tolerated(counted.facts(), max_bad)
    demand("loss" in sums, f"{schema.files[0]}: no row has a label")
    return sums, targets, counted


def _told(found: tuple[Schema, list[str]], run: str, said: Callable[[str], None]) -> Schema:
    """The schema that `matched` has found, after the user is told what it is and which columns are ignored."""
    schema, ignored = found
    for note in [*schema.notes, *([f"ignored, as {run} does not know them: {few(ignored)}"] if ignored else [])]:
        said(note)
    return schema


def one_each(model: Model) -> None:
    """ConfigError where a row has no loss of its own."""
    need(not isinstance(model.compiled().loss, list) and model.loss.steps(model.output_shape) == 1,
         "the loss of each row is only known of models with one output and one loss for each row")
    check_target(model, ())


def labelled(table: Table, run: str, label: str | None) -> Table:
    """The table with a label: its own, the one that is named, or that of the run's dataset, where that is still there; it then
    has the dataset's weight too."""
    demand(label is None or table.label in (None, label), f"column {label!r} is named for the label, but {run} has {table.label!r} for it")
    if table.label is not None:
        return table
    place, weight = Run(run), None
    if place.exists():
        with suppress(DataError, OSError):
            data = load(place.options()["data"]["url"])
            label, weight = label or data.label, data.weight
    demand(label is not None, "which column of the rows is the label is not known: name it with label (--label)")
    demand(label not in table.columns, f"column {label!r} is a feature of {run}, so it cannot be the label")
    return Table({**table.columns, label: Label(), **({weight: Weight()} if weight else {})}, table.form)


def ordered(notes: Sequence[dict[str, Any]]) -> list[int]:
    """The parts of a job's output in the order of its inputs, by what their tasks noted. Their own order is that of the files
    (Output), but not of the splits of one."""
    first: dict[str, int] = {}
    return sorted(range(len(notes)), key=lambda part: (first.setdefault(notes[part]["file"], part), notes[part]["start"]))


@contextmanager
def _job(job: type[Job], name: str, model: Model, schema: Schema, asked: dict[str, Any], cluster: Cluster, on_task: Callable | None,
         packages: tuple[str, ...] = ()) -> Iterator[Output]:
    """The output of a job over the rows of a schema's files."""
    with state_file(model, cluster) as state, tempfile.TemporaryDirectory(dir=cluster.tmp) as folder:
        path = os.path.join(folder, "plan.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump({"spec": model.to_json(), "schema": planning.reachable(schema, cluster).dump(), **asked}, file)
        tasks, split, settings = planning.inputs(schema, folder, cluster, ordered=True)
        with cluster.run(job, tasks, ["--state", state, "--plan", path], split=split, name=name, settings=settings,
                         packages=(*schema.needs, *packages), on_task=on_task) as output:
            yield output


def _noted(output: Output, notes: Storage) -> list[dict[str, Any]]:
    """What the task of each part has noted, which must be what there is."""
    found = []
    for path in output.parts:
        name = f"{_number(path)}.json"
        if not notes.exists(name):
            raise RoundError(f"{path}: its task left no note of what it has done: rows were lost")
        found.append(json.loads(notes.read(name)))
        if size(path) != found[-1]["bytes"]:
            raise RoundError(f"{path}: is not as its task wrote it: rows were lost")
    return found


def _number(part: str) -> str:
    """That of the task that wrote it."""
    return part.rpartition("-")[2]
