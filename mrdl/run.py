"""A run's directory: its options, the committed rounds, the history and the finished model.

    run.json                options; written once
    state-000007.safetensors, commit-000007.json    what round 7 made, and what makes it count
    history.jsonl           a line per round: its commit's record, and its state's validation score
    model.json, model.safetensors, finished.json, history.png    a finished run
    metrics.prom            how it stands, for Prometheus (mrdl.gauges)
    lease.json, stop.json   the driver that works on it now; that somebody asks it to end
Readers see only what a commit names.
"""
import hashlib
import json
from typing import Any

from mrdl.state import State, StateError
from mrdl.storage import Storage


class RunError(ValueError):
    """A run that cannot go on; the message says what to do."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Run:
    """What is on disk; `commits[r]` is the record of round r, `commits[0]` of the first weights."""

    def __init__(self, url: str):
        self.store = Storage(url)
        self.url = self.store.url

    def exists(self) -> bool:
        return self.store.exists("run.json")

    def begin(self, options: dict[str, Any]) -> None:
        """Writes the options; RunError where the run was begun with others."""
        if not self.exists():
            odd = [n for n in self.store.list() if n != "lease.json"]
            if odd:
                raise RunError(f"{self.url} exists and is no run (it holds {odd[0]}); "
                               "give another directory")
            self.store.create("run.json", json.dumps(options, indent=2).encode())
        old = self.options()
        differing = [k for k in sorted(set(old) | set(options))
                     if old.get(k) != options.get(k) and k != "runner"]     # all give the same bits
        if differing:
            raise RunError(f"{self.url} was begun with other options ({', '.join(differing)}); "
                           "resume it as it is, or give another directory")

    def options(self) -> dict[str, Any]:
        if not self.exists():
            raise RunError(f"{self.url}: no run here (no run.json)")
        return self._json("run.json")

    def text(self) -> dict[str, Any] | None:
        """The unit and vocabulary of the text that it is trained on; None where that is none, or this no run."""
        return self.options().get("text") if self.exists() else None

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self.store.read(name))
        except ValueError as error:
            raise RunError(f"{self.url}/{name} is damaged: {error}") from None
        if not isinstance(found, dict):
            raise RunError(f"{self.url}/{name} is damaged: it holds no object")
        return found

    # -- rounds

    def rounds(self) -> list[int]:
        return [int(n[7:13]) for n in self.store.list("commit-[0-9]*.json")]

    def records(self, last: int = 0) -> list[dict[str, Any]]:
        """The record of every commit, or of the last ones; record r is what round r saw."""
        numbers = self.rounds()
        if numbers != list(range(len(numbers))):
            raise RunError(f"{self.url}: a commit is missing; there are {len(numbers)} up to "
                           f"{max(numbers, default=0)}")
        return [self._json(f"commit-{r:06d}.json")["record"] for r in numbers[-last:]]

    def commit(self, state: State, record: dict[str, Any]) -> bool:
        """Makes `state` the result of its round; False where another driver was first."""
        r, data = state.round, state.dump()
        name = f"state-{r:06d}.safetensors"
        self.store.write(name, data)
        made = {"round": r, "state": name, "sha256": digest(data), "record": record}
        return self.store.create(f"commit-{r:06d}.json", json.dumps(made).encode())

    def state(self, r: int) -> State:
        """The state of a committed round, checked against its hash."""
        commit = self._json(f"commit-{r:06d}.json")
        try:
            data = self.store.read(commit["state"])
        except FileNotFoundError:
            raise RunError(f"{self.url}: the state of round {r} is gone; kept are the last "
                           "rounds and the best") from None
        if digest(data) != commit["sha256"]:
            raise RunError(f"{self.url}/{commit['state']} is damaged: its hash is not the commit's")
        try:
            return State.parse(data, commit["state"])
        except StateError as error:
            raise RunError(f"{self.url}: {error}") from None

    def state_path(self, r: int) -> str:
        return self.store.path(f"state-{r:06d}.safetensors")

    def prune(self, last: int, keep: int | None) -> None:
        """Removes the states up to round `last`, but for one to keep; later ones may be a rival's."""
        for name in self.store.list("state-[0-9]*.safetensors"):
            if int(name[6:12]) <= last and int(name[6:12]) != keep:
                self.store.remove(name)

    # -- what users read

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """A line a round, without metrics of more than one number: it would hold a matrix a round."""
        lines = ({k: v for k, v in line.items() if not isinstance(v, list)} for line in history)
        self.store.write("history.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def history(self) -> list[dict[str, Any]]:
        if not self.store.exists("history.jsonl"):
            return []
        return [json.loads(line) for line in self.store.read("history.jsonl").splitlines()]

    def finished(self) -> dict[str, Any] | None:
        return self._json("finished.json") if self.store.exists("finished.json") else None

    def finish(self, facts: dict[str, Any]) -> None:
        self.store.write("finished.json", json.dumps(facts, indent=2).encode())
