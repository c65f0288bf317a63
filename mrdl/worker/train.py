"""A mapper trains on its shard."""
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain

import numpy as np

from mrdl import metrics, seeds
from mrdl.data.blocks import Block, BlockError
from mrdl.data.windows import windows
from mrdl.models.model import Model
from mrdl.models.saving import model_from_json
from mrdl.report import advice
from mrdl.rounds import partial
from mrdl.rounds.confidence import Confidence
from mrdl.rounds.partial import RECORD, Emitted, Partial
from mrdl.rounds.plan import Plan, identity
from mrdl.rounds.record import Trained, facts
from mrdl.rounds.state import State, profile
from mrdl.rounds.variances import Variances
from mrdl.training import moments
from mrdl.training.learner import Learner
from mrdl.training.minibatches import minibatches
from mrdl.training.sequences import SequenceLearner, learner_for
from mrdl.worker.cache import Shelf
from mrdl.worker.change import Change
from mrdl.worker.reading import ahead
from mrdl.worker.slot import Slot

REPORT = 10.0                   # seconds between two reports to Hadoop, which kills a task that is silent for long
Part = tuple[int, str, Iterator[Block]]         # of a course: epoch, shard and its blocks
Prepared = tuple[Model, Learner | SequenceLearner]


def prepared(own: Plan, given: State) -> Prepared:
    """The model that a worker trains, and what trains it, for its plan and the state that it begins with."""
    model = model_from_json(own.spec)
    return model, learner_for(model, given.weights, given.slots, batch_size=own.batch_size, iterations=given.iterations,
                              rate_scale=given.rate_scale, class_weight=own.class_weight, **own.sequences)


def train(blocks: Iterator[Block], shard: str, given: State, asked: Plan, began: float, more: Iterable[Part] = (), *,
          prepared: Callable[[Plan, State], Prepared] = prepared, identity: Callable[[Plan, State], str] = identity,
          ahead: Callable = ahead, described: Callable[..., metrics.Sums] = advice.targets) -> Emitted:
    """Trains on the plan's part of a shard, and then on `more` whole shards. Resident workers do some of it in their own ways: they
    keep things from round to round."""
    worker = asked.train[shard]
    own = asked.of(worker)
    vector = given.vector                       # may be changed in place: the file was read for this task alone
    variances, of, slot = Variances(vector, own.moments), identity(asked, given), Slot(asked, worker)
    model, learner = prepared(own, given)
    change = asked.changes and Change(asked, given, model, slot, shard_number(shard))
    confidence = None if asked.squares is None else Confidence(vector, given.parameters, asked.squares, moments.untrained(model))
    centre = given.weights.copy() if asked.pull else None
    slot.take("weights", given.weights)
    slot.take("updater", given.slots)
    started, waits = time.perf_counter(), []
    stop = 1 << 62 if asked.count is None else (asked.first + asked.count) * asked.batch_size
    present, targets = 0, {}

    def counted(ready):
        nonlocal present
        for n, arrays in ready:
            present += n
            if arrays is not None:
                metrics.add(targets, described(model, arrays, asked.class_weight))
            yield n, arrays

    n, wanted = 0, range(asked.first * asked.batch_size, stop)
    for epoch, own_name, own_blocks in chain([(asked.epoch, shard, blocks)], more):
        key = seeds.key(asked.seed, "dropout", epoch, shard_number(own_name))
        with closing(ahead(windows(own_blocks, wanted), waits.append)) as ready:
            for number, arrays, index in minibatches(counted(ready), asked.batch_size, asked.seed,
                                                     epoch, shard_number(own_name), asked.first,
                                                     asked.count, learner.length_of):
                learner.step(arrays, index, key, number)
                n += len(index)
    trained = time.perf_counter()
    if not n:
        return
    if asked.keep_updater and len(given.slots):
        slot.keep("updater", given.slots)
    if asked.pull:
        with np.errstate(all="ignore"):         # the driver handles values that are not finite
            slot.keep("weights", given.weights - (given.weights - centre) * asked.pull)
    variances.widen(vector)
    sent, rows = 0, vector if asked.save_updater else given.weights
    if confidence:
        rows = confidence.sent(vector, learner.terms)
    for keys, values in asked.sent(worker, rows.reshape(-1, given.parameters)):
        for chunk, (start, end) in zip(keys, partial.ranges(len(values), keys)):
            part = change.message(values, start, end) if change else values[start:end]
            sent += part.nbytes
            yield chunk, Partial(worker, learner.terms, part)
    read = sum(waits)
    yield RECORD, Partial(worker, learner.terms, facts(Trained(
        shard, asked.round, of, n, learner.terms, present, learner.updates, metrics.plain(learner.sums), metrics.plain(targets),
        profile(), _peak(), sent, slot.write(), {"start": started - began, "read": read, "compute": trained - started - read,
                             "emit": time.perf_counter() - trained})))


def along(course: list[tuple[int, str]], shards: Iterator[tuple[str, Iterator[Block]]], report: Callable[[str], None]) -> Iterator[Part]:
    """The parts of a course. `shards`: names and blocks, in the order in which they are first needed; those that are needed again
    are kept, in memory and then on disk. `report`: called from time to time, as Hadoop kills a task that neither reads nor reports."""
    last, due = {shard: number for number, (_, shard) in enumerate(course)}, time.monotonic() + REPORT

    def reported(blocks: Iterable[Block], number: int) -> Iterator[Block]:
        nonlocal due
        for block in blocks:
            if time.monotonic() >= due:
                report(f"trains on shard {number + 1} of {len(course)}")
                due = time.monotonic() + REPORT
            yield block

    with Shelf(disk=sys.maxsize) as shelf:
        for number, (epoch, shard) in enumerate(course):
            if shard in shelf.shards:
                yield epoch, shard, reported(shelf.rows(shard, ()), number)
                continue
            found, blocks = next(shards, ("no shard", iter(())))
            if found != shard:
                raise BlockError(f"one mapper got {found} where it needed shard {shard}")
            yield epoch, shard, reported(shelf.rows(shard, blocks) if last[shard] > number else blocks, number)


def _peak() -> int:
    """The largest memory use of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def shard_number(shard: str) -> int:
    """The shard's number in its dataset, by which its random numbers are keyed."""
    return int(shard.rsplit("/", 1)[1])
