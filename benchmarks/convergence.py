"""How many rounds, examples and bytes a way to average needs: python benchmarks/convergence.py --out FILE.jsonl [--plot FILE.png]

Every combination of workers, averaging frequency, inner updater, factor of its learning rate, outer updater, coding of changes, coding of
the broadcast and seed trains one network on the same task:
  digits      a dense network on examples/digits.csv.gz
  text        a GRU that says the next character of the help texts that come with Python
  FILE.npz    a dense network on x [n, features] and y, classes: whole numbers are divided by the largest, others normalised

A fifth of the rows are for the test, a fifth of the others for validation. Each line of FILE has one run: its settings, the accuracy on
the validation rows after each round with the examples and megabytes that it took (what workers send and receive), and the accuracy of the
last round on the test rows. The table's columns sent and received are shares of the bytes of float32. A run whose settings are in FILE is not done again, so that a grid can be stopped, and begun with more.

The workers' functions are called one after the other, without jobs: the bits are those of -r inline, which --inline shows.
Frequency 0 is a whole shard. With one worker that is one machine that trains on all examples: --workers 1 --frequency 0."""
import argparse
import itertools
import json
import logging
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np

import mrdl
from mrdl.driver.exchanges.plain import PlainExchange, plan_file
from mrdl.layers import GRU, CategoryEncoding, Dense, Normalization, Rescaling
from mrdl.optimizers import SGD, Adam, AdamW
from mrdl.report.plot import canvas
from mrdl.rounds.merged import gathered
from mrdl.rounds.partial import PartialProtocol, merge
from mrdl.runs.run import Run
from mrdl.worker.answer import work

DIGITS = Path(__file__).parents[1] / "examples" / "digits.csv.gz"
INNER = {"sgd": lambda rate: SGD(0.05 * rate), "momentum": lambda rate: SGD(0.02 * rate, 0.9), "adam": lambda rate: Adam(0.001 * rate),
         "adamw": lambda rate: AdamW(0.001 * rate)}
GROUP = ("task", "rounds", "workers", "frequency", "inner")         # what runs share that are compared
METHOD = ("rate", "updater", "outer", "compress", "broadcast")       # what they differ in
SETTINGS = (*GROUP, *METHOD, "hidden", "batch", "shards", "seed")
EXAMPLES = 0.2                  # share of the rows that are for the test, and of the others for validation
STEPS = 40                      # characters of a sequence
VALUES = 4                      # bytes of a float32


class Called(PlainExchange):
    """Rounds without jobs: each worker is a function call. The bits are those of jobs."""
    lines = staticmethod(cache(lambda path: Path(path).read_bytes().splitlines()))

    def round(self, name, state, path, ready, plan, mappers, size, reducers, on_task=None, coded=None):
        ready()
        sent, protocol = defaultdict(list), PartialProtocol(state.vector.dtype)
        with plan_file(plan, self.cluster) as asked, coded.file() if coded else nullcontext(path) as given:
            for paths in mappers:
                for chunk, part in work(itertools.chain.from_iterable(map(self.lines, paths)), given, asked, scored=path):
                    sent[chunk].append(protocol.read(protocol.write(chunk, part))[1])
        merged = (pair for chunk, parts in sent.items() for pair in merge(chunk, sorted(parts, key=lambda part: part.worker)))
        return gathered(merged, plan, size, state.vector.dtype)


class Rows:
    """A dense network on rows."""

    def __init__(self, name: str, hidden: list[int]):
        if name == "digits":
            rows = np.loadtxt(DIGITS, int, delimiter=",", skiprows=1)
            self.x, self.y = rows[:, 1:].astype("u1"), rows[:, 0]
        else:
            with np.load(name) as found:
                self.x, self.y = found["x"].reshape(len(found["x"]), -1), found["y"].astype(int)
        self.hidden, order = hidden, np.random.default_rng(0).permutation(len(self.x))
        self.test, self.train = np.split(order, [int(len(order) * EXAMPLES)])

    def prepared(self, folder: str, shards: int) -> str:
        np.savez(f"{folder}/rows.npz", x=self.x[self.train], y=self.y[self.train])
        return mrdl.prepare(f"{folder}/rows.npz", f"{folder}/data", shards=shards, hold_out=EXAMPLES, runner="inline").url

    def network(self) -> mrdl.Sequential:
        first = Rescaling(1 / float(self.x.max())) if self.x.dtype.kind in "iu" else Normalization()
        return mrdl.Sequential([first, *[Dense(units, "relu") for units in self.hidden], Dense(int(self.y.max()) + 1, "softmax")])

    def scored(self, model: mrdl.Sequential) -> float:
        return model.evaluate(self.x[self.test], self.y[self.test], return_dict=True)["accuracy"]


class Text:
    """A GRU on characters; the last texts are for the test."""

    def __init__(self, name: str, hidden: list[int]):
        names, self.hidden = sorted(topics), hidden
        cut = len(names) - int(len(names) * EXAMPLES)
        self.train, self.test = ("\n".join(topics[n] for n in part) for part in (names[:cut], names[cut:]))

    def prepared(self, folder: str, shards: int) -> str:
        Path(folder, "train.txt").write_text(self.train, encoding="utf-8")
        found = mrdl.prepare(f"{folder}/train.txt", f"{folder}/data", format="text", sequence_length=STEPS, shards=shards,
                             hold_out=EXAMPLES / 4, runner="inline")
        ids = np.asarray(found.tokenizer().encode(self.test))
        ids = ids[:(len(ids) - 1) // STEPS * STEPS + 1]
        self.x, self.y = ids[:-1].reshape(-1, STEPS), ids[1:].reshape(-1, STEPS)
        self.symbols = len(found.tokenizer().vocabulary)
        return found.url

    def network(self) -> mrdl.Sequential:
        return mrdl.Sequential([CategoryEncoding(self.symbols, "one_hot"), *[GRU(units, return_sequences=True) for units in self.hidden],
                                Dense(self.symbols, "softmax")])

    def scored(self, model: mrdl.Sequential) -> float:
        return model.evaluate(self.x, self.y, return_dict=True)["accuracy"]


def trained(task: Any, data: str, run: str, cell: dict[str, Any], a: argparse.Namespace) -> dict[str, Any]:
    """A run with these settings: the settings, and what it came to."""
    model = task.network()
    model.compile(INNER[cell["inner"]](cell["rate"]), "sparse_categorical_crossentropy", metrics=["accuracy"])
    began = time.process_time()
    averaging = mrdl.ParameterAveraging(
        workers=cell["workers"], averaging_frequency=cell["frequency"] or None, batch_size=cell["batch"], outer=cell["outer"],
        compress=cell["compress"], compress_broadcast=cell["broadcast"], save_updater=cell["updater"], seed=cell["seed"], rounds=cell["rounds"], validation_freq=1, runner="inline")
    averaging.fit(model, data, run=run, verbose=0, exchange=None if a.inline else lambda cluster, place: Called(cluster))
    history = Run(run).history()
    each = VALUES * (model.weights.size + (model.slots.size if cell["updater"] == "average" else 0))
    exact = [each * line["workers"] for line in history]
    received = exact if cell["broadcast"] == "none" else [line["broadcast"] * line["workers"] for line in history]
    return {**cell, "accuracy": [line["val_accuracy"] for line in history], "loss": [line["val_loss"] for line in history],
            "examples": [line["examples"] for line in history], "sent": [line["bytes"] for line in history], "received": received, "exact": exact, "test": task.scored(model), "seconds": round(time.process_time() - began, 2)}


def read(line: str) -> dict[str, Any]:
    """A run in the file; those of before had no coded broadcast."""
    run = json.loads(line)
    return {"broadcast": "none", "exact": run["received"], **run}


def key(run: dict[str, Any]) -> str:
    """The settings of a run."""
    return json.dumps([run[name] for name in SETTINGS])


def needed(curve: list[float], target: float) -> int | None:
    """The first round with at least this accuracy."""
    return next((r for r, value in enumerate(curve, 1) if value >= target), None)


def smooth(curve: list[float]) -> np.ndarray:
    """Means over three rounds, so that no lucky round counts as reached."""
    return np.convolve(np.pad(curve, 1, "edge"), np.ones(3) / 3, "valid")


def megabytes(run: dict[str, Any]) -> np.ndarray:
    """What workers sent and received by the end of each round."""
    return (np.cumsum(run["sent"]) + np.cumsum(run["received"])) / 1e6


def told(values: list[float]) -> str:
    """Mean and standard error, in percent."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):7.2f} ±{100 * error:5.2f}"


def table(found: list[dict[str, Any]]) -> list[str]:
    """Lines; each group of settings is compared with plain averaging in it at the same rate, seed by seed."""
    groups = defaultdict(lambda: defaultdict(dict))
    for run in found:
        groups[tuple(run[key] for key in GROUP)][tuple(run[key] for key in METHOD)][run["seed"]] = run
    lines = []
    for group, methods in sorted(groups.items()):
        lines += ["", "  ".join(f"{key} {value}" for key, value in zip(GROUP, group)),
                  (f"  {'rate':>5} {'updater':<8}{'outer':<40}{'compress':<24}{'broadcast':<10}{'validation %':>15}{'test %':>15}{'rounds':>8}{'ratio':>7}"
                      f"{'MB':>9}{'sent':>9}{'received':>10}  seeds")]
        for method, runs in sorted(methods.items()):
            rate, updater, outer, compress, broadcast = method
            base = methods.get((rate, updater, "mean", "none", "none"), {})
            pairs = [(run, smooth(base[seed]["accuracy"])) for seed, run in runs.items() if seed in base]
            own = [needed(smooth(run["accuracy"]), plain[-1]) for run, plain in pairs]
            plain = [needed(curve, curve[-1]) for _, curve in pairs]
            reached = f"{'never':>8}{'':>16}" if None in own else f"{'':>24}" if not own else (
                f"{statistics.mean(own):8.1f}{sum(own) / sum(plain):7.2f}"
                f"{statistics.mean(megabytes(run)[r - 1] for (run, _), r in zip(pairs, own)):9.1f}")
            sent, given = (statistics.mean(sum(run[way]) / sum(run["exact"]) for run in runs.values()) for way in ("sent", "received"))
            lines.append(f"  {rate:>5g} {updater:<8}{outer:<40}{compress:<24}{broadcast:<10}"
                         f"{told([smooth(run['accuracy'])[-1] for run in runs.values()])} {told([run['test'] for run in runs.values()])}"
                         f"{reached}{sent:9.4f}{given:10.4f}  {len(runs)}")
    return lines


def picture(found: list[dict[str, Any]], path: Path) -> None:
    """Accuracy over rounds, examples and megabytes, a row of panels for each group; means over seeds."""
    groups = list(dict.fromkeys(tuple(run[key] for key in GROUP) for run in found))
    drawn = canvas(3, len(groups))
    if drawn is None:
        sys.exit("--plot needs matplotlib: pip install matplotlib")
    for row, group in zip(drawn.subplots(len(groups), 3, squeeze=False), groups):
        own = [run for run in found if tuple(run[key] for key in GROUP) == group]
        methods = defaultdict(list)
        for run in own:
            methods[tuple(run[key] for key in METHOD)].append(run)
        for axes, name in zip(row, ("rounds", "examples", "megabytes")):
            for (rate, updater, outer, compress, broadcast), runs in sorted(methods.items()):
                y = np.mean([smooth(run["accuracy"]) for run in runs], axis=0)
                x = {"rounds": np.arange(1, 1 + len(y)), "examples": runs[0]["examples"], "megabytes": megabytes(runs[0])}[name]
                axes.plot(x, y, label=", ".join([
                    outer, *[compress] * (compress != "none"), *[f"broadcast {broadcast}"] * (broadcast != "none"), *[f"state {updater}"] * (updater != "average"), *[f"rate x {rate:g}"] * (rate != 1)]))
            low = min(np.mean(run["accuracy"][len(run["accuracy"]) // 4:][:3]) for run in own)
            axes.set(xlabel=name, ylabel="accuracy on validation rows", ylim=(max(0.0, low - 0.05), None), xscale="log" if name == "megabytes" else "linear",
                     title="{0}, {2} workers, every {3} minibatches, {4}".format(*group))
            axes.grid(alpha=0.3)
        row[0].legend(fontsize=7, loc="lower right")
    drawn.savefig(path)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--task", default="digits", help="digits, text or FILE.npz")
    p.add_argument("--workers", type=int, nargs="+", default=[4])
    p.add_argument("--frequency", type=int, nargs="+", default=[5])
    p.add_argument("--inner", nargs="+", choices=INNER, default=["sgd", "adamw"])
    p.add_argument("--rate", type=float, nargs="+", default=[1.0], help="factors of the inner updater's learning rate")
    p.add_argument("--outer", nargs="+", default=["mean", "momentum", "slowmo", "nesterov", "adam", "yogi", "adagrad"])
    p.add_argument("--compress", nargs="+", default=["none"])
    p.add_argument("--broadcast", nargs="+", default=["none"], help="codings of what workers are given")
    p.add_argument("--updater", default="average", help="what becomes of the inner updater's state: average, reset, keep, \"every N\"")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--rounds", type=int, default=40)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--shards", type=int, help="of the data; as many as workers where it is left out")
    p.add_argument("--hidden", type=int, nargs="+", default=[64])
    p.add_argument("--inline", action="store_true", help="run the jobs of -r inline: slower, the same bits")
    p.add_argument("--out", type=Path, required=True, help="the file of JSON lines")
    p.add_argument("--plot", type=Path, help="draw accuracy over rounds, examples and megabytes to this PNG")
    p.add_argument("--only-show", action="store_true", help="run nothing, show what there is of the grid")
    a = p.parse_args()
    logging.disable(logging.WARNING)            # of mrjob
    warnings.filterwarnings("ignore")
    known = {key(run): run for run in map(read, a.out.read_text().splitlines())} if a.out.exists() else {}
    fixed = {"task": Path(a.task).stem, "hidden": a.hidden, "batch": a.batch, "rounds": a.rounds, "updater": a.updater}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        task = (Text if a.task == "text" else Rows)(a.task, a.hidden)
        prepared = cache(lambda shards: task.prepared(tempfile.mkdtemp(dir=folder), shards))
        axes = (a.workers, a.frequency, a.inner, a.rate, a.outer, a.compress, a.broadcast, range(a.seeds))
        for number, values in enumerate(itertools.product(*axes)):
            cell = {**fixed, **dict(zip(("workers", "frequency", "inner", "rate", "outer", "compress", "broadcast", "seed"), values))}
            cell["shards"] = a.shards or cell["workers"]
            if key(cell) not in known:
                if a.only_show:
                    continue
                known[key(cell)] = trained(task, prepared(cell["shards"]), f"{folder}/run-{number}", cell, a)
                shutil.rmtree(f"{folder}/run-{number}")
                with a.out.open("a") as file:
                    file.write(json.dumps(known[key(cell)]) + "\n")
            found.append(known[key(cell)])
    print(*table(found), sep="\n")
    if a.plot:
        picture(found, a.plot)


if __name__ == "__main__":
    main()
