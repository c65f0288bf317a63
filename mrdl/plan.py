"""Which shards train together, and for how many rounds: a pure function of data, seed and options."""
from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from mrdl import seeds
from mrdl.state import State, checksum

if TYPE_CHECKING:       # tasks need no more of a dataset than its blocks
    from mrdl.dataset import Shard


def groups(shards: list[Shard], workers: int, seed: int, epoch: int) -> list[list[Shard]]:
    """The epoch's shards in an order of their own, `workers` at a time; the last may be fewer."""
    filled = [shard for shard in shards if shard.n]
    order = [filled[i] for i in seeds.permutation(len(filled), seed, "groups", epoch)]
    return [order[i:i + workers] for i in range(0, len(order), workers)]


def rounds(group: list[Shard], frequency: int | None, batch: int) -> int:
    """Rounds until the group's longest shard is used up."""
    if frequency is None:
        return 1
    return math.ceil(max(shard.n for shard in group) / (frequency * batch))


def share(shard: Shard, part: int, frequency: int | None, batch: int) -> int:
    """Examples that a shard gives to round `part` of its group."""
    if frequency is None:
        return shard.n
    step = frequency * batch
    return max(0, min(shard.n - part * step, step))


def pack(shards: list[Shard], mappers: int) -> list[list[Shard]]:
    """Held-out shards dealt to at most `mappers` mappers, the largest first."""
    hands: list[list[Shard]] = [[] for _ in range(min(mappers, len(shards)))]
    for shard in sorted(shards, key=lambda s: (-s.n, s.path)):
        min(hands, key=lambda hand: sum(s.n for s in hand)).append(shard)
    return hands


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
    moments: list[tuple[int, int, int]] = field(default_factory=list)   # that are merged (partial.shift_variances)
    sequences: dict[str, Any] = field(default_factory=dict)     # tbptt, tbptt_backward, buckets (mrdl.truncated)
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
