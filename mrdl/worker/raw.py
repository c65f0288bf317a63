"""A mapper's split of raw rows: scored line by line, or summed up."""
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mrdl import metrics
from mrdl.data.blocks import narrow
from mrdl.data.misread import misread
from mrdl.data.readers.in_order import Kept, Ordered, Rules, in_order
from mrdl.data.readers.table import read_back
from mrdl.data.windows import Arrays
from mrdl.models.model import Model
from mrdl.models.saving import model_from_json
from mrdl.report import advice
from mrdl.report.assessed import Assessed
from mrdl.rounds.state import State
from mrdl.storage import pieces
from mrdl.storage.schemes import store_at
from mrdl.training.scoring import Scorer
from mrdl.worker.counters import GROUP, Increment
from mrdl.worker.scored import TABLE, Lines
from mrdl.worker.worst import Worst

#: file, its first byte that is read, lines: of each file that a mapper reads (RawLines.splits)
Splits = Iterable[tuple[str, int, pieces.Lines]]


def given(asked: dict, state: str) -> Model:
    model = model_from_json(asked["spec"])
    model.weights = State.weights_of(state)
    return model


class Note:
    """What a mapper tells of its split: where it begins, and what became of its rows."""

    def __init__(self):
        self.facts = {"file": os.environ.get("mapreduce_map_input_file", ""),
                      "start": int(os.environ.get("mapreduce_map_input_start", "0")),
                      "rows": 0, "bytes": 0, "left_out": 0, "bad": {}, "misread": {}, "unseen": {}, "samples": []}

    def add(self, records: Kept) -> None:
        """Counts the bad rows of a file."""
        facts = self.facts
        facts["left_out"] += records.left_out
        facts["samples"] += records.samples
        facts["bad"] = dict(Counter(facts["bad"]) + records.bad)
        facts["misread"] = misread([facts["misread"], records.misread])
        facts["unseen"] = dict(Counter(facts["unseen"]) + records.unseen)


def predictions(splits: Splits, state: str, plan: str, increment: Increment) -> Iterator[bytes]:
    """A line for each row, those of many rows at once, without the end of the last one; at the end a note of how many there
    were, where the driver looks for it. They are counted in Hadoop's counters too."""
    asked = json.loads(Path(plan).read_bytes())
    schema, model, note = read_back(asked["schema"]), given(asked, state), Note()
    writer = Lines(model, asked["classes"], asked["kept"], asked["format"], unit=schema.unit,
                   label=schema.label if asked["loss"] else None)
    if asked["format"] == TABLE:
        from mrdl.worker.scored_table import Scored
        writer = Scored(writer, asked["types"])
    scorer, weighted = asked["loss"] and Scorer(model, model.weights), schema.weight is not None
    rules = _rules(model, weighted) if scorer else None
    for file, start, own in splits:
        records = Kept(file, start, schema.name_of)
        mark = schema.mark(file)
        for rows in in_order(schema, records, own, model.dtype, rules):
            losses = scorer.losses(_arrays(rows, weighted, model.dtype.name)) if scorer else None
            lines = writer.of(rows, records.name, mark, losses)
            if lines:
                note.facts["bytes"] += len(lines)
                yield lines[:-1]
            note.facts["rows"] += len(rows.errors)
        note.add(records)
    increment(GROUP, "rows", note.facts["rows"])
    increment(GROUP, "unread", sum(note.facts["bad"].values()))
    number, notes = int(os.environ.get("mapreduce_task_partition", "0")), store_at(asked["notes"])
    writer.end(notes, f"{number:05d}.{TABLE}")
    notes.write(f"{number:05d}.json", json.dumps(note.facts).encode())


def scores(splits: Splits, state: str, plan: str) -> Iterator[bytes]:
    """One line: the note, with the sums of the loss and the metrics, what the labels are like, and what a report is made of."""
    asked = json.loads(Path(plan).read_bytes())
    schema, model, note = read_back(asked["schema"]), given(asked, state), Note()
    assessed = asked["report"] and Assessed.of(asked["report"])
    scorer = Scorer(model, model.weights, seen=assessed and assessed.add)
    targets, rules = {}, _rules(model, schema.weight is not None)
    worst = asked["worst"] and Worst(asked["worst"], model, asked["classes"], schema.label, asked["ids"])
    for file, start, own in splits:
        records = Kept(file, start, schema.name_of)
        for rows in in_order(schema, records, own, model.dtype, rules):
            note.facts["rows"] += len(rows.errors)
            if len(rows.x):
                arrays = _arrays(rows, schema.weight is not None, model.dtype.name)
                scorer.add(arrays)
                metrics.add(targets, advice.targets(model, arrays))
                if worst:
                    worst.add(rows, scorer.losses(arrays), records.name, schema.mark(file))
        note.add(records)
    yield json.dumps({**note.facts, "sums": metrics.plain(scorer.sums), "targets": metrics.plain(targets),
                      "report": assessed and assessed.dump(), "worst": worst.rows if worst else []}).encode()


def _arrays(rows: Ordered, weighted: bool, dtype: str) -> Arrays:
    """The rows as the blocks of a dataset give them."""
    found = {"x": rows.x, "y": narrow(rows.rest[:, 0], dtype, labels=True)}
    return {**found, "w": rows.rest[:, 1].astype(dtype)} if weighted else found


def _rules(model: Model, weighted: bool) -> Rules:
    """Labels must be what the loss takes, weights 0 or more."""
    loss, units = model.loss, model.output_shape[-1]

    def rules(rest: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        y, w = rest[:, 0], rest[:, -1]
        with np.errstate(invalid="ignore", over="ignore"):
            fits = (y >= 0) & (y < units) & (y == np.floor(y)) if loss.sparse and not loss.joint else (y >= loss.low) & (y <= loss.high)
            yield "label out of range", ~fits
            yield f"beyond {model.dtype.name}", ~np.isfinite(rest.astype(model.dtype)).all(1)
            yield "negative weight", (w < 0) & weighted
    return rules
