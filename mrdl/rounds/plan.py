"""What one round asks of its workers."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

from mrdl.rounds.state import State, checksum


@dataclass
class Plan:
    """What one round asks of its workers; sent to them beside the state."""
    spec: str                           # the model, as its JSON
    round: int                          # number of the state it makes; 1 is the first
    epoch: int
    first: int                          # minibatch of each shard's order
    count: int | None                   # minibatches; None: the whole shard
    batch_size: int
    seed: int
    keys: list[str]                     # of the chunks, then of the records
    train: dict[str, int] = field(default_factory=dict)         # shard -> worker
    score: list[str] = field(default_factory=list)
    seals: dict[str, str] = field(default_factory=dict)         # shard -> the seal of its last block
    save_updater: bool = True
    class_weight: dict[str, float] | None = None
    moments: list[tuple[int, int, int]] = field(default_factory=list)   # that are averaged as mrdl.rounds.variances says
    sequences: dict[str, Any] = field(default_factory=dict)     # tbptt, tbptt_backward, buckets (mrdl.training.sequences)
    describe: list[tuple[int, int, int]] = field(default_factory=list)  # whose inputs' moments are wanted, not scores

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, data: bytes) -> Plan:
        return cls(**json.loads(data))


def identity(plan: Plan, state: State) -> str:
    """Tells a round from every other of any run: by its plan and the state that it begins with."""
    facts = [state.iterations, state.rate_scale, checksum(state.vector)]
    return blake2b(plan.dump() + json.dumps(facts).encode(), digest_size=8).hexdigest()


def name(dataset: str, shard: int) -> str:
    """How plan and blocks call a shard."""
    return f"{dataset}/{shard:05d}"
