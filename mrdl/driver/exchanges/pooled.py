"""Rounds of several runs in one job: their drivers work in threads, and what all of them ask for becomes one job.

To a driver this is an exchange like any other. Which runs share a job influences no bits, as each has workers, chunks and
means of its own."""
import json
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from mrdl.driver import schedule
from mrdl.driver.exchanges.plain import PlainExchange
from mrdl.jobs.pooled import PooledRound
from mrdl.printing import counted
from mrdl.rounds.broadcast import Broadcast
from mrdl.rounds.merged import Merged, gathered
from mrdl.rounds.partial import RECORD, Partial, PartialProtocol, pieces
from mrdl.rounds.plan import Plan
from mrdl.rounds.record import Record, order, parse
from mrdl.runners.cluster import Cluster
from mrdl.runners.failures import JobFailed

SOME = 3                # if so many runs fail one after the other, it is not the fault of each

Answer = list[tuple[str, Partial]]


class Alone(RuntimeError):
    """What this run asked for failed in a job of its own, while that of others did not."""


class PoolEnded(RuntimeError):
    """The pool runs no more jobs."""


@dataclass
class Request:
    """What one driver asks for: a round, whose plan has the keys of `size` values; or, if `size` is 0, a pass over shards."""
    name: str                           # of the run
    state: str
    plan: Plan
    mappers: list[list[str]]
    size: int
    dtype: np.dtype
    coded: Broadcast | None = None      # if workers train from a coded state
    answer: Future = field(default_factory=Future)


class Pool:
    """Runs the jobs of drivers that work at the same time. `title`: of its jobs; `told`: called after each job with the number of
    runs that shared it; `check`: called before each, raises an error if no more may run."""

    def __init__(self, cluster: Cluster, title: str, told: Callable[[int], None], warned: Callable[[str], None], check: Callable[[], None]):
        self.cluster, self.title, self.told, self.warned, self.check = cluster, title, told, warned, check
        self.changed = threading.Condition()
        self.waiting: list[Request] = []
        self.served: list[Request] = []     # those of the present job
        self.working = 0                # drivers that have not ended
        self.ended = False

    def serve(self, works: list[Callable[[], None]]) -> None:
        """Runs the drivers, each in a thread, and their jobs in this one, until all drivers have ended. An error in a job that is no
        single run's fault, or a signal, ends all of them."""
        self.working = len(works)
        with ThreadPoolExecutor(max(1, len(works))) as threads:
            for work in works:
                threads.submit(self._worked, work)
            try:
                while requests := self._all():
                    self.check()
                    self._answer(requests)
                    self.told(len(requests))
            finally:
                with self.changed:
                    self.ended = True
                    for request in self.waiting + self.served:
                        request.answer.cancel()

    def ask(self, request: Request) -> Answer:
        """Called by a driver: waits for the job that has its request, and returns what the job wrote for it."""
        with self.changed:
            if self.ended:
                raise PoolEnded
            self.waiting.append(request)
            self.changed.notify_all()
        try:
            return request.answer.result()
        except BaseException:
            if request.answer.cancelled():
                raise PoolEnded from None
            raise

    def _worked(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self.changed:
                self.working -= 1
                self.changed.notify_all()

    def _all(self) -> list[Request]:
        """The requests of all drivers, when each that has not ended has one; sorted, so that jobs do not depend on which came first."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.waiting) == self.working)
            self.served = sorted(self.waiting, key=lambda request: request.name)
            self.waiting = []
            return self.served

    def _answer(self, requests: list[Request]) -> None:
        found = self._each(requests)
        for request in requests:
            answer = found[request.name]
            (request.answer.set_exception if isinstance(answer, BaseException) else request.answer.set_result)(answer)

    def _each(self, requests: list[Request]) -> dict[str, Answer | Exception]:
        """What the job wrote for each run. If it fails, each has a job of its own, and those that fail there get its error."""
        try:
            return self._job(requests)
        except (JobFailed, OSError, MemoryError) as error:
            if len(requests) == 1:
                return {requests[0].name: error}
            self.warned(f"a job of {counted(len(requests), 'configuration')} failed, and each is tried by itself: {error}")
        found: dict[str, Answer | Exception] = {}
        for request in requests:
            try:
                found |= self._job([request])
            except (JobFailed, OSError, MemoryError) as error:
                found[request.name] = Alone(str(error) or type(error).__name__)
                if len(found) == min(SOME, len(requests)) and all(isinstance(answer, Alone) for answer in found.values()):
                    raise
        return found

    def _job(self, requests: list[Request]) -> dict[str, Answer]:
        rounds = [request for request in requests if request.size]
        sizes = [request.size for request in rounds]
        reducers = self.cluster.reducers(sum(len(request.plan.train) for request in rounds), sum(map(pieces, sizes)))
        for request, keys in zip(rounds, schedule.keys_of(sizes, reducers) if rounds else ()):
            request.plan = replace(request.plan, keys=keys)
        owners = {key: request.name for request in rounds for key in request.plan.keys[:-1]}
        owners |= {RECORD + request.name: request.name for request in requests}
        found: dict[str, Answer] = {request.name: [] for request in requests}
        dtype = requests[0].dtype.name
        with tempfile.TemporaryDirectory(prefix="pool-", dir=self.cluster.tmp) as folder, ExitStack() as stack:
            coded = [stack.enter_context(request.coded.file()) if request.coded else None for request in requests]
            plans = os.path.join(folder, "plans.json")
            with open(plans, "w", encoding="ascii") as file:
                json.dump({request.name: self._asked(request, path) for request, path in zip(requests, coded)}, file)
            inputs = [[self._named(folder, request.name), *paths] for request in requests for paths in request.mappers]
            with self.cluster.run(PooledRound, inputs, ["--plans", plans, "--dtype", dtype], reducers=reducers, name=self.title) as output:
                protocol = PartialProtocol(dtype)
                for part in range(len(output.parts)):
                    for line in output.lines(part):
                        chunk, partial = protocol.read(line)
                        found[owners[chunk]].append((chunk, partial))
        return found

    def _readable(self, path: str) -> str:
        return path if "://" in path else self.cluster.upload(os.path.abspath(path))

    def _asked(self, request: Request, coded: str | None) -> list:
        """What tasks must know of a run: see mrdl.worker.answer.pooled. `coded`: the path of its coded state, if it has one."""
        exact = self._readable(request.state) if coded is None or request.plan.score else None
        return [exact if coded is None else self._readable(coded), asdict(request.plan), coded and exact]

    @staticmethod
    def _named(folder: str, name: str) -> str:
        """A file whose only line is the name: the first input of each mapper of this run."""
        path = os.path.join(folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(name + "\n")
        return path


class PooledExchange(PlainExchange):
    """The exchange of one of a pool's runs."""

    def __init__(self, pool: Pool, name: str, dtype: np.dtype):
        super().__init__(pool.cluster)
        self.pool, self.name, self.dtype = pool, name, dtype

    def begin(self, run, check):
        """The pool's jobs belong to the search, not to one of its runs."""

    def round(self, name, state, path, ready, plan, mappers, size, reducers, on_task=None, coded=None) -> Merged:
        ready()
        request = Request(self.name, path, plan, mappers, size, self.dtype, coded)
        return gathered(self.pool.ask(request), request.plan, size, self.dtype)

    def score(self, name, path, plan, mappers, on_task=None) -> list[Record]:
        found = self.pool.ask(Request(self.name, path, plan, mappers, 0, self.dtype))
        return sorted((parse(partial.worker, partial.values) for _, partial in found), key=order)
