"""A mapper's split of raw rows: scored line by line, or summed up."""
import json
import os
from collections.abc import Iterable, Iterator
from itertools import groupby

from mrdl.data.readers.in_order import Kept, in_order
from mrdl.data.readers.lines import first_line
from mrdl.data.readers.table import read_back
from mrdl.models.model import Model
from mrdl.models.saving import model_from_json
from mrdl.rounds.state import State
from mrdl.storage.schemes import store_at
from mrdl.worker.scored import Lines


def files(lines: Iterable[bytes]) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """(file, first byte, lines) of each file that a mapper reads."""
    for file, own in groupby(lines, lambda _: os.environ.get("mapreduce_map_input_file", "").removeprefix("file://")):
        yield file, int(os.environ.get("mapreduce_map_input_start", "0")), own


def given(asked: dict, state: str) -> Model:
    model = model_from_json(asked["spec"])
    model.weights = State.load(state).vector
    return model


def predictions(lines: Iterable[bytes], state: str, plan: str) -> Iterator[bytes]:
    """A line for each row; at the end a note of how many there were, where the driver looks for it."""
    with open(plan, encoding="ascii") as file:
        asked = json.load(file)
    schema, model = read_back(asked["schema"]), given(asked, state)
    writer = Lines(model, asked["classes"], asked["kept"], asked["format"])
    note = {"file": os.environ.get("mapreduce_map_input_file", ""), "start": int(os.environ.get("mapreduce_map_input_start", "0")),
            "rows": 0, "bytes": 0, "left_out": 0, "bad": {}, "samples": []}
    for file, start, own in files(lines):
        records = Kept(file, start)
        mark = first_line(file, 0)[1] if file else 0
        for rows in in_order(schema, schema.made, records, own, model.dtype, rest=False):
            for line in writer.of(rows, file, mark):
                note["bytes"] += len(line) + 1
                yield line
            note["rows"] += len(rows.errors)
        note["left_out"] += records.left_out
        note["samples"] += records.samples
        for reason, count in records.bad.items():
            note["bad"][reason] = note["bad"].get(reason, 0) + count
    number = int(os.environ.get("mapreduce_task_partition", "0"))
    store_at(asked["notes"]).write(f"{number:05d}.json", json.dumps(note).encode())
