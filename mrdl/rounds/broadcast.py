"""A coded broadcast: what workers that train are given in place of the state, in fewer bytes.

The driver keeps the exact state. Workers train from what the coded one says, and send the change of that; the driver adds the mean
change to the exact state. So changes that are too small to be seen in a coded weight are not lost: they add up until they are."""
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mrdl.codings import Coding, Truncated
from mrdl.rounds.coded import Coded, cuts_of, message, within
from mrdl.rounds.partial import CHUNK
from mrdl.rounds.state import State, decoded
from mrdl.storage.base import Storage


@dataclass
class Broadcast:
    """What is sent, and the state that it says, with which workers begin. `store`: the run's folder."""
    state: State
    messages: list[Coded]
    store: Storage

    @property
    def nbytes(self) -> int:
        return sum(map(len, self.messages))

    def dump(self) -> bytes:
        """The bytes of the file that `State.load` reads."""
        return self.state.dump(self.messages)

    @contextmanager
    def file(self) -> Iterator[str]:
        """While it lasts, the run's folder has the file; yields its path. A driver that lost the run removes none but its own."""
        name = f"coded-{self.state.round:06d}-{secrets.token_hex(4)}.safetensors"
        self.store.write(name, self.dump())
        try:
            yield self.store.path(name)
        finally:
            self.store.remove(name)


def broadcast(state: State, places: Iterable[tuple[Any, Any, int]], kind: Coding, seed: int, store: Storage) -> Broadcast:
    """Codes a state: weights that are trained by `kind`, the updater's slots as bfloat16 rounded towards 0, others exactly, such as those of
    frozen layers.

    The random numbers of a coding that rounds at random depend on the seed, the round and the place in the vector alone, so that a round
    that is tried again is begun with the same bits.

    Args:
        state: what the round begins from.
        places: of the weights, as from the model's `places()`.
        kind: the coding of weights.
        seed: the run's.
        store: its folder."""
    vector = state.vector
    cuts = list(cuts_of(places, len(vector) // state.parameters, kind, Truncated(), True))
    messages = [message(vector[start:start + CHUNK], within(cuts, start, min(start + CHUNK, len(vector))), seed, "broadcast", state.round, start)
                for start in range(0, len(vector), CHUNK)]
    return Broadcast(replace(state, vector=decoded(messages, len(vector), vector.dtype), outer=np.empty((0, 0), vector.dtype)), messages, store)
