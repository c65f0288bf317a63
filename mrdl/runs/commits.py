"""The committed rounds of a run: a chain of commits, each with a hash of the one before it, and the states that they name."""
import json
import re
from abc import ABC, abstractmethod
from typing import Annotated, Any

from mrdl.rounds.state import State, StateError
from mrdl.storage.schemes import store_at
from mrdl.storage.sealed import Count, Hash, check, digest, seal, unsealed

AGAIN = 5                       # times that commits are read again which become one meanwhile
COMMIT, COMPACTED = re.compile(r"commit-(\d{6,})\.json"), re.compile(r"commits-(\d{6,})\.jsonl")
# what a commit holds
RECORD = {"round": Count, "epochs": Count, "progress": float, "elapsed": float}        # and more
COMMITTED = {"round": Count, "state": Annotated[str, re.compile(r"state-\d{6,}\.safetensors")], "sha256": Hash,
             "before": Hash, "record": dict[str, Any], "seal": Hash}


class RunError(ValueError):
    """A run that cannot go on; the message says what to do."""


def entries(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The history that records make: the score in record r is of the state of round r - 1."""
    history = []
    for record in records:
        history.append({k: v for k, v in record.items() if k not in ("score", "by_worker")})
        if record.get("score"):
            history[record["round"] - 1].update(record["score"])
    return history


class Commits(ABC):
    """Record r is of round r, record 0 of the first weights. mrdl.runs.run has the other files of the folder."""

    def __init__(self, url: str):
        self.store = store_at(url)
        self.url = self.store.url
        self.head: str | None = None            # the seal of the newest commit that we know

    @abstractmethod
    def _root(self) -> str:
        """What the first commit follows on."""

    @abstractmethod
    def _lost(self) -> str:
        """What can be done where a file is gone or damaged that the run cannot go on without."""

    def rounds(self) -> list[int]:
        """The rounds that are committed."""
        compacted, single = self._files()
        return [*range(compacted + 1), *single]

    def _files(self) -> tuple[int, list[int]]:
        """The last round of the compacted commits (-1: there are none), and the rounds of the files beyond them."""
        names = self.store.list("commit*")
        last = max((int(found[1]) for found in map(COMPACTED.fullmatch, names) if found), default=-1)
        return last, sorted(r for found in map(COMMIT.fullmatch, names) if found and (r := int(found[1])) > last)

    def commits(self) -> list[dict[str, Any]]:
        """All commits, each checked against its hash and the one before it."""
        for _ in range(AGAIN):
            compacted, single = self._files()
            lines = []
            try:
                if compacted >= 0:
                    name = f"commits-{compacted:06d}.jsonl"
                    lines = [(name, line) for line in self.store.read(name).splitlines()]
                lines += [(name, self.store.read(name)) for name in (f"commit-{r:06d}.json" for r in single)]
            except FileNotFoundError:           # they became one meanwhile
                continue
            if [*range(len(lines))] != [*range(compacted + 1), *single]:
                raise RunError(f"{self.url}: a commit is missing; there are {len(lines)} up to "
                               f"{max([compacted, *single])}; {self._lost()}")
            return self._chained(lines)
        raise RunError(f"{self.url}: its commits changed while they were read; try again")

    def _chained(self, lines: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
        found, before = [], self._root() if lines else None
        for r, (name, line) in enumerate(lines):
            try:
                commit = unsealed(line)
                check(commit, COMMITTED, "it")
                check({key: commit["record"].get(key) for key in RECORD}, RECORD, "its record")
                if commit["round"] != r or commit["record"]["round"] != r:
                    raise ValueError(f"it is of round {commit['round']}, not {r}")
                if commit["before"] != before:
                    raise ValueError("it does not follow on " + (f"the commit of round {r - 1}" if r else "run.json"))
            except ValueError as error:
                raise RunError(f"{self.url}/{name} is damaged: round {r}: {error}; {self._lost()}") from None
            found.append(commit)
            before = commit["seal"]
        self.head = before
        return found

    def records(self, last: int = 0) -> list[dict[str, Any]]:
        """The record of every commit, or of the last ones; record r is what round r saw."""
        return [commit["record"] for commit in self.commits()[-last:]]

    def commit(self, state: State, record: dict[str, Any]) -> bool:
        """Makes `state` the result of its round; False where another driver was first."""
        if self.head is None:
            self.commits()
        r, data = state.round, state.dump()
        name = f"state-{r:06d}.safetensors"
        self.store.write(name, data)
        made = seal({"round": r, "state": name, "sha256": digest(data), "before": self.head or self._root(),
                     "record": record})
        created = self.store.create(f"commit-{r:06d}.json", json.dumps(made).encode())
        if created:
            self.head = made["seal"]
        return created

    def compact(self, last: int) -> None:
        """Makes one file of the commits up to that of round `last`, which must not be the newest: of two drivers
        that commit the next round one is to find it taken.

        The file is written before others are removed, and holds the same whoever writes it."""
        lines = [json.dumps(commit).encode() + b"\n" for commit in self.commits()[:last + 1]]
        name = f"commits-{last:06d}.jsonl"
        self.store.write(name, b"".join(lines))
        for old in self.store.list("commit*"):
            alone, several = COMMIT.fullmatch(old), COMPACTED.fullmatch(old)
            if (alone and int(alone[1]) <= last) or (several and int(several[1]) < last):
                self.store.remove(old)

    def state(self, r: int) -> State:
        """The state of a committed round, checked against its hash."""
        commits = self.commits()
        name = commits[r]["state"]
        try:
            data = self.store.read(name)
        except FileNotFoundError:
            raise RunError(f"{self.url}: the state of round {r} is gone; " + (
                f"{name}: {self._lost()}" if commits[r] is commits[-1] else
                "kept are the last rounds and the best")) from None
        if digest(data) != commits[r]["sha256"]:
            raise RunError(f"{self.url}/{name} is damaged: its hash is not the commit's; {self._lost()}")
        try:
            return State.parse(data, name)
        except StateError as error:
            raise RunError(f"{self.url}: {error}; {self._lost()}") from None

    def state_path(self, r: int) -> str:
        return self.store.path(f"state-{r:06d}.safetensors")

    def states(self) -> list[int]:
        """The rounds whose states are there."""
        return [int(name[6:12]) for name in self.store.list("state-[0-9]*.safetensors")]

    def prune(self, last: int, keep: int | None) -> None:
        """Removes the states up to round `last`, but for one to keep; later ones may be a rival's."""
        for r in self.states():
            if r <= last and r != keep:
                self.store.remove(f"state-{r:06d}.safetensors")
