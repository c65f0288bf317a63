"""What a slot (a worker's number) keeps from round to round: its residual, its updater's state, its own weights.

It is one file in the run's folder, whose name has the hash of its content. A worker's work depends on nothing but its input, so all
attempts of a task write the same file; the commit names that of each slot."""
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mrdl import kernels
from mrdl.rounds.plan import Plan
from mrdl.rounds.state import StateError
from mrdl.storage.local import Local
from mrdl.storage.schemes import store_at
from mrdl.storage.sealed import digest


class Slot:
    """One slot in one round: arrays by name, those of the round before to take, and those to keep."""

    def __init__(self, asked: Plan, worker: int):
        self.store = store_at(asked.folder) if asked.folder else None
        self.stem = f"slot-{asked.round:06d}-{worker:04d}"
        self.kept: dict[str, np.ndarray] = {}
        self.source, self.found = "", {}
        if known := asked.kept.get(str(worker)):
            self.found = self._read(*known)

    def _read(self, name: str, sha256: str) -> dict[str, np.ndarray]:
        data, self.source = self.store.read(name), self.store.path(name)
        try:
            if digest(data) != sha256:
                raise ValueError("its hash is not the commit's")
            return load(data)
        except (ValueError, SafetensorError) as error:
            raise StateError(f"{self.source} is damaged: {error}") from None

    def take(self, name: str, into: np.ndarray) -> None:
        """Fills `into` with what the slot has kept under this name, if it has."""
        found = self.found.get(name)
        if found is None:
            return
        if (found.shape, found.dtype) != (into.shape, into.dtype):
            raise StateError(f"{self.source} is damaged: {name} is {found.dtype} {list(found.shape)}, not {into.dtype} {list(into.shape)}")
        into[...] = found

    def keep(self, name: str, array: np.ndarray) -> None:
        """The slot keeps the array, whose content may change until `write`."""
        self.kept[name] = array

    def write(self) -> list[str]:
        """Writes what is kept; returns the file's name and hash. An empty list: there is nothing."""
        if not self.kept:
            return []
        for array in self.kept.values():
            kernels.typed(array.dtype).flush(array.reshape(-1, array.shape[-1]))
        data = save(self.kept)
        sha256 = digest(data)
        name = f"{self.stem}-{sha256[:16]}.safetensors"
        if isinstance(self.store, Local):
            self.store.durable = False          # the driver sees to that before it commits, and workers need not wait
        if not self.store.create(name, data) and self.store.read(name) != data:        # a machine that crashed has left a part
            self.store.write(name, data)
        return [name, sha256]
