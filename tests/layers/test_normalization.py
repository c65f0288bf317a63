"""Normalisation: gradients, rounds, and what is refused."""

import numpy as np
import pytest
from gradients import Probe
from shards import in_one_fit

import mrdl
from mrdl import ParameterAveraging
from mrdl.config import ConfigError
from mrdl.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    GroupNormalization,
    Input,
    LayerNormalization,
    Normalization,
    Reshape,
    UnitNormalization,
)
from mrdl.losses import SparseCategoricalCrossentropy

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


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("n", [3, 17])
def test_the_gradient_is_that_of_the_differences(name, n):
    probe = Probe([Input(6), *STACKS[name], Dense(3, "softmax")], SparseCategoricalCrossentropy(), n, buffers=40)
    for step, weight, start in probe.model.places():
        if not weight.trainable:
            probe.start[start:start + weight.size] = abs(probe.start[start:start + weight.size])
    probe.check()
    gradient = probe.gradient()
    for mean, _, size in probe.model.moments("mean", "variance"):
        assert not gradient[mean:mean + 2 * size + 1].any()
    for mean, variance, size in probe.model.moments():      # in training nobody looks at them
        assert abs(probe.along([*range(mean, mean + size), *range(variance, variance + size)])[0]) < 1e-10


def test_one_worker_at_any_frequency_is_one_uninterrupted_fit_bit_for_bit(tmp_path, made):
    data = made(75, shards=1, dtype="float32")

    def model():
        made = mrdl.Sequential([Input((5,)), Dense(6, "relu"), BatchNormalization(), Dense(3, "softmax")])
        made.compile("adam", "sparse_categorical_crossentropy")
        return made
    result = ParameterAveraging(workers=1, batch_size=8, averaging_frequency=3, epochs=2, runner="inline",
                                seed=3).fit(model(), data.url, run=str(tmp_path / "run"))
    twin = in_one_fit(model(), data)
    assert twin.weights.tobytes() == result.model.weights.tobytes()


def test_minus_one_makes_a_group_of_each_channel_and_rows_of_zeros_have_no_length():
    x = np.random.default_rng(0).random((5, 3, 4)).astype("f4")
    one, each = (mrdl.Sequential([Input((3, 4)), GroupNormalization(n)]).predict(x) for n in (-1, 4))
    assert (one == each).all()
    assert not mrdl.Sequential([Input(4), UnitNormalization()]).predict(np.zeros((2, 4))).any()


@pytest.mark.parametrize("make, reason", [
    (lambda: BatchNormalization(momentum=1.5), "momentum=1.5"), (lambda: BatchNormalization(epsilon=0), "epsilon"),
    (lambda: LayerNormalization(epsilon=0), "epsilon"), (lambda: LayerNormalization(axis="last"), "whole numbers"),
    (lambda: GroupNormalization(0), "groups=0 must be"), (lambda: GroupNormalization(epsilon=0), "epsilon"),
    (lambda: mrdl.Sequential([Input((4, 3)), GroupNormalization(2)]), "2 groups do not divide 3 channels"),
    (lambda: mrdl.Sequential([Input((4, 3)), GroupNormalization(1, axis=1)]), "axis=1 of"),
    (lambda: UnitNormalization(0), "axis=0 must be"), (lambda: UnitNormalization(3).shape_of_output((4, 3)), "axis=3 does not fit"),
    (lambda: mrdl.Sequential([Input((4, 3)), BatchNormalization(axis=1)]), "axis=1 of"),
    (lambda: mrdl.Sequential([Input((4, 3)), LayerNormalization(axis=1)]), "axis=1 of"),
    (lambda: mrdl.Sequential([Input(()), LayerNormalization()]), "is not supported"),
])
def test_what_is_not_supported_is_said(make, reason):
    with pytest.raises(ConfigError, match=reason):
        make()
