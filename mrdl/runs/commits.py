"""The committed rounds of a run: a chain of commits, each with a hash of the one before it, and their states."""
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Annotated, Any, TypedDict

from mrdl.rounds.state import State, StateError
from mrdl.storage.schemes import store_at
from mrdl.storage.sealed import Count, Hash, check, digest, seal, unsealed

AGAIN = 5                       # how often commits are read again if they are merged into one file meanwhile
COMMIT, COMPACTED = re.compile(r"commit-(\d{6,})\.json"), re.compile(r"commits-(\d{6,})\.jsonl")
OF_SLOT = re.compile(r"(?:slot-(\d{6,})-\d{4,}|callbacks-(\d{6,}))-[0-9a-f]{16}\.safetensors")
OF_STATE = re.compile(r"(?:state|outer)-(\d{6,})\.safetensors")
# what a commit's record holds
RECORD = {"round": Count, "epochs": Count, "progress": float, "elapsed": float}        # and more


class More(TypedDict, total=False):
    """What only some commits have."""
    # none: when the commit was written, this state had been replaced by later ones
    state: Annotated[str, re.compile(r"state-\d{6,}\.safetensors")]
    sha256: Hash
    outer: Hash                         # of the outer updater's state
    kept: dict[str, list]               # by slot, or "callbacks": the name and the hash of the file with what it keeps


class Committed(More):
    """What a commit holds."""
    round: Count
    before: Hash
    record: dict[str, Any]
    seal: Hash


class RunError(ValueError):
    """The run cannot continue; the message says what to do."""


def entries(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Makes the history of the records. (The score in record r belongs to the state of round r - 1.)"""
    history = []
    for record in records:
        history.append({k: v for k, v in record.items() if k not in ("score", "by_worker", "callbacks")})
        if record.get("score"):
            history[record["round"] - 1].update(record["score"])
    return history


class Commits(ABC):
    """The commits of a run. Record r belongs to round r, record 0 to the initial weights. mrdl.runs.run describes the
    other files of the folder.

    A file has one commit, or those of successive rounds, a line each; its name has the number of the first."""

    def __init__(self, url: str):
        self.store = store_at(url)
        self.url = self.store.url
        self.head: str | None = None            # the seal of the newest commit read so far

    @abstractmethod
    def _root(self) -> str:
        """The hash to which the first commit refers."""

    @abstractmethod
    def _lost(self) -> str:
        """What a user can do if a necessary file is missing or damaged."""

    def rounds(self) -> list[int]:
        """The numbers of the committed rounds."""
        for _ in range(AGAIN):
            compacted, single = self._files()
            if not single:
                return [*range(compacted + 1)]
            with suppress(FileNotFoundError):   # it was merged into another file meanwhile
                return [*range(single[-1] + self.store.read(f"commit-{single[-1]:06d}.json").count(b"\n") + 1)]
        raise RunError(f"{self.url}: its commits changed while they were read; try again")

    def newest(self) -> str:
        """The name of the file that has the newest commit. It stays when commits are merged."""
        compacted, single = self._files()
        return f"commit-{single[-1]:06d}.json" if single else f"commits-{compacted:06d}.jsonl"

    def _files(self) -> tuple[int, list[int]]:
        """The last round in the merged file of commits (-1: there is none), and the first rounds of the single files after it."""
        names = self.store.list("commit*")
        last = max((int(found[1]) for found in map(COMPACTED.fullmatch, names) if found), default=-1)
        return last, sorted(r for found in map(COMMIT.fullmatch, names) if found and (r := int(found[1])) > last)

    def commits(self) -> list[dict[str, Any]]:
        """All commits; each is checked against its own hash and the hash of the one before it."""
        for _ in range(AGAIN):
            compacted, single = self._files()
            lines, gap = [], False
            try:
                if compacted >= 0:
                    name = f"commits-{compacted:06d}.jsonl"
                    lines = [(name, line) for line in self.store.read(name).splitlines()]
                gap = len(lines) != compacted + 1
                for r in single:
                    gap = gap or len(lines) != r
                    name = f"commit-{r:06d}.json"
                    lines += [(name, line) for line in self.store.read(name).splitlines() or [b""]]
            except FileNotFoundError:           # they were merged into one file meanwhile
                continue
            if gap:
                raise RunError(f"{self.url}: a commit is missing; there are {len(lines)} up to "
                               f"{max([compacted, *single])}; {self._lost()}")
            return self._chained(lines)
        raise RunError(f"{self.url}: its commits changed while they were read; try again")

    def _chained(self, lines: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
        found, before = [], self._root() if lines else None
        for r, (name, line) in enumerate(lines):
            try:
                commit = unsealed(line)
                check(commit, Committed, "it")
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
        """The records of all commits, or of the last ones."""
        return [commit["record"] for commit in self.commits()[-last:]]

    def commit(self, state: State, record: dict[str, Any], earlier: Sequence[dict[str, Any]] = (),
               others: Iterable[State] = ()) -> bool:
        """Commits `state` as the result of its round; returns False if another driver was faster.

        `earlier`: records of rounds just before it, which are committed with it, without their states, but for `others`."""
        if self.head is None:
            self.commits()
        head, lines = self.head or self._root(), []
        states = {kept.round: kept for kept in (*others, state)}
        for own in [*earlier, record]:
            stored = self._stored(states[own["round"]]) if own["round"] in states else {}
            made = seal({"round": own["round"], **stored, "before": head, "record": own})
            head = made["seal"]
            lines.append(json.dumps(made))
        for name, _ in state.kept.values():     # what those of earlier rounds name is not needed after it
            self.store.settle(name)
        created = self.store.create(f"commit-{state.round - len(earlier):06d}.json", "\n".join(lines).encode())
        if created:
            self.head = head
        return created

    def _stored(self, state: State) -> dict[str, Any]:
        """Writes a state; returns what its commit says about it."""
        data, name = state.dump(), f"state-{state.round:06d}.safetensors"
        self.store.write(name, data)
        facts = {"state": name, "sha256": digest(data)}
        if state.outer.size:
            data = state.dump_outer()
            self.store.write(outer_name(state.round), data)
            facts["outer"] = digest(data)
        return {**facts, "kept": state.kept} if state.kept else facts

    def compact(self) -> None:
        """Merges the files of commits but the newest into one. That must stay a file of its own, so that if two drivers commit the
        same round, one of them fails.

        The merged file is written before the others are removed; it is the same whichever driver writes it."""
        compacted, single = self._files()
        last = single[-1] - 1 if single else compacted
        lines = [json.dumps(commit).encode() + b"\n" for commit in self.commits()[:last + 1]]
        name = f"commits-{last:06d}.jsonl"
        self.store.write(name, b"".join(lines))
        for old in self.store.list("commit*"):
            alone, several = COMMIT.fullmatch(old), COMPACTED.fullmatch(old)
            if (alone and int(alone[1]) <= last) or (several and int(several[1]) < last):
                self.store.remove(old)

    def state(self, r: int) -> State:
        """Reads the state of a committed round, and checks its hash."""
        commits = self.commits()
        commit, last = commits[r], commits[r] is commits[-1]
        name = f"state-{r:06d}.safetensors"
        data = self._of_state(r, name, commit.get("sha256"), last)
        try:
            state = State.parse(data, name)
            if "outer" in commit:
                state.take_outer(self._of_state(r, outer_name(r), commit["outer"], last), outer_name(r))
        except StateError as error:
            raise RunError(f"{self.url}: {error}; {self._lost()}") from None
        state.kept = commit.get("kept", {})
        gone = [name for name, _ in state.kept.values() if last and not self.store.exists(name)]
        if gone:
            raise RunError(f"{self.url}: {gone[0]} is gone, which has what {'callbacks keep' if gone[0].startswith('callbacks') else 'a worker keeps'} from round to round; {self._lost()}")
        return state

    def _of_state(self, r: int, name: str, sha256: str | None, last: bool) -> bytes:
        """Reads a file of the state of round r, and checks its hash; `last`: it is the newest."""
        try:
            if sha256 is None:
                raise FileNotFoundError
            data = self.store.read(name)
        except FileNotFoundError:
            raise RunError(f"{self.url}: the state of round {r} is gone; " + (
                f"{name}: {self._lost()}" if last else "kept are the last rounds and the best")) from None
        if digest(data) != sha256:
            raise RunError(f"{self.url}/{name} is damaged: its hash is not the commit's; {self._lost()}")
        return data

    def state_path(self, r: int) -> str:
        return self.store.path(f"state-{r:06d}.safetensors")

    def states(self) -> list[int]:
        """The rounds whose states still exist."""
        names = set(self.store.list("state-[0-9]*.safetensors"))
        return [commit["round"] for commit in self.commits() if commit.get("state") in names]

    def prune(self, last: int, keep: int | None, newest: State) -> None:
        """Removes the states up to round `last`, except that of round `keep`, and files of slots older than the newest state, except those
        that it names. (Later ones may belong to another driver.)"""
        named = {name for name, _ in newest.kept.values()}
        for name in self.store.list("*.safetensors"):
            state, slot = OF_STATE.fullmatch(name), OF_SLOT.fullmatch(name)
            if (state and int(state[1]) <= last and int(state[1]) != keep
                    or slot and int(slot[1] or slot[2]) < newest.round and name not in named):
                self.store.remove(name)


def outer_name(r: int) -> str:
    """The file of the outer updater's state after round r."""
    return f"outer-{r:06d}.safetensors"
