"""How many rounds and bytes an outer updater needs: python benchmarks/convergence.py [--out FILE.jsonl] [--plot FILE.png]

Every combination of outer updater, workers, averaging frequency, inner updater and seed trains one network on the same digits
(examples/digits.csv.gz, or --data X.npz with x [n, features] and y), on the inline runner. For each combination the table has
the accuracy on held-out rows after the last round, and the rounds to the accuracy that plain averaging ends at (mean over
seeds), the ratio of the two, and the megabytes that workers send and receive until then. One worker with and without the outer
updater is worth a line of its own: --workers 1 4 16."""
import argparse
import itertools
import json
import logging
import statistics
import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import mrdl
from mrdl.layers import Dense, Rescaling
from mrdl.optimizers import SGD, AdamW
from mrdl.report.plot import canvas
from mrdl.runs.run import Run

DIGITS = Path(__file__).parents[1] / "examples" / "digits.csv.gz"
INNER = {"sgd": lambda: SGD(0.05), "momentum": lambda: SGD(0.02, 0.9), "adamw": lambda: AdamW(0.001)}
KEYS = ("workers", "frequency", "inner", "outer")
VALUES = 4                      # bytes of a float32


def digits(path: Path | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Features, classes, and the largest feature."""
    if path:
        with np.load(path) as found:
            return found["x"].reshape(len(found["x"]), -1), found["y"], float(found["x"].max())
    rows = np.loadtxt(DIGITS, int, delimiter=",", skiprows=1)
    return rows[:, 1:].astype("u1"), rows[:, 0].astype("u1"), 16.0


def trained(data: str, largest: float, run: str, a: argparse.Namespace, workers: int, frequency: int, inner: str, outer: str,
            seed: int) -> dict[str, Any]:
    """The accuracy after each round, and the bytes of a round."""
    model = mrdl.Sequential([Rescaling(1 / largest), *[Dense(units, "relu") for units in a.hidden], Dense(10, "softmax")])
    model.compile(INNER[inner](), "sparse_categorical_crossentropy", ["accuracy"])
    mrdl.ParameterAveraging(workers=workers, averaging_frequency=frequency, batch_size=a.batch_size, outer=outer, seed=seed, rounds=a.rounds,
                            validation_freq=1, runner="inline").fit(model, data, run=run, verbose=0)
    history = Run(run).history()
    values = model.weights.size + model.slots.size
    return {"workers": workers, "frequency": frequency, "inner": inner, "outer": outer, "seed": seed,
            "accuracy": [line["val_accuracy"] for line in history], "examples": [line["examples"] for line in history],
            "megabytes": 2 * workers * values * VALUES / 1e6}


def needed(accuracy: list[float], target: float) -> int | None:
    """The first round with at least this accuracy."""
    return next((r for r, value in enumerate(accuracy, 1) if value >= target), None)


def table(found: list[dict[str, Any]]) -> list[str]:
    """Lines; each group of settings is compared with plain averaging in it."""
    groups = defaultdict(lambda: defaultdict(list))
    for run in found:
        groups[run["workers"], run["frequency"], run["inner"]][run["outer"]].append(run)
    lines = [f"{'workers':>7}{'f':>5} {'inner':<9}{'outer':<44}{'accuracy at the end':>20}{'rounds':>8}{'ratio':>7}{'MB':>9}"]
    for group, methods in sorted(groups.items()):
        ends = {run["seed"]: run["accuracy"][-1] for run in methods["mean"]}
        plain = [needed(run["accuracy"], ends[run["seed"]]) for run in methods["mean"]]
        for outer, runs in methods.items():
            last = [run["accuracy"][-1] for run in runs]
            rounds = [needed(run["accuracy"], ends[run["seed"]]) for run in runs]
            reached = None not in rounds
            spread = statistics.stdev(last) / len(last) ** 0.5 if len(last) > 1 else 0.0
            mean = statistics.mean(rounds) if reached else None
            lines.append(f"{group[0]:>7}{group[1]:>5} {group[2]:<9}{outer:<44}{statistics.mean(last):>13.4f}±{spread:.4f}"
                         + (f"{mean:>8.1f}{mean / statistics.mean(plain):>7.2f}{mean * runs[0]['megabytes']:>9.1f}" if reached
                            else f"{'never':>8}"))
    return lines


def picture(found: list[dict[str, Any]], path: Path) -> None:
    """Accuracy over rounds, a panel for each group of settings; the mean over seeds."""
    groups = sorted({tuple(run[key] for key in KEYS[:3]) for run in found})
    wide = min(3, len(groups))
    rows = -(-len(groups) // wide)
    drawn = canvas(wide, rows)
    if drawn is None:
        sys.exit("--plot needs matplotlib: pip install matplotlib")
    for axes, group in itertools.zip_longest(drawn.subplots(rows, wide, squeeze=False).ravel(), groups):
        if group is None:
            axes.axis("off")
            continue
        for outer in dict.fromkeys(run["outer"] for run in found):
            runs = [run["accuracy"] for run in found if tuple(run[key] for key in KEYS) == (*group, outer)]
            axes.plot(range(1, len(runs[0]) + 1), np.mean(runs, axis=0), label=outer)
        low = np.mean([run["accuracy"][len(run["accuracy"]) // 4] for run in found if tuple(run[key] for key in KEYS[:3]) == group])
        axes.set(title=f"{group[0]} workers, every {group[1]} minibatches, {group[2]}", xlabel="round", ylabel="held-out accuracy",
                 ylim=(max(0.0, low - 0.15), 1.0))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    drawn.savefig(path)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--outer", nargs="+", default=["mean", "momentum", "slowmo", "nesterov", "adam", "yogi", "adagrad"])
    p.add_argument("--workers", type=int, nargs="+", default=[4])
    p.add_argument("--frequency", type=int, nargs="+", default=[5])
    p.add_argument("--inner", nargs="+", choices=INNER, default=["sgd", "adamw"])
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--rounds", type=int, default=40)
    p.add_argument("--batch-size", type=int, default=16)
    p.add_argument("--hidden", type=int, nargs="+", default=[64])
    p.add_argument("--data", type=Path, help="another .npz with x and y")
    p.add_argument("--out", type=Path, help="append each run to this file of JSON lines")
    p.add_argument("--plot", type=Path, help="draw accuracy over rounds to this PNG")
    a = p.parse_args()
    if "mean" not in a.outer:
        p.error("--outer: mean must be among them, as the others are compared with it")
    logging.disable(logging.WARNING)            # of mrjob
    warnings.filterwarnings("ignore")
    x, y, largest = digits(a.data)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "digits.npz"), x=x, y=y)
        for workers in a.workers:
            data = mrdl.prepare(f"{folder}/digits.npz", f"{folder}/data-{workers}", shards=workers, hold_out=0.25, runner="inline").url
            for frequency, inner, outer, seed in itertools.product(a.frequency, a.inner, a.outer, range(a.seeds)):
                run = trained(data, largest, f"{folder}/run-{len(found)}", a, workers, frequency, inner, outer, seed)
                found.append(run)
                print(".", end="", file=sys.stderr, flush=True)
                if a.out:
                    with a.out.open("a") as file:
                        file.write(json.dumps(run) + "\n")
    print(file=sys.stderr)
    print(*table(found), sep="\n")
    if a.plot:
        picture(found, a.plot)


if __name__ == "__main__":
    main()
