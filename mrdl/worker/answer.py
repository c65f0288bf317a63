"""The work of a mapper in a round: reads blocks, yields partials and records. The result depends on nothing else."""
import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain, groupby
from pathlib import Path

from mrdl.data.blocks import BlockError
from mrdl.rounds.partial import RECORD, Emitted, Partial
from mrdl.rounds.plan import Plan, name
from mrdl.rounds.record import Failed, facts
from mrdl.rounds.state import State
from mrdl.worker.reading import Reading, whole
from mrdl.worker.score import describe, score
from mrdl.worker.train import along, train

Report = Callable[[str], None]          # says to Hadoop that the task is alive


def work(lines: Iterable[bytes], state: str, plan: str, fragments: Sequence[str] = (), report: Report = lambda text: None) -> Emitted:
    """Trains on the mapper's shard and yields partials, or scores its shards and yields their records.

    `fragments`: the state's parts, if the network is cut; a worker that trains reads only its own, and no other reads one.
    An I/O or memory error makes the task fail, and Hadoop starts another attempt."""
    lines = iter(lines)

    def given(worker: int | None) -> State:
        if worker is None:
            return State.load(state, slots=False)
        return State.load(fragments[worker % len(fragments)] if fragments else state)
    yield from answer(Reading(lines), lambda: (given, Plan.parse(Path(plan).read_bytes())), report)
    for _ in lines:                             # a mapper that exits with unread input fails (broken pipe)
        pass


def pooled(lines: Iterable[bytes], plans: str, report: Report = lambda text: None) -> Emitted:
    """Does the work of one configuration of a search; the first line of the input says of which. `plans`: a JSON file that has
    the path of each configuration's state, and its plan."""
    lines = iter(lines)
    name = next(lines).decode()
    state, asked = json.loads(Path(plans).read_bytes())[name]
    work = answer(Reading(lines), lambda: (lambda worker: State.load(state, slots=worker is not None), Plan(**asked)), report)
    for chunk, part in work:
        yield RECORD + name if chunk == RECORD else chunk, part
    for _ in lines:
        pass


def answer(reading: "Reading", asked: Callable[[], tuple[Callable[[int | None], State], Plan]],
           report: Report = lambda text: None) -> Emitted:
    """Does a mapper's work on the blocks that it reads; `asked` gives the plan, and what gives the state: for a worker that
    trains, by its number; for one that scores, of None.

    An exception that would come again is emitted as a record, in the same way on all runners."""
    began = time.perf_counter()
    try:
        state, wanted = asked()
        scored = cache(lambda: state(None))     # shards that are scored have one state
        trained = None
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
                yield from train(own, shard, state(wanted.train[shard]), wanted, began, more)
            elif shard in wanted.score:
                yield (describe if wanted.describe else score)(own, shard, scored(), wanted)
            else:
                raise BlockError(f"shard {shard} has no part in this round")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - emitted with its traceback; the driver then rejects the round
        yield RECORD, Partial(0, 0, facts(Failed(type(error).__name__, str(error), reading.where(), traceback.format_exc())))
