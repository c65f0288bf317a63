"""The meeting of a driver and workers that run on one machine: they wake each other, and share memory if there is enough.

In memory, each worker has a row for the values of its answer, and boxes for its messages; the driver's questions are in boxes
too. There are two boxes of each kind, one for questions of even numbers: the driver may ask a question before it has read the
answers to the one before. What is not there is in files, as in any meeting."""
import json
from contextlib import suppress
from typing import Any

import numpy as np

from mrdl.rounds.bell import Bell, ring
from mrdl.rounds.coded import Coded
from mrdl.rounds.meeting import Meeting, Result
from mrdl.rounds.memory import Memory
from mrdl.rounds.partial import PartialError
from mrdl.storage.local import Local
from mrdl.storage.schemes import store_at

OPEN = 2                        # so many questions may be open: a question and its answers take the place of those of the last but one
# kinds of boxes: the driver's question; a worker's answer if it trained, else its answer, and the part that it merged; an answer after
# the newest training must not replace that of the training, which may be emitted at the end
QUESTION, TRAINED, SCORED, PART = range(4)
DRIVER = 9999                   # the number of the driver's bell; workers' bells have theirs
FILED = b"file"                 # a message that is in a file
QUIET = 0.05                    # seconds between two looks at the memory, where nobody has rung


def meeting_at(url: str) -> Meeting:
    """The meeting in a folder, for the driver or a worker."""
    return Nearby(url) if isinstance(store_at(url), Local) else Meeting(url)


def boxes(workers: int) -> int:
    """How many boxes the memory of a meeting has."""
    return OPEN * (1 + PART * workers)


class Nearby(Meeting):
    """A meeting on one machine. Its memory is made by the driver, and is given to `begin`."""

    def __init__(self, url: str):
        super().__init__(url)
        self.bell: Bell | None = None
        self.workers = 0                        # their number

    # -- the driver's side

    def begin(self, workers, homes, memory=None) -> None:
        self.quit()
        super().begin(workers, homes, memory)
        self.workers = workers
        self._hang(DRIVER)

    def ask(self, number, common, kept=None, **own) -> None:
        if not self.memory:
            super().ask(number, common, kept, **own)
        else:
            name = self.share({**common, "own": list(own), "keeps": kept is not None})
            message = json.dumps([name, list(own.values()), kept or {}]).encode()
            if not self.memory.put(_box(number), number, message):
                self.store.write(f"{number:06d}/question", message)
                self.memory.put(_box(number), number, FILED)
        self._ring(*range(self.workers))

    def close(self) -> None:
        super().close()
        self.quit()

    # -- the workers' side

    def setup(self) -> tuple[int, list[tuple[str, str]]]:
        self.workers, homes = super().setup()
        shared = json.loads(self.store.read("setup"))[2]
        self.memory = shared and Memory(*shared)
        return self.workers, homes

    def arrive(self, worker, facts) -> float | None:
        self._hang(worker)
        came = super().arrive(worker, facts)
        self._ring(DRIVER)
        return came

    def asked(self, number) -> dict[str, Any] | None:
        if not self.memory:
            return super().asked(number)
        # the later one first: where it is there, this one has been there before
        found = min((found for found in map(self.memory.get, (_box(number + 1), _box(number))) if found and found[0] >= number), default=None)
        if found is None:
            return None
        name, own, kept = json.loads(self.store.read(f"{found[0]:06d}/question") if found[1] == FILED else found[1])
        common = self.shared(name)
        return {**common, **dict(zip(common["own"], own)), "kept": kept, "number": found[0]}

    def has(self, number, worker, kind="done") -> bool:
        return bool(self._message(number, worker, kind)) if self.memory else super().has(number, worker, kind)

    def leave(self, number, worker, result, values, kind="done", row=None, start=0) -> None:
        if not self.memory:
            super().leave(number, worker, result, values, kind)
        else:
            box = PART if kind == "part" else TRAINED if values else SCORED
            size = start + sum(map(len, values))
            # what workers send of their vector may be more than it has
            if values and not isinstance(values[0], Coded) and size <= len(self.memory.row(row, result.dtype)):
                result.row, result.start, result.size = row, start, size - start
                place = self.memory.row(row, result.dtype)[start:size]
                if values[0].ctypes.data != place.ctypes.data:  # else they have been made there
                    np.concatenate(values, out=place)
                values = []
            data = result.dump(values)
            if values or not self.memory.put(_box(number, box, worker), number, data):
                super().leave(number, worker, result, values, kind)
                self.memory.put(_box(number, box, worker), number, FILED)
        self._ring(*range(self.workers))        # others may wait for it, to merge, or to begin with what is merged
        if kind == "part" or not result.row:    # else the driver waits for parts
            self._ring(DRIVER)

    def passed(self, number) -> bool:
        if not self.memory:
            return super().passed(number)
        return any(found and found[0] >= number + OPEN for found in map(self.memory.get, range(OPEN)))

    # -- both

    def results(self, number, kind="done") -> list[int]:
        if not self.memory:
            return super().results(number, kind)
        return [worker for worker in range(self.workers) if self._message(number, worker, kind)]

    def questions(self) -> list[int]:
        if not self.memory:
            return super().questions()
        return sorted(found[0] for found in map(self.memory.get, range(OPEN)) if found)[:1]

    def read(self, number, worker, kind="done") -> tuple[Result, np.ndarray]:
        message = self._message(number, worker, kind) if self.memory else FILED
        if message == FILED:
            found, values = super().read(number, worker, kind)
        else:
            name = f"{kind} {worker} of question {number}"
            if message is None:
                raise PartialError(f"{name} is gone")
            found = Result.parse(self.tail(message, name), 0, name)
            values = np.empty(0, found.dtype)
        if found.row is not None:
            values = self.memory.row(found.row, found.dtype)[found.start:found.start + found.size]
        return found, values

    def head(self, number, worker, kind="done") -> Result:
        return self.read(number, worker, kind)[0] if self.memory else super().head(number, worker, kind)

    def values(self, number, worker, head, cuts, first, stop) -> np.ndarray:
        if head.row is None:
            return super().values(number, worker, head, cuts, first, stop)
        return self.memory.row(head.row, head.dtype)[cuts[first][0]:cuts[stop - 1][1]]

    def sleep(self, seconds) -> None:
        if self.bell:
            self.bell.wait(max(seconds, QUIET) if self.memory else seconds)     # who leaves a message rings
        else:
            super().sleep(seconds)

    def quit(self) -> None:
        if self.bell:
            self.bell.close()
        if self.memory:
            self.memory.close()
        self.bell = self.memory = None

    def _message(self, number: int, worker: int, kind: str) -> bytes | None:
        """A worker's message of this kind to a question; None if there is none."""
        for box in (PART,) if kind == "part" else (TRAINED, SCORED):
            if found := self.memory.get(_box(number, box, worker), number):
                return found[1]
        return None

    def _bell(self, place: int) -> str:
        return self.store.path(f"bell-{place:04d}")

    def _hang(self, place: int) -> None:
        """Gives this process a bell."""
        with suppress(OSError):                 # not every file system has pipes: then it looks from time to time
            self.bell = Bell(self._bell(place))

    def _ring(self, *places: int) -> None:
        """Wakes those that wait for what is new."""
        for path in map(self._bell, places):
            if self.bell and path != self.bell.path:
                ring(path)


def _box(number: int, kind: int = QUESTION, worker: int = 0) -> int:
    """The box of a message about question `number`."""
    return OPEN * (PART * worker + kind) + number % OPEN
