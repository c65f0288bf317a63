"""Where resident workers meet their driver: a folder of files, each whole, and each written once.

    setup               how many workers; the shard that each holds, or none: they take what they are asked for
    job                 the job that the workers belong to
    place-0003          the input of the mapper that is worker 3, where it holds no shard
    worker-0003         worker 3 has come
    state-000006        a state, where workers cannot read the run's folder
    common-5f2a...      what several questions have in common: the model, who works on what
    000007/ask.5f2a.8_35 the seventh question: what is common, and numbers of its own; an empty file, as
                        these are made in a tenth of the time
    000007/done-0003    what worker 3 made of it
    000007/part-0003    the means of the chunks that worker 3 merges, where the workers merge
    driver              touched by the driver while it waits: it lives

A result is its values, from the file's first byte, then a JSON object and the object's length: who wants
a chunk reads that range. Nothing but files, so it works wherever HDFS does."""
import errno
import io
import json
import secrets
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from mrdl.rounds import partial
from mrdl.rounds.partial import Partial, PartialError
from mrdl.storage.local import Local
from mrdl.storage.schemes import store_at

LENGTH = struct.Struct("<Q")
OWN = ("round", "epoch", "first")       # of a plan: what differs from question to question
LEAST, MOST = 0.001, 0.1        # seconds between two looks at the folder
EACH = 0.004                    # seconds that each worker adds to MOST: many that wait look seldom


class Pauses:
    """How long to sleep between looks. Rounds are alike: most of what the last wait took is slept at once,
    then a tenth of the time waited so far, so that looking costs little and adds little."""

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
    """What a worker made of a question. `records` are (worker, n, facts), as in the shuffle."""
    worker: int = 0
    n: int = 0
    workers: int = 1                    # how many were averaged: 1, or all of them in a merged part
    dtype: str = "<f4"
    size: int = 0                       # values
    records: list = field(default_factory=list)

    def dump(self, values: list[np.ndarray]) -> bytes:
        self.size = sum(map(len, values))
        tail = json.dumps(asdict(self)).encode()
        return b"".join([*(np.ascontiguousarray(v, self.dtype) for v in values), tail,
                         LENGTH.pack(len(tail))])

    @classmethod
    def parse(cls, tail: bytes, values: int, source: str) -> "Result":
        """The object behind so many bytes of values; PartialError where that does not fit."""
        try:
            found = cls(**json.loads(tail))
            if found.size * np.dtype(found.dtype).itemsize != values:
                raise ValueError(f"{values} bytes of values, not {found.size} numbers")
        except (ValueError, TypeError, RecursionError) as error:
            raise PartialError(f"{source} is damaged: {error}") from None
        return found


def means(keys: list[str], size: int, results: list[tuple[Result, np.ndarray]]
          ) -> Iterator[tuple[str, Partial]]:
    """The means of the chunks of whole results: what reducers make of them."""
    results = sorted(results, key=lambda pair: pair[0].worker)
    for key, (start, stop) in zip(keys, partial.ranges(size, keys) if results else ()):
        yield from partial.merge(key, (Partial(head.worker, head.n, values[start:stop])
                                       for head, values in results))


class Meeting:
    """One side's view of the folder."""

    def __init__(self, url: str):
        self.store = store_at(url)
        if isinstance(self.store, Local):
            self.store.durable = False          # nobody needs these files after a crash of the machine
        self.common: dict[str, dict] = {}       # those that were written, or read: hash -> content

    # -- the driver's side

    def begin(self, workers: int, homes: list[tuple[str, str]]) -> None:
        """`homes`: (name, path) of each worker's shard; none: they take what they are asked for."""
        self.store.clear("")
        self.common = {}
        self.store.write("setup", json.dumps([workers, homes]).encode())
        self.alive()

    def alive(self) -> None:
        self.store.write("driver", b"")

    def places(self, workers: int) -> list[str]:
        """The inputs of mappers that hold no shard: each names a worker."""
        for place in range(workers):
            self.store.write(f"place-{place:04d}", b"%d\n" % place)
        return [self.store.path(f"place-{place:04d}") for place in range(workers)]

    def note(self, job: dict[str, Any]) -> None:
        """What a driver must know to go on with the job of one that died."""
        self.store.write("job", json.dumps(job).encode())

    def noted(self) -> dict[str, Any] | None:
        with suppress(FileNotFoundError):
            return json.loads(self.store.read("job"))
        return None

    def sees(self, path: str) -> bool:
        """Can workers read a file of the driver's by its path?"""
        return "://" in path or isinstance(self.store, Local)

    def bring(self, r: int, path: str) -> str:
        """Puts the driver's file of state r where workers find it, in the place of older ones."""
        for old in self.store.list("state-*"):
            if old < f"state-{r - 1:06d}":
                self.store.remove(old)
        self.store.put(f"state-{r:06d}", path)
        return self.store.path(f"state-{r:06d}")

    def ask(self, number: int, common: dict[str, Any], **own: float) -> None:
        """FileExistsError where a rival has asked under this number: a question never changes."""
        text = json.dumps({**common, "own": list(own)}).encode()
        name = blake2b(text, digest_size=8).hexdigest()
        if name not in self.common:
            self.store.write(f"common-{name}", text)
            self.common[name] = {}
        made = f".{number:06d}-{secrets.token_hex(4)}"
        self.store.create(f"{made}/ask.{name}.{'_'.join(map(repr, own.values()))}", b"")
        if not self.store.claim(made, f"{number:06d}"):
            self.store.clear(made)
            raise FileExistsError(errno.EEXIST, "another driver asks the workers",
                                  self.store.path(f"{number:06d}"))

    def come(self) -> list[int]:
        """The workers that have come."""
        return [int(name[7:]) for name in self.store.list("worker-*")]

    def results(self, number: int, kind: str = "done") -> list[int]:
        """Who has left a result."""
        return [int(name.rpartition("-")[2]) for name in self.store.list(f"{number:06d}/{kind}-*")]

    def forget(self, number: int) -> None:
        """Removes a question with all that was made of it."""
        self.store.clear(f"{number:06d}")

    def close(self) -> None:
        self.store.clear("")

    # -- the workers' side

    def setup(self) -> tuple[int, list[tuple[str, str]]]:
        """What `begin` was given."""
        workers, homes = json.loads(self.store.read("setup"))
        return workers, [tuple(home) for home in homes]

    def arrive(self, worker: int, facts: dict[str, Any]) -> float | None:
        """Says that the worker has come; gives when, by the storage's clock."""
        self.store.write(f"worker-{worker:04d}", json.dumps(facts).encode())
        return self.store.modified(f"worker-{worker:04d}")

    def asked(self, number: int) -> dict[str, Any] | None:
        """A question, what is common and what is its own together; None while it is not there."""
        for name in self.store.list(f"{number:06d}/ask.*"):
            _, common, own = name.split(".", 2)
            if common not in self.common:
                self.common = {common: json.loads(self.store.read(f"common-{common}"))}
            found = self.common[common]
            return {**found, **dict(zip(found["own"], map(json.loads, filter(None, own.split("_")))))}
        return None

    def seen(self) -> float | None:
        """When the driver last said that it lives; None where it has closed the meeting."""
        return self.store.modified("driver")

    def has(self, number: int, worker: int, kind: str = "done") -> bool:
        return self.store.exists(f"{number:06d}/{kind}-{worker:04d}")

    def leave(self, number: int, worker: int, result: Result, values: list[np.ndarray],
              kind: str = "done") -> None:
        """Of a worker and its twin the first one's stays: it is being read."""
        self.store.create(f"{number:06d}/{kind}-{worker:04d}", result.dump(values))

    # -- both

    def questions(self) -> list[int]:
        """The numbers of those that are there."""
        return [int(name[:6]) for name in self.store.list("*/ask.*")]

    def read(self, number: int, worker: int, kind: str = "done") -> tuple[Result, np.ndarray]:
        """A result and its values."""
        name = f"{number:06d}/{kind}-{worker:04d}"
        data = self.store.read(name)
        start = len(data) - LENGTH.size
        if start < 0 or (length := LENGTH.unpack_from(data, start)[0]) > start:
            raise PartialError(f"{self.store.path(name)} is damaged: {len(data)} bytes")
        found = Result.parse(data[start - length:start], start - length, self.store.path(name))
        return found, np.frombuffer(data, found.dtype, found.size)

    def head(self, number: int, worker: int, kind: str = "done") -> Result:
        """A result without its values."""
        name = f"{number:06d}/{kind}-{worker:04d}"
        with self.store.open(name) as file:
            end = file.seek(-LENGTH.size, io.SEEK_END)
            length = LENGTH.unpack(file.read(LENGTH.size))[0]
            if length > end:
                raise PartialError(f"{self.store.path(name)} is damaged: its end says {length}")
            file.seek(end - length)
            return Result.parse(file.read(length), end - length, self.store.path(name))

    def values(self, number: int, worker: int, dtype: str, start: int, stop: int) -> np.ndarray:
        """Values start..stop of a result."""
        size, name = np.dtype(dtype).itemsize, f"{number:06d}/done-{worker:04d}"
        found = np.empty(stop - start, dtype)
        with self.store.open(name) as file:
            file.seek(start * size)
            if file.readinto(found.view(np.uint8)) != found.nbytes:
                raise PartialError(f"{self.store.path(name)} ends before value {stop}")
        return found
