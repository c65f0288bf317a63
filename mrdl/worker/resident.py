"""The work of a mapper in a resident job: it stays alive, works on one round after another, and emits the last.

It reads its shard once and keeps it. Questions and answers are files in a folder (mrdl.rounds.meeting). An answer
depends only on its question. So a new attempt of a worker that died continues with the newest question, and a
speculative copy does no harm."""
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from mrdl import metrics
from mrdl.data.blocks import BlockError
from mrdl.data.windows import Arrays
from mrdl.report import advice
from mrdl.rounds import partial
from mrdl.rounds.meeting import OWN, Meeting, Pauses, Result, means
from mrdl.rounds.partial import RECORD, Partial
from mrdl.rounds.plan import Plan, name
from mrdl.rounds.record import Trained
from mrdl.rounds.state import State, checksum
from mrdl.rounds.statistics import Statistics
from mrdl.storage.paths import opened
from mrdl.storage.paths import place as placed
from mrdl.training.layerwise import Layerwise
from mrdl.training.learner import Learner
from mrdl.training.protocol import LayeredModel
from mrdl.worker import answer, counters
from mrdl.worker.cache import Rows, Shelf
from mrdl.worker.reading import Reading, ahead
from mrdl.worker.train import Prepared, prepared

REPORT = 10.0                   # seconds between two reports to Hadoop, and between two looks whether the driver is alive


class NoDriver(Exception):
    """The driver is gone for good: the worker ends, and another attempt of it would have to end too."""


class Kept:
    """The rows of shards; those that the shelf does not have are read from storage."""

    def __init__(self, shelf: Shelf, paths: list[str], lives: Callable[[], Any]):
        self.rows, self.at, self.lives = self._all(shelf, paths), "no block", lives
        self.reading: Reading | None = None

    def _all(self, shelf: Shelf, paths: list[str]) -> Iterator[Rows]:
        for path in paths:
            self.reading = Reading(_lines(path))
            found = shelf.rows(path, self.reading)
            self.reading = None
            for rows in found:
                self.at = f"shard {name(rows.dataset, rows.shard)}, block {rows.index} ({path})"
                self.lives()
                yield rows

    def __iter__(self) -> Iterator[Rows]:
        return self.rows

    def where(self) -> str:
        return self.reading.where() if self.reading else self.at


def _lines(path: str) -> Iterator[bytes]:
    os.environ["mapreduce_map_input_file"] = path
    with opened(path) as file:
        for line in file:
            yield line.rstrip(b"\n")


class Resident:
    """One mapper. `told` shows a text as the task's status; `patience`: seconds to wait for a driver;
    `increment` adds to the job's counters."""

    def __init__(self, meeting: Meeting, shelf: Shelf, told: Callable[[str], None], patience: float,
                 increment: counters.Increment):
        self.meeting, self.shelf, self.told, self.patience = meeting, shelf, told, patience
        self.increment = increment
        self.homes: list[tuple[str, str]] = []          # (name, path) of each worker's shard, if workers keep shards
        self.place = 0                  # this worker's number
        self.number = 0                 # of the current question
        self.begun = 0                  # of the first question that this attempt saw
        # when this worker last reported to Hadoop, and when the driver last showed that it is alive
        self.reported = self.heard = time.monotonic()
        self.counted = self.heard       # when it last looked which questions there are
        self.sign: float | None = None  # the time of the driver's last sign of life, by the storage's clock
        self.written = 0.0              # seconds that writing the last answer took
        self.mine: tuple[Result, np.ndarray] | None = None      # the last answer
        self.next: np.ndarray | None = None     # the expected weights and slots of the next state, as far as they are averaged
        self.statistics = Statistics(np.empty(0), [], [])     # of the last round that this worker had work in
        self.vector = np.empty(0, "f4")         # the current state; training changes it in place
        self.made: tuple[Any, Prepared] | None = None       # what trained the last round, and for which plan
        # which state a round began with is asked of plain workers only
        self.ways = {"prepared": self._prepared, "identity": lambda plan, state: "", "ahead": self._ahead, "described": self._described}
        self.known: dict[int, tuple[Arrays, metrics.Sums]] = {}     # what `_described` has found, by the id of the arrays

    def serve(self, lines: Iterable[bytes]) -> Iterator[tuple[str, Partial]]:
        """Answers all questions, then yields the partials of the last round; yields nothing if the driver is gone."""
        lines = iter(lines)
        try:
            self._arrive(lines)
            yield from self._served()
        except NoDriver as gone:
            print(f"{gone}: the worker leaves", file=sys.stderr)
        finally:
            self.meeting.quit()
        for _ in lines:                 # a mapper that exits with unread input fails (broken pipe)
            pass

    def _served(self) -> Iterator[tuple[str, Partial]]:
        asked = None
        while True:
            began, before = time.perf_counter(), asked
            asked = self._wait(self._question, "question")
            self.number = asked["number"]
            self._await_state(before, asked)
            if "last" in asked:
                yield from self._emitted(asked)
                return
            self._answer(asked, asked["work"].get(str(self.place), []), time.perf_counter() - began)
            if mine := asked["merge"].get(str(self.place)):
                self._merge(asked, *mine)
            self.next = self._foreseen(asked) if asked["foresee"] else None
            self.number += 1

    def _question(self) -> dict[str, Any] | None:
        """The next question. One that had no work for this worker may be gone already, if it was slow: then a later one."""
        if time.monotonic() - self.counted > REPORT:
            self.counted = time.monotonic()
            self.number = max([self.number, *self.meeting.questions()])
        return self.meeting.asked(self.number)

    def _await_state(self, before: dict[str, Any] | None, asked: dict[str, Any]) -> None:
        """Waits until the state of a question that was asked ahead is there: until all workers have merged their parts of the one before.
        Then none of them needs this worker's row any more, either."""
        if before and before["merge"] and self.meeting.memory and before["into"] == asked.get("row"):
            number, merging = before["number"], set(map(int, before["merge"]))
            self._wait(lambda: merging <= set(self.meeting.results(number, "part")) or self.meeting.passed(number), "state")

    def _arrive(self, lines: Iterator[bytes]) -> None:
        """Finds out which worker this is: by the shard in its input, or by the number in its input line."""
        try:
            workers, self.homes = self.meeting.setup()
        except FileNotFoundError:
            raise NoDriver(f"the driver's folder {self.meeting.store.url} does not exist any more") from None
        self.pauses = {what: Pauses(workers) for what in ("question", "state", "results")}
        if not self.homes:
            self.place = int(next(lines))
        else:
            reading = Reading(lines)
            first = next(reading, None)
            place = next((i for i, (shard, _) in enumerate(self.homes)
                          if first and shard == name(first.dataset, first.shard)), None)
            if place is None:
                raise BlockError(f"{reading.where()}: no worker of this job has this shard")
            self.place = place
            with suppress(BlockError):          # a damaged shard is read again when a question needs it, and is reported then
                self.shelf.rows(self.homes[place][1], chain([first], reading))
        came = self.meeting.arrive(self.place, {
            "host": socket.gethostname(), "pid": os.getpid(),
            "attempt": os.environ.get("mapreduce_task_attempt_id", "")})
        self._look(came)                # an attempt that starts after the driver's death need not wait for the driver
        self.number = self.begun = max(self.meeting.questions(), default=1)

    def _wait(self, found: Callable[[], Any], for_what: str) -> Any:
        """Calls `found` until it gives something, and returns that; NoDriver if the driver is gone for good."""
        for pause in self.pauses[for_what]:
            if got := found():
                return got
            if self._lives(f"waits in round {self.number}"):
                self._look()
            self.meeting.sleep(pause)

    def _look(self, by: float | None = None) -> None:
        """Raises NoDriver if the driver has ended the job, or has shown no sign of life for too long. `by`: the time
        by the storage's clock; without it, the age of a sign is counted from when this worker first saw it."""
        sign, now = self.meeting.seen(), time.monotonic()
        if sign is None:
            raise NoDriver("the driver has given up")
        if sign != self.sign:
            self.sign, self.heard = sign, now - max(0.0, (by or sign) - sign)
        if now - self.heard > self.patience:
            raise NoDriver(f"no sign of the driver for {now - self.heard:.0f} s")

    def _lives(self, text: str) -> bool:
        """Reports `text` to Hadoop if REPORT seconds have passed since the last report; returns whether they had."""
        due = time.monotonic() - self.reported > REPORT
        if due:
            self.reported = time.monotonic()
            self.told(text)
        return due

    def _works(self) -> bool:
        return self._lives(f"works on round {self.number}")

    def _answer(self, asked: dict[str, Any], work: list[list[str]], waited: float) -> None:
        """Does this worker's part of the question and writes its answer, unless the answer exists already."""
        self.mine = None
        # only an earlier attempt of this worker can have answered, before this one came; its twin's file would stay. One more question
        # may have been open
        if not work or self.number <= self.begun + 1 and self.meeting.has(self.number, self.place):
            return
        result, values = Result(dtype=asked["dtype"]), []
        try:
            for paths in reversed(work):    # training comes last, because it changes the state in place
                for chunk, part in answer.answer(Kept(self.shelf, paths, self._works), lambda: self._given(asked), **self.ways):
                    if chunk.startswith(RECORD):
                        result.records.append([part.worker, part.n, part.values])
                    else:
                        result.worker, result.n = part.worker, part.n
                        values.append(part.values)
        except FileNotFoundError:
            if self.meeting.passed(self.number):        # nobody waits for this answer
                return
            raise
        for _, _, facts in result.records:
            counters.count(facts, self.increment)
            if facts["kind"] == Trained.kind:
                facts["seconds"] |= {"wait": waited, "write": self.written}
        began = time.perf_counter()
        self.meeting.leave(self.number, self.place, result, values, row=self._row())
        self.written = time.perf_counter() - began
        self.mine = result, self.vector[:result.size]

    def _prepared(self, own: Plan, given: State) -> Prepared:
        """See mrdl.worker.train.prepared. What was made for an earlier round is used again, if the state has the same place."""
        plan = own.spec, own.batch_size, own.class_weight, own.sequences
        if not self.made or self.made[0] != plan or given.vector is not self.vector:
            self.made, self.known = (plan, prepared(own, given)), {}
        _, learner = made = self.made[1]
        if not self.meeting.memory or not isinstance(learner, Learner):
            self.made = None
        else:
            learner.begin(given.iterations, given.rate_scale)
        return made

    def _ahead(self, items: Iterator, waited: Callable[[float], None]) -> Iterator:
        """Rows in memory need no thread that reads ahead."""
        return ahead(items, waited) if self.shelf.files else items

    def _described(self, model: LayeredModel, arrays: Arrays, class_weight: dict[str, float] | None) -> metrics.Sums:
        """Statistics of targets (advice.targets). Those of rows that stay in memory are computed once."""
        if self.shelf.files:
            return advice.targets(model, arrays, class_weight)
        if id(arrays) not in self.known:
            self.known[id(arrays)] = arrays, advice.targets(model, arrays, class_weight)
        return self.known[id(arrays)][1]

    def _row(self) -> int | None:
        """The row of the shared memory for this worker's values, if there is one."""
        return self.meeting.memory.of(self.place) if self.meeting.memory else None

    def _given(self, asked: dict[str, Any]) -> answer.Asked:
        plan = _plan(asked)
        if self.meeting.memory and asked["state"]:
            return lambda worker: self._shared(asked), lambda: self._exact(asked), plan
        if asked["coded"]:
            return lambda worker: self._read(asked, asked["coded"], State.load), lambda: self._read(asked, asked["path"], State.weights_of), plan
        if not asked["parts"]:
            state = self._state(asked)
            self.statistics = Statistics(state.vector, plan.moments, plan.fixed)
            return lambda worker: state, lambda: state.weights, plan

        def given(worker: int) -> State:
            return self._read(asked, asked["parts"][worker % len(asked["parts"])], State.load)
        return given, lambda: self._read(asked, asked["path"], State.weights_of), plan

    def _exact(self, asked: dict[str, Any]) -> np.ndarray | Layerwise:
        """The weights of a question's state. If workers train from a coded one, it is not in the shared memory."""
        return self._read(asked, asked["path"], State.weights_of) if asked["coded"] else self._means(asked)[:asked["state"]["parameters"]]

    def _means(self, asked: dict[str, Any]) -> np.ndarray:
        """The vector of a question's state in the shared memory."""
        return self.meeting.memory.row(asked["row"], asked["dtype"])

    def _shared(self, asked: dict[str, Any]) -> State:
        """The state of a question, copied to this worker's row of the shared memory."""
        vector, told = self._means(asked), asked["state"]
        if len(self.vector) != len(vector):
            self.vector = self.meeting.memory.row(self._row(), asked["dtype"])
        self.vector[:] = vector
        return State(self.vector, told["parameters"], iterations=asked["iterations"], rate_scale=told["rate_scale"])

    def _state(self, asked: dict[str, Any]) -> State:
        """The state of a question: the one that this worker computed itself if its checksum fits, else from the file."""
        told = asked["state"]
        if self.next is not None and told:
            if self.vector.dtype != self.next.dtype or len(self.vector) != told["length"]:
                self.vector = np.zeros(told["length"], self.next.dtype)
            self.vector[:len(self.next)] = self.next
            self.vector[len(self.next):] = 0
            if checksum(self.vector) == asked["checksum"]:
                return State(self.vector, told["parameters"], iterations=asked["iterations"],
                             rate_scale=told["rate_scale"])
        given = self._read(asked, asked["path"], State.load)
        self.vector = given.vector
        return given

    def _read(self, asked: dict[str, Any], path: str, read: Callable[[str], Any]) -> Any:
        path = path.replace("%06d", f"{asked['round'] - 1:06d}")
        store, file = placed(path)
        # the driver may just have begun the commit; a driver that died may have left none, and its successor asks anew
        self._wait(lambda: store.exists(file) or self.meeting.passed(self.number), "state")
        return read(path)

    def _foreseen(self, asked: dict[str, Any]) -> np.ndarray | None:
        """Computes the average of all results while the driver does so too; None if the driver was quicker, or a
        worker failed."""
        meeting, number, trained = self.meeting, self.number, asked["trained"]
        self._wait(lambda: set(meeting.results(number)) >= set(trained) or meeting.passed(number), "results")
        if not set(meeting.results(number)) >= set(trained):
            return None
        found = [self.mine if place == self.place and self.mine else meeting.read(number, place)
                 for place in trained]
        if not all(head.size for head, _ in found):
            return None
        return self.statistics.settled(np.concatenate(
            [mean.values for _, mean in means(_plan(asked), found)]))

    def _merge(self, asked: dict[str, Any], first: int, stop: int) -> None:
        """Computes the means of chunks first..stop from all workers' results, as a reducer does."""
        trained, meeting = asked["trained"], self.meeting
        if meeting.has(self.number, self.place, "part"):
            return
        # one that was asked in vain may never have all results
        self._wait(lambda: set(meeting.results(self.number)) >= set(trained) or meeting.memory and meeting.passed(self.number), "results")
        if not set(meeting.results(self.number)) >= set(trained):
            return
        heads = sorted(((meeting.head(self.number, place), place) for place in trained),
                       key=lambda pair: pair[0].worker)
        if any(not head.size for head, _ in heads):     # a worker failed; the driver reports it
            return
        cuts = partial.ranges(asked["size"], asked["plan"]["keys"])
        start, end = cuts[first][0], cuts[stop - 1][1]
        row = asked["into"] if meeting.memory else None
        out = () if row is None else meeting.memory.row(row, asked["dtype"])[start:end]
        if len(out) < end - start:              # what workers send of their vector may be more than it has
            out = np.empty(end - start, asked["dtype"])
        mean = partial.averaged([Partial(head.worker, head.n, meeting.values(self.number, place, head, cuts, first, stop))
                               for head, place in heads], out)
        meeting.leave(self.number, self.place, Result(self.place, mean.n, mean.worker, asked["dtype"]), [out], "part", row, start)

    def _emitted(self, asked: dict[str, Any]) -> Iterator[tuple[str, Partial]]:
        """Yields this worker's answer of the last round, as the mapper of a plain round emits it."""
        if not self.meeting.has(asked["last"], self.place):
            return
        result, values = self.meeting.read(asked["last"], self.place)
        for keys, part in _plan(asked).parts(result.worker, values) if len(values) else ():
            for chunk, (start, stop) in zip(keys, partial.ranges(len(part), keys)):
                yield chunk, Partial(result.worker, result.n, np.asarray(part[start:stop]))
        for number, n, facts in result.records:
            yield RECORD, Partial(number, n, facts)


def _plan(asked: dict[str, Any]) -> Plan:
    """The plan in a question."""
    return Plan(**asked["plan"], **{name: asked[name] for name in (*OWN, "kept")})
