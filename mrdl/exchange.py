"""A round's exchange: a state and a plan in, the merged vector and the workers' records out.

Plain: a round is a MapReduce job. Whatever else may carry the partials must give the same bits."""
import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mrdl import partial
from mrdl.cluster import Cluster
from mrdl.jobs.evaluate import Evaluate
from mrdl.jobs.train import TrainRound
from mrdl.plan import Plan


class RoundError(RuntimeError):
    """A round whose parts do not add up, or in which a worker failed."""


@dataclass
class Merged:
    """The means by chunk, and each worker's records."""
    vector: np.ndarray | None           # None: no worker got so far
    workers: int
    n: int
    records: list[dict] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)     # of the job's phases, where it tells
    job: dict[str, int] = field(default_factory=dict)           # its counters, where it has some


@contextmanager
def plan_file(plan: Plan, cluster: Cluster):
    """The plan as a file that a job can be given; with the cluster's own, which go if we are killed."""
    with tempfile.TemporaryDirectory(prefix="plan-", dir=cluster.tmp) as folder:
        path = os.path.join(folder, "plan.json")
        with open(path, "wb") as file:
            file.write(plan.dump())
        yield path


class Exchange(Protocol):
    """`mappers` are the inputs of one each: paths of a shard to train, or of shards to score."""

    def begin(self, run: str) -> None: ...

    def reducers(self, workers: int, size: int) -> int: ...

    def round(self, name: str, state: str, plan: Plan, mappers: list[list[str]], size: int,
              dtype: str, reducers: int,
              on_task: Callable[[str, int, int], None] | None = None) -> Merged: ...

    def score(self, name: str, state: str, plan: Plan, mappers: list[list[str]]) -> list[dict]: ...


class PlainExchange:
    """One job a round: state and plan by the distributed cache, partials through the shuffle."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster

    def begin(self, run: str) -> None:
        """Called once this driver is the run's only one."""
        self.cluster.own(run)

    def reducers(self, workers: int, size: int) -> int:
        """How many share the merge of a vector of that size."""
        return self.cluster.reducers(workers, partial.pieces(size))

    def round(self, name, state, plan, mappers, size, dtype, reducers, on_task=None) -> Merged:
        """RoundError where a chunk is missing or counts differ between chunks."""
        with plan_file(plan, self.cluster) as path, self.cluster.run(
                TrainRound, mappers, ["--state", state, "--plan", path, "--dtype", dtype],
                reducers=reducers, name=name, on_task=on_task) as output:
            merged = self._gather(output, plan, size, np.dtype(dtype))
            merged.seconds = output.report.get("seconds", {})
            merged.job = output.report.get("job", {})
            return merged

    def score(self, name, state, plan, mappers) -> list[dict]:
        """The records of a job that scores `state` over the plan's shards and trains nothing."""
        with plan_file(plan, self.cluster) as path, self.cluster.run(
                Evaluate, mappers, ["--state", state, "--plan", path], name=name) as output:
            protocol = partial.PartialProtocol()
            records = [protocol.read(line)[1].values for part in range(len(output.parts))
                       for line in output.lines(part)]
        return sorted(records, key=lambda r: str(r.get("scored", "")))

    def _gather(self, output, plan: Plan, size: int, dtype: np.dtype) -> Merged:
        protocol, records, found = partial.PartialProtocol(dtype), [], {}
        for part in range(len(output.parts)):
            for line in output.lines(part):
                chunk, p = protocol.read(line)
                if chunk.startswith(partial.RECORD):
                    records.append({"worker": p.worker, **p.values})
                elif chunk in found:
                    raise RoundError(f"chunk {chunk} came twice")
                else:
                    found[chunk] = p
        records.sort(key=lambda r: (r["worker"], str(r.get("scored", ""))))
        if not found:
            return Merged(None, 0, 0, records)
        ranges = partial.ranges(size, plan.keys)
        missing = [key for key, _ in zip(plan.keys, ranges) if key not in found]
        if missing and not any("error" in r for r in records):
            raise RoundError(f"chunks are missing: {', '.join(missing[:5])}")
        vector, seen = np.empty(size, dtype), set()
        for key, (start, stop) in zip(plan.keys, ranges):
            if key in found:
                p = found[key]
                if len(p.values) != stop - start:
                    raise RoundError(f"chunk {key} has {len(p.values)} values, not {stop - start}")
                vector[start:stop] = p.values
                seen.add((p.worker, p.n))
        if len(seen) != 1:
            raise RoundError(f"the chunks were merged from different workers: {sorted(seen)}")
        workers, n = seen.pop()
        return Merged(vector, workers, n, records)
