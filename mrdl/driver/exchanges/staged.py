"""Rounds as jobs that somebody else runs (Oozie, cron, a person). It writes a round's files and prints its command, and
later reads the job's output. For the driver it is an exchange like any other, so a round is planned, checked and
committed as always."""
from shlex import quote
from typing import NoReturn

from mrdl.driver.exchanges.plain import PlainExchange, states_of
from mrdl.jobs.train import TrainRound
from mrdl.rounds.merged import Merged, gathered
from mrdl.rounds.partial import RECORD, PartialProtocol
from mrdl.rounds.plan import Plan, identity
from mrdl.rounds.record import Trained, parse
from mrdl.rounds.state import State
from mrdl.runners.cluster import Cluster, tag_of
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at

FOLDER = "streaming"            # folder in the run with the plan of the staged round, and by default its output


class Paused(Exception):
    """The driver pauses here: it does not run the next round itself."""


class Staged(Paused):
    """A round is staged: `command` runs it, and the job writes to `output`."""

    def __init__(self, round: int, command: list[str], output: str):
        super().__init__(f"round {round} is staged")
        self.round, self.command, self.output = round, command, output


class Committed(Paused):
    """The output of a staged round has been committed."""

    def __init__(self, round: int):
        super().__init__(f"round {round} is committed")
        self.round = round


class NotFinite(Paused):
    """The weights of a staged round are not finite; the same round is staged next, at half the learning rate."""

    def __init__(self, round: int):
        super().__init__(f"the weights of round {round} are not finite, so it is not committed")
        self.round = round


class StagedExchange(PlainExchange):
    """`take`: commits the output of the staged round, then pauses; else stages the next round, then pauses.

    `output`: the folder that the round's job writes to; None: a folder in the run's (in .mrdl/jobs if a Hadoop job
    belongs to a run that is not on HDFS)."""

    def __init__(self, cluster: Cluster, run: Run, output: str | None, take: bool):
        super().__init__(cluster)
        self.run, self.output, self.take, self.taken = run, output, take, 0

    def begin(self, run, check) -> None:
        self.cluster.tag = tag_of(run)          # running jobs of this run are not killed: one may be the staged round

    def round(self, name, state, path, ready, plan, mappers, size, reducers, on_task=None, coded=None) -> Merged:
        ready()
        if self.taken == plan.round:            # the driver tries the round again at a lower rate
            self.run.store.write(f"{FOLDER}/not-finite-{plan.round:06d}-{self.failed(plan.round)}", b"")
            raise NotFinite(plan.round)
        if self.taken:
            self.close(True)
            raise Committed(self.taken)
        output = self.output or self._folder(plan)
        if not self.take:
            self._stage(name, path, plan, mappers, reducers, state, output, coded)
        self.taken = plan.round
        return self._read(output, state, plan, size)

    def lanes(self, workers) -> int:
        return 0

    def failed(self, round: int) -> int:
        """The number of failed tries: one file for each, because not all storages can append."""
        return len(self.run.store.list(f"{FOLDER}/not-finite-{round:06d}-*"))

    def close(self, done: bool) -> None:
        if done:
            self.run.store.clear(FOLDER)

    def _folder(self, plan: Plan) -> str:
        tries = self.failed(plan.round)
        number = f"{plan.round:06d}" + f"-{tries}" * (tries > 0)
        home = self.cluster.backend.home(f"jobs/{self.cluster.tag}-{FOLDER}-{number}")
        own = home is None or self.run.url.startswith("hdfs:")
        return self.run.store.path(f"{FOLDER}/round-{number}") if own else home

    def _stage(self, name, path, plan, mappers, reducers, state, output, coded) -> NoReturn:
        if store_at(output).is_folder():
            raise RunError(f"{output} exists: commit it with mrdl streaming {quote(self.run.url)} "
                           f"--commit {quote(output)}, or remove it")
        asked = f"{FOLDER}/plan-{plan.round:06d}.json"
        self.run.store.write(asked, plan.dump())
        states = ["--state", path]
        if coded is not None:
            sent = f"{FOLDER}/broadcast-{plan.round:06d}.safetensors"
            self.run.store.write(sent, coded.dump())
            states = states_of(self.run.store.path(sent), path, plan)
        raise Staged(plan.round, self.cluster.command(
            TrainRound, mappers, [*states, "--plan", self.run.store.path(asked), "--dtype", state.vector.dtype.name],
            reducers, name, output), output)

    def _read(self, output: str, state: State, plan: Plan, size: int) -> Merged:
        """Reads the output of a job; RunError if it belongs to another round or is incomplete."""
        store, protocol = store_at(output), PartialProtocol(state.vector.dtype)
        names = store.list("part-*")
        if not names or store.exists("_temporary"):
            raise RunError(f"{output} has no output of a finished job: the job has not ended, or has failed")
        parts = []
        for name in names:
            with store.open(name) as file:
                parts += [protocol.read(line.removesuffix(b"\n")) for line in file]
        records = (parse(p.worker, p.values) for chunk, p in parts if chunk.startswith(RECORD))
        rounds = {(record.round, record.of) for record in records if isinstance(record, Trained)}
        if other := rounds - {(plan.round, identity(plan, state))}:
            raise RunError(f"{output} is the output of round {min(str(r) for r, _ in other)} of this or another run; "
                           f"{self.run.url} waits for its round {plan.round}")
        return gathered(parts, plan, size, state.vector.dtype)
