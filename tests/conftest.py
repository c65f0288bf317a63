"""What several tests share: small datasets of random rows, prepared by the real job."""
import os

import numpy as np
import pytest

from mrdl.data import blocks
from mrdl.driver.preparation.prepare import prepare
from mrdl.runners.cluster import Cluster

os.environ["KERAS_BACKEND"] = "jax"             # before anyone imports Keras


def pytest_collection_modifyitems(items):
    """What runs Keras comes last: JAX has threads then, and mrjob's local runner forks."""
    items.sort(key=lambda item: hasattr(item.module, "keras"))


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


def rows(shard) -> dict[str, np.ndarray]:
    """All arrays of a shard, in the order of its blocks."""
    with open(shard.path, "rb") as file:
        parts = [blocks.unpack(line.rstrip(b"\n")).arrays() for line in file]
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}


def cut_off(call, steps: int, methods) -> None:
    """Runs the call in a process of its own, which ends as by a power cut once the methods were called so many times."""
    left = iter(range(steps))

    def limited(step):
        def limit(*args):
            if next(left, None) is None:
                os._exit(9)
            return step(*args)
        return limit
    if not (child := os.fork()):
        try:
            for owner, name in methods:
                setattr(owner, name, limited(getattr(owner, name)))
            call()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] >> 8 == 9
