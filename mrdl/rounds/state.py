"""The state: everything that round r + 1 needs from round r, in one safetensors file (never pickle).

Where the broadcast is coded (mrdl.rounds.broadcast), its file has messages in place of the vector's values."""
import io
import json
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mrdl import __version__, kernels, limits
from mrdl.rounds.coded import MOST, values_of
from mrdl.storage.local import Local
from mrdl.storage.paths import place
from mrdl.storage.sealed import Count, Hash, check, fields, seal, unsealed
from mrdl.storage.tensorfile import packed
from mrdl.training.layerwise import Layerwise

APART = ("vector", "outer", "kept")        # fields that are not in the header of a state's file
PART = 1 << 17                  # values that are read at once only to check or to copy them
LAYERWISE = 8                   # weights that are more than this part of a task's memory stay in their file, to be scored
DTYPES = {"F32": np.float32, "F64": np.float64}         # type names in safetensors files
CODED = {"values": Count, "messages": list[Count]}      # what else a coded state's header has: the vector's size, the messages' bytes


class StateError(ValueError):
    """A state is damaged, or belongs to something else."""


def profile() -> str:
    """The numeric profile, on which the bits of a run depend: mrdl's version, whether multiply-adds are fused, and how
    denormal numbers are treated."""
    return f"mrdl {__version__}, {'fused' if kernels.FMA else 'separate'} multiply-add, denormals flushed to 0"


def checksum(vector: np.ndarray) -> int:
    """The sum of the vector's words; differs between states that were computed differently."""
    return int(vector.view(f"u{vector.itemsize}").sum(dtype=np.uint64))


@dataclass
class State:
    """`vector` has the weights, then the updater's slots: [P (1 + slots)]. `outer` has the outer updater's slots [slots, P], in
    a file of their own, as workers do not need them."""
    vector: np.ndarray
    parameters: int                     # P
    round: int = 0                      # rounds done
    iterations: int = 0                 # updates done, as counted by schedules and Adam
    epoch: int = 0
    group: int = 0                      # the next group of shards in this epoch
    part: int = 0                       # the next round of this group
    rate_scale: float = 1.0             # factor of the learning rate; halved at each roll-back
    profile: str = field(default_factory=profile)
    outer: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    # by slot (a worker's number): the name and the hash of the file with what it keeps (mrdl.worker.slot);
    # by "callbacks" the same of arrays that callbacks keep
    kept: dict[str, list[str]] = field(default_factory=dict)

    @property
    def weights(self) -> np.ndarray:
        return self.vector[:self.parameters]

    @property
    def slots(self) -> np.ndarray:
        return self.vector[self.parameters:].reshape(-1, self.parameters)

    @property
    def facts(self) -> dict[str, Any]:
        """All fields that the header of its file has."""
        return {k: v for k, v in vars(self).items() if k not in APART}

    def dump(self, messages: Sequence[bytes] | None = None) -> bytes:
        """The bytes of its file. If `messages` are given, the file has these, of which `decoded` makes the vector."""
        facts = {**self.facts, "dtype": self.vector.dtype.name, "checksum": checksum(self.vector)}
        if messages is not None:
            facts |= {"values": len(self.vector), "messages": list(map(len, messages))}
        return packed({"vector": self.vector} if messages is None else {"coded": np.frombuffer(b"".join(messages), np.uint8)},
                      {"mrdl": json.dumps(seal(facts))})

    def dump_outer(self) -> bytes:
        return save({"outer": self.outer})

    def take_outer(self, data: bytes, source: str) -> None:
        """Takes the outer updater's slots from the bytes of their file; StateError if they do not fit."""
        with _refused(source):
            found = load(data)["outer"]
            if found.ndim != 2 or found.shape[1] != self.parameters or found.dtype != self.vector.dtype:
                raise ValueError(f"{found.dtype} {list(found.shape)} for {self.parameters:,} weights")
            self.outer = found.copy()

    @classmethod
    def parse(cls, data: bytes, source: str) -> "State":
        """Parses the bytes of a state's file; StateError if they are not a state."""
        with _refused(source):
            return cls._read(io.BytesIO(data), len(data))

    @classmethod
    def load(cls, path: str) -> "State":
        """Reads a state from a file in any storage; StateError if it is not a state."""
        folder, name = place(path)
        with folder.open(name) as file, _refused(path):
            return cls._read(file, _size(file))

    @classmethod
    def weights_of(cls, path: str) -> np.ndarray | Layerwise:
        """What scoring needs of a state in a file: its weights. Where they would take more than 1 / LAYERWISE of the task's memory,
        they stay in the file, or in a copy on this machine if it is elsewhere. StateError if it is not a state."""
        folder, name = place(path)
        with folder.open(name) as file, _refused(path):
            facts, dtype, count = _header(file, _size(file))
            parameters = facts["parameters"]
            if type(parameters) is not int or not 0 < parameters <= count:
                raise ValueError("its vector does not fit its parameters")
            if parameters * dtype.itemsize <= limits.task() // LAYERWISE:
                weights = np.empty(parameters, dtype)
                file.readinto(weights.view(np.uint8))
                total = checksum(weights) + sum(map(checksum, _parts(file, count - parameters, dtype)))
            else:
                here = isinstance(folder, Local)
                kept = folder.open(name) if here else tempfile.TemporaryFile(dir=".")  # noqa: SIM115 - Layerwise closes it
                weights, total = Layerwise(kept, file.tell() if here else 0, parameters, dtype), 0
                for part in _parts(file, count, dtype):
                    total += checksum(part)
                    if not here:
                        kept.write(part)
            cls._checked(facts, weights, total % (1 << 64))
        return weights

    @classmethod
    def _read(cls, file: BinaryIO, size: int) -> "State":
        """Reads the values directly into the vector. The safetensors library would map the file, so a task would need
        memory for the mapped pages and for the copy."""
        facts, dtype, count = _header(file, size)
        if dtype == np.uint8:
            vector = _decoded(file, facts, count)
        else:
            vector = np.empty(count, dtype)
            file.readinto(vector.view(np.uint8))
        return cls._checked(facts, vector, checksum(vector))

    @classmethod
    def _checked(cls, facts: dict, vector: np.ndarray | Layerwise, total: int) -> "State":
        kinds = {name: kind for name, kind in fields(cls).items() if name not in APART}
        check(facts, {**kinds, "dtype": str, "checksum": int, "seal": Hash}, "it")
        if (facts["dtype"], facts["checksum"]) != (vector.dtype.name, total):
            raise ValueError("its vector is damaged: its checksum does not fit")
        if facts["parameters"] < 1 or len(vector) % facts["parameters"]:
            raise ValueError("its vector does not fit its parameters")
        return cls(vector, **{name: facts[name] for name in kinds})


def decoded(messages: Iterable[bytes], size: int, dtype: np.dtype) -> np.ndarray:
    """The vector of this size that messages have; ValueError if they do not. Workers and the driver make the same of them."""
    vector, place = np.empty(size, dtype), 0
    for data in messages:
        part = values_of(data, vector.dtype)
        vector[place:place + len(part)] = part
        place += len(part)
    if place != size:
        raise ValueError(f"{place} values, not {size}")
    kernels.typed(vector.dtype).flush(vector[None])
    return vector


def _decoded(file: BinaryIO, facts: dict[str, Any], size: int) -> np.ndarray:
    """The vector of a coded state, of whose messages the file has `size` bytes. Takes what only such a state has out of the facts."""
    coded, dtype = {name: facts.pop(name, None) for name in CODED}, np.dtype(facts["dtype"])
    check(coded, CODED, "it")
    lengths = coded["messages"]
    if dtype not in DTYPES.values() or sum(lengths) != size or coded["values"] > MOST * len(lengths):
        raise ValueError("its messages do not fit")
    return decoded(map(file.read, lengths), coded["values"], dtype)


def _parts(file: BinaryIO, count: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """The next values of a file, PART of them at a time. Each part is in the memory of the one before it."""
    part = np.empty(min(count, PART), dtype)
    for start in range(0, count, PART):
        found = part[:count - start]
        file.readinto(found.view(np.uint8))
        yield found


def _size(file: BinaryIO) -> int:
    """The size of an open file, which is then read from its begin."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], np.dtype, int]:
    """The facts about a state in a file of this size, and the type and number of its values, which come next in the file: bytes, if it
    is coded. The format is simple: a length, a JSON header, the values."""
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(min(length, size)))
    values = header["coded" if "coded" in header else "vector"]
    dtype, (start, stop) = np.dtype(np.uint8 if "coded" in header else DTYPES[values["dtype"]]), values["data_offsets"]
    if (start, stop) != (0, size - 8 - length):
        raise ValueError(f"{size - 8 - length} bytes of values, not {stop}")
    return unsealed(header["__metadata__"]["mrdl"]), dtype, stop // dtype.itemsize


@contextmanager
def _refused(source: str):
    """Turns any error in a file into a StateError. (Sizes are checked before memory is allocated.)"""
    try:
        yield
    except (struct.error, RecursionError, ValueError, KeyError, TypeError, OverflowError, SafetensorError) as error:
        raise StateError(f"{source} is not a state of a run: {error}") from None
