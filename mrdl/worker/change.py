"""What a worker sends where the run has a coding: the change of the state's vector against the broadcast, coded."""
from collections.abc import Iterator

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mrdl import kernels
from mrdl.codings import Coding, Exact, Truncated, coding
from mrdl.models.model import Model
from mrdl.rounds.coded import Coded, message, values_of
from mrdl.rounds.plan import Plan
from mrdl.rounds.state import State, StateError
from mrdl.storage.schemes import store_at
from mrdl.storage.sealed import digest


class Change:
    """One worker's change in one round. It keeps a copy of the vector before the round, as training changes that in place.

    The change of a weight that is trained is written by the run's coding, that of the updater's state as bfloat16 rounded towards 0,
    others (moving means of data) exactly. What does not change takes no bytes.

    If the coding leaves out much, the worker keeps a residual [P]: what its slot should have sent by now, and has not. It is a file in
    the run's folder, whose name has the hash of its content, so that all attempts of a task write the same file."""

    def __init__(self, asked: Plan, given: State, model: Model, worker: int, shard: int):
        kind = coding(asked.compress)
        self.before, self.residual = given.vector.copy(), None
        self.key = asked.seed, "compress", asked.epoch, shard, asked.first
        self.cuts = list(_cuts(model, given, kind))
        self.stem = f"residual-{asked.round:06d}-{worker:04d}"
        if kind.feedback:
            self.store, known = store_at(asked.folder), asked.residuals.get(str(worker))
            self.residual = self._read(*known, given.weights) if known else np.zeros_like(given.weights)
            self.residual *= self.residual.dtype.type(kind.decay)

    def _read(self, name: str, sha256: str, like: np.ndarray) -> np.ndarray:
        data = self.store.read(name)
        try:
            if digest(data) != sha256:
                raise ValueError("its hash is not the commit's")
            found = load(data)["residual"]
            if (found.shape, found.dtype) != (like.shape, like.dtype):
                raise ValueError(f"{found.dtype} {list(found.shape)} for {len(like):,} weights")
            return found.copy()
        except (ValueError, KeyError, SafetensorError) as error:
            raise StateError(f"{self.store.path(name)} is damaged: {error}") from None

    def message(self, values: np.ndarray, start: int, stop: int) -> Coded:
        """The message for the chunk start..stop of `values`, the vector after training."""
        cuts = [(max(a, start) - start, min(b, stop) - start, kind) for a, b, kind in self.cuts if a < stop and b > start]
        with np.errstate(all="ignore"):         # the driver handles values that are not finite
            change = values[start:stop] - self.before[start:stop]
            if self.residual is None:
                return message(change, cuts, *self.key, start)
            own = self.residual[start:stop]     # shorter, where the updater's state begins in this chunk
            change[:len(own)] += own
            sent = message(change, cuts, *self.key, start)
            own[:] = change[:len(own)] - values_of(sent, change.dtype)[:len(own)]
        return sent

    def kept(self) -> list[str]:
        """Writes the residual, after all messages; returns its file's name and hash. An empty list: there is none."""
        if self.residual is None:
            return []
        kernels.typed(self.residual.dtype).flush(self.residual[None])
        data = save({"residual": self.residual})
        name = f"{self.stem}-{digest(data)[:16]}.safetensors"
        self.store.create(name, data)
        return [name, digest(data)]


def _cuts(model: Model, given: State, kind: Coding) -> Iterator[tuple[int, int, Coding]]:
    """(start, stop, coding) of each part of the vector: the weights, then the updater's slots, weight by weight."""
    weights = sorted((start, start + w.size, w.trainable) for _, w, start in model.places())
    for first in range(0, len(given.vector), given.parameters):
        for start, stop, trainable in weights:
            yield first + start, first + stop, Truncated() if first else kind if trainable else Exact()
