"""Data, a model and commands for tests that compare a run on the cluster with the same run in this process."""
import json
import subprocess
import sys
import time
from urllib.request import urlopen

import numpy as np
from processes import MODEL, Child

import mrdl
from mrdl.layers import Dense, Dropout
from mrdl.storage.schemes import store_at


def table(path, n=300, seed=0):
    """A CSV file of n rows that can be learnt, one of them bad."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = rng.standard_normal((n, 5)) + np.eye(3, 5)[y] * 1.5
    lines = ["a,b,c,d,e,label", *(",".join([*(f"{v:.5f}" for v in row), str(label)])
                                  for row, label in zip(x, y)), "1,2,x,4,5,0"]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def model():
    made = mrdl.Sequential([Dense(16, "relu"), Dropout(0.2), Dense(3, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def fit(data, run, runner, **options):
    """Trains from Python, on the runner of that name. `options`: of ParameterAveraging."""
    training = mrdl.ParameterAveraging(**{"workers": 2, "batch_size": 8, "averaging_frequency": 6,
                                          "epochs": 1, "runner": runner, "resident": "never", **options})
    return training.fit(model(), data, run=run)


def train(tmp_path, data, run, *more):
    """The process of a `mrdl train` on Hadoop, to be waited for or killed. `more`: words of its command line."""
    (tmp_path / "model.py").write_text(MODEL)
    return Child(
        [sys.executable, "-m", "mrdl", "train", str(tmp_path / "model.py"), data, run, "-r", "hadoop",
         "--workers", "2", "--batch-size", "8", "--averaging-frequency", "4", "--rounds", "3",
         "--resident", "never", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def running():
    """The ids of the cluster's applications that are not over."""
    listed = subprocess.run(["yarn", "application", "-list", "-appStates",
                             "SUBMITTED,ACCEPTED,RUNNING"], text=True, capture_output=True,
                            check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if line.startswith("application_")]


def wait_for_round(run, seconds=60):
    end = time.monotonic() + seconds
    while not store_at(run).exists("commit-000001.json"):
        assert time.monotonic() < end, "no round was committed"
        time.sleep(0.1)


def asked(path):
    """What YARN's ResourceManager answers to GET /ws/v1/cluster/PATH."""
    with urlopen("http://127.0.0.1:8088/ws/v1/cluster/" + path) as reply:
        return json.load(reply)


def jobs(run):
    """The YARN applications of a run, as the ResourceManager lists them, over or not."""
    return [app for app in (asked("apps")["apps"] or {"app": []})["app"] if f"mrdl {run} " in app["name"]]


def far_copy(data, home):
    """Copies the dataset to HDFS, below `home`; gives its path there."""
    for name in store_at(data.url).list():
        home.put(f"data/{name}", store_at(data.url).path(name))
    return home.path("data")
