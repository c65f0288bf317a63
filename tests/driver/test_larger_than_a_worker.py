"""A network that no task has the memory for: it is trained in fragments, and scored layer by layer."""
import os
import resource
import subprocess
import sys

import pytest

import mrdl
from mrdl.layers import BatchNormalization, Dense, Input
from mrdl.runners.cluster import Cluster
from mrdl.runners.environment import ONE_THREAD
from mrdl.runners.failures import JobFailed
from mrdl.runners.local.forkserver import ForkServer
from mrdl.storage.local import Local

ROOM = 42 << 20                 # bytes of address space that a task has for its work: less than the weights take
SIZE = """
from mrdl.runners.environment import PRELOAD
from mrdl.runners.local.children import _preload
_preload(PRELOAD)
print(open("/proc/self/statm").read().split()[0])
"""


@pytest.fixture
def confined(monkeypatch):
    """A cluster each of whose tasks has ROOM."""
    pages = int(subprocess.run([sys.executable, "-c", SIZE], env={**os.environ, **ONE_THREAD}, check=True, capture_output=True, text=True).stdout)
    launch, size = ForkServer._launch, pages * resource.getpagesize() + ROOM

    def limited(server):
        launch(server)
        resource.prlimit(server.process.pid, resource.RLIMIT_AS, (size, size))      # tasks are its children
    monkeypatch.setattr(ForkServer, "_launch", limited)
    with Cluster("local", cores=2) as cluster:
        yield cluster


def test_it_trains_and_scores_under_a_real_limit(tmp_path, made, confined):
    data = made(60, shards=8, hold_out=0.2, dtype="float32").url
    model = mrdl.Sequential([Input(5), *[Dense(1700, "relu") for _ in range(5)], BatchNormalization(), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert model.count_params() * 4 > ROOM
    with pytest.raises(JobFailed, match="MemoryError"):
        mrdl.ParameterAveraging(workers=2, rounds=1, runner=confined).fit(model, data, run=str(tmp_path / "averaged"))
    run = str(tmp_path / "run")
    found = mrdl.FragmentTraining(fragments=8, rounds=1, recalibrate=True, runner=confined).fit(model, data, run=run)
    scores = mrdl.evaluate(run, data, part="validation", runner=confined)
    assert scores["loss"] == found.metrics["val_loss"]
    assert mrdl.predict(run, data, str(tmp_path / "limited"), runner=confined) == 60
    mrdl.predict(run, data, str(tmp_path / "free"), runner="inline")
    limited, free = (Local(tmp_path / name) for name in ("limited", "free"))
    assert [limited.read(name) for name in limited.list()] == [free.read(name) for name in free.list()]
