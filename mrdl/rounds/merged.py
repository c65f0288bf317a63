"""The merged vector of a round, gathered from its reducers and checked."""
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from mrdl.rounds import partial
from mrdl.rounds.plan import Plan
from mrdl.rounds.record import Failed, Record, order, parse


class RoundError(RuntimeError):
    """A round whose parts do not add up, or in which a worker failed."""


@dataclass
class Merged:
    """The means by chunk, and each worker's records."""
    vector: np.ndarray | None           # None: no worker got so far
    workers: int
    n: int
    records: list[Record] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)     # of the job's phases, where it tells
    job: dict[str, int] = field(default_factory=dict)           # its counters, where it has some


def gathered(parts: Iterable[tuple[str, partial.Partial]], plan: Plan, size: int, dtype) -> Merged:
    """The merged chunks as one vector, and the records in an order of their own.

    RoundError where a chunk is missing or counts differ between chunks."""
    records, found, vector = [], {}, None
    ranges = dict(zip(plan.keys, partial.ranges(size, plan.keys)))
    for chunk, p in parts:
        if chunk.startswith(partial.RECORD):
            records.append(parse(p.worker, p.values))
            continue
        if chunk in found:
            raise RoundError(f"chunk {chunk} came twice")
        if chunk not in ranges:
            raise RoundError(f"chunk {chunk} is none of this round's")
        start, stop = ranges[chunk]
        if len(p.values) != stop - start:
            raise RoundError(f"chunk {chunk} has {len(p.values)} values, not {stop - start}")
        vector = np.empty(size, dtype) if vector is None else vector
        vector[start:stop] = p.values
        found[chunk] = (p.worker, p.n)
    records.sort(key=order)
    if vector is None:
        return Merged(None, 0, 0, records)
    missing = [key for key in ranges if key not in found]
    if missing and not any(isinstance(r, Failed) for r in records):
        raise RoundError(f"chunks are missing: {', '.join(missing[:5])}")
    if len(seen := set(found.values())) != 1:
        raise RoundError(f"the chunks were merged from different workers: {sorted(seen)}")
    workers, n = seen.pop()
    return Merged(vector, workers, n, records)
