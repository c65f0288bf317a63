"""The resident exchange: one streaming job whose mappers stay alive for many rounds.

The driver asks questions and the workers (mrdl.worker.resident) answer, both by files (mrdl.rounds.meeting). The last
round goes through the job's shuffle and reducers, so the job's output is the last state. The merge is the same as in
plain rounds, so the bits are too."""
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from mrdl import limits
from mrdl.driver import schedule
from mrdl.driver.exchanges.plain import Coming, PlainExchange
from mrdl.jobs.resident import ResidentRounds
from mrdl.rounds import partial, plan
from mrdl.rounds.broadcast import Broadcast
from mrdl.rounds.meeting import OWN, Pauses, means
from mrdl.rounds.memory import MEANS, Memory
from mrdl.rounds.merged import Merged, RoundError, gathered
from mrdl.rounds.nearby import boxes, meeting_at
from mrdl.rounds.partial import RECORD, Partial
from mrdl.rounds.record import Failed, Record, Trained
from mrdl.rounds.state import State, checksum
from mrdl.runners.cluster import Cluster
from mrdl.runners.failures import JobFailed, is_final
from mrdl.runners.output import Background
from mrdl.storage.local import Local

WHEN = ("auto", "always", "never")
SHARE = 0.1                     # with auto: plain rounds continue if their overhead is below this share of their computing
COME = 120.0                    # seconds in which all workers must have started
SAY = 10.0                      # seconds before the user is told that the driver waits for workers
LATE = 1.0                      # seconds of waiting after which a state must be in its file
ALIVE = 5.0                     # seconds between two signs of life for the workers
BUDGET = 10_000                 # rounds of one job, as its logs grow and its tokens expire
FEW = 4                         # up to this many workers read each other's results, and compute the next state themselves
APART = 256 << 20                # bytes; if all results together are larger, the workers do the merging
SHARED = 0.25                   # of the memory that a model may use: so much may be shared
IN_MEMORY = "memory"             # where the coded state is, in place of a path
SETTINGS = {
    # so that reducers start only at the end
    "mapreduce.job.reduce.slowstart.completedmaps": "1.0",
    # a waiting worker would look slow, and get a copy
    "mapreduce.map.speculative": "false",
}


class NotAllCame(RuntimeError):
    """The cluster cannot run all workers at once, or they cannot reach the meeting's folder."""


class Question(NamedTuple):
    """What workers are asked: see Meeting.ask."""
    common: dict[str, Any]
    kept: dict[str, list[str]] | None
    own: dict[str, float]


class ResidentExchange(PlainExchange):
    """`shards`: (name, path) of all training shards; if there are as many as workers, each worker keeps one.
    `when`: "auto" begins with plain rounds, and stays with them if they cost little.

    If not all workers start, it says so and continues with plain rounds."""

    def __init__(self, cluster: Cluster, workers: int, shards: list[tuple[str, str]], when: str,
                 warned: Callable[[str], None]):
        super().__init__(cluster)
        self.workers, self.when, self.warned = min(workers, len(shards)), when, warned
        self.shards = shards if len(shards) <= workers else []
        self.resident = when == "always"
        self.job: Background | None = None
        self.ready: Callable[..., None] = lambda wait=True, begin=True: None       # see Exchange; that of the newest round
        self.pauses = {kind: Pauses(self.workers) for kind in ("done", "part")}
        self.readers = ThreadPoolExecutor(2)
        self.rounds = 0                 # rounds done by this job
        self.number = 0                 # number of the newest question that had to be answered
        self.newest = 0                 # that of the newest one
        self.trained = 0                # that of the newest one by which workers train
        self.ahead: tuple[int, Question] | None = None      # a question that was asked ahead, and its number
        self.question: Question | None = None   # the question `number`
        self.coming: Callable[[], Coming | None] = lambda: None     # see Exchange.foresee
        self.sign_next = 0.0            # when to give the next sign of life
        self.kept: list[int] = []       # questions whose files are still in the folder
        # the newest question that trained and was answered; its plan and what it came to
        self.last: tuple[int, Question, plan.Plan, Merged] | None = None
        self.known = False              # do the workers know the state after it, without its file?
        self.parts: list[str] = []      # paths of the states of fragments, if the network is cut

    def begin(self, run, check) -> None:
        self.run, self.check = run, check
        self.meeting = meeting_at(self.cluster.meeting(run))
        self.setup = [self.workers, [[name, self._reached(path)] for name, path in self.shards]]
        note = self.when != "never" and self.meeting.noted()
        if note and note["setup"] == self.setup:
            self.job = self.cluster.adopted(note)
        self.cluster.own(run, note["job"] if self.job else None)
        if self.job:
            self.warned(f"{note['job']} of the dead driver is taken over")
            self.kept, self.resident = self.meeting.questions(), True
            self.number = self.newest = max(self.kept, default=0)

    @cache  # noqa: B019 - there is one exchange per process
    def _reached(self, path: str) -> str:
        """The path by which workers read a shard."""
        return path if self.meeting.sees(path) else self.cluster.upload(path)

    def lanes(self, workers) -> int:
        return workers if self.job else super().lanes(workers)

    def hands(self, shards, workers) -> list[list[str]]:
        """Resident workers run anyway, so all of them get about the same amount."""
        if self.job:
            return [[s.path for s in hand] for hand in schedule.pack(shards, workers)]
        return super().hands(shards, workers)

    def brief(self) -> bool:
        return bool(self.job and self.known)

    # -- rounds

    def foresee(self, coming) -> None:
        self.coming = coming

    def round(self, name, state, path, ready, plan, mappers, size, reducers, on_task=None, coded=None) -> Merged:
        if self.resident:
            try:
                return self._resident(state, path, ready, plan, mappers, size, reducers, on_task, coded)
            except NotAllCame as error:
                self.warned(f"{error}: continues with plain rounds")
                self.resident, self.when = False, "never"
        ready()
        began = time.perf_counter()
        merged = super().round(name, state, path, ready, plan, mappers, size, reducers, on_task, coded)
        if self.when == "auto":
            compute = max((r.seconds["compute"] for r in merged.records if isinstance(r, Trained)), default=0)
            beyond = time.perf_counter() - began - compute
            self.resident = beyond > SHARE * compute and self.cluster.holds(self.workers)
        return merged

    def score(self, name, path, plan, mappers, on_task=None) -> list[Record]:
        if self.job:
            try:
                return self._answered(None, path, lambda: None, plan, mappers, 0, np.dtype("f4"), on_task).records
            except (JobFailed, OSError) as error:
                self.check()
                self._cancel()
                if is_final(error):
                    raise
                self.warned(f"the resident workers are gone ({error}); a separate job scores the state")
        return super().score(name, path, plan, mappers, on_task)

    def leave(self) -> None:
        self.readers.shutdown()
        if self.job and not self.meeting.noted():
            self._cancel()

    def close(self, done: bool) -> None:
        self.readers.shutdown()
        if self.job and done and self.last:
            self._end()
        elif self.job:
            self._cancel()

    def _resident(self, state, path, ready, plan, mappers, size, reducers, on_task, coded) -> Merged:
        dtype, self.ready = state.vector.dtype, ready
        if self.job and self.rounds == BUDGET:
            self._end()
        try:
            if not self.job:
                self._start(dtype.name, reducers, 0 if plan.fragments or plan.frozen else state.vector.nbytes)
            merged = self._answered(state, path, ready, plan, mappers, size, dtype, on_task, coded)
            ready(wait=not self.brief(), begin=not self.brief())
        except (JobFailed, NotAllCame, OSError):
            self.check()                # raises if another driver has the run: its job must not be cancelled
            self._cancel()              # the next try starts a new job
            raise
        self.rounds += 1
        self.last = self.number, self.question, plan, merged
        return merged

    # -- the job

    def _start(self, dtype: str, reducers: int, length: int) -> None:
        """Starts the job, and waits until all its workers have started. `length`: the bytes of a state that the shared memory, if
        there is one, has rows for."""
        self.meeting.begin(*self.setup, self._memory(length))
        self.rounds, self.newest, self.trained, self.kept, self.last, self.ahead = 0, 0, 0, [], None, None
        inputs = [path for _, path in self.setup[1]] or self.meeting.places(self.workers)
        self.job = self.cluster.begin(
            ResidentRounds, inputs, ["--meeting", self.meeting.store.url, "--dtype", dtype],
            reducers=reducers, name=f"mrdl {self.run} resident", settings=SETTINGS,
            begun=lambda note: self.meeting.note({**note, "setup": self.setup}))
        began, came, say = time.monotonic(), 0, SAY

        def all_came() -> bool:
            nonlocal came, say
            came, waited = len(self.meeting.come()), time.monotonic() - began
            if came < self.workers and waited >= say:
                self.cluster.waiting(f"{came} of {self.workers} resident workers have started; if some are missing "
                                     f"after {COME:.0f} s, training continues with plain rounds", waited)
                say = 3 * waited
            return came == self.workers or waited > COME
        try:
            self._wait(all_came, Pauses(self.workers))
        except JobFailed as error:
            if error.final:
                raise
            raise NotAllCame(f"{came} of {self.workers} resident workers started: {error}") from None
        if came < self.workers:
            raise NotAllCame(f"{came} of {self.workers} resident workers started within {COME:.0f} s")

    def _memory(self, length: int) -> Memory | None:
        """Memory that all workers share, if they run on this machine; None where it would be much."""
        fits = self.workers * length <= APART and (self.workers + MEANS + 1) * length <= limits.limit() * SHARED
        return Memory.made(self.workers, length, boxes(self.workers)) if length and fits and isinstance(self.meeting.store, Local) else None

    def _end(self) -> None:
        """Ends the job: the workers emit the newest training round, and the reducers average it, as in a plain round."""
        number, question, asked, merged = self.last
        if number != self.trained:              # workers have begun a round that was asked ahead, in vain: they do this one again
            self._ask(question)
            number = self.newest
        self._ask(Question({"last": number, "plan": _common(asked)}, None, {name: getattr(asked, name) for name in OWN}))
        job, self.job = self.job, None
        try:
            with job.output(self._sign) as output:
                written = self._gather(output, asked, len(merged.vector), merged.vector.dtype)
        except (JobFailed, OSError) as error:   # not fatal: the state has been committed
            self.warned(f"the job did not write its last state: {error}")
            return
        finally:
            self.meeting.close()
        if written.vector.tobytes() != merged.vector.tobytes():
            raise RoundError("the job's reducers computed another state than the driver")

    def _cancel(self) -> None:
        if self.job:
            self.job.cancel()
            self.job = None
            self.meeting.close()

    def _wait(self, found: Callable[[], bool], pauses: Iterable[float]) -> None:
        """Waits until `found` returns True. Raises an error if the job ends, or if the state's commit fails, for which
        the workers would wait in vain."""
        began = time.monotonic()
        for pause in pauses:
            if found():
                return
            self.job.check()
            # a worker that was started anew may wait for the state's file, and its commit for that of later rounds
            self.ready(wait=False, begin=time.monotonic() - began > LATE)
            self._sign()
            self.meeting.sleep(pause)

    def _sign(self) -> None:
        """From time to time, tells the workers that the driver is alive."""
        if time.monotonic() >= self.sign_next:
            with suppress(OSError):             # if it fails, the next one will do
                self.meeting.alive()
            self.sign_next = time.monotonic() + ALIVE

    # -- a question and its answers

    def _ask(self, question: Question) -> None:
        self.newest += 1
        self.kept.append(self.newest)
        self.meeting.ask(self.newest, question.common, question.kept, **question.own)
        if question.common.get("trained"):
            self.trained = self.newest
        # the question before, and in shared memory the one before that, may still be read; the last one that trained is emitted at the end
        while self.kept[0] < self.newest - (2 if self.meeting.memory else 1) and (not self.last or self.kept[0] < self.last[0]):
            self.meeting.forget(self.kept.pop(0))

    def _pose(self, question: Question) -> None:
        """Asks the question, if it was not asked ahead. What was asked ahead instead is of no use: its answers are not read."""
        if self.ahead and self.ahead[1] == question:
            self.number = self.ahead[0]
        else:
            self._ask(question)
            self.number = self.newest
        self.question, self.ahead = question, None

    def _pose_ahead(self, size: int, dtype: np.dtype) -> None:
        """Asks for the round after the one that is asked for now, if it is known, so that workers need not wait until this one is judged:
        they begin when they have merged its state."""
        if coming := self.coming():
            question = self._question(*coming, size, dtype, self.question.own["into"])
            self._ask(question)
            self.ahead = self.newest, question

    def _answered(self, state: State | None, path: str, ready: Callable[[], None],
                  asked: plan.Plan, mappers: list[list[str]], size: int, dtype: np.dtype,
                  on_task: Callable[[str, int, int], None] | None = None, coded: Broadcast | None = None) -> Merged:
        """Asks one question, waits for the answers, and merges them."""
        began = time.perf_counter()
        memory = self.meeting.memory
        given = None
        if coded is not None:                   # in memory lies what it says
            given = IN_MEMORY if memory else self.meeting.give(asked.round - 1, coded.dump())
        if not (self.meeting.sees(path) or state and memory) and (given is None or asked.score):
            ready()
            path = self.meeting.bring(asked.round - 1 if state else 0, path)
        self._pose(question := self._question(state, path, asked, mappers, size, dtype, given=given))
        work, trained, merge = (question.common[name] for name in ("work", "trained", "merge"))
        into = memory.row(question.own["into"], dtype)[:size] if memory and trained else ()
        if len(into):
            self._pose_ahead(size, dtype)
        read = self.meeting.head if merge else self.meeting.read
        done = self._results("done", list(work), read, on_task)
        waited = time.perf_counter()
        heads = [found if merge else found[0] for found in done.values()]
        parts = [(RECORD, Partial(*record)) for head in heads for record in head.records]
        if not merge:
            parts += means(asked, [r for r in done.values() if r[0].size])
        elif all(p.values["kind"] != Failed.kind for _, p in parts):
            for place, (part, values) in self._results("part", list(merge), self.meeting.read).items():
                first, stop = merge[place]
                cut = partial.ranges(size, asked.keys)[first:stop]
                parts += [(key, Partial(part.workers, part.n, values[a - cut[0][0]:b - cut[0][0]]))
                          for key, (a, b) in zip(asked.keys[first:stop], cut)]
        merged = gathered(parts, asked, size, dtype, into if len(into) == size else None)
        merged.seconds = {"answer": waited - began, "merge": time.perf_counter() - waited}
        return merged

    def _question(self, state: State | None, path: str, asked: plan.Plan, mappers: list[list[str]], size: int, dtype: np.dtype,
                  row: int | None = None, given: str | None = None) -> Question:
        """What to ask. `row`: of the shared memory, where the state's vector will be; None: it is there, or is put there. `given`: where
        the coded state is, if the broadcast is coded."""
        work, trained = self._dealt(asked, mappers)
        memory = self.meeting.memory
        chunks = len(asked.keys) - 1
        cuts = [chunks * i // self.workers for i in range(self.workers + 1)]
        apart = bool(trained) if memory else len(trained) * size * dtype.itemsize > APART and not asked.fragments
        merge = {place: cuts[place:place + 2] for place in range(self.workers)
                 if apart and cuts[place] < cuts[place + 1]}
        own = {name: getattr(asked, name) for name in OWN}
        if state:
            own["iterations"] = state.iterations
        if state and memory:
            row = _row_of(memory, state.vector) if row is None else row
            own |= {"row": row, "into": (row + 1) % MEANS if row < MEANS else 0}
        elif state:
            own["checksum"] = checksum(state.vector)
        foresee = asked.averages and not apart and not asked.fragments and not asked.frozen and 0 < len(trained) <= FEW
        # else they need the file of the next state, or have to be brought it
        self.known = bool(memory) or given is not None or foresee and self.meeting.sees(path) and state is not None and size == len(state.vector)
        return Question({
            # the state's number, which is in its file's name, is one less than the round's
            "path": path.replace(f"{asked.round - 1:06d}", "%06d"),
            "coded": given and given.replace(f"{asked.round - 1:06d}", "%06d"),
            "parts": [part.replace(f"{asked.round - 1:06d}", "%06d") for part in self.parts],
            "state": state and {"parameters": state.parameters, "rate_scale": state.rate_scale,
                                "length": len(state.vector)},
            "plan": _common(asked),
            "work": work, "dtype": dtype.str, "size": size, "trained": trained, "merge": merge,
            "foresee": foresee},
            asked.kept if asked.folder else None, own)

    def _dealt(self, asked: plan.Plan, mappers: list[list[str]]) -> tuple[dict[int, list], list[int]]:
        """Distributes the work: worker's number -> its lists of shards; and the numbers of the workers that train."""
        homes = {path: place for place, (_, path) in enumerate(self.setup[1])}
        work: dict[int, list[list[str]]] = {}
        trained = []
        for number, paths in enumerate(mappers):
            paths = [self._reached(path) for path in paths]
            if number < len(asked.train):
                place = homes.get(paths[0], number)
                trained.append(place)
            else:
                place = (number - len(asked.train)) % self.workers
            work.setdefault(place, []).append(paths)
        return work, trained

    def _results(self, kind: str, places: list[int], read: Callable, on_task=None) -> dict[int, Any]:
        """The results by worker's number; each is read as soon as it is there."""
        found: dict[int, Any] = {}

        def all_there() -> bool:
            new = set(self.meeting.results(self.number, kind)) & set(places) - set(found)
            each = map if self.meeting.memory else self.readers.map     # in memory there is nothing to wait for
            found.update(zip(new, each(lambda place: read(self.number, place, kind), new)))
            if new and on_task:
                on_task("worker", len(found), len(places))
            return len(found) == len(places)
        self._wait(all_there, self.pauses[kind])
        return found


def _row_of(memory: Memory, vector: np.ndarray) -> int:
    """Sees to it that a state lies in the memory; returns its row."""
    row = memory.number(vector)
    if row is None:
        row = memory.state
        memory.row(row, vector.dtype)[:] = vector
    return row


def _common(asked: plan.Plan) -> dict[str, Any]:
    """What of a plan does not differ from question to question."""
    return {name: value for name, value in vars(asked).items() if name not in (*OWN, "kept")}
