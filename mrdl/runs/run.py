"""A run's directory: its options, the committed rounds, the history and the finished model.

    run.json                options, data and model; written again only where what decides nothing changes
    state-000007.safetensors, commit-000007.json    what round 7 made, and what makes it count
    commits-000099.jsonl    the commits up to that of round 99, a line each, whose own files are gone
    history.jsonl           a line per round: its commit's record, and its state's validation score
    history.png             its loss and metrics, drawn now and then, at a stop and at the end
    model.json, model.safetensors, optimizer.safetensors, finished.json    a finished run
    saved.json              of a folder that Model.save wrote, which is no run: the hashes of its model
    ended.json              finished.json as it was, while a run goes on beyond its end: of the model that is there
    metrics.prom            how it stands, for Prometheus (mrdl.report.gauges)
    lease.json, stop.json   the driver that works on it now; that somebody asks it to end
Readers see only what a commit names. Each file is covered by a hash: run.json, the commits and finished.json by
their own, a commit also by its successor's, a state by its commit, the others by finished.json, which names the run
and its newest commit.
"""
import json
from shlex import quote
from typing import Any, TypedDict

from mrdl.runs.commits import Commits, RunError, entries
from mrdl.storage.base import UNFINISHED
from mrdl.storage.sealed import Count, Hash, OtherFormat, canonical, digest, formatted, seal

FORMAT = 2
OLD = 60.0                      # seconds after which nobody writes a file any more
ASIDE = ("retry-*.safetensors", "unadapted.safetensors", "recalibrated.safetensors")    # a driver's own
COMPACT = 100                   # rounds after which the commits' files become one
ENDS = ("until", "keep_rounds")                 # of the options: what decides when a run ends, and no bit


class Source(TypedDict):
    """The dataset of a run: where it lies, and what tells it from others."""
    url: str
    uid: str
    digest: Hash


class Updater(TypedDict):
    """What a run took over beside the weights (mrdl.models.tensors.facts)."""
    optimizer: str
    iterations: Count
    epochs: Count
    rate_scale: float
    slots: Hash


class Rate(TypedDict):
    """A learning rate other than the spec's, in the rounds after one."""
    after: int
    learning_rate: float


# what the files hold
RUN = {"format": int, "options": dict, "data": Source, "validation": Source | None, "text": dict | None, "columns": list[str] | None, "spec": str,
       "weights": Hash | None, "updater": Updater | None, "rate": Rate | None, "runner": str, "seal": Hash}
FEATURES = {"format": int, "text": dict | None, "columns": list[str] | None, "seal": Hash}
FINISHED = {"format": int, "reason": str, "rounds": Count, "best": Count, "monitor": str | None,
            "better": Count | None,     # a round that was better by what was monitored, and whose state was gone
            "finite": bool, "metrics": dict[str, Any], "run": Hash, "files": dict[str, Hash], "seal": Hash}
SAVED = {"format": int, "files": dict[str, Hash], "seal": Hash}
NAMES = {"spec": "the model: has its file changed?", "weights": "the model's weights", "updater": "the updater's state",
         "validation": "validation data"}


def same(facts: dict[str, Any]) -> dict[str, Any]:
    """What must not differ where a run is gone on with: not where its data lies, the runner, nor when it ends. The
    rate is written down by who goes on."""
    def named(source: dict | None) -> dict | None:
        return source and {name: value for name, value in source.items() if name != "url"}
    kept = {name: value for name, value in facts.items() if name not in ("format", "runner", "rate", "seal")}
    options = {name: value for name, value in facts["options"].items() if name not in ENDS}
    return {**kept, "options": options, "data": named(facts["data"]), "validation": named(facts["validation"])}


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs, in words; of options both values."""
    told = []
    for key in sorted(key for key in {*old, *new} if old.get(key) != new.get(key)):
        a, b = old.get(key), new.get(key)
        told += [f"{name} {_value(a.get(name))}, now {_value(b.get(name))}" for name in sorted({*a, *b})
                 if a.get(name) != b.get(name)] if key == "options" else [NAMES.get(key, key)]
    return told


def _value(value: Any) -> str:
    return "none" if value is None else str(value)


class Run(Commits):
    """What is on disk; record r is of round r, record 0 of the first weights."""

    def exists(self) -> bool:
        return self.store.exists("run.json")

    def begin(self, options: dict[str, Any], known: dict[str, Any] | None = None) -> None:
        """Writes the options; RunError where the run was begun with others, which are `known` where they were read."""
        if known is None:
            if not self.exists():
                odd = [n for n in self.store.list() if n != "lease.json"]
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
        """Writes down where the data lies now, when the run ends, and at which rate it goes on; gives all that holds.

        To be called by the driver that holds the lease. A run that had ended, and is to end at another time or goes on
        at another rate, has not ended any more."""
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
            self.store.remove("finished.json")  # before run.json: after a crash between the two it is asked for again
        if json.dumps(options) != old:
            self.store.write("run.json", _text({"format": FORMAT, **options}))
        return options

    def options(self) -> dict[str, Any]:
        if not self.exists():
            raise RunError(f"{self.url}: no run here (no run.json)")
        options = self._sealed("run.json", RUN, "begin the run anew in another directory")
        return {name: value for name, value in options.items() if name not in ("format", "seal")}

    def features(self) -> dict[str, Any]:
        """What its model, or a saved one, takes the features of data for: "text" (unit and vocabulary) and "columns"
        (names); None where there are none, or nobody knows."""
        found = {}
        if self.exists():
            found = self.options()
        elif self.store.exists("features.json"):
            found = self._sealed("features.json", FEATURES, "save the model again")
        return {name: found.get(name) for name in ("text", "columns")}

    def save(self, model: dict[str, bytes], features: dict[str, Any] | None) -> None:
        """Writes a model's files and features over those of the one before, and last the hashes of its files."""
        if features:
            self.store.write("features.json", _text({"format": FORMAT, **features}))
        else:
            self.store.remove("features.json")
        for name, data in model.items():
            self.store.write(name, data)
        self.store.write("saved.json", _text({"format": FORMAT, "files": _hashes(model)}))

    def _sealed(self, name: str, kind: dict[str, Any], hint: str) -> dict[str, Any]:
        """What a file of ours holds, checked; RunError says what to do."""
        data = self.store.read(name)
        try:
            return formatted(data, FORMAT, kind, name)
        except OtherFormat:
            raise RunError(f"{self.url}/{name} was written by another version of mrdl; {hint}") from None
        except ValueError as error:
            raise RunError(f"{self.url}/{name} is damaged: {error}; {hint}") from None

    def _root(self) -> str:
        """What the first commit follows on: a hash of all in run.json that decides bits."""
        return digest(canonical(same(self.options())))

    def _lost(self) -> str:
        """What can be done where a file is gone or damaged that the run cannot go on without."""
        try:
            self.finished()
            whole = self.store.exists("model.safetensors")
        except (RunError, OSError):             # its newest commit is not what finished.json says
            whole = False
        return "restore the file from a copy, or begin " + (
            f"another run with the model that is there: mrdl train {quote(self.url)} DATA NEWRUN"
            if whole else "the run anew in another directory")

    def leftovers(self) -> list[str]:
        """Files that drivers remove when they have served, and those that were never written to their end."""
        names = [name for pattern in ASIDE for name in self.store.list(pattern)]
        return names + [name for name in self.store.list(".*") if UNFINISHED.fullmatch(name)]

    def sweep(self) -> None:
        """Removes what writers who died left behind: not what is so young that a rival may still write it."""
        names = self.leftovers()
        now = self.store.now() if names else 0.0
        for name in names:
            written = self.store.modified(name)
            if written is not None and abs(now - written) > OLD:        # or of a time to come, when nobody wrote it
                self.store.remove(name)

    # -- what users read

    def write_history(self, history: list[dict[str, Any]]) -> bytes:
        """A line a round, without metrics of more than one number: it would hold a matrix a round."""
        lines = ({k: v for k, v in line.items() if not isinstance(v, list)} for line in history)
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.store.write("history.jsonl", data)
        return data

    def history(self) -> list[dict[str, Any]]:
        """The lines of history.jsonl; of a run that goes on what its commits say."""
        if not self.store.exists("finished.json"):
            return entries(self.records())[1:] if self.exists() else []
        data = self.store.read("history.jsonl")
        self.checked("history.jsonl", data)
        return [json.loads(line) for line in data.splitlines()]

    def finished(self) -> dict[str, Any] | None:
        """How the run ended; None where it has not."""
        if not self.store.exists("finished.json"):
            return None
        found = self._finished()
        return {name: value for name, value in found.items() if name not in ("format", "run", "files", "seal")}

    def _finished(self) -> dict[str, Any]:
        hint = f"remove it, and recreate it with: mrdl resume {quote(self.url)}"
        found = self._sealed("finished.json", FINISHED, hint)
        if self.exists() and found["run"] != self._ended():     # a copy without run.json is a model alone
            raise RunError(f"{self.url}/finished.json is not of this run and its newest commit; {hint}")
        return found

    def _ended(self) -> str:
        """A hash of what decides bits in run.json and of the newest commit, which is always a file of its own."""
        compacted, single = self._files()
        return digest(canonical([self._root(), digest(self.store.read(f"commit-{max([0, compacted, *single]):06d}.json"))]))

    def checked(self, name: str, data: bytes) -> bytes:
        """The bytes of a file of a finished run or a saved model; RunError where finished.json or saved.json says others."""
        if self.store.exists("finished.json"):
            files, source = self._finished()["files"], "finished.json"
            hint = f"remove {source}, and recreate both with: mrdl resume {quote(self.url)}"
        elif self.store.exists("saved.json"):
            hint = "save the model again, or remove saved.json where the file is meant to be another"
            files, source = self._sealed("saved.json", SAVED, hint)["files"], "saved.json"
        else:
            return data                         # weights from elsewhere
        if files.get(name) != digest(data):
            raise RunError(f"{self.url}/{name} is damaged: its hash is not that in {source}; {hint}")
        return data

    def read(self, name: str) -> bytes:
        """The bytes of a file of the model, checked; RunError where it is gone that finished.json names."""
        try:
            return self.checked(name, self.store.read(name))
        except FileNotFoundError:
            raise RunError(f"{self.url}/{name} is gone: restore it from a copy, or remove finished.json, and recreate it "
                           f"with: mrdl resume {quote(self.url)}") from None

    def has(self, name: str) -> bool:
        """Is the file there, or should it be, as finished.json says?"""
        return self.store.exists(name) or self.store.exists("finished.json") and name in self._finished()["files"]

    def ended(self) -> dict[str, Any] | None:
        """What finished.json said before a run went on beyond its end; None where it did not, or has ended again."""
        if self.store.exists("finished.json") or not self.store.exists("ended.json"):
            return None
        return self._sealed("ended.json", FINISHED, "remove it")

    def finish(self, facts: dict[str, Any], history: list[dict[str, Any]], model: dict[str, bytes]) -> None:
        """Writes the model's files, the history, and last how the run ended."""
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
