"""What several tests share: small datasets of random rows, prepared by the real job."""
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from late import late, turned
from processes import Child

from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.schedule import chunk_keys
from mrdl.layers import Dense, Dropout, Input
from mrdl.models.sequential import Sequential
from mrdl.rounds.plan import Plan
from mrdl.rounds.state import State
from mrdl.runners.cluster import Cluster

# before anyone imports Keras: its models here are small, and compiling them takes far longer than running them
os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / "build/jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:       # as under nohup: commands would not see a terminal close
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:       # as a shell's `&` has it: commands would not see Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """What runs Keras comes last: JAX has threads then, and mrjob's local runner forks. With an end of time (MRDL_UNTIL), files
    that need a cluster are in the order that MRDL_FAULTS has for its lines."""
    items.sort(key=lambda item: hasattr(item.module, "keras") or "keras" in item.path.name)
    if "MRDL_UNTIL" in os.environ:
        on_cluster = {str(item.path) for item in items if item.get_closest_marker("hadoop")}
        place = {name: number for number, name in enumerate(turned(on_cluster, os.environ.get("MRDL_FAULTS", "")))}
        items.sort(key=lambda item: place.get(str(item.path), -1))


def pytest_runtest_setup(item):
    if item.get_closest_marker("hadoop") and late(time.time()):
        pytest.skip("no time is left (MRDL_UNTIL); the next commit has another order")


@pytest.fixture
def pictures():
    """Runs of this process draw history.png."""


@pytest.fixture(autouse=True)
def without_pictures(request):
    """Runs of other tests draw none, as without matplotlib: it would take longer than a small run itself. With a patch of its
    own: the tests' `monkeypatch` is to be undone before the fixtures that were there before it."""
    with pytest.MonkeyPatch.context() as patch:
        if "pictures" not in request.fixturenames:
            patch.setattr("mrdl.report.picture.plot", lambda *_: None)
        yield


@pytest.fixture(autouse=True)
def no_process_left():
    """The processes of a test end with it."""
    yield
    while Child.begun:
        Child.begun.pop().end()


@pytest.fixture(scope="session")
def inline():
    with Cluster("inline") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def local():
    with Cluster("local", cores=2) as cluster:
        yield cluster


@pytest.fixture
def made(tmp_path, inline):
    """made(n, shards, ...) -> a Dataset of n rows of 5 numbers, a class of 3, and a weight; with `steps` the numbers
    are steps, some of them 0, each with a class."""
    def make(n=200, shards=2, hold_out=0.0, name="data", seed=0, dtype="float64", steps=False):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 3, n)
        x = rng.standard_normal((n, 5)) + np.eye(3, 5)[y] * 1.5
        if steps:
            x[rng.random(x.shape) < np.linspace(0, 0.9, n)[:, None]] = 0
            x, y = x[:, :, None], rng.integers(0, 3, x.shape)
        raw = tmp_path / f"{name}.npz"
        np.savez(raw, x=x, y=y.astype("i4"), w=rng.uniform(0.5, 2, n))
        return prepare([str(raw)], str(tmp_path / name), inline, weight="w",
                               shards=shards, hold_out=hold_out, seed=seed, dtype=dtype)
    return make


@pytest.fixture
def given_round(tmp_path):
    """given_round(...) -> (state path, plan path, Plan); the shard to train is d/00000."""
    def make(**changes):
        model = Sequential([Input((4,)), Dense(6, "relu"), Dropout(0.3), Dense(3, "softmax")]).build()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        vector = np.zeros(len(model.weights) * 3, "f4")
        vector[:len(model.weights)] = model.weights
        (tmp_path / "state").write_bytes(State(vector, len(model.weights)).dump())
        asked = Plan(model.to_json(), 1, 0, 0, None, 8, 0, chunk_keys(len(vector), 1),
                     train={"d/00000": 0}, score=["d/00001", "d/00002"])
        for key, value in changes.items():
            setattr(asked, key, value)
        (tmp_path / "plan").write_bytes(asked.dump())
        return str(tmp_path / "state"), str(tmp_path / "plan"), asked
    return make
