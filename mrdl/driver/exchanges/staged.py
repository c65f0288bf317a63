"""Rounds as jobs that somebody else runs (Oozie, cron, a person): a round's files and its command out, what its job
wrote in. To the driver it is an exchange like another, so a round is planned, checked and committed as always."""
from shlex import quote
from typing import NoReturn

from mrdl.driver.exchanges.plain import PlainExchange
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

FOLDER = "streaming"            # of the run: the plan of the round that is staged; by default its output


class Paused(Exception):
    """The driver's work ends here for now: the next round is not run by it."""


class Staged(Paused):
    """A round lies ready: `command` runs it, and its job writes to `output`."""

    def __init__(self, round: int, command: list[str], output: str):
        super().__init__(f"round {round} is staged")
        self.round, self.command, self.output = round, command, output


class Committed(Paused):
    """A round that was run elsewhere is committed."""

    def __init__(self, round: int):
        super().__init__(f"round {round} is committed")
        self.round = round


class NotFinite(Paused):
    """A round that was run elsewhere is not finite: the next one that is staged is the same at half the rate."""

    def __init__(self, round: int):
        super().__init__(f"the weights of round {round} are not finite, so it is not committed")
        self.round = round


class StagedExchange(PlainExchange):
    """`take`: commits the output of the staged round, then ends; else stages the next round, then ends.

    `output`: where that round's job writes; None: a folder of the run's (of .mrdl/jobs where the run is not on HDFS
    and the job is Hadoop's)."""

    def __init__(self, cluster: Cluster, run: Run, output: str | None, take: bool):
        super().__init__(cluster)
        self.run, self.output, self.take, self.taken = run, output, take, 0

    def begin(self, run, check) -> None:
        self.cluster.tag = tag_of(run)          # a job of the run's that runs is left alone: it may be the staged one

    def round(self, name, state, path, ready, plan, mappers, size, reducers, on_task=None) -> Merged:
        ready()
        if self.taken == plan.round:            # the driver tries again at a lower rate
            self.run.store.write(f"{FOLDER}/not-finite-{plan.round:06d}-{self.failed(plan.round)}", b"")
            raise NotFinite(plan.round)
        if self.taken:
            self.close(True)
            raise Committed(self.taken)
        output = self.output or self._folder(plan)
        if not self.take:
            self._stage(name, path, plan, mappers, reducers, state, output)
        self.taken = plan.round
        return self._read(output, state, plan, size)

    def failed(self, round: int) -> int:
        """One file for each, as not all storages can append."""
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

    def _stage(self, name, path, plan, mappers, reducers, state, output) -> NoReturn:
        if store_at(output).is_folder():
            raise RunError(f"{output} exists: commit it with mrdl streaming {quote(self.run.url)} "
                           f"--commit {quote(output)}, or remove it")
        asked = f"{FOLDER}/plan-{plan.round:06d}.json"
        self.run.store.write(asked, plan.dump())
        raise Staged(plan.round, self.cluster.command(
            TrainRound, mappers, ["--state", path, "--plan", self.run.store.path(asked), "--dtype", state.vector.dtype.name],
            reducers, name, output), output)

    def _read(self, output: str, state: State, plan: Plan, size: int) -> Merged:
        """The merge that a job left; RunError where it is another round's, or not all there."""
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
