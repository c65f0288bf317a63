"""A round's exchange: a state and a plan in, the merged vector and the workers' records out.

Plain: a round is a MapReduce job. Resident (mrdl.driver.exchanges.resident): one job for many rounds. The same bits."""
import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from mrdl.data.dataset import Shard
from mrdl.driver import schedule
from mrdl.jobs.describe import Describe
from mrdl.jobs.evaluate import Evaluate
from mrdl.jobs.train import TrainRound
from mrdl.rounds import partial
from mrdl.rounds.merged import Merged, gathered
from mrdl.rounds.plan import Plan
from mrdl.rounds.record import Record, order, parse
from mrdl.rounds.state import State
from mrdl.runners.cluster import Cluster


@contextmanager
def plan_file(plan: Plan, cluster: Cluster):
    """The plan as a file that a job can be given; with the cluster's own, which go if we are killed."""
    with tempfile.TemporaryDirectory(prefix="plan-", dir=cluster.tmp) as folder:
        path = os.path.join(folder, "plan.json")
        with open(path, "wb") as file:
            file.write(plan.dump())
        yield path


class Exchange(Protocol):
    """`mappers` are the inputs of one each: paths of a shard to train, or of shards to score.

    A round begins from `state`, which lies at `path` once `ready` returns; that is called before a
    round is given back, at the latest, and raises what kept the state from being committed;
    `ready(wait=False)` raises it where it is known already."""

    def begin(self, run: str, check: Callable[[], None]) -> None: ...

    def reducers(self, workers: int, size: int) -> int: ...

    def hands(self, shards: list[Shard], workers: int) -> list[list[str]]: ...

    def failed(self, round: int) -> int: ...

    def round(self, name: str, state: State, path: str, ready: Callable[..., None], plan: Plan,
              mappers: list[list[str]], size: int, reducers: int,
              on_task: Callable[[str, int, int], None] | None = None) -> Merged: ...

    def score(self, name: str, path: str, plan: Plan, mappers: list[list[str]],
              on_task: Callable[[str, int, int], None] | None = None) -> list[Record]: ...

    def close(self, done: bool) -> None: ...

    def leave(self) -> None: ...


class PlainExchange:
    """One job a round: state and plan by the distributed cache, partials through the shuffle."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster

    def begin(self, run, check) -> None:
        """Called once this driver is the run's only one; `check` raises where it is not any more."""
        self.cluster.own(run)

    def reducers(self, workers: int, size: int) -> int:
        """How many share the merge of a vector of that size."""
        return self.cluster.reducers(workers, partial.pieces(size))

    def hands(self, shards, workers) -> list[list[str]]:
        """The inputs of the mappers that read these shards and train on none: on Hadoop by their bytes."""
        hands = schedule.of_shards(shards, self.cluster) if self.cluster.backend.jvms else schedule.pack(shards, workers)
        return [[s.path for s in hand] for hand in hands]

    def failed(self, round: int) -> int:
        """How often the round was tried elsewhere, at the rate and its halves, and was not finite."""
        return 0

    def round(self, name, state, path, ready, plan, mappers, size, reducers, on_task=None) -> Merged:
        """RoundError where a chunk is missing or counts differ between chunks."""
        ready()
        dtype = state.vector.dtype
        with plan_file(plan, self.cluster) as asked, self.cluster.run(
                TrainRound, mappers, ["--state", path, "--plan", asked, "--dtype", dtype.name],
                reducers=reducers, name=name, on_task=on_task) as output:
            merged = self._gather(output, plan, size, dtype)
            merged.seconds = output.report.get("seconds", {})
            merged.job = output.report.get("job", {})
            return merged

    def score(self, name, path, plan, mappers, on_task=None) -> list[Record]:
        """The records of a job that scores or describes the state at `path` over the plan's shards."""
        if self.cluster.backend.jvms:           # elsewhere each core has one
            schedule.tell_shared(self.cluster, len(mappers), len(plan.score))
        with plan_file(plan, self.cluster) as asked, self.cluster.run(
                Describe if plan.describe else Evaluate, mappers, ["--state", path, "--plan", asked], name=name,
                on_task=on_task) as output:
            protocol = partial.PartialProtocol()
            partials = [protocol.read(line)[1] for part in range(len(output.parts)) for line in output.lines(part)]
        return sorted((parse(p.worker, p.values) for p in partials), key=order)

    def close(self, done: bool) -> None:
        """The run has ended, well if `done`."""

    def leave(self) -> None:
        """The run is another driver's, and so is what that one can have taken over."""

    def _gather(self, output, plan: Plan, size: int, dtype: np.dtype) -> Merged:
        protocol = partial.PartialProtocol(dtype)
        return gathered((protocol.read(line) for part in range(len(output.parts))
                         for line in output.lines(part)), plan, size, dtype)
