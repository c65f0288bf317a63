"""The folder where resident workers and their driver exchange files. Each file is written once, atomically.

    setup               the number of workers, and the shard that each keeps (none: they read what a question names)
    job                 the job that the workers belong to
    place-0003          the input of the mapper that is worker 3, if workers keep no shards
    worker-0003         worker 3 has started
    state-000006        a state, if workers cannot read the run's folder
    coded-000006        a coded state, if the broadcast is coded
    common-5f2a...      what several questions have in common: the model, which worker works on what
    000007/ask.5f2a.8_35 the seventh question. The file is empty, because that takes a tenth of the time; its name
                        has the hash of its common part, and its own numbers
    000007/kept         if slots keep anything: the files that they go on with
    000007/done-0003    worker 3's answer
    000007/part-0003    the means of the chunks that worker 3 merges, if the workers merge
    driver              touched by the driver while it waits, to show that it is alive
    bell-9999, bell-0003        on one machine: the pipes of the driver and of worker 3 (mrdl.rounds.bell)

An answer consists of its values, from the file's first byte on, then a JSON object, then the object's length: a reader
that needs one chunk reads only that range. The exchange uses only files, so it works wherever HDFS does. On one machine,
mrdl.rounds.nearby has a quicker one."""
import errno
import io
import itertools
import json
import secrets
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from mrdl.rounds import partial
from mrdl.rounds.coded import Coded, values_of
from mrdl.rounds.memory import Memory
from mrdl.rounds.partial import Partial, PartialError
from mrdl.rounds.plan import Plan
from mrdl.storage.local import Local
from mrdl.storage.schemes import store_at

LENGTH = struct.Struct("<Q")
OWN = ("round", "epoch", "first")       # the fields of a plan that differ from question to question
LEAST, MOST = 0.001, 0.1        # seconds between two looks at the folder, at least and at most
EACH = 0.004                    # seconds added to MOST for each worker, so that many workers do not overload the NameNode


class Pauses:
    """How long to sleep between looks. Rounds take similar times, so the first sleep is most of what the last wait
    took; each further one is a tenth of the time waited so far. So there are few looks, and little time is lost."""

    def __init__(self, workers: int):
        self.most, self.last = max(MOST, EACH * workers), 0.0

    def __iter__(self) -> Iterator[float]:
        began = time.monotonic()
        yield min(self.most, max(LEAST, 0.7 * self.last))
        while True:
            self.last = time.monotonic() - began
            yield min(self.most, max(LEAST, self.last / 10))


@dataclass
class Result:
    """A worker's answer to a question. `records` are (worker, n, facts), as in the shuffle."""
    worker: int = 0
    n: int = 0
    workers: int = 1                    # how many workers' values were averaged: 1, or all in a merged part
    dtype: str = "<f4"
    size: int = 0                       # number of values
    coded: list = field(default_factory=list)       # the bytes of each chunk's message, if values are coded
    records: list = field(default_factory=list)
    row: int | None = None              # of the shared memory, where its values lie, and from which value on; None: in the file
    start: int = 0

    @property
    def bytes(self) -> int:
        """The bytes of its values in the file."""
        return 0 if self.row is not None else sum(self.coded) if self.coded else self.size * np.dtype(self.dtype).itemsize

    def dump(self, values: list[np.ndarray | Coded]) -> bytes:
        self.coded = [len(v) for v in values if isinstance(v, Coded)]
        if self.row is None:
            self.size = sum(v.count if isinstance(v, Coded) else len(v) for v in values)
        tail = json.dumps(vars(self)).encode()
        return b"".join([*(v if isinstance(v, Coded) else np.ascontiguousarray(v, self.dtype) for v in values), tail,
                         LENGTH.pack(len(tail))])

    @classmethod
    def parse(cls, tail: bytes, values: int, source: str) -> "Result":
        """Parses the JSON object that follows `values` bytes of values; PartialError if the two do not fit."""
        try:
            found = cls(**json.loads(tail))
            if found.bytes != values:
                raise ValueError(f"{values} bytes of values, not {found.bytes} for {found.size} numbers")
        except (ValueError, TypeError, RecursionError) as error:
            raise PartialError(f"{source} is damaged: {error}") from None
        return found


def means(plan: Plan, results: list[tuple[Result, np.ndarray]]) -> Iterator[tuple[str, Partial]]:
    """The means of all chunks of these results, computed as reducers do."""
    sent: dict[tuple[str, ...], list[tuple[Result, np.ndarray]]] = {}
    for head, values in sorted(results, key=lambda pair: pair[0].worker):
        for keys, part in plan.parts(head.worker, values):
            sent.setdefault(tuple(keys), []).append((head, part))
    for keys, parts in sent.items():
        for key, (start, stop) in zip(keys, partial.ranges(len(parts[0][1]), keys)):
            yield from partial.merge(key, (Partial(head.worker, head.n, values[start:stop]) for head, values in parts))


class Meeting:
    """The folder, as used by the driver or by a worker."""

    def __init__(self, url: str):
        self.store = store_at(url)
        if isinstance(self.store, Local):
            self.store.durable = False          # these files are not needed after a crash of the machine
        self.common: dict[str, dict] = {}       # hash -> content of the common parts written or read so far
        self.memory: Memory | None = None       # if driver and workers share some

    # -- the driver's side

    def begin(self, workers: int, homes: list[tuple[str, str]], memory: Memory | None = None) -> None:
        """`homes`: (name, path) of the shard that each worker keeps; empty: workers read what a question names."""
        self.store.clear("")
        self.common, self.memory = {}, memory
        self.store.write("setup", json.dumps([workers, homes, memory and memory.facts]).encode())
        self.alive()

    def alive(self) -> None:
        self.store.write("driver", b"")

    def places(self, workers: int) -> list[str]:
        """The inputs of mappers that keep no shard: each contains the number of a worker."""
        for place in range(workers):
            self.store.write(f"place-{place:04d}", b"%d\n" % place)
        return [self.store.path(f"place-{place:04d}") for place in range(workers)]

    def note(self, job: dict[str, Any]) -> None:
        """Writes what a later driver must know to take over the job if this one dies."""
        self.store.write("job", json.dumps(job).encode())

    def noted(self) -> dict[str, Any] | None:
        with suppress(FileNotFoundError):
            return json.loads(self.store.read("job"))
        return None

    def sees(self, path: str) -> bool:
        """Can workers read a file of the driver by its path?"""
        return "://" in path or isinstance(self.store, Local)

    def bring(self, r: int, path: str) -> str:
        """Puts the driver's file of state r where workers can read it, and removes older ones."""
        self.store.put(name := self._newest("state", r), path)
        return self.store.path(name)

    def give(self, r: int, coded: bytes) -> str:
        """Writes state r as workers that train are given it, if it is coded, and removes older ones."""
        self.store.write(name := self._newest("coded", r), coded)
        return self.store.path(name)

    def _newest(self, kind: str, r: int) -> str:
        """The name of the file for state r; removes those of the states before the last one."""
        for old in self.store.list(f"{kind}-*"):
            if old < f"{kind}-{r - 1:06d}":
                self.store.remove(old)
        return f"{kind}-{r:06d}"

    def ask(self, number: int, common: dict[str, Any], kept: dict[str, list[str]] | None = None, **own: float) -> None:
        """Asks question `number`. FileExistsError if another driver has already asked it: a question never changes.

        `kept`: the files that slots go on with, if they keep anything; they differ from question to question."""
        name = self.share({**common, "own": list(own), "keeps": kept is not None})
        made = f".{number:06d}-{secrets.token_hex(4)}"
        if kept is not None:
            self.store.create(f"{made}/kept", json.dumps(kept).encode())
        self.store.create(f"{made}/ask.{name}.{'_'.join(map(repr, own.values()))}", b"")
        if not self.store.claim(made, f"{number:06d}"):
            self.store.clear(made)
            raise FileExistsError(errno.EEXIST, "another driver asks the workers",
                                  self.store.path(f"{number:06d}"))

    def share(self, common: dict[str, Any]) -> str:
        """Writes what questions have in common, unless it is there already; returns its hash."""
        text = json.dumps(common).encode()
        name = blake2b(text, digest_size=8).hexdigest()
        if name not in self.common:
            self.store.write(f"common-{name}", text)
            self.common[name] = {}
        return name

    def come(self) -> list[int]:
        """The workers that have started."""
        return [int(name[7:]) for name in self.store.list("worker-*")]

    def results(self, number: int, kind: str = "done") -> list[int]:
        """The workers that have left a result."""
        return [int(name.rpartition("-")[2]) for name in self.store.list(f"{number:06d}/{kind}-*")]

    def forget(self, number: int) -> None:
        """Removes a question and all its answers."""
        self.store.clear(f"{number:06d}")

    def close(self) -> None:
        self.store.clear("")

    # -- the workers' side

    def setup(self) -> tuple[int, list[tuple[str, str]]]:
        """The number of workers and their shards, as given to `begin`."""
        workers, homes, _ = json.loads(self.store.read("setup"))
        return workers, [tuple(home) for home in homes]

    def arrive(self, worker: int, facts: dict[str, Any]) -> float | None:
        """Reports that the worker has started; returns when, by the storage's clock."""
        self.store.write(f"worker-{worker:04d}", json.dumps(facts).encode())
        return self.store.modified(f"worker-{worker:04d}")

    def asked(self, number: int) -> dict[str, Any] | None:
        """A question, with its common part and its own; None if it has not been asked yet. On one machine it may be a later one."""
        for name in self.store.list(f"{number:06d}/ask.*"):
            _, common, own = name.split(".", 2)
            found = self.shared(common)
            kept = json.loads(self.store.read(f"{number:06d}/kept")) if found["keeps"] else {}
            return {**found, **dict(zip(found["own"], map(json.loads, filter(None, own.split("_"))))), "kept": kept, "number": number}
        return None

    def shared(self, name: str) -> dict[str, Any]:
        """What questions have in common, by its hash."""
        if name not in self.common:
            self.common = {name: json.loads(self.store.read(f"common-{name}"))}
        return self.common[name]

    def seen(self) -> float | None:
        """When the driver last showed that it is alive; None if it has closed the meeting."""
        return self.store.modified("driver")

    def passed(self, number: int) -> bool:
        """Does the driver want no more answers to this question, as it has asked a later one?"""
        return bool(self.asked(number + 1))

    def has(self, number: int, worker: int, kind: str = "done") -> bool:
        return self.store.exists(f"{number:06d}/{kind}-{worker:04d}")

    def leave(self, number: int, worker: int, result: Result, values: list[np.ndarray | Coded],
              kind: str = "done", row: int | None = None, start: int = 0) -> None:
        """Writes a result. If a copy of this worker has already written it, that file stays, as others may be reading it.

        `row`: of the shared memory, where values that are not coded belong, from value `start` on."""
        self.store.create(f"{number:06d}/{kind}-{worker:04d}", result.dump(values))

    # -- both

    def sleep(self, seconds: float) -> None:
        """Waits for so long at most, for something new."""
        time.sleep(seconds)

    def quit(self) -> None:
        """Gives back what this process has of the meeting."""

    def questions(self) -> list[int]:
        """The numbers of the questions in the folder. In shared memory: that of the first one that is open."""
        return [int(name[:6]) for name in self.store.list("*/ask.*")]

    def read(self, number: int, worker: int, kind: str = "done") -> tuple[Result, np.ndarray]:
        """Reads a result and its values."""
        name = f"{number:06d}/{kind}-{worker:04d}"
        data = self.store.read(name)
        tail = self.tail(data, self.store.path(name))
        found = Result.parse(tail, len(data) - LENGTH.size - len(tail), self.store.path(name))
        return found, self._values(data[:found.bytes], found.dtype, found.coded, name)

    def tail(self, data: bytes, source: str) -> bytes:
        """The JSON object behind the values of a result."""
        start = len(data) - LENGTH.size
        if start < 0 or (length := LENGTH.unpack_from(data, start)[0]) > start:
            raise PartialError(f"{source} is damaged: {len(data)} bytes")
        return data[start - length:start]

    def head(self, number: int, worker: int, kind: str = "done") -> Result:
        """Reads a result without its values."""
        name = f"{number:06d}/{kind}-{worker:04d}"
        with self.store.open(name) as file:
            end = file.seek(-LENGTH.size, io.SEEK_END)
            length = LENGTH.unpack(file.read(LENGTH.size))[0]
            if length > end:
                raise PartialError(f"{self.store.path(name)} is damaged: its last line gives the length {length}")
            file.seek(end - length)
            return Result.parse(file.read(length), end - length, self.store.path(name))

    def values(self, number: int, worker: int, head: Result, cuts: list[tuple[int, int]], first: int, stop: int) -> np.ndarray:
        """Reads the values of the chunks first..stop of a result; `cuts`: the ranges of all its chunks."""
        name = f"{number:06d}/done-{worker:04d}"
        lengths = head.coded or [(b - a) * np.dtype(head.dtype).itemsize for a, b in cuts]
        data = np.empty(sum(lengths[first:stop]), np.uint8)
        with self.store.open(name) as file:
            file.seek(sum(lengths[:first]))
            if file.readinto(data) != len(data):
                raise PartialError(f"{self.store.path(name)} ends before value {cuts[stop - 1][1]}")
        return self._values(data, head.dtype, head.coded[first:stop], name)

    def _values(self, data: bytes | np.ndarray, dtype: str, coded: list[int], name: str) -> np.ndarray:
        """The values in these bytes; `coded`: the lengths of their messages, if they are messages."""
        data = np.frombuffer(data, np.uint8)
        if not coded:
            return data.view(dtype)
        ends = [0, *itertools.accumulate(coded)]
        try:
            return np.concatenate([values_of(data[a:b], np.dtype(dtype)) for a, b in itertools.pairwise(ends)])
        except ValueError as error:
            raise PartialError(f"{self.store.path(name)} is damaged: {error}") from None
