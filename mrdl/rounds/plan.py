"""The plan of a round: what each worker has to do."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

from mrdl.rounds.state import State, checksum


@dataclass
class Plan:
    """What the workers of one round have to do. It is sent to them together with the state."""
    spec: str                           # the model, as JSON
    round: int                          # the number of the state that the round makes, from 1
    epoch: int
    first: int                          # the first minibatch to train on, in each shard
    count: int | None                   # how many minibatches; None: all
    batch_size: int
    seed: int
    keys: list[str]                     # keys of the shuffle: those of the chunks, then that of the records
    train: dict[str, int] = field(default_factory=dict)         # shard -> worker
    score: list[str] = field(default_factory=list)
    seals: dict[str, str] = field(default_factory=dict)         # shard -> the seal of its last block
    save_updater: bool = True
    class_weight: dict[str, float] | None = None
    # moving means and variances, which mrdl.rounds.variances averages
    moments: list[tuple[int, int, int]] = field(default_factory=list)
    # (start, stop) of the values that stay as they are
    fixed: list[tuple[int, int]] = field(default_factory=list)
    sequences: dict[str, Any] = field(default_factory=dict)     # tbptt, tbptt_backward, buckets (mrdl.training.sequences)
    averages: bool = True               # is the next state the mean? Then few resident workers compute it themselves
    # if given, scoring workers also make a report: what mrdl.report.assessed.Assessed is made of
    report: list | None = None
    # if given, workers do not score: they compute the moments of these layers' inputs
    describe: list[tuple[int, int, int]] = field(default_factory=list)

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, data: bytes) -> Plan:
        return cls(**json.loads(data))


def identity(plan: Plan, state: State) -> str:
    """A hash of the plan and of the state that the round begins with; it differs for any two rounds of any runs."""
    facts = [state.iterations, state.rate_scale, checksum(state.vector)]
    return blake2b(plan.dump() + json.dumps(facts).encode(), digest_size=8).hexdigest()


def name(dataset: str, shard: int) -> str:
    """A shard's name in plans and messages."""
    return f"{dataset}/{shard:05d}"
