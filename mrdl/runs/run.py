"""A run's directory: its options, the committed rounds, the history and the finished model.

    run.json                options, data and model; rewritten only for changes that do not influence results
    state-000007.safetensors, commit-000007.json    the state after round 7, and the commit that makes it valid
    outer-000007.safetensors    with an outer updater: its state after round 7
    slot-000007-0003-5f2a....safetensors    if workers keep anything from round to round: what worker 3 keeps after round 7
    callbacks-000007-5f2a....safetensors    what callbacks keep in arrays, such as the best weights
                            (rounds that were committed together: the commit has the number of the first, and a line for each; of
                            their states only the last ones and the best are there)
    commits-000099.jsonl    the commits up to round 99, one per line, whose own files have been removed
    history.jsonl           one line per round: the record in its commit, and the validation score of its state
    history.png             the loss and metrics, drawn from time to time, when the run stops, and at the end
    model.json, model.safetensors, optimizer.safetensors, finished.json    only of a finished run
    data/                   only of a run on raw rows: what of which files is in which shard (mrdl.driver.preparation.refer)
    saved.json              only in a folder that Model.save wrote, which is not a run: the hashes of the model's files
    ended.json              while a run continues after its end: its former finished.json, for the model still there
    metrics.prom            the run's progress, for Prometheus (mrdl.report.gauges)
    lease.json, stop.json   which driver works on the run; a request to that driver to end
Readers use only files that a commit names. Each file is covered by a hash: run.json, the commits and finished.json
contain their own; a commit's hash is also in the next commit, a state's hash in its commit, and the others are in
finished.json, which names the run and its newest commit.
"""
import json
from shlex import quote
from typing import Any, TypedDict

from mrdl.runs.commits import Commits, RunError, entries
from mrdl.storage.base import UNFINISHED
from mrdl.storage.sealed import Count, Hash, OtherFormat, canonical, digest, formatted, seal

FORMAT = 2
OLD = 60.0                      # seconds; a temporary file older than this is no longer being written
ASIDE = ("retry-*.safetensors", "fragment-*.safetensors", "coded-*.safetensors", "unadapted.safetensors", "recalibrated.safetensors", "scored-*.safetensors")    # temporary states of a driver
SPLITS = "data"                 # folder of the run with references to raw rows, where it trains on them
COMPACT = 100                   # rounds after which the files of commits are merged into one
FEATURES = ("text", "columns", "table")         # what a model must know of data
ENDS = ("until", "keep_rounds")                 # options that decide when a run ends, and do not influence the bits


class Source(TypedDict):
    """The dataset of a run: its place, and what identifies it."""
    url: str
    uid: str
    digest: Hash


class Updater(TypedDict):
    """What a run took over besides the weights (mrdl.models.tensors.facts)."""
    optimizer: str
    iterations: Count
    epochs: Count
    rate_scale: float
    slots: Hash


class Rate(TypedDict):
    """A learning rate that replaces the model's after some round."""
    after: int
    learning_rate: float


class Table(TypedDict, total=False):
    """The table that made the features; files of before do not say it."""
    table: dict | None


class Features(Table):
    """What a model takes the features of data for."""
    format: int
    text: dict | None
    columns: list[str] | None
    seal: Hash


class Facts(Features):
    """What run.json holds."""
    options: dict
    data: Source
    validation: Source | None
    spec: str
    weights: Hash | None
    updater: Updater | None
    rate: Rate | None
    runner: str


# what the other files hold
FINISHED = {"format": int, "reason": str, "rounds": Count, "best": Count, "monitor": str | None,
            "better": Count | None,     # a round that was better by the monitored metric, but whose state no longer existed
            "finite": bool, "metrics": dict[str, Any], "run": Hash, "files": dict[str, Hash], "seal": Hash}
SAVED = {"format": int, "files": dict[str, Hash], "seal": Hash}
NAMES = {"spec": "the model: has its file changed?", "weights": "the model's weights", "updater": "the updater's state",
         "validation": "validation data"}


def same(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts that must not change when a run is continued. The place of its data, the runner and the rules for its end
    may change; a new learning rate is recorded."""
    def named(source: dict | None) -> dict | None:
        return source and {name: value for name, value in source.items() if name != "url"}
    kept = {name: value for name, value in facts.items() if name not in ("format", "runner", "rate", "seal")}
    options = {name: value for name, value in facts["options"].items() if name not in ENDS}
    return {**kept, "options": options, "data": named(facts["data"]), "validation": named(facts["validation"])}


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs, in words; for options, with both values."""
    told = []
    for key in sorted(key for key in {*old, *new} if old.get(key) != new.get(key)):
        a, b = old.get(key), new.get(key)
        told += [f"{name} {_value(a.get(name))}, now {_value(b.get(name))}" for name in sorted({*a, *b})
                 if a.get(name) != b.get(name)] if key == "options" else [NAMES.get(key, key)]
    return told


def _value(value: Any) -> str:
    return "none" if value is None else str(value)


class Run(Commits):
    """The files of a run. Record r belongs to round r, record 0 to the initial weights."""

    def exists(self) -> bool:
        return self.store.exists("run.json")

    def begin(self, options: dict[str, Any], known: dict[str, Any] | None = None) -> None:
        """Writes the options. RunError if the run exists and was begun with other options; `known`: those, if they have been
        read already."""
        if known is None:
            if not self.exists():
                own = {"lease.json", *[SPLITS] * self.store.exists(f"{SPLITS}/data.json")}
                odd = [n for n in self.store.list() if n not in own]
                if odd:
                    raise RunError(f"{self.url} exists and is no run (it holds {odd[0]}); "
                                   "give another directory")
                self.store.create("run.json", _text({"format": FORMAT, **options}))
            known = self.options()
        if odd := differences(same(known), same(options)):
            raise RunError(f"{self.url} was begun with other options ({'; '.join(odd)}); "
                           "resume it as it is, or give another directory")

    def go_on(self, data: str, validation: str | None, ends: dict[str, Any],
              rate: dict[str, Any] | None) -> dict[str, Any]:
        """Records the data's present place, the rules for the run's end, and a new learning rate; returns all options that
        now apply.

        Only the driver that has the lease may call it. If the run had ended, and has a new rule or rate, it no longer
        counts as ended."""
        options = self.options()
        old = json.dumps(options)
        options["data"]["url"] = data
        if options["validation"] and validation:
            options["validation"]["url"] = validation
        again = ends["until"] != options["options"]["until"]
        options["options"] |= ends
        if rate and rate["learning_rate"] != (options["rate"] or {}).get("learning_rate"):
            options["rate"], again = rate, True
        if again and self.store.exists("finished.json"):
            self.store.write("ended.json", self.store.read("finished.json"))
            self.store.remove("finished.json")  # before writing run.json: after a crash between the two, the caller asks again
        if json.dumps(options) != old:
            self.store.write("run.json", _text({"format": FORMAT, **options}))
        return options

    def options(self) -> dict[str, Any]:
        if not self.exists():
            raise RunError(f"{self.url}: no run here (no run.json)")
        options = self._sealed("run.json", Facts, "begin the run anew in another directory")
        return {name: value for name, value in options.items() if name not in ("format", "seal")}

    def features(self) -> dict[str, Any]:
        """The features that the run's model (or a saved model) was trained on: "text" (unit and vocabulary), "columns"
        (names) and "table" (schema.json); None for each that does not exist or is unknown."""
        found = {}
        if self.exists():
            found = self.options()
        elif self.store.exists("features.json"):
            found = self._sealed("features.json", Features, "save the model again")
        return {name: found.get(name) for name in FEATURES}

    def save(self, model: dict[str, bytes], features: dict[str, Any] | None) -> None:
        """Writes a model's files and features, replacing older ones, and last the hashes of the files."""
        if features:
            self.store.write("features.json", _text({"format": FORMAT, **features}))
        else:
            self.store.remove("features.json")
        for name, data in model.items():
            self.store.write(name, data)
        self.store.write("saved.json", _text({"format": FORMAT, "files": _hashes(model)}))

    def _sealed(self, name: str, kind: Any, hint: str) -> dict[str, Any]:
        """Reads and checks one of mrdl's own JSON files; RunError, with `hint`, if it is damaged."""
        data = self.store.read(name)
        try:
            return formatted(data, FORMAT, kind, name)
        except OtherFormat:
            raise RunError(f"{self.url}/{name} was written by another version of mrdl; {hint}") from None
        except ValueError as error:
            raise RunError(f"{self.url}/{name} is damaged: {error}; {hint}") from None

    def _root(self) -> str:
        """The hash to which the first commit refers: that of everything in run.json that influences the bits."""
        return digest(canonical(same(self.options())))

    def _lost(self) -> str:
        """What a user can do if a necessary file is missing or damaged."""
        try:
            self.finished()
            whole = self.store.exists("model.safetensors")
        except (RunError, OSError):             # its newest commit does not match finished.json
            whole = False
        return "restore the file from a copy, or begin " + (
            f"another run with the model that is there: mrdl train {quote(self.url)} DATA NEWRUN"
            if whole else "the run anew in another directory")

    def leftovers(self) -> list[str]:
        """Temporary files of drivers, and unfinished files."""
        names = [name for pattern in ASIDE for name in self.store.list(pattern)]
        return names + [name for name in self.store.list(".*") if UNFINISHED.fullmatch(name)]

    def sweep(self) -> None:
        """Removes files that dead writers left behind, but none so young that another process may still be writing it."""
        names = self.leftovers()
        now = self.store.now() if names else 0.0
        for name in names:
            written = self.store.modified(name)
            if written is not None and abs(now - written) > OLD:        # abs(): a time in the future cannot be right either
                self.store.remove(name)

    # -- what users read

    def write_history(self, history: list[dict[str, Any]]) -> bytes:
        """Writes one line per round. Metrics with more than one number are left out, or there would be a matrix per round."""
        lines = ({k: v for k, v in line.items() if not isinstance(v, list)} for line in history)
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.store.write("history.jsonl", data)
        return data

    def history(self) -> list[dict[str, Any]]:
        """The history: from history.jsonl for a finished run, else from the commits."""
        if not self.store.exists("finished.json"):
            return entries(self.records())[1:] if self.exists() else []
        data = self.store.read("history.jsonl")
        self.checked("history.jsonl", data)
        return [json.loads(line) for line in data.splitlines()]

    def finished(self) -> dict[str, Any] | None:
        """The content of finished.json; None if the run has not finished."""
        if not self.store.exists("finished.json"):
            return None
        found = self._finished()
        return {name: value for name, value in found.items() if name not in ("format", "run", "files", "seal")}

    def _finished(self) -> dict[str, Any]:
        hint = f"remove it, and recreate it with: mrdl resume {quote(self.url)}"
        found = self._sealed("finished.json", FINISHED, hint)
        if self.exists() and found["run"] != self._ended():     # a copy without run.json is only a model
            raise RunError(f"{self.url}/finished.json is not of this run and its newest commit; {hint}")
        return found

    def _ended(self) -> str:
        """A hash of the newest commit, which is always a file of its own, and of what in run.json influences the bits."""
        compacted, single = self._files()
        return digest(canonical([self._root(), digest(self.store.read(f"commit-{max([0, compacted, *single]):06d}.json"))]))

    def checked(self, name: str, data: bytes) -> bytes:
        """Checks a file of a finished run or a saved model, and returns its bytes; RunError if its hash is not the one in
        finished.json or saved.json."""
        if self.store.exists("finished.json"):
            files, source = self._finished()["files"], "finished.json"
            hint = f"remove {source}, and recreate both with: mrdl resume {quote(self.url)}"
        elif self.store.exists("saved.json"):
            hint = "save the model again, or remove saved.json where the file is meant to be another"
            files, source = self._sealed("saved.json", SAVED, hint)["files"], "saved.json"
        else:
            return data                         # the folder has no hashes: the weights come from elsewhere
        if files.get(name) != digest(data):
            raise RunError(f"{self.url}/{name} is damaged: its hash is not that in {source}; {hint}")
        return data

    def read(self, name: str) -> bytes:
        """Reads and checks a file of the model; RunError if finished.json names it and it is missing."""
        try:
            return self.checked(name, self.store.read(name))
        except FileNotFoundError:
            raise RunError(f"{self.url}/{name} is gone: restore it from a copy, or remove finished.json, and recreate it "
                           f"with: mrdl resume {quote(self.url)}") from None

    def has(self, name: str) -> bool:
        """True if the file exists, or if finished.json names it."""
        return self.store.exists(name) or self.store.exists("finished.json") and name in self._finished()["files"]

    def ended(self) -> dict[str, Any] | None:
        """The former finished.json of a run that continues after its end; None for other runs."""
        if self.store.exists("finished.json") or not self.store.exists("ended.json"):
            return None
        return self._sealed("ended.json", FINISHED, "remove it")

    def finish(self, facts: dict[str, Any], history: list[dict[str, Any]], model: dict[str, bytes]) -> None:
        """Writes the model's files, the history, and last finished.json."""
        for name, data in model.items():
            self.store.write(name, data)
        files = {**model, "history.jsonl": self.write_history(history)}
        self.store.write("finished.json", _text({
            "format": FORMAT, **facts, "run": self._ended(), "files": _hashes(files)}))
        self.store.remove("ended.json")


def _hashes(files: dict[str, bytes]) -> dict[str, str]:
    return {name: digest(data) for name, data in files.items()}


def _text(facts: dict[str, Any]) -> bytes:
    return json.dumps(seal(facts), indent=2).encode() + b"\n"
