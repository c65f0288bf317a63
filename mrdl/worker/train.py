"""A mapper trains on its shard."""
import resource
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from mrdl import metrics, seeds
from mrdl.data.blocks import Block
from mrdl.data.windows import windows
from mrdl.models.saving import model_from_json
from mrdl.report import advice
from mrdl.rounds import partial
from mrdl.rounds.partial import RECORD, Emitted, Partial
from mrdl.rounds.plan import Plan, identity
from mrdl.rounds.record import Trained, facts
from mrdl.rounds.state import State, profile
from mrdl.rounds.variances import Variances
from mrdl.training.minibatches import minibatches
from mrdl.training.sequences import learner_for
from mrdl.worker.change import Change
from mrdl.worker.reading import ahead
from mrdl.worker.slot import Slot


def train(blocks: Iterator[Block], shard: str, given: State, asked: Plan, began: float) -> Emitted:
    worker = asked.train[shard]
    own = asked.of(worker)
    model = model_from_json(own.spec)
    vector = given.vector                       # may be changed in place: the file was read for this task alone
    variances, of, slot = Variances(vector, own.moments), identity(asked, given), Slot(asked, worker)
    change = asked.compress and Change(asked, given, model, slot, shard_number(shard))
    centre = given.weights.copy() if asked.pull else None
    slot.take("weights", given.weights)
    slot.take("updater", given.slots)
    learner = learner_for(model, given.weights, given.slots, batch_size=asked.batch_size,
                          iterations=given.iterations, rate_scale=given.rate_scale,
                          class_weight=asked.class_weight, **asked.sequences)
    started, waits = time.perf_counter(), []
    key = seeds.key(asked.seed, "dropout", asked.epoch, shard_number(shard))
    stop = 1 << 62 if asked.count is None else (asked.first + asked.count) * asked.batch_size
    present, targets = 0, {}

    def counted(ready):
        nonlocal present
        for n, arrays in ready:
            present += n
            if arrays is not None:
                metrics.add(targets, advice.targets(model, arrays, asked.class_weight))
            yield n, arrays

    n, wanted = 0, range(asked.first * asked.batch_size, stop)
    with closing(ahead(windows(blocks, wanted), waits.append)) as ready:
        for number, arrays, index in minibatches(counted(ready), asked.batch_size, asked.seed,
                                                 asked.epoch, shard_number(shard), asked.first,
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


def _peak() -> int:
    """The largest memory use of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def shard_number(shard: str) -> int:
    """The shard's number in its dataset, by which its random numbers are keyed."""
    return int(shard.rsplit("/", 1)[1])
