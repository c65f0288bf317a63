"""Memory where the model or the data are large, on Hadoop. Run inside a cluster:

    hadoop-conf/cluster exec .venv/bin/python benchmarks/scale.py model [--parameters 50] [--optimizer sgd|adam]
    hadoop-conf/cluster exec .venv/bin/python benchmarks/scale.py data [--gigabytes 2] [--rounds 8]
    hadoop-conf/cluster exec .venv/bin/python benchmarks/scale.py cache [--rounds 20]

model: 3 rounds of a wide network with 4 reducers, in containers of 1.5 GB (SGD with momentum) or 2 GB (Adam);
data: rounds over shards of 64 MB; cache: what 20 states of 20 M parameters leave on a node's disk. Printed for each
round: seconds, the peaks of YARN's own counters (a task's JVM and the Python below it, as last sampled) and
of the workers' own, what the driver holds, and how many mappers were started on a node that holds their shard.
"""
import argparse
import os
import resource
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import mrdl
from mrdl.layers import Dense
from mrdl.optimizers import SGD, Adam
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=("model", "data", "cache"))
    p.add_argument("--parameters", type=float, default=50, help="millions")
    p.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd")
    p.add_argument("--gigabytes", type=float, default=2)
    p.add_argument("--rounds", type=int)
    a = p.parse_args()
    home = store_at(f"hdfs:///tmp/scale-{os.getpid()}")
    try:
        {"model": model, "data": data, "cache": cache}[a.what](a, home)
    finally:
        home.clear("")


def prepared(home, rows, features, shards):
    """Random bytes, prepared here and put on HDFS shard by shard."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        np.savez(Path(folder, "raw.npz"), x=rng.integers(0, 256, (rows, features), np.uint8),
                 y=rng.integers(0, 10, rows).astype(np.uint8))
        mrdl.prepare(str(Path(folder, "raw.npz")), str(Path(folder, "data")), shards=shards)
        near = store_at(str(Path(folder, "data")))
        for name in near.list():
            home.put(f"data/{name}", near.path(name))


def fit(home, network, jobconf, **options):
    def told(event, facts):
        if event == "round" and facts["round"]:
            job = facts["job"]
            held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20
            print(f"round {facts['round']}: {facts['seconds']['round']:.1f} s, mapper "
                  f"{job['map_memory'] >> 20} MB (its Python {job['worker_memory'] >> 20}), reducer {job['reduce_memory'] >> 20} MB, driver {held} MB, "
                  f"{job['data_local']} of {job['maps']} mappers data-local", flush=True)

    with mrdl.Cluster("hadoop", jobconf=jobconf) as cluster:
        training = mrdl.ParameterAveraging(runner=cluster, resident="never", **options)
        training.fit(network, home.path("data"), run=home.path("run"), told=told)
    return Run(home.path("run"))


def wide(millions, optimizer):
    """784 inputs and one square layer that has most of the parameters."""
    width = int((millions * 1e6) ** 0.5) - 400
    network = mrdl.Sequential([Dense(width, "relu"), Dense(width, "relu"), Dense(10, "softmax")])
    network.compile(optimizer, "sparse_categorical_crossentropy")
    return network


def model(a, home):
    prepared(home, 1024, 784, 4)
    optimizer = SGD(0.01, 0.9) if a.optimizer == "sgd" else Adam()
    network = wide(a.parameters, optimizer)
    network.build((784,))
    print(f"{network.count_params():,} parameters, {optimizer.slots + 1} x "
          f"{network.count_params() * 4 >> 20} MB in float32")
    limit = 1536 if a.optimizer == "sgd" else 2048
    fit(home, network, {"mapreduce.map.memory.mb": str(limit)}, workers=4, batch_size=32,
        averaging_frequency=2, rounds=a.rounds or 3)


def data(a, home):
    prepared(home, int(a.gigabytes * 1e9) // 785, 784, max(2, round(a.gigabytes * 1e9 / (48 << 20))))
    network = mrdl.Sequential([Dense(64, "relu"), Dense(10, "softmax")])
    network.compile("sgd", "sparse_categorical_crossentropy")
    fit(home, network, {}, workers=8, batch_size=256, rounds=a.rounds or 8)


def cache(a, home):
    prepared(home, 256, 784, 2)
    network = wide(20, SGD(1e-6))          # bytes as they are: a larger rate diverges

    def folders():
        return subprocess.run("du -sm $MRDL_HADOOP/data/node*/yarn | cut -f1", shell=True, text=True,
                              capture_output=True, check=True).stdout.split()

    print("MB in the node managers' folders before:", *folders())
    fit(home, network, {}, workers=2, batch_size=32, averaging_frequency=1, rounds=a.rounds or 20)
    print("MB in the node managers' folders after:", *folders())


if __name__ == "__main__":
    main()
