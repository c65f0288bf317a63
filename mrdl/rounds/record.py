"""What a worker says of its work, as records of one kind each; and the record of a round, which a commit has.

A worker's record travels as JSON beside the partials: `facts` writes it, `parse` reads it."""
from dataclasses import dataclass
from typing import Any

from mrdl.metrics.metric import FACTS
from mrdl.rounds.partial import PartialError
from mrdl.storage.sealed import Count, check

# what a worker's seconds go into: resident ones wait for the round, and write the last one's result
PHASES = ("wait", "start", "read", "compute", "emit", "write")


def measured(record: dict[str, Any]) -> dict[str, Any]:
    """The loss and metrics of a round's record."""
    return {name: value for name, value in record.items() if name not in FACTS}


@dataclass
class Trained:
    """A worker has trained on its part of a shard."""
    kind = "trained"
    shard: str
    round: Count                    # of the plan, and which one of all runs' (plan.identity)
    of: str
    n: Count                        # examples
    terms: Count                    # of the loss's mean: examples, or steps that count
    present: Count                  # examples of the shard
    updates: Count
    sums: dict[str, list]           # of the loss and the metrics
    targets: dict[str, list]        # what the targets are like (mrdl.report.advice)
    profile: str                    # numeric
    memory: Count                   # bytes, at most
    seconds: dict[str, float]       # by phase
    worker: Count = 0


@dataclass
class Scored:
    """A worker has scored a whole shard."""
    kind = "scored"
    shard: str
    n: Count
    sums: dict[str, list]
    targets: dict[str, list]
    profile: str
    seconds: dict[str, float]
    worker: Count = 0


@dataclass
class Described:
    """A worker has measured what reaches layers, over a whole shard."""
    kind = "described"
    shard: str
    n: Count
    moments: list                   # (n, mean, M2, least, largest) of each place
    profile: str
    worker: Count = 0


@dataclass
class Failed:
    """A worker's own exception: it would come again wherever the work is done."""
    kind = "failed"
    raised: str                     # its class
    message: str
    where: str                      # the shard and the block that were read
    traceback: str
    worker: Count = 0


Record = Trained | Scored | Described | Failed
KINDS = {kind.kind: kind for kind in (Trained, Scored, Described, Failed)}


def facts(record: Record) -> dict[str, Any]:
    """The record as JSON holds it; the number of its worker stands beside it."""
    return {"kind": record.kind, **{name: value for name, value in vars(record).items() if name != "worker"}}


def parse(worker: int, facts: dict[str, Any]) -> Record:
    """The record of such facts; PartialError where they are those of no kind."""
    kind = KINDS.get(facts.get("kind"))
    given = {**{name: value for name, value in facts.items() if name != "kind"}, "worker": worker}
    try:
        if kind is None:
            raise ValueError("it is of no kind that this version knows")
        check(given, kind, "it")
    except ValueError as error:
        raise PartialError(f"the record of worker {worker} is damaged: {error}") from None
    return kind(**given)


def order(record: Record) -> tuple[int, str]:
    """What a round's records are sorted by, so that they come alike whoever was first."""
    return record.worker, record.shard if isinstance(record, (Scored, Described)) else ""
