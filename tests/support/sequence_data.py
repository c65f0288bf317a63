"""Sequences and ids for models of them."""
import numpy as np

from mrdl.driver.preparation.prepare import prepare
from mrdl.layers import Masking

T, F, V = 5, 3, 7           # steps, features of a step, and the ids there are: 0 to V - 1


def sequences(n=64, value=0.0, seed=5):
    """x[n, T, F] of unequal length: a step that does not count is `value` in all its features, which is what Masking looks
    for. Some sequences have no step that counts, some lack one in the middle."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, T, F))
    for row, length in zip(x, rng.integers(0, T + 1, n)):
        row[length:] = value
    x[::5, 1] = value
    return x


def masked_value(layers):
    return next((layer.mask_value for layer in layers if isinstance(layer, Masking)), 0.0)


def ids(n=64, seed=5):
    """Ids [n, T], for an Embedding."""
    return np.random.default_rng(seed).integers(0, V, (n, T)).astype("u1")


def prepared(tmp_path, inline, x, y, shards, dtype="float64"):
    """The dataset that the real prepare job makes of these arrays."""
    np.savez(tmp_path / "raw.npz", x=x, y=y)
    return prepare([str(tmp_path / "raw.npz")], str(tmp_path / "data"), inline, shards=shards, dtype=dtype)
