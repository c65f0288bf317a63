"""What a round costs on Hadoop, beside a bare streaming job of the same shape. Run inside a cluster:

    hadoop-conf/cluster exec .venv/bin/python benchmarks/hadoop.py [--rounds 7]

Rounds of 2 mappers, 1 reducer and 540 k parameters alternate with `hadoop jar hadoop-streaming.jar` that
runs `cat` over the same shards, 2 mappers and 1 reducer too. Printed: the medians, their ratio, and where a
round's seconds go, from the run's own report.
"""
import argparse
import glob
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from rounds import network

import mrdl
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--rounds", type=int, default=7)
    a = p.parse_args()
    home = store_at(f"hdfs:///tmp/benchmark-{os.getpid()}")
    try:
        measure(home, a.rounds)
    finally:
        home.clear("")


def measure(home, rounds):
    jar = min(glob.glob(os.environ["HADOOP_HOME"] + "/**/hadoop-streaming-*.jar", recursive=True),
              key=len)
    walls, bare = [], []

    def streaming():
        began = time.perf_counter()
        subprocess.run(["hadoop", "jar", jar, "-D", "mapreduce.job.reduces=1", "-D",
                        f"mapreduce.input.fileinputformat.split.minsize={(1 << 63) - 1}",
                        "-input", home.path("data/part-*"), "-output", home.path(f"out{len(bare)}"),
                        "-mapper", "cat", "-reducer", "cat"], check=True, capture_output=True)
        bare.append(time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as folder, mrdl.Cluster("hadoop") as cluster:
        rng, n = np.random.default_rng(0), 2600
        np.savez(Path(folder, "raw.npz"), x=rng.integers(0, 256, (n, 784), np.uint8),
                 y=rng.integers(0, 10, n).astype(np.uint8))
        mrdl.prepare(str(Path(folder, "raw.npz")), str(Path(folder, "data")), shards=2)
        for name in store_at(str(Path(folder, "data"))).list():
            home.put(f"data/{name}", str(Path(folder, "data", name)))
        training = mrdl.ParameterAveraging(workers=2, batch_size=64, rounds=rounds + 1,
                                           averaging_frequency=5, runner=cluster, resident="never")
        last = [0.0]

        def told(event, facts):
            if event != "round":
                return
            walls.append(time.perf_counter() - last[0])
            streaming()
            last[0] = time.perf_counter()

        training.fit(network(), home.path("data"), run=home.path("run"), told=told)
        seconds = [line["seconds"] for line in Run(home.path("run")).history()][1:]
    walls, bare = walls[2:], bare[2:]           # the state of round 0, and a warm-up
    print(f"{'round':>10} {statistics.median(walls):6.2f} s   ({min(walls):.2f} to {max(walls):.2f})")
    print(f"{'bare job':>10} {statistics.median(bare):6.2f} s   ({min(bare):.2f} to {max(bare):.2f})")
    print(f"{'ratio':>10} {statistics.median(walls) / statistics.median(bare):6.2f}")
    for phase in seconds[0]:
        print(f"{phase:>10} {statistics.median(s[phase] for s in seconds):6.2f} s")


if __name__ == "__main__":
    main()
