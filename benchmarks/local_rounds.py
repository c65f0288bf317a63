"""What distributing pays on one machine: model.fit on one core beside 2 workers of `-r local`, in one run.

    python benchmarks/local_rounds.py [--data digits.npz] [--frequencies 31 5] [--best 3] [--seconds 4]
                                      [--millions 0.54 10]

784-512-256-10 (540 k parameters), batch 64, Nesterov momentum. In turns, best of --best: examples/s of `fit` in one
process with one thread; of two such processes at once, which is what the machine can do; and of 2 resident workers
at each averaging frequency, with the median of a round's seconds beyond the slower worker's compute. Then that
median for networks of each size.
"""
import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rounds import network
from scale import wide

import mrdl
from mrdl.optimizers import SGD
from mrdl.runs.run import Run

BATCH, SHARD = 64, 31 * 5 * 64         # rows of a shard: whole rounds at frequencies of 31 and of 5


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", help="arrays x_train, y_train of bytes; without, random rows")
    p.add_argument("--frequencies", type=int, nargs="*", default=[31, 5])
    p.add_argument("--best", type=int, default=3)
    p.add_argument("--seconds", type=float, default=4, help="that each measurement takes")
    p.add_argument("--millions", type=float, nargs="*", default=[0.54, 10])
    p.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.alone:
        with np.load(a.alone[0]) as rows:
            print(json.dumps(fit(rows["x"], rows["y"], float(a.alone[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prepared(folder, a.data)
        if a.frequencies:
            speed(a, folder)
        for millions in a.millions:
            beyond(a, folder, millions)


def prepared(folder, data):
    if data:
        with np.load(data) as given:
            x, y = given["x_train"][:2 * SHARD], given["y_train"][:2 * SHARD]
    else:
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 256, (2 * SHARD, 784), np.uint8), rng.integers(0, 10, 2 * SHARD)
    np.savez(folder / "raw.npz", x=x, y=y.astype(np.uint8))
    mrdl.prepare(str(folder / "raw.npz"), str(folder / "data"), shards=2)


def fit(x, y, seconds):
    """Examples/s of `fit` over whole epochs, after a first one."""
    model = network()
    model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
    began, epochs = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        epochs += 1
        model.fit(x, y, batch_size=BATCH, initial_epoch=epochs, epochs=epochs + 1, verbose=0)
    return epochs * len(x) / spent


def alone(folder, processes, seconds):
    """Examples/s of so many processes at once, each with one thread on a core of its own."""
    environment = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    begun = [subprocess.Popen(["taskset", "-c", str(core), sys.executable, __file__, "--alone", str(folder / "raw.npz"),
                               str(seconds)], env=environment, stdout=subprocess.PIPE, text=True)
             for core in range(processes)]
    return sum(json.loads(process.communicate()[0]) for process in begun)


def resident(folder, model, seconds, frequency, **options):
    """The history of a run of 2 resident workers that took so long, and when each of its rounds was told of."""
    ends = []
    with tempfile.TemporaryDirectory(dir=folder) as run:
        mrdl.ParameterAveraging(workers=2, batch_size=BATCH, averaging_frequency=frequency, runner="local", resident="always",
                                epochs=100_000, until=f"time {seconds + 1:g}s", **options).fit(
            model, str(folder / "data"), run=run + "/run",
            told=lambda event, facts: event == "round" and ends.append(time.perf_counter()))
        history = Run(run + "/run").history()
    ends = ends[-len(history):]
    first = next(i for i, end in enumerate(ends) if end > ends[-1] - seconds)
    return history[first:], ends[first:]


def costs(history, ends):
    """Medians: a round's milliseconds, those of the slower worker's compute, and those beyond it."""
    walls = [end - begun for begun, end in itertools.pairwise(ends)]
    computes = [line["seconds"]["compute"] for line in history[1:]]
    return [1000 * statistics.median(values) for values in
            (walls, computes, [wall - compute for wall, compute in zip(walls, computes, strict=True)])]


def speed(a, folder):
    found, rounds = {}, {}
    for _ in range(a.best):
        for processes in (1, 2):
            found.setdefault(f"fit, {processes} process{'es' * (processes > 1)}", []).append(alone(folder, processes, a.seconds))
        for f in a.frequencies:
            history, ends = resident(folder, network(), a.seconds, f)
            found.setdefault(f"2 workers, f = {f}", []).append(
                (history[-1]["examples"] - history[0]["examples"]) / (ends[-1] - ends[0]))
            rounds.setdefault(f"2 workers, f = {f}", []).append(costs(history, ends))
    one = max(found["fit, 1 process"])
    print(f"{'':<20}{'examples/s':>11}{'x one core':>11}{'round':>9}{'compute':>9}{'beyond':>9}   (best of {a.best}; ms, medians)")
    for name, rates in found.items():
        best = max(range(a.best), key=rates.__getitem__)
        print(f"{name:<20}{rates[best]:>11,.0f}{rates[best] / one:>11.2f}"
              + "".join(f"{ms:>9.2f}" for ms in rounds.get(name, [[]] * a.best)[best]), flush=True)


def beyond(a, folder, millions):
    best = min((costs(*resident(folder, network() if millions < 1 else wide(millions, SGD(1e-6)), a.seconds, 5))
                for _ in range(a.best)), key=lambda ms: ms[-1])
    print(f"{millions:g} M parameters, f = 5: " + ", ".join(
        f"{name} {ms:.2f} ms" for name, ms in zip(("round", "compute", "beyond"), best)), flush=True)


if __name__ == "__main__":
    main()
