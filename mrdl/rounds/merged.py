"""Collects the output of a round's reducers into one vector, and checks it."""
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from mrdl.rounds import partial
from mrdl.rounds.plan import Plan
from mrdl.rounds.record import Failed, Record, order, parse


class RoundError(RuntimeError):
    """The parts of a round do not fit together, or one of its workers failed."""


@dataclass
class Merged:
    """The averaged vector of a round, and each worker's records."""
    vector: np.ndarray | None           # None: no worker finished training, or one that had chunks alone failed
    workers: int
    n: int
    records: list[Record] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)     # of the job's phases, if the runner reports them
    job: dict[str, int] = field(default_factory=dict)           # the job's counters, if it has any


def gathered(parts: Iterable[tuple[str, partial.Partial]], plan: Plan, size: int, dtype, into: np.ndarray | None = None) -> Merged:
    """Joins the merged chunks to one vector, and sorts the records. `into`: the vector; None: a new one.

    RoundError if a chunk is missing, or if the number of examples differs between chunks that the same workers sent."""
    records, found, vector = [], {}, None
    ranges = {key: (number, first + start, first + stop) for number, (keys, first, last) in enumerate(plan.segments(size))
              for key, (start, stop) in zip(keys, partial.ranges(last - first, keys))}
    for chunk, p in parts:
        if chunk.startswith(partial.RECORD):
            records.append(parse(p.worker, p.values))
            continue
        if chunk in found:
            raise RoundError(f"chunk {chunk} came twice")
        if chunk not in ranges:
            raise RoundError(f"chunk {chunk} does not belong to this round")
        _, start, stop = ranges[chunk]
        if len(p.values) != stop - start:
            raise RoundError(f"chunk {chunk} has {len(p.values)} values, not {stop - start}")
        if vector is None:
            vector = np.empty(size, dtype) if into is None else into
        vector[start:stop] = p.values
        found[chunk] = (p.worker, p.n)
    records.sort(key=order)
    if vector is None:
        return Merged(None, 0, 0, records)
    missing = [key for key in ranges if key not in found]
    whole = not any(isinstance(r, Failed) for r in records)
    if missing and whole:
        raise RoundError(f"chunks are missing: {', '.join(missing[:5])}")
    if missing:                             # the rest of the vector has not been set
        return Merged(None, 0, 0, records)
    seen: dict[int, set[tuple[int, int]]] = {}          # by segment
    for key, counts in found.items():
        seen.setdefault(ranges[key][0], set()).add(counts)
    alone = [counts for number, each in seen.items() if number for counts in each]      # a worker has one fragment
    together = seen.get(0, set()) | ({tuple(map(sum, zip(*alone)))} if alone else set())
    if len(together) != 1 and whole:
        raise RoundError(f"the chunks were merged from different workers: {sorted(together)}")
    workers, n = max(together)
    return Merged(vector, workers, n, records)
