"""The work of a mapper in a round: reads blocks, yields partials and records. The result depends on nothing else."""
import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain, groupby
from pathlib import Path

import numpy as np

from mrdl.data.blocks import BlockError
from mrdl.rounds.partial import RECORD, Emitted, Partial
from mrdl.rounds.plan import Plan, name
from mrdl.rounds.record import Failed, facts
from mrdl.rounds.state import State
from mrdl.training.layerwise import Layerwise
from mrdl.worker.reading import Reading, whole
from mrdl.worker.score import describe, score
from mrdl.worker.train import along, train

Report = Callable[[str], None]          # says to Hadoop that the task is alive

# the state of a worker that trains, by its number; the weights that are scored; the plan
Asked = tuple[Callable[[int], State], Callable[[], np.ndarray | Layerwise], Plan]


def work(lines: Iterable[bytes], state: str, plan: str, fragments: Sequence[str] = (), report: Report = lambda text: None,
         scored: str | None = None) -> Emitted:
    """Trains on the mapper's shard and yields partials, or scores its shards and yields their records.

    `fragments`: the state's parts, if the network is cut; a worker that trains reads only its own, and no other reads one.
    `scored`: the state that is scored, if it is another than that from which workers train, which is coded then.
    An I/O or memory error makes the task fail, and Hadoop starts another attempt."""
    lines = iter(lines)

    def given(worker: int) -> State:
        return State.load(fragments[worker % len(fragments)] if fragments else state)
    yield from answer(Reading(lines), lambda: (given, lambda: State.weights_of(scored or state), Plan.parse(Path(plan).read_bytes())), report)
    for _ in lines:                             # a mapper that exits with unread input fails (broken pipe)
        pass


def pooled(lines: Iterable[bytes], plans: str, report: Report = lambda text: None) -> Emitted:
    """Does the work of one configuration of a search; the first line of the input says of which. `plans`: a JSON file that has
    the path of each configuration's state, its plan, and the path of the state that it scores, if that is another."""
    lines = iter(lines)
    name = next(lines).decode()
    state, asked, scored = json.loads(Path(plans).read_bytes())[name]
    work = answer(Reading(lines), lambda: (lambda worker: State.load(state), lambda: State.weights_of(scored or state), Plan(**asked)), report)
    for chunk, part in work:
        yield RECORD + name if chunk == RECORD else chunk, part
    for _ in lines:
        pass


def answer(reading: "Reading", asked: Callable[[], Asked], report: Report = lambda text: None, **ways: Callable) -> Emitted:
    """Does a mapper's work on the blocks that it reads. `ways`: see `train`.

    An exception that would come again is emitted as a record, in the same way on all runners."""
    began = time.perf_counter()
    try:
        state, weights, wanted = asked()
        weights = cache(weights)                # all shards that are scored have the same
        trained = given = None
        shards = groupby(whole(reading, wanted.seals), lambda b: name(b.dataset, b.shard))
        for shard, own in shards:
            if shard in wanted.train:
                if trained:
                    raise BlockError(f"one mapper got two shards, {trained} and {shard}: "
                                     "each shard must be an input split of its own")
                trained, more = shard, iter(())
                if wanted.course:
                    more = along(wanted.course, chain([(shard, own)], shards), report)
                    _, _, own = next(more)
                given = state(wanted.train[shard])      # training changes it in place
                yield from train(own, shard, given, wanted, began, more, **ways)
            elif shard in wanted.after:
                yield score(own, shard, given.weights, wanted)
            elif shard in wanted.score:
                yield (describe if wanted.describe else score)(own, shard, weights(), wanted)
            else:
                raise BlockError(f"shard {shard} has no part in this round")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - emitted with its traceback; the driver then rejects the round
        yield RECORD, Partial(0, 0, facts(Failed(type(error).__name__, str(error), reading.where(), traceback.format_exc())))
