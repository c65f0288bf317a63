"""Sequences and ids for models of them."""
import numpy as np

from mrdl.driver.preparation.prepare import prepare

T, F, V = 5, 3, 7


def sequences(n=64, value=0.0, seed=5):
    """x[n, T, F] of unequal length, some without any step, some with a step in the middle that does not count."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, T, F))
    for row, length in zip(x, rng.integers(0, T + 1, n)):
        row[length:] = value
    x[::5, 1] = value
    return x


def ids(n=64, seed=5):
    return np.random.default_rng(seed).integers(0, V, (n, T)).astype("u1")


def prepared(tmp_path, inline, x, y, shards, dtype="float64"):
    np.savez(tmp_path / "raw.npz", x=x, y=y)
    return prepare([str(tmp_path / "raw.npz")], str(tmp_path / "data"), inline, shards=shards, dtype=dtype)
