"""The Hadoop counters of a worker. Counters of streaming jobs are whole numbers, so the loss is given in millionths.

YARN's pages and `mapred job -status` show them in the group "mrdl", summed over tasks. The mean loss is
`loss_millionths` / `terms` / 1e6, a worker's examples per second are `examples` / `milliseconds` * 1000."""
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mrdl.rounds.partial import RECORD, Partial
from mrdl.rounds.record import Trained

GROUP = "mrdl"
Increment = Callable[[str, str, int], None]     # MRJob.increment_counter


def amounts(facts: dict[str, Any]) -> dict[str, int]:
    """The counters of one record's facts; empty if the worker failed or only scored."""
    if facts["kind"] != Trained.kind:
        return {}
    loss = facts["sums"].get("loss", [0.0])[0]
    found = {"examples": facts["n"], "terms": facts["terms"], "updates": facts["updates"],
             "milliseconds": round(1000 * facts["seconds"]["compute"])}
    return found | ({"loss_millionths": round(1e6 * loss)} if math.isfinite(loss) else {})


def count(facts: dict, increment: Increment) -> None:
    """Adds the counters of a record's facts."""
    for name, amount in amounts(facts).items():
        increment(GROUP, name, amount)


def counted(emitted: Iterable[tuple[str, Partial]], increment: Increment) -> Iterator[tuple[str, Partial]]:
    """Passes on what a worker emits, and adds its records to the counters."""
    for chunk, part in emitted:
        if chunk.startswith(RECORD):
            count(part.values, increment)
        yield chunk, part
