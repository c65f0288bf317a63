"""What a round on the local runner costs beyond its compute: 2 workers, 540 k parameters.

    python benchmarks/rounds.py [--rounds 20] [--megabytes 1 64] [--resident always]

For each shard size: the median over rounds of (commit to commit - the slowest worker's compute), and how
much of it the slowest worker spent on starting, waiting for rows and emitting; and the bytes that a round
puts through the shuffle. DL4J on Spark local[2] takes about 0.24 s a round for this network.
"""
import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import mrdl
from mrdl.data.dataset import load
from mrdl.driver.schedule import chunk_keys
from mrdl.layers import Dense, Rescaling
from mrdl.optimizers import SGD
from mrdl.rounds.partial import Partial, PartialProtocol, ranges
from mrdl.runs.run import Run


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--megabytes", type=int, nargs="+", default=[1, 64])
    p.add_argument("--frequency", type=int, default=5)
    p.add_argument("--resident", default="never", help="always: one job for all rounds")
    a = p.parse_args()
    print(f"{'shard':>8}{'round':>9}{'compute':>9}{'beyond':>9}{'worst':>9}"
          f"{'start':>9}{'read':>9}{'emit':>9}   (seconds, medians of {a.rounds} rounds)")
    for megabytes in a.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), megabytes, a)
    model = network()
    model.build((784,))
    values = np.zeros(2 * model.count_params(), "f4")
    shuffled = sum(len(PartialProtocol().write("000000.a", Partial(0, 1, values[start:stop])))
                   for start, stop in ranges(len(values), chunk_keys(len(values), 2)))
    print(f"a worker puts {shuffled / model.count_params():.2f} bytes a parameter through the shuffle "
          "(weights and momentum, float32)")


def network():
    model = mrdl.Sequential([Rescaling(1 / 255), Dense(512, "relu"), Dense(256, "relu"),
                             Dense(10, "softmax")])
    model.compile(SGD(0.02, 0.9, nesterov=True), "sparse_categorical_crossentropy")
    return model


def measure(folder, megabytes, a):
    n, rng = 2 * megabytes * 1_000_000 // 785, np.random.default_rng(0)
    np.savez(folder / "raw.npz", x=rng.integers(0, 256, (n, 784), np.uint8),
             y=rng.integers(0, 10, n).astype(np.uint8))
    mrdl.prepare(str(folder / "raw.npz"), str(folder / "data"), shards=2)
    (folder / "raw.npz").unlink()
    training = mrdl.ParameterAveraging(workers=2, batch_size=64, rounds=a.rounds + 2,
                                       averaging_frequency=a.frequency, resident=a.resident)
    ends = []
    training.fit(network(), load(folder / "data").url, run=str(folder / "run"),
                 told=lambda event, facts: event == "round" and ends.append(time.perf_counter()))
    seconds = [line["seconds"] for line in Run(str(folder / "run")).history()][2:]
    walls = [b - a for a, b in itertools.pairwise(ends)][2:]       # from commit to commit
    beyond = [wall - s["compute"] for wall, s in zip(walls, seconds, strict=True)]
    median = {k: statistics.median(s[k] for s in seconds) for k in seconds[0]}
    print(f"{megabytes:>5} MB{statistics.median(walls):>9.3f}{median['compute']:>9.3f}"
          f"{statistics.median(beyond):>9.3f}{max(beyond):>9.3f}{median['start']:>9.3f}"
          f"{median['read']:>9.3f}{median['emit']:>9.3f}")


if __name__ == "__main__":
    main()
