"""Normalisation: gradients, moving moments as Keras moves them, and their merge over workers."""
import itertools

import keras
import numpy as np
import pytest
from gradients import Probe
from shards import rows

import mrdl
from mrdl import ParameterAveraging, seeds
from mrdl.config import ConfigError
from mrdl.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Input,
    LayerNormalization,
    Normalization,
    Reshape,
)
from mrdl.losses import SparseCategoricalCrossentropy
from mrdl.optimizers import SGD
from mrdl.runs.run import Run

# Keras's own, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STACKS = {
    "BatchNormalization": [BatchNormalization()],
    "after a relu": [Dense(5, "relu"), BatchNormalization(momentum=0.5, epsilon=0.1), Dense(4, "tanh")],
    "of channels": [Reshape((3, 2, 1)), Conv2D(4, (1, 2)), BatchNormalization(axis=3), Conv2D(2, (2, 1), activation="relu"), Flatten()],
    "without gamma and beta": [Dense(4), BatchNormalization(center=False, scale=False)],
    "with penalties": [BatchNormalization(gamma_regularizer="l2", beta_regularizer="l1")],
    "Normalization": [Dense(5), Normalization(), Dense(4, "relu"), Normalization(None, invert=True)],
    "Normalization, given": [Dense(6, "relu"), Normalization(-1, range(6), range(1, 7)), Reshape((3, 2)),
                             Normalization((1, -1), 2.0, 4.0, True), Flatten()],
    "Normalization of inputs": [Normalization()],
    "LayerNormalization": [Dense(5), LayerNormalization(), Dense(4, "relu"), LayerNormalization(center=False)],
    "of channels of a pixel": [Reshape((2, 3)), LayerNormalization(scale=False, epsilon=0.01), Flatten()],
    "of a whole image": [Reshape((3, 2, 1)), Conv2D(4, 2), LayerNormalization(axis=[1, 2, 3], gamma_regularizer="l2"), Flatten()],
}


def trainable(model):
    """Which places of the flat vector the updater changes."""
    kept = np.ones(model.count_params(), bool)
    for step in model.stack():
        for weight, start in zip(step.weights, step.offsets):
            kept[start:start + weight.size] = weight.trainable
    return kept


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("n", [3, 17])
def test_the_gradient_is_that_of_the_differences(name, n):
    probe = Probe([Input(6), *STACKS[name], Dense(3, "softmax")], SparseCategoricalCrossentropy(), n, buffers=40)
    probe.start[~trainable(probe.model)] = abs(probe.start[~trainable(probe.model)])
    wanted, kept = probe.differences(), trainable(probe.model)
    for mean, variance, size in probe.model.moments():      # in training nobody looks at them
        assert abs(wanted[[*range(mean, mean + size), *range(variance, variance + size)]]).max() < 1e-10
    gradient = probe.gradient()
    for mean, _, size in probe.model.moments("mean", "variance"):
        assert not gradient[mean:mean + 2 * size + 1].any()
    assert abs(wanted[kept]).max() > 1e-3
    np.testing.assert_allclose(gradient[kept], wanted[kept], rtol=1e-6, atol=1e-9)


def of_keras(model):
    """The same model in Keras, with its weights."""
    twin = keras.models.model_from_json(model.to_json())
    twin.set_weights(model.get_weights())
    return twin


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


@pytest.mark.parametrize("runner, resident", [("inline", "never"), ("local", "never"), ("local", "always")])
@pytest.mark.parametrize("workers", [1, 2, 4])
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
    moments = model.moments()
    for r, (before, after) in enumerate(itertools.pairwise(states)):
        found = []
        for i, order in sorted(orders.items()):
            model.weights[:] = before.weights
            twin, n = of_keras(model), 0
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


def test_one_worker_at_any_frequency_is_one_uninterrupted_fit_bit_for_bit(tmp_path, made):
    data = made(75, shards=1, dtype="float32")

    def model():
        made = mrdl.Sequential([Input((5,)), Dense(6, "relu"), BatchNormalization(), Dense(3, "softmax")])
        made.compile("adam", "sparse_categorical_crossentropy")
        return made
    result = ParameterAveraging(workers=1, batch_size=8, averaging_frequency=3, epochs=2, runner="inline",
                                seed=3).fit(model(), data.url, run=str(tmp_path / "run"))
    whole, twin = rows(data.train()[0]), model()
    twin.fit(whole["x"], whole["y"], sample_weight=whole["w"], batch_size=8, epochs=2, seed=3)
    assert twin.weights.tobytes() == result.model.weights.tobytes()


@pytest.mark.parametrize("make, reason", [
    (lambda: BatchNormalization(momentum=1.5), "momentum=1.5"), (lambda: BatchNormalization(epsilon=0), "epsilon"),
    (lambda: LayerNormalization(epsilon=0), "epsilon"), (lambda: LayerNormalization(axis="last"), "whole numbers"),
    (lambda: mrdl.Sequential([Input((4, 3)), BatchNormalization(axis=1)]), "axis=1 of"),
    (lambda: mrdl.Sequential([Input((4, 3)), LayerNormalization(axis=1)]), "axis=1 of"),
    (lambda: mrdl.Sequential([Input(()), LayerNormalization()]), "is not supported"),
])
def test_what_is_not_supported_is_said(make, reason):
    with pytest.raises(ConfigError, match=reason):
        make()
