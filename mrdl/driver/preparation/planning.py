"""What the mappers of jobs on raw rows read; a prepare job's plan, Hadoop's settings, how many tasks it has."""
import json
import os
from hashlib import blake2b
from itertools import groupby
from typing import NamedTuple

from mrdl.data.preparation import Plan
from mrdl.data.schema import Schema
from mrdl.printing import counted
from mrdl.runners import sharing
from mrdl.runners.cluster import Cluster
from mrdl.runners.partitioning import spread
from mrdl.runners.streaming import LINE_ENDS
from mrdl.storage.partitions import within
from mrdl.storage.paths import size

SHARD = 64 << 20                # bytes of input that make a shard
FEW = 8                         # so many reducers at least, where there are as many shards


def planned(schema: Schema, shards: int | None, hold_out: float, seed: int, dtype: str,
            classes: int | None, stratify: bool) -> tuple[Plan, int]:
    """The plan, and how many reducers it is for."""
    lengths = sizes(schema)
    train = shards or max(2, round(sum(lengths.values()) / SHARD))
    validation = max(1, round(train * hold_out / (1 - hold_out))) if hold_out else 0
    options = [train, hold_out, seed, dtype, classes, *["stratified"] * stratify, schema.label, schema.weight, *schema.decides(),
               *["sparse"] * schema.sparse,
               sorted((within(path), count) for path, count in lengths.items())]
    uid = blake2b(json.dumps(options).encode(), digest_size=8).hexdigest()
    total = train + validation + 1
    # small shards share a reducer: key i goes to reducer i % reducers, and reaches it in the order of shards
    reducers = min(total, max(FEW, sum(lengths.values()) // sharing.LEAST))
    keys = spread([f"{index:05d}" for index in range(total)], reducers, sort_values=True)
    return Plan(schema, uid, seed, keys, validation, hold_out, dtype, classes, stratify=stratify), reducers


class Inputs(NamedTuple):
    """What the mappers of a job on raw rows read."""
    tasks: list[list[str]]      # the files of each
    split: bool                 # whether several may share a file
    settings: dict[str, str]    # Hadoop's


def reachable(schema: Schema, cluster: Cluster) -> Schema:
    """The schema of files that tasks can open: of copies, where tasks do not see this machine's. Files of lines are copied when
    their job begins."""
    return schema if schema.by_lines else schema.copied(cluster.upload)


def inputs(schema: Schema, folder: str, cluster: Cluster, ordered: bool = False) -> Inputs:
    """Files of text, of which small ones share a mapper; or of lines that name spans, short ones of which do.

    Args:
        schema: of the rows.
        folder: where the lines that name spans are written.
        cluster: where the job runs.
        ordered: whether what mappers read follows the order of the rows."""
    if not schema.by_lines:
        return Inputs([[path] for path in manifests(schema, folder, cluster.slots())], False, {})
    found = _in_order(schema.files, cluster.slots()) if ordered else sharing.shared(
        schema.files, sizes(schema).__getitem__, cluster.slots)
    return Inputs(found, not schema.whole and any(len(task) == 1 for task in found), LINE_ENDS)


def _in_order(files: list[str], slots: int) -> list[list[str]]:
    """The files of each mapper, in their order: a large one alone, small ones that follow each other together."""
    found: list[list[str]] = []
    for small, run in groupby(files, lambda path: slots > 0 and size(path) < sharing.SMALL):
        paths = [*run]
        found += sharing.hands_of(paths, size, slots) if small else [[path] for path in paths]
    return found


def told(plan: Plan, tasks: list[list[str]], reducers: int) -> str:
    """For the user: how many tasks there are, and for what; a large text may be split among more."""
    lengths = sizes(plan.schema)
    split = plan.schema.by_lines and max(lengths.values()) >= sharing.SMALL
    return (f"planned: {'at least ' * split}{counted(len(tasks), 'map task')} for {counted(len(lengths), 'file')}; "
            f"{counted(plan.shards, 'shard')} written by {counted(reducers, 'reduce task')}")


def manifests(schema: Schema, folder: str, slots: int = 0) -> list[str]:
    """Files of lines, a span that a mapper reads each: file TAB start TAB stop. Short ones share a file."""
    found: list[str] = []
    spans = schema.spans()
    hands = sharing.hands_of(spans, lambda span: span[1], slots, schema.share) if slots else [[span] for span in spans]
    for hand in hands:
        found.append(os.path.join(folder, f"rows-{len(found):06d}"))
        with open(found[-1], "w", encoding="ascii") as file:
            file.writelines(f"{index}\t{start}\t{stop}\n" for (index, start, stop), _ in hand)
    return found


def sizes(schema: Schema) -> dict[str, int]:
    """The bytes of each input file."""
    return {path: size(path) for path in schema.paths()}


def settings(schema: Schema, plan: Plan) -> dict[str, str]:
    """Hadoop's: a block of HDFS that holds a shard whole, so that one node has all of it (base64 takes a third more)."""
    megabytes = int(sum(sizes(schema).values()) / plan.shards * 1.6) >> 20
    return {"dfs.blocksize": str(megabytes << 20)} if megabytes > 32 else {}
