"""A model over raw rows, by map-only jobs: a line for each row, in the order of the input."""
import json
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mrdl.config import need
from mrdl.data.dataset import DESCRIPTION
from mrdl.data.readers.columns import few
from mrdl.data.schema import Schema
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError, demand, expand
from mrdl.data.tables.table import Table
from mrdl.driver.scoring import state_file
from mrdl.jobs.predict_rows import PredictRows
from mrdl.models.features import class_names, table_of, without_rest
from mrdl.models.model import Model
from mrdl.rounds.merged import RoundError
from mrdl.runners import sharing
from mrdl.runners.cluster import Cluster
from mrdl.runners.output import Output
from mrdl.storage.base import Storage
from mrdl.storage.paths import is_folder, size
from mrdl.storage.schemes import store_at
from mrdl.worker.scored import ERROR, FORMATS, Lines

SAMPLES = 5                     # bad rows that are shown


@dataclass
class Counted:
    """What became of raw rows.

    Args:
        rows: how many there were.
        bad: of those that could not be read how many there were for each reason.
        left_out: how many lack a value without which the schema uses no row.
        samples: some of the bad ones: file, offset, reason, text."""
    rows: int = 0
    bad: Counter = field(default_factory=Counter)
    left_out: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, note: dict[str, Any]) -> None:
        self.rows += note["rows"]
        self.bad.update(note["bad"])
        self.left_out += note["left_out"]
        self.samples = (self.samples + note["samples"])[:SAMPLES]


def is_dataset(inputs: Sequence[str]) -> bool:
    """Whether the input is one folder, in which there is a dataset."""
    return len(inputs) == 1 and is_folder(inputs[0]) and store_at(inputs[0]).exists(DESCRIPTION)


def matched(inputs: Sequence[str], table: Table, run: str, header: bool | None, kept: Sequence[str], said: Callable[[str], None], *,
            named: bool) -> Schema:
    """The schema of raw inputs, of which a table makes features. `named`: whether the table's columns have names; `kept`: columns
    of the inputs that go through as they are."""
    paths = expand(list(inputs))
    found = sniff(paths, header=header, rows=False)
    demand(found.tabular, f"{paths[0]}: {found.kind} files have no columns that {run} could know: prepare them, and give the dataset")
    demand(named or len(found.columns) == len(table.features),
           f"{paths[0]}: has {len(found.columns)} columns, and {run} was trained on {len(table.features)} without names: leave the others out, "
           "or prepare the rows, and give the dataset")
    if named and not found.named:
        raise DataError(f"{paths[0]}: has no header, so its columns cannot be matched by name with those of {run}; if its first line has "
                        "their names: --header yes")
    odd = [name for name in kept if found.columns.count(name) != 1]
    demand(not odd, f"{paths[0]}: has no column {few(odd)} to keep, or several of this name; there are {few(found.columns)}")
    extra = [name for name in table.match(found.columns, paths[0], rest=False) if name not in kept]
    if extra and named:
        said(f"ignored, as {run} does not know them: {few(extra)}")
    return found.by(without_rest(table))


def tasks(schema: Schema, cluster: Cluster) -> list[list[str]]:
    """The files of each mapper, in their order: a large one alone, small ones that follow each other together."""
    slots, found, run = cluster.slots(), [], []
    for path in [*schema.files, None]:
        small = path is not None and slots and size(path) < sharing.SMALL
        if small:
            run.append(path)
            continue
        if run:
            found += sharing.hands_of(run, size, slots)
        found, run = found + [[path]] * (path is not None), []
    return found


def predict_rows(model: Model, run: str, inputs: Sequence[str], place: Storage, cluster: Cluster, *, ids: Sequence[str],
                 keep: Sequence[str], format: str, header: bool | None, on_task: Callable | None, said: Callable[[str], None],
                 fill: Callable) -> Counted:
    """Writes a line for each raw row into a folder: part-00000 has the header (of CSV), the others the rows.

    `fill`: what is to be entered while the folder is filled."""
    need(format in FORMATS, f"format {format}: must be {' or '.join(FORMATS)}")
    table = table_of(model, run)
    classes, named = class_names(table), (model.features or {}).get("columns") is not None or bool((model.features or {}).get("table"))
    kept = list(dict.fromkeys([*ids, *keep]))
    schema = matched(inputs, table, run, header, kept, said, named=named)
    lines = Lines(model, classes, kept, format)
    twice = [name for name, count in Counter(lines.columns).items() if count > 1]
    demand(not twice, f"columns {few(twice)} cannot be kept: the output has columns of these names itself")
    counted = Counted()
    with state_file(model, cluster) as state, notebook(cluster) as notes, tempfile.TemporaryDirectory(dir=cluster.tmp) as folder:
        path = os.path.join(folder, "plan.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump({"spec": model.to_json(), "schema": schema.dump(), "classes": classes, "kept": kept, "format": format,
                       "notes": notes.url}, file)
        hands = tasks(schema, cluster)
        with cluster.run(PredictRows, hands, ["--state", state, "--plan", path], split=any(len(hand) == 1 for hand in hands),
                         name=f"mrdl predict {run}", settings={"textinputformat.record.delimiter": "\n"}, on_task=on_task
                         ) as output, fill():
            number = 0
            if format == "csv":
                place.write("part-00000", lines.header() + b"\n")
                number = 1
            for part, note in ordered(output, notes):
                counted.add(note)
                if size(output.parts[part]) != note["bytes"]:
                    raise RoundError(f"{output.parts[part]}: is not as its task wrote it: rows were lost")
                if note["bytes"]:
                    output.move(part, place.path(f"part-{number:05d}"))
                    number += 1
    return counted


def ordered(output: Output, notes: Storage) -> Iterator[tuple[int, dict[str, Any]]]:
    """The parts of a job's output in the order of its inputs, and what their tasks noted. Its own order is that of the files
    (Output), but not of the splits of one."""
    found, first = [], {}
    for part, path in enumerate(output.parts):
        name = f"{path.rpartition('-')[2]}.json"
        if not notes.exists(name):
            raise RoundError(f"{path}: its task left no note of what it has done: rows were lost")
        note = json.loads(notes.read(name))
        found.append((first.setdefault(note["file"], part), note["start"], part, note))
    yield from ((part, note) for _, _, part, note in sorted(found, key=lambda each: each[:3]))


@contextmanager
def notebook(cluster: Cluster) -> Iterator[Storage]:
    """A folder into which tasks can write."""
    name = f"notes-{os.getpid()}-{secrets.token_hex(4)}"
    parent = cluster.backend.home("jobs") or cluster.tmp
    try:
        yield store_at(f"{parent}/{name}")
    finally:
        store_at(parent).clear(name)
