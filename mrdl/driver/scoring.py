"""Jobs over whole shards that do not train: they score a state, or compute the moments of layers' inputs."""
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from mrdl import metrics
from mrdl.data.blocks import BlockError
from mrdl.data.dataset import Dataset, Shard
from mrdl.data.reference import Changed
from mrdl.driver.exchanges.plain import Exchange
from mrdl.models.model import Model
from mrdl.report import advice
from mrdl.report.assessed import Assessed
from mrdl.rounds import plan
from mrdl.rounds.merged import RoundError
from mrdl.rounds.partial import RECORD
from mrdl.rounds.record import Failed, Record, Scored
from mrdl.rounds.state import State, profile
from mrdl.runners.cluster import Cluster
from mrdl.training import moments

Shards = list[tuple[Dataset, Shard]]
OnTask = Callable[[str, int, int], None] | None         # see Cluster.run


class WorkerFailed(RoundError):
    """A worker raised an exception; the message has its traceback, and the shard and block it was reading."""


class DataDamaged(WorkerFailed):
    """A worker could not read its shard, which any other worker could not either."""


@contextmanager
def state_file(model: Model, cluster: Cluster) -> Iterator[str]:
    """Yields the path of a state file with the model's weights, for a job."""
    with tempfile.TemporaryDirectory(prefix="model-", dir=cluster.tmp) as folder:
        path = os.path.join(folder, "state.safetensors")
        with open(path, "wb") as file:
            file.write(State(model.weights, len(model.weights)).dump())
        yield path


def score(exchange: Exchange, name: str, state: str, model: Model, held: Shards,
          workers: int, on_task: OnTask = None, assessed: Assessed | None = None) -> tuple[dict[str, metrics.Value], metrics.Sums]:
    """A state's loss and metrics on shards, named val_..., and the statistics of the targets (mrdl.report.advice); summed in
    the order of the shards. `assessed`: gets what a report is made of."""
    records = _records(exchange, name, state, model, held, workers, 1, [], on_task, assessed and assessed.asked)
    for record in whole(records, held) if assessed else ():
        assessed.merge(record.report)
    return added(records, held, model.named_metrics()), advice.added(whole(records, held))


def described(exchange: Exchange, name: str, state: str, model: Model, data: Shards, workers: int,
              batch: int, places: list[moments.Place], on_task: OnTask = None) -> list[moments.Moments]:
    """The moments of the input at each place, with a state's weights; merged in the order of the shards."""
    found = [moments.Moments()] * len(places)
    for record in whole(_records(exchange, name, state, model, data, workers, batch, places, on_task), data):
        found = [moments.merged(a, moments.Moments(n, *map(np.array, arrays)))
                 for a, (n, *arrays) in zip(found, record.moments, strict=True)]
    return found


def _records(exchange, name, state, model, shards, workers, batch, places, on_task, report=None) -> list[Record]:
    asked = plan.Plan(model.to_json(), 0, 0, 0, None, batch, 0, [RECORD],
                      score=[plan.name(d.uid, s.index) for d, s in shards], seals=seals(shards), report=report, describe=places)
    return exchange.score(name, state, asked, exchange.hands([s for _, s in shards], workers), on_task)


def seals(shards: Shards) -> dict[str, str]:
    """The seal that the last block of each shard must have."""
    return {plan.name(d.uid, s.index): s.seal for d, s in shards}


def added(records: list[Scored], held: Shards, named: dict[str, metrics.Metric]) -> dict[str, metrics.Value]:
    """The metrics from the records of scoring workers."""
    sums: metrics.Sums = {}
    for record in whole(records, held):
        metrics.add(sums, record.sums)
    return metrics.values(sums, named, "val_")


def whole(records: list[Record], shards: Shards) -> Iterator[Record]:
    """The records in the order of their shards; RoundError if a shard is missing or was not read completely."""
    failed(records)
    wanted = {plan.name(d.uid, s.index): s.n for d, s in shards if s.n}
    found = {record.shard: record for record in records}
    for record in records:
        if record.n != wanted.get(record.shard) or len(found) < len(records):
            raise RoundError(f"{record.shard}: {record.n} examples were read, but "
                             "that is not what the shard holds, or it was read twice")
    if missing := sorted(set(wanted) - set(found)):
        raise RoundError(f"shards were not read: {', '.join(missing)}")
    yield from (found[name] for name in wanted)


def failed(records: list[Record]) -> None:
    """Raises WorkerFailed if a record reports a failure; RoundError if a worker has another numeric profile."""
    for record in records:
        if isinstance(record, Failed):
            if record.raised == Changed.__name__:
                raise DataDamaged(record.message)
            if record.raised == BlockError.__name__:            # the data is damaged, so a traceback would not help
                raise DataDamaged(f"{record.where}: {record.message}; prepare the dataset again")
            raise WorkerFailed(f"{record.where}: {record.raised}: {record.message}\n{record.traceback}")
        if record.profile != profile():
            raise RoundError(f"a worker has {record.profile}, the driver "
                             f"{profile()}: their results would not be bit-identical")
