"""A worker's report on its work (a record, of one of four kinds), and the record of a round, which its commit contains.

A worker's record travels as JSON with the partials: `facts` writes it, `parse` reads it."""
from dataclasses import dataclass
from typing import Any

from mrdl.metrics.metric import FACTS
from mrdl.rounds.partial import PartialError
from mrdl.storage.sealed import Count, check

# the phases of a worker; only a resident worker waits (for its next question) and writes (its last answer)
PHASES = ("wait", "start", "read", "compute", "emit", "write")


def measured(record: dict[str, Any]) -> dict[str, Any]:
    """The loss and metrics in the record of a round."""
    return {name: value for name, value in record.items() if name not in FACTS}


@dataclass
class Trained:
    """A worker trained on its part of a shard."""
    kind = "trained"
    shard: str
    round: Count                    # the round's number, and its identity (plan.identity)
    of: str
    n: Count                        # examples trained on
    terms: Count                    # how many terms the mean loss has: examples, or unmasked steps
    present: Count                  # examples in the shard
    updates: Count
    sums: dict[str, list]           # sums for the loss and the metrics
    targets: dict[str, list]        # statistics of the targets (mrdl.report.advice)
    profile: str                    # the numeric profile
    memory: Count                   # the largest memory use, in bytes
    bytes: Count                    # of the values that it sent, before base64
    kept: list[str]                 # the name and the hash of the file with what its slot keeps, if it keeps anything
    seconds: dict[str, float]       # by phase
    worker: Count = 0


@dataclass
class Scored:
    """A worker scored a whole shard."""
    kind = "scored"
    shard: str
    n: Count
    sums: dict[str, list]
    targets: dict[str, list]
    profile: str
    seconds: dict[str, float]
    worker: Count = 0
    report: dict | None = None      # what a report is made of, if one was asked for (mrdl.report.assessed)


@dataclass
class Described:
    """A worker measured the inputs of layers, over a whole shard."""
    kind = "described"
    shard: str
    n: Count
    moments: list                   # (n, mean, M2, smallest, largest) for each layer
    profile: str
    worker: Count = 0


@dataclass
class Failed:
    """A worker raised an exception that any other attempt would raise too."""
    kind = "failed"
    raised: str                     # the exception's class
    message: str
    where: str                      # the shard and the block that were being read
    traceback: str
    worker: Count = 0


Record = Trained | Scored | Described | Failed
KINDS = {kind.kind: kind for kind in (Trained, Scored, Described, Failed)}


def facts(record: Record) -> dict[str, Any]:
    """The record as a dict for JSON; the worker's number is stored outside it."""
    return {"kind": record.kind, **{name: value for name, value in vars(record).items() if name != "worker"}}


def parse(worker: int, facts: dict[str, Any]) -> Record:
    """Makes the record from its dict; PartialError if it is of no known kind."""
    kind = KINDS.get(facts.get("kind"))
    given = {**{name: value for name, value in facts.items() if name != "kind"}, "worker": worker}
    try:
        if kind is None:
            raise ValueError("this version does not know its kind")
        check(given, kind, "it")
    except ValueError as error:
        raise PartialError(f"the record of worker {worker} is damaged: {error}") from None
    return kind(**given)


def order(record: Record) -> tuple[int, str]:
    """The sort key of a round's records, which makes their order independent of who finished first."""
    return record.worker, record.shard if isinstance(record, (Scored, Described)) else ""
