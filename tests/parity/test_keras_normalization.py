"""Moving moments: they move as those of Keras, and merge over workers by the formula."""
import itertools

import numpy as np
import pytest
from keras_twins import of_keras
from shards import rows

import mrdl
from mrdl import ParameterAveraging, seeds
from mrdl.layers import (
    BatchNormalization,
    Dense,
    Flatten,
    Input,
)
from mrdl.optimizers import SGD
from mrdl.runs.run import Run

# Keras's own, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def images(n, seed=0):
    return (np.random.default_rng(seed).standard_normal((n, 5, 4, 3)) * [1, 2, 0.5] + [3, 0, -2]).astype("f4")


@pytest.mark.parametrize("n", [1, 7, 33])
def test_moving_moments_move_as_those_of_keras(n):
    model = mrdl.Sequential([Input((5, 4, 3)), BatchNormalization(momentum=0.9), Flatten(), Dense(2)]).build(seed=1)
    model.compile(SGD(0.0), "mse")
    twin = of_keras(model)
    for batch in range(4):
        x = images(n, batch)
        model.fit(x, np.zeros((n, 2), "f4"), batch_size=n)
        twin(x, training=True)
    for mine, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-6, atol=1e-6)
    assert abs(model.get_weights()[2]).max() > 0.1
    np.testing.assert_allclose(model.predict(images(9, 9)), twin.predict(images(9, 9), verbose=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("workers, runner, resident", [(1, "inline", "never"), (2, "inline", "never"), (4, "inline", "never"),
                                                       (2, "local", "never"), (4, "local", "always")])
def test_workers_moments_merge_by_the_formula_over_keras_own_layers(tmp_path, made, workers, runner, resident):
    """With frozen weights and the same minibatches: mean = sum p m, variance = sum p (v + m^2) - mean^2."""
    data, b, f = made(120, shards=workers, dtype="float32"), 7, 2
    model = mrdl.Sequential([Input((5,)), BatchNormalization(momentum=0.8), Dense(4, "relu"),
                             BatchNormalization(momentum=0.7), Dense(3, "softmax")])
    model.compile(SGD(0.0), "sparse_categorical_crossentropy")
    ParameterAveraging(workers=workers, batch_size=b, averaging_frequency=f, epochs=1, runner=runner, cores=workers,
                       resident=resident, keep_rounds=99, seed=5).fit(model, data.url, run=str(tmp_path / "run"))
    run = Run(tmp_path / "run")
    states = [run.state(r) for r in run.rounds()]
    shards = {s.index: rows(s)["x"] for s in data.train()}
    orders = {i: seeds.permutation(len(x), 5, "rows", 0, i, 0) for i, x in shards.items()}
    moments, twin = model.moments(), of_keras(model.build())
    for r, (before, after) in enumerate(itertools.pairwise(states)):
        found = []
        for i, order in sorted(orders.items()):
            model.weights[:] = before.weights
            twin.set_weights(model.get_weights())
            n = 0
            for batch in range(r * f, (r + 1) * f):
                index = order[batch * b:(batch + 1) * b]
                if len(index):
                    twin(shards[i][index], training=True)
                    n += len(index)
            if n:
                model.set_weights(twin.get_weights())
                found.append((n, model.weights.astype("f8")))
        p = np.array([n for n, _ in found]) / sum(n for n, _ in found)
        for mean, variance, size in moments:
            m, v = (np.stack([w[start:start + size] for _, w in found]) for start in (mean, variance))
            wanted = p @ m
            np.testing.assert_allclose(after.weights[mean:mean + size], wanted, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(after.weights[variance:variance + size],
                                       p @ (v + m * m) - wanted ** 2, rtol=1e-6, atol=1e-6)
    assert len(states) > 3
