"""A search's directory: what was decided, and the rungs that are done. Its runs are folders in it.

    search.json             what is tried, and how; never changed
    rung-000.json           what became of each configuration in the first rung; makes the rung valid
    c0001/                  the run of configuration 1: an ordinary run
    lease.json, stop.json   as in a run: which driver works on the search; a request to it to end
Each file contains its own hash, and each rung that of the file before it."""
import json
from typing import Any, Literal, TypedDict

from mrdl.runs.commits import RunError
from mrdl.runs.run import Source, differences
from mrdl.storage.base import Storage
from mrdl.storage.schemes import store_at
from mrdl.storage.sealed import Count, Hash, OtherFormat, canonical, digest, formatted, seal

FILE, FORMAT = "search.json", 1
RUNG = "rung-{:03d}.json"


class Configuration(TypedDict):
    """What is tried; its number is its place in the list, from 1."""
    values: dict[str, Any]
    spec: str | None                    # the model, as JSON; None: it could not be made
    weights: Hash | None                # of the weights that it begins with, if it has some
    reason: str | None                  # why there is no model


class Asked(TypedDict):
    """What decides the results."""
    strategy: str
    factor: int
    metric: str
    rising: bool                        # is more of the metric better?
    most: int | None                    # epochs (or rounds) of those that train longest; None: as the strategy says
    unit: Literal["epochs", "rounds"]
    seed: Count
    hop: bool                           # is each shard of a configuration a round of its own?
    options: dict                       # of training
    tried: list[str]                    # those of the values that take the place of such an option
    data: Source
    validation: Source | None
    configurations: list[Configuration]


class Searched(TypedDict):
    """What search.json holds."""
    format: int
    asked: Asked
    runner: str
    seal: Hash


class Found(TypedDict):
    """What became of a configuration in a rung."""
    configuration: Count
    state: Literal["trained", "failed"]
    reason: str                         # why its training ended, or why it has failed
    rounds: Count
    epochs: float                       # how often it used each example
    examples: Count
    metrics: dict[str, float]
    model: Hash | None                  # the hash of its model.safetensors


class Rung(TypedDict):
    """What the file of a rung holds."""
    format: int
    rung: Count
    before: Hash
    found: list[Found]
    seal: Hash


class Search:
    """The files of a search."""

    def __init__(self, url: str):
        self.store: Storage = store_at(url)
        self.url = self.store.url

    def exists(self) -> bool:
        return self.store.exists(FILE)

    def run(self, number: int) -> str:
        """The directory of a configuration's run."""
        return self.store.path(name(number))

    def begin(self, asked: Asked, runner: str) -> None:
        """Writes what is asked for; RunError if there is another search, or something else."""
        if not self.exists():
            if odd := [found for found in self.store.list() if found != "lease.json"]:
                raise RunError(f"{self.url} exists and is no search (it holds {odd[0]}); give another directory")
            self.store.create(FILE, _text({"format": FORMAT, "asked": asked, "runner": runner}))
        if odd := _differences(self.asked(), json.loads(json.dumps(asked))):
            raise RunError(f"{self.url} was begun with other options ({'; '.join(odd)}); go on with it as it is, or give another directory")

    def asked(self) -> Asked:
        if not self.exists():
            raise RunError(f"{self.url}: no search here (no {FILE})")
        return self._read(FILE, Searched)["asked"]

    def runner(self) -> str:
        """The runner that it was begun with."""
        return self._read(FILE, Searched)["runner"]

    def rungs(self) -> list[list[Found]]:
        """What became of the configurations in each rung that is done."""
        found, before = [], self._root()
        while self.store.exists(name := RUNG.format(len(found))):
            rung = self._read(name, Rung)
            if rung["before"] != before or rung["rung"] != len(found):
                raise RunError(f"{self.url}/{name} is damaged: it does not follow on the file before it; restore it from a copy, or remove it "
                               "and those of later rungs, and go on")
            found.append(rung["found"])
            before = rung["seal"]
        if len(self.store.list("rung-*.json")) > len(found):
            raise RunError(f"{self.url}/{name} is gone, but there are later rungs; restore it from a copy")
        return found

    def commit(self, rung: int, found: list[Found]) -> None:
        """Writes a rung; RunError if another driver was faster."""
        before = self._read(RUNG.format(rung - 1), Rung)["seal"] if rung else self._root()
        if not self.store.create(RUNG.format(rung), _text({"format": FORMAT, "rung": rung, "before": before, "found": found})):
            raise RunError(f"{self.url}: another driver has ended rung {rung + 1} first")

    def _root(self) -> str:
        """The hash of what decides the results: of all that was asked for but the places of the data."""
        return digest(canonical(_same(self.asked())))

    def _read(self, name: str, kind: Any) -> dict[str, Any]:
        hint = "restore it from a copy, or begin the search anew in another directory"
        try:
            return formatted(self.store.read(name), FORMAT, kind, name)
        except OtherFormat:
            raise RunError(f"{self.url}/{name} was written by another version of mrdl; {hint}") from None
        except ValueError as error:
            raise RunError(f"{self.url}/{name} is damaged: {error}; {hint}") from None


def name(number: int) -> str:
    """The folder of a configuration's run in that of the search."""
    return f"c{number:04d}"


def _same(asked: Asked) -> dict[str, Any]:
    """What must not change when a search is gone on with."""
    def named(source: Source | None) -> dict[str, Any] | None:
        return source and {key: value for key, value in source.items() if key != "url"}
    return {**asked, "data": named(asked["data"]), "validation": named(asked["validation"])}


def _differences(old: Asked, new: Asked) -> list[str]:
    """What differs, in words."""
    a, b = _same(old), _same(new)
    pairs = list(zip(a.pop("configurations"), b.pop("configurations")))
    told = differences(a, b)
    if len(old["configurations"]) != len(new["configurations"]) or any(x["values"] != y["values"] for x, y in pairs):
        return [*told, "the values that are tried"]
    odd = [number for number, (x, y) in enumerate(pairs, 1) if x != y]
    return told + [f"the model of configuration {number}: has its file changed?" for number in odd[:1]]


def _text(facts: dict[str, Any]) -> bytes:
    return json.dumps(seal(facts)).encode() + b"\n"
