"""What a worker sends where the run has a coding: the change of the state's vector against the broadcast, coded."""
from collections.abc import Iterator

from mrdl.codings import Coding, Exact, Truncated, coding
from mrdl.models.model import Model
from mrdl.rounds.coded import Coded, message
from mrdl.rounds.plan import Plan
from mrdl.rounds.state import State


class Change:
    """One worker's change in one round. It keeps a copy of the vector before the round, as training changes that in place.

    The change of a weight that is trained is written by the run's coding, that of the updater's state as bfloat16 rounded towards 0,
    others (moving means of data) exactly. What does not change takes no bytes."""

    def __init__(self, asked: Plan, given: State, model: Model, shard: int):
        self.before = given.vector.copy()
        self.key = asked.seed, "compress", asked.epoch, shard, asked.first
        self.cuts = list(_cuts(model, given, coding(asked.compress)))

    def message(self, values, start: int, stop: int) -> Coded:
        """The message for the chunk start..stop of `values`, the vector after training."""
        cuts = [(max(a, start) - start, min(b, stop) - start, kind) for a, b, kind in self.cuts if a < stop and b > start]
        return message(values[start:stop] - self.before[start:stop], cuts, *self.key, start)


def _cuts(model: Model, given: State, kind: Coding) -> Iterator[tuple[int, int, Coding]]:
    """(start, stop, coding) of each part of the vector: the weights, then the updater's slots, weight by weight."""
    weights = sorted((start, start + w.size, w.trainable) for _, w, start in model.places())
    for first in range(0, len(given.vector), given.parameters):
        for start, stop, trainable in weights:
            yield first + start, first + stop, Truncated() if first else kind if trainable else Exact()
