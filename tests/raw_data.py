"""What the tests of raw input share: files of every kind, and a prepare job without a cluster."""
import gzip
import json
import struct

import numpy as np

from mrdl import blocks
from mrdl.records import Plan, Rows, merged_facts, shard_lines
from mrdl.schema import Schema


def plan_of(schema: Schema, shards=2, **options) -> Plan:
    fields = {"dataset": "abc", "seed": 0, "keys": [f"{i:05d}" for i in range(shards + 1)],
              "validation": 0, "hold_out": 0.0, "dtype": "float32", "classes": None}
    return Plan(schema, **{**fields, **options})


def mapped(plan: Plan, lines, file="f", start=0):
    """Rows by key, as the shuffle would give them, and the facts."""
    by_key = {key.encode(): [] for key in plan.keys}
    for key, value in Rows(plan, file, start).pairs(lines):
        by_key[key].append(value)
    *shards, facts = by_key.values()
    return [sorted(values) for values in shards], json.loads(merged_facts(facts))


def examples(plan: Plan, lines):
    """Every row that comes out of the blocks, as (x, y, w) in lists."""
    found = []
    for shard, values in enumerate(mapped(plan, lines)[0]):
        for block in blocks.read(shard_lines(plan, shard, values)):
            arrays = block.arrays()
            parts = [arrays[name].tolist() if name in arrays else [None] * block.n
                     for name in "xyw"]
            found += zip(*parts)
    return sorted(found, key=str)


def text(folder, content: str | bytes, name="in.csv") -> str:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(folder / name)


def idx(array: np.ndarray) -> bytes:
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")
                                                                  ).tobytes()
