"""What a worker sends where the run has a coding: the change of the state's vector against the broadcast, coded."""
import numpy as np

from mrdl.codings import Exact, Truncated, coding
from mrdl.models.model import Model
from mrdl.rounds.coded import Coded, cuts_of, message, values_of, within
from mrdl.rounds.plan import Plan
from mrdl.rounds.state import State
from mrdl.worker.slot import Slot


class Change:
    """One worker's change in one round. It keeps a copy of the vector before the round, as training changes that in place.

    The change of a weight that is trained is written by the run's coding, that of the updater's state as bfloat16 rounded towards 0,
    others (moving means of data) exactly. What does not change takes no bytes. Where only the broadcast is coded, all is exact.

    If the coding leaves out much, the slot keeps a residual [P]: what it should have sent by now, and has not."""

    def __init__(self, asked: Plan, given: State, model: Model, slot: Slot, shard: int):
        kind, slots = (coding(asked.compress), Truncated()) if asked.compress else (Exact(), Exact())
        rows = given.vector.reshape(-1, given.parameters)[:None if asked.save_updater else 1]
        self.before, self.residual = asked.thawed(rows).reshape(-1).copy(), None
        self.key = asked.seed, "compress", asked.epoch, shard, asked.first
        self.cuts = list(cuts_of(model.places(), len(given.vector) // given.parameters, kind, slots, False))
        if kind.feedback:
            self.residual = np.zeros(asked.thawed(rows).shape[1], given.vector.dtype)
            slot.take("residual", self.residual)
            slot.keep("residual", self.residual)
            self.residual *= self.residual.dtype.type(kind.decay)

    def message(self, values: np.ndarray, start: int, stop: int) -> Coded:
        """The message for the chunk start..stop of `values`, the vector after training."""
        cuts = within(self.cuts, start, stop)
        with np.errstate(all="ignore"):         # the driver handles values that are not finite
            change = values[start:stop] - self.before[start:stop]
            if self.residual is None:
                return message(change, cuts, *self.key, start)
            own = self.residual[start:stop]     # shorter, where the updater's state begins in this chunk
            change[:len(own)] += own
            sent = message(change, cuts, *self.key, start)
            own[:] = change[:len(own)] - values_of(sent, change.dtype)[:len(own)]
        return sent
