"""Small stand-ins for the data of Keras's examples, with something in them to learn."""
from pathlib import Path

import numpy as np


def digits(train=400, test=100, size=None):
    """(x_train, y_train), (x_test, y_test): digits of 8 x 8, or of `size` x `size`, as uint8 of 0 to 255, as mnist.load_data() gives them."""
    rows = np.loadtxt(Path(__file__).parents[2] / "examples/digits.csv.gz", int, delimiter=",", skiprows=1, max_rows=train + test)
    x, y = (rows[:, 1:].reshape(-1, 8, 8) * 15.9375).astype("uint8"), rows[:, 0].astype("uint8")
    if size:
        x = x.repeat(-(-size // 8), 1).repeat(-(-size // 8), 2)[:, :size, :size]
    return (x[:train], y[:train]), (x[train:train + test], y[train:train + test])


def pictures(n, size=16, classes=2, seed=0):
    """x [n, size, size, 3] of 0 to 255, y [n]: of each class one colour is brighter in one corner."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = rng.uniform(0, 128, (n, size, size, 3))
    for row, label in zip(x, y):
        row[:size // 2, :size // 2, label % 3] += 120
    return x.astype("float32"), y


def reviews(n, words=200, length=20, seed=0):
    """Ids of words as lists of unequal length, and 0 or 1: whether there are more of the words below 40 than of those from 160 on."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = [list(np.where(rng.random(k) < 0.3, rng.integers(2, 40, k) if label else rng.integers(160, words, k),
                       rng.integers(40, 160, k))) for k, label in zip(rng.integers(length // 2, length + 1, n), y)]
    return x, y


def waves(n, steps=32, classes=2, channels=1, seed=0):
    """x [n, steps, channels], y [n]: sines, of a higher frequency for a higher class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    t = np.arange(steps)[None, :, None] * 0.25 * (1 + y)[:, None, None]
    x = np.sin(t + rng.uniform(0, 6, (n, 1, channels))) + rng.normal(0, 0.1, (n, steps, channels))
    return x.astype("float32"), y


def table(n, columns=8, seed=0):
    """x [n, columns], y [n, 1] of 0 and 1, of which one in eight is 1."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, columns)).astype("float32")
    score = x[:, :3].sum(1)
    return x, (score > np.quantile(score, 0.875)).astype("uint8")[:, None]
