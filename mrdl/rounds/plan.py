"""The plan of a round: what each worker has to do."""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any, TypedDict

import numpy as np

from mrdl.rounds.state import State, checksum


class Fragment(TypedDict):
    """What the workers of one fragment have to know, where the network is cut (mrdl.models.fragments)."""
    spec: str                           # the fragment, as JSON
    moments: list[tuple[int, int, int]]
    shared: list[tuple[int, int]]       # (start, stop) of the weights that all fragments have
    size: int                           # how many values only this fragment has, with those of the updater if they are averaged
    keys: list[str]                     # of the chunks of these values, and then that of the records


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
    # if given, the one worker trains on these shards one after the other, in these epochs: (epoch, shard), the first as above
    course: list[tuple[int, str]] = field(default_factory=list)
    after: list[str] = field(default_factory=list)      # shards that this worker then scores, with the weights that it has trained
    score: list[str] = field(default_factory=list)
    seals: dict[str, str] = field(default_factory=dict)         # shard -> the seal of its last block
    save_updater: bool = True           # workers send the updater's state too
    keep_updater: bool = False          # their slots keep it
    class_weight: dict[str, float] | None = None
    # moving means and variances, which mrdl.rounds.variances averages
    moments: list[tuple[int, int, int]] = field(default_factory=list)
    # (start, stop) of the values that stay as they are
    fixed: list[tuple[int, int]] = field(default_factory=list)
    # (start, stop) of the weights of frozen layers: they stay as they are, and nobody sends them
    frozen: list[tuple[int, int]] = field(default_factory=list)
    sequences: dict[str, Any] = field(default_factory=dict)     # tbptt, tbptt_backward, buckets (mrdl.training.sequences)
    compress: dict[str, Any] | None = None      # the coding of workers' changes; None: they send their weights
    broadcast: bool = False             # is what workers begin with coded? Then they send changes too, without compress as they are
    folder: str = ""                    # the run's, if slots keep anything there (mrdl.worker.slot)
    kept: dict[str, list[str]] = field(default_factory=dict)    # the files of these workers' slots, as in the state
    pull: float = 0.0                   # if above 0, slots keep their weights, pulled back so far (mrdl.outer.Elastic)
    squares: int | None = None          # if given, weights are averaged by this slot (mrdl.rounds.confidence)
    averages: bool = True               # is the next state the mean? Then few resident workers compute it themselves
    # if given, scoring workers also make a report: what mrdl.report.assessed.Assessed is made of
    report: list | None = None
    # if given, workers do not score: they compute the moments of these layers' inputs
    describe: list[tuple[int, int, int]] = field(default_factory=list)

    # the fragments of the network: worker w trains that of number w % K. Empty: each worker trains all of it
    fragments: list[Fragment] = field(default_factory=list)

    def size(self, state: State) -> int:
        """How many values a worker sends, if the network is not cut."""
        rows = (len(state.vector) if self.save_updater else state.parameters) // state.parameters + (self.squares is not None)
        return rows * (state.parameters - sum(stop - start for start, stop in self.frozen))

    def thawed(self, rows: np.ndarray) -> np.ndarray:
        """The values of rows[n, P] that workers send: all but those of frozen layers."""
        return rows[:, _alone(rows.shape[1], self.frozen)] if self.frozen else rows

    def whole(self, values: np.ndarray, before: np.ndarray, parameters: int) -> np.ndarray:
        """The vector of which `thawed` gave these values; those of frozen layers are as in the vector `before`, or 0 in a row that
        it has not."""
        if not self.frozen:
            return values
        own = _alone(parameters, self.frozen)
        rows = values.reshape(-1, own.sum())
        found = np.zeros((len(rows), parameters), values.dtype)
        known = before.reshape(-1, parameters)[:len(rows)]
        found[:len(known)] = known
        found[:, own] = rows
        return found.reshape(-1)

    @property
    def changes(self) -> bool:
        """Do workers send the change of what they began with? Else they send what they have."""
        return self.compress is not None or self.broadcast

    def fragment(self, worker: int) -> Fragment | None:
        """What this worker trains; None: all of the network."""
        return self.fragments[worker % len(self.fragments)] if self.fragments else None

    def of(self, worker: int) -> Plan:
        """The plan for the network that this worker trains."""
        own = self.fragment(worker)
        return replace(self, spec=own["spec"], moments=own["moments"]) if own else self

    def sent(self, worker: int, rows: np.ndarray) -> list[tuple[list[str], np.ndarray]]:
        """What a worker sends of its rows [n, P]: values, and the keys of their chunks; first the values that all workers send."""
        own = self.fragment(worker)
        return list(zip((self.keys, own["keys"]), apart(rows, own["shared"]))) if own else [(self.keys, self.thawed(rows).reshape(-1))]

    def parts(self, worker: int, values: np.ndarray) -> list[tuple[list[str], np.ndarray]]:
        """What `sent` gave, from its values in one row."""
        own = self.fragment(worker)
        common = len(values) - own["size"] if own else len(values)
        return [(self.keys, values[:common])] + ([(own["keys"], values[common:])] if own else [])

    def active(self) -> list[int]:
        """The numbers of the fragments that have a worker."""
        return sorted({worker % len(self.fragments) for worker in self.train.values()}) if self.fragments else []

    def segments(self, size: int) -> Iterator[tuple[list[str], int, int]]:
        """The ranges that the chunks of a merged vector of this size belong to: (keys, start, stop). Where the network is cut:
        what all fragments share, then what each has alone, if it has a worker."""
        own = [self.fragments[number] for number in self.active()]
        start = size - sum(fragment["size"] for fragment in own)
        yield self.keys, 0, start
        for fragment in own:
            yield fragment["keys"], start, start + fragment["size"]
            start += fragment["size"]

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, data: bytes) -> Plan:
        return cls(**json.loads(data))


def apart(rows: np.ndarray, shared: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """The values of rows[n, P] that are `shared`, and the others, each one row after the other. The shared ones are in the order of
    these ranges, as the fragments' vectors may have them in different orders."""
    common = [rows[:, start:stop] for start, stop in shared]
    return np.concatenate([rows[:, :0], *common], 1).reshape(-1), rows[:, _alone(rows.shape[1], shared)].reshape(-1)


def together(values: np.ndarray, own: np.ndarray, shared: list[tuple[int, int]], parameters: int) -> np.ndarray:
    """The rows [n, P] that `apart` made these of."""
    rows = np.empty(((len(values) + len(own)) // parameters, parameters), own.dtype)
    values, first = values.reshape(len(rows), -1), 0
    for start, stop in shared:
        rows[:, start:stop] = values[:, first:first + stop - start]
        first += stop - start
    rows[:, _alone(parameters, shared)] = own.reshape(len(rows), -1)
    return rows


def _alone(parameters: int, shared: list[tuple[int, int]]) -> np.ndarray:
    """Of each weight whether it is not shared."""
    found = np.ones(parameters, bool)
    for start, stop in shared:
        found[start:stop] = False
    return found


def identity(plan: Plan, state: State) -> str:
    """A hash of the plan and of the state that the round begins with; it differs for any two rounds of any runs."""
    facts = [state.iterations, state.rate_scale, checksum(state.vector)]
    return blake2b(plan.dump() + json.dumps(facts).encode(), digest_size=8).hexdigest()


def name(dataset: str, shard: int) -> str:
    """A shard's name in plans and messages."""
    return f"{dataset}/{shard:05d}"
