"""What the tests of raw input share: files of every kind, and a prepare job without a cluster."""
import gzip
import json
import struct
from pathlib import Path

import numpy as np

from mrdl.data import blocks
from mrdl.data.dataset import DESCRIPTION, Dataset, load
from mrdl.data.facts import merged_facts
from mrdl.data.preparation import Plan
from mrdl.data.rows import Rows
from mrdl.data.schema import Schema
from mrdl.data.shards import output_lines
from mrdl.data.sniff import sniff
from mrdl.data.tables.asked import Asked
from mrdl.data.tables.kinds import Ignore, Label, Numeric, Weight
from mrdl.data.tables.table import Table
from mrdl.storage.sealed import seal


def as_numbers(paths, label=None, weight=None, drop=(), **more) -> Schema:
    """The schema of inputs; of a table with columns that are all numbers, those that are missing bad records, and a label that is
    an amount."""
    schema = sniff(paths, label, weight, **more)
    if not schema.tabular:
        return schema
    asked = Asked(label, weight, drop=drop).among(schema.columns)
    kinds = {asked.label: Label(), asked.weight: Weight()} | dict.fromkeys(asked.drop, Ignore())
    return schema.by(Table({name: kinds.get(name, Numeric(missing="refuse", missing_words=())) for name in schema.columns}))


def plan_of(schema: Schema, shards=2, **options) -> Plan:
    """What prepare's tasks are told: how rows are read and dealt to shards. `options`: other fields of Plan."""
    fields = {"dataset": "abc", "seed": 0, "keys": [f"{i:05d}" for i in range(shards + 1)],
              "validation": 0, "hold_out": 0.0, "dtype": "float32", "classes": None}
    return Plan(schema, **{**fields, **options})


def mapped(plan: Plan, lines, file="f", start=0):
    """What the mapper makes of a file's lines: the packed rows of each shard, as the shuffle would give them to its
    reducer, and the facts that the last key is for (counts, bad records and the like)."""
    by_key = {key.encode(): [] for key in plan.keys}
    for key, value in one_by_one(Rows(plan, file, start).pairs(lines)):
        by_key[key].append(value)
    *shards, facts = by_key.values()
    return [sorted(values) for values in shards], json.loads(merged_facts(facts))


def one_by_one(pairs):
    """Key and value of each line of a mapper whose values may be several lines."""
    return (line.split(b"\t", 1) for pair in pairs for line in b"\t".join(pair).split(b"\n"))


def made(plan: Plan, shard: int, values) -> list[bytes]:
    """What the reducer writes of a shard."""
    return list(output_lines(plan, [plan.keys[shard].encode() + b"\t" + value for value in values]))


def packed(plan: Plan, shard: int, values) -> list[blocks.Block]:
    """The blocks that the reducer makes of a shard's packed rows."""
    found = [blocks.unpack(line) for line in made(plan, shard, values)]
    assert [(block.shard, block.index) for block in found] == [
        (shard, index) for index in range(len(found))]
    return found


def examples(plan: Plan, lines, file="f", start=0):
    """Every row that comes out of the blocks, as (x, y, w) in lists."""
    found = []
    for shard, values in enumerate(mapped(plan, lines, file, start)[0]):
        for block in packed(plan, shard, values):
            arrays = block.arrays()
            parts = [arrays[name].tolist() if name in arrays else [None] * block.n
                     for name in "xyw"]
            found += zip(*parts)
    return sorted(found, key=str)


def text(folder, content: str | bytes, name="in.csv") -> str:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(folder / name)


def without_table(data: Dataset) -> Dataset:
    """The dataset as an earlier version made it, of numbers alone."""
    path = Path(data.url, DESCRIPTION)
    facts = {name: value for name, value in json.loads(path.read_bytes()).items() if name != "seal"}
    path.write_text(json.dumps(seal(facts | {"table": None})))
    return load(data.url)


def idx(array: np.ndarray) -> bytes:
    """The array as a file of MNIST's format, IDX."""
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")
                                                                  ).tobytes()


def table(rows=300, columns=6, seed=0) -> list[bytes]:
    """Lines of CSV without a header."""
    values = np.random.default_rng(seed).integers(0, 400, (rows, columns))
    return [b",".join(b"%d" % value for value in row) for row in values]


def shard_bytes(data: Dataset) -> list[bytes]:
    return [Path(shard.path).read_bytes() for shard in data.shards]
