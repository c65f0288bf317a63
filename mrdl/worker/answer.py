"""What a mapper of a round does: blocks in; out come its partials and records, from them alone."""
import time
import traceback
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

from mrdl.data.blocks import BlockError
from mrdl.rounds.partial import RECORD, Emitted, Partial
from mrdl.rounds.plan import Plan, name
from mrdl.rounds.record import Failed, facts
from mrdl.rounds.state import State
from mrdl.worker.reading import Reading, whole
from mrdl.worker.score import describe, score
from mrdl.worker.train import train


def work(lines: Iterable[bytes], state: str, plan: str) -> Emitted:
    """The partials of the one shard to train, or the scores of those to score.

    An I/O or memory error fails the task, and Hadoop tries it again."""
    lines = iter(lines)
    yield from answer(Reading(lines), lambda: (State.load(state), Plan.parse(Path(plan).read_bytes())))
    for _ in lines:                             # Hadoop breaks the pipe of a mapper that leaves
        pass


def answer(reading: "Reading", asked: Callable[[], tuple[State, Plan]]) -> Emitted:
    """What one mapper makes of the blocks that it reads, for the state and the plan that are asked for.

    A deterministic failure becomes a record, alike on all runners."""
    began = time.perf_counter()
    try:
        given, wanted = asked()
        trained = None
        for shard, own in groupby(whole(reading, wanted.seals), lambda b: name(b.dataset, b.shard)):
            if shard in wanted.train:
                if trained:
                    raise BlockError(f"one mapper got shards {trained} and {shard}; "
                                     "one shard must be one split")
                trained = shard
                yield from train(own, shard, given, wanted, began)
            elif shard in wanted.score:
                yield (describe if wanted.describe else score)(own, shard, given, wanted)
            else:
                raise BlockError(f"shard {shard} has no part in this round")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - reported with its traceback; the driver refuses the round
        yield RECORD, Partial(0, 0, facts(Failed(type(error).__name__, str(error), reading.where(), traceback.format_exc())))
