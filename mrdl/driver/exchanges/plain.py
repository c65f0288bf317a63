"""An exchange runs a round: it takes a state and a plan, and returns the merged vector and the workers' records.

Plain: each round is a MapReduce job. Resident (mrdl.driver.exchanges.resident): one job for many rounds. Both give the
same bits."""
import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import NamedTuple, Protocol

import numpy as np

from mrdl.data.dataset import Shard
from mrdl.driver import schedule
from mrdl.jobs.describe import Describe
from mrdl.jobs.evaluate import Evaluate
from mrdl.jobs.train import TrainRound
from mrdl.rounds import partial
from mrdl.rounds.broadcast import Broadcast
from mrdl.rounds.merged import Merged, gathered
from mrdl.rounds.plan import Plan
from mrdl.rounds.record import Record, order, parse
from mrdl.rounds.state import State
from mrdl.runners.cluster import Cluster
from mrdl.runners.streaming import Job

MANY = 64                       # workers; a reducer that merges chunks of so many has enough to do


class Coming(NamedTuple):
    """A round to come, as far as it is known before the one that makes its state: `state` has another vector yet."""
    state: State
    path: str
    plan: Plan
    mappers: list[list[str]]


@contextmanager
def plan_file(plan: Plan, cluster: Cluster):
    """Yields the path of a file with the plan, for a job. It is among the cluster's temporary files, which are removed even
    if the driver is killed."""
    with tempfile.TemporaryDirectory(prefix="plan-", dir=cluster.tmp) as folder:
        path = os.path.join(folder, "plan.json")
        with open(path, "wb") as file:
            file.write(plan.dump())
        yield path


def states_of(sent: str, path: str, plan: Plan) -> list[str]:
    """The arguments of a round's job whose coded state is at `sent`. The exact one, at `path`, goes along only to be scored."""
    return ["--state", sent, *["--scored", path] * bool(plan.score)]


class Exchange(Protocol):
    """`mappers` has the inputs of each mapper: the path of a shard to train on, or paths of shards to score.

    A round begins from `state`, which is at `path` once `ready()` has returned. `ready()` must be called before the round
    is returned, unless rounds are `brief`; it waits for the state's commit and raises its error. Without `wait`
    and `begin` it only raises an error that is known already. `foresee` is called before a round, with a function that gives the
    round after it, or None if that is not known yet: workers may be asked for it ahead.

    `coded`: the broadcast, if it is coded: workers train from it. `state` is then what it says, and at `path` is the exact one, which
    is scored."""

    def begin(self, run: str, check: Callable[[], None]) -> None: ...

    def reducers(self, workers: int, size: int) -> int: ...

    def lanes(self, workers: int) -> int: ...

    def hands(self, shards: list[Shard], workers: int) -> list[list[str]]: ...

    def failed(self, round: int) -> int: ...

    def brief(self) -> bool: ...

    def foresee(self, coming: Callable[[], Coming | None]) -> None: ...

    def round(self, name: str, state: State, path: str, ready: Callable[..., None], plan: Plan,
              mappers: list[list[str]], size: int, reducers: int,
              on_task: Callable[[str, int, int], None] | None = None, coded: Broadcast | None = None) -> Merged: ...

    def score(self, name: str, path: str, plan: Plan, mappers: list[list[str]],
              on_task: Callable[[str, int, int], None] | None = None) -> list[Record]: ...

    def close(self, done: bool) -> None: ...

    def leave(self) -> None: ...


class PlainExchange:
    """One job per round: the state and the plan are sent by the distributed cache, partials go through the shuffle."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster

    def begin(self, run, check) -> None:
        """Called when this driver has the run's lease; `check` raises an error if it has lost it."""
        self.cluster.own(run)

    def reducers(self, workers: int, size: int) -> int:
        """How many reducers merge a vector of this size: more where more than 64 workers send it, but at least a chunk each."""
        chunks = partial.pieces(size)
        return min(chunks, self.cluster.reducers(workers, chunks * max(1, workers // MANY)))

    def lanes(self, workers) -> int:
        """How many of a round's workers train at the same time; 0: a round's time says nothing."""
        return min(self.cluster.slots() or workers, workers)

    def hands(self, shards, workers) -> list[list[str]]:
        """The inputs of mappers that read these shards and do not train; on Hadoop distributed by size."""
        hands = schedule.of_shards(shards, self.cluster) if self.cluster.backend.jvms else schedule.pack(shards, workers)
        return [[s.path for s in hand] for hand in hands]

    def failed(self, round: int) -> int:
        """How often the round was already tried by a user (staged), with weights that were not finite."""
        return 0

    def brief(self) -> bool:
        """Are rounds so short that several may be committed together? Then the states between them are not written."""
        return False

    def foresee(self, coming) -> None:
        """Plain rounds are asked for one by one."""

    def round(self, name, state, path, ready, plan, mappers, size, reducers, on_task=None, coded=None) -> Merged:
        """Runs the round; RoundError if a chunk is missing or counts differ between chunks."""
        ready()
        dtype, (job, states) = state.vector.dtype, self._job(path, plan)
        with plan_file(plan, self.cluster) as asked, coded.file() if coded else nullcontext() as sent, self.cluster.run(
                job, mappers, [*(states_of(sent, path, plan) if sent else states), "--plan", asked, "--dtype", dtype.name],
                reducers=reducers, name=name, on_task=on_task) as output:
            merged = self._gather(output, plan, size, dtype)
            merged.seconds = output.report.get("seconds", {})
            merged.job = output.report.get("job", {})
            return merged

    def _job(self, path: str, plan: Plan) -> tuple[type[Job], list[str]]:
        """The job of a round, and the arguments that say where its mappers find what they begin with."""
        return TrainRound, ["--state", path]

    def score(self, name, path, plan, mappers, on_task=None) -> list[Record]:
        """Runs a job that scores or describes the state at `path` on the plan's shards; returns its records."""
        if self.cluster.backend.jvms:           # on other runners there is one per core
            schedule.tell_shared(self.cluster, len(mappers), len(plan.score))
        with plan_file(plan, self.cluster) as asked, self.cluster.run(
                Describe if plan.describe else Evaluate, mappers, ["--state", path, "--plan", asked], name=name,
                on_task=on_task) as output:
            protocol = partial.PartialProtocol()
            partials = [protocol.read(line)[1] for part in range(len(output.parts)) for line in output.lines(part)]
        return sorted((parse(p.worker, p.values) for p in partials), key=order)

    def close(self, done: bool) -> None:
        """Called when the run has ended; `done`: successfully."""

    def leave(self) -> None:
        """Called when another driver has taken over the run: leaves what that driver may use."""

    def _gather(self, output, plan: Plan, size: int, dtype: np.dtype) -> Merged:
        protocol = partial.PartialProtocol(dtype)
        return gathered((protocol.read(line) for part in range(len(output.parts))
                         for line in output.lines(part)), plan, size, dtype)
