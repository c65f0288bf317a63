"""Updaters and schedules against Keras's own numbers, and what they refuse."""
import json
import math
from pathlib import Path

import numpy as np
import pytest

import mrdl
from mrdl import kernels
from mrdl.config import ConfigError, lookup, serialize
from mrdl.constraints import MaxNorm, MinMaxNorm, UnitNorm
from mrdl.layers import BatchNormalization, Dense, Embedding, Flatten, Input
from mrdl.optimizers import SGD, Adafactor, Adagrad, Adam, AdamW, Ftrl, Lamb, Lion, Muon, RMSprop
from mrdl.orthogonal import orthogonal
from mrdl.schedules import (
    SCHEDULES,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

DATA = Path(__file__).parents[1] / "support/from_keras"
# Written by Keras 3.15.1 on JAX with floatx and dtype policy float64: for each of 16 models
# (Dense(5, "relu") with penalties under a last Dense) compiled with an optimizer, a loss, metrics:
#   m.set_weights(weights); m.fit(x, y, sample_weight=w, class_weight=..., batch_size=10, epochs=20,
#   shuffle=False): 20 updates; then get_weights() and evaluate(batch_size=4, return_dict=True)
TRAINED = {case["name"]: case for case in json.loads((DATA / "keras_training.json").read_text())}
# [float(schedule(step)) for step in steps] for 13 schedules; Keras counts them in float32
SCHEDULED = json.loads((DATA / "keras_schedules.json").read_text())


def of(case):
    """The model of a case with the weights it begins with, and its arrays."""
    model = mrdl.model_from_json(json.dumps(case["spec"])).build()
    model.set_weights([np.array(w) for w in case["weights"]])
    w = None if case["w"] is None else np.array(case["w"])
    return model, np.array(case["x"]), np.array(case["y"]), w


def exact(case):
    """Keras takes means (MSE, binary cross-entropy) and rates of warm-ups in float32."""
    return "entropy" in str(case["spec"]["compile_config"]["loss"]) and not any(
        word in case["name"] for word in ("binary", "one output", "warm-up"))


@pytest.mark.parametrize("name", TRAINED)
def test_twenty_updates_are_those_of_keras(name):
    case = TRAINED[name]
    model, x, y, w = of(case)
    history = model.fit(x, y, sample_weight=w, class_weight=case["class_weight"],
                        batch_size=len(x), epochs=20).history
    rtol, atol = (1e-9, 1e-9) if exact(case) else (1e-6, 2e-6)
    for got, wanted in zip(model.get_weights(), case["after"], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol)
    assert set(history) == set(case["history"])
    np.testing.assert_allclose(history["loss"], case["history"]["loss"], rtol=max(rtol, 1e-7))
    for key, values in case["history"].items():
        np.testing.assert_allclose(history[key], values, rtol=1e-6)


def test_the_tables_of_keras_hold_every_schedule_and_way_to_clip_a_norm():
    configs = [case["spec"]["compile_config"]["optimizer"] for case in TRAINED.values()]
    for key in ("clipnorm", "global_clipnorm", "momentum", "nesterov"):
        assert any(c["config"].get(key) for c in configs)
    assert {c["spec"]["class_name"] for c in SCHEDULED} == {c.__name__ for c in SCHEDULES}


@pytest.mark.parametrize("case", SCHEDULED, ids=lambda case: case["spec"]["class_name"])
def test_a_schedule_gives_the_rates_of_keras(case):
    schedule = lookup(case["spec"], SCHEDULES, "schedule")
    got = [schedule(step) for step in case["steps"]]
    np.testing.assert_allclose(got, case["rates"], rtol=2e-5, atol=1e-6)
    assert lookup(json.loads(json.dumps(serialize(schedule))), SCHEDULES, "schedule") == schedule


@pytest.mark.parametrize("schedule, step, rate", [
    (ExponentialDecay(0.1, 10, 0.5), 10, 0.05), (ExponentialDecay(0.1, 4, 0.5, True), 7, 0.05),
    (PiecewiseConstantDecay([3], [1.0, 0.5]), 3, 1.0),
    (PiecewiseConstantDecay([3], [1.0, 0.5]), 4, 0.5), (PolynomialDecay(0.1, 8, 0.0), 100, 0.0),
    (CosineDecay(1.0, 10), 5, 0.5), (CosineDecay(1.0, 10, warmup_target=3.0, warmup_steps=4), 2, 2),
    (CosineDecayRestarts(1.0, 10), 10, 1.0), (CosineDecayRestarts(1.0, 10), 20, 0.5),
])
def test_a_schedule_is_exact_where_it_turns(schedule, step, rate):
    assert schedule(step) == pytest.approx(rate, rel=1e-12, abs=1e-15)


def test_a_schedule_follows_the_real_number_of_updates():
    optimizer = SGD(PiecewiseConstantDecay([4], [0.5, 0.0]))
    model = mrdl.Sequential([Input(1), Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizer, "mse")
    x, y = np.ones((2, 1), "f4"), np.zeros((2, 1), "f4")
    model.fit(x, y, batch_size=1, epochs=1)             # 2 updates
    model.fit(x, y, batch_size=2, epochs=2)             # 2 more
    assert model.iterations == 4
    left = model.get_weights()[0].item()
    model.fit(x, y, batch_size=2, epochs=3)             # update number 4 still counts, then 0
    assert model.iterations == 7 and model.get_weights()[0].item() == pytest.approx(0 * left)


@pytest.mark.parametrize("make, reason", [
    (lambda: SGD(-0.1), "learning_rate must be 0 or more"),
    (lambda: SGD("fast"), "learning_rate='fast' must be a finite number"),
    (lambda: SGD(math.nan), "finite"), (lambda: Adam(math.inf), "finite"),
    (lambda: SGD(lambda step: 0.1), "finite number"), (lambda: SGD(True), "finite number"),
    (lambda: SGD(None), "finite number"), (lambda: SGD({"class_name": "Linear"}), "unknown learning"),
    (lambda: SGD(momentum=1.0), "momentum must be at least 0 and below 1"),
    (lambda: SGD(nesterov=1), "nesterov=1 must be true or false"),
    (lambda: Ftrl(learning_rate_power=-0.6), "learning_rate_power=-0.6"), (lambda: Ftrl(beta=-1.0), "beta"), (lambda: RMSprop(momentum=1.0), "momentum"),
    (lambda: RMSprop(rho=-0.1), "rho"), (lambda: RMSprop(epsilon=-1e-7), "epsilon"),
    (lambda: Adam(beta_1=1.0), "beta_1"), (lambda: Adam(beta_2=2), "beta_2"),
    (lambda: Adam(clipnorm=1.0, global_clipnorm=1.0), "only one of clipnorm"),
    (lambda: SGD(clipvalue=1.0, clipnorm=1.0), "only one of clipnorm"),
    (lambda: SGD(clipvalue=0.0), "above 0"), (lambda: SGD(clipvalue=math.inf), "finite"),
    (lambda: SGD(weight_decay=-0.1), "weight_decay must be 0 or more"),
    (lambda: AdamW(weight_decay=None), "weight_decay=None must be a finite number"),
    (lambda: Adagrad(initial_accumulator_value=-1), "initial_accumulator_value must be 0 or more"),
    (lambda: Adam(amsgrad=1), "amsgrad=1 must be true or false"),
    (lambda: Lion(beta_1=0.0), "beta_1 must be above 0"), (lambda: Lion(beta_2=1.0), "beta_2"),
    (lambda: Adafactor(beta_2_decay=0.0), "beta_2_decay must be below 0"), (lambda: Adafactor(epsilon_1=0.0), "epsilon_1 must be above 0"),
    (lambda: Adam(use_ema=True, ema_momentum=1.1), "ema_momentum must be from 0 to 1"), (lambda: SGD(ema_overwrite_frequency=0), "ema_overwrite_frequency must be 1"),
    (lambda: SGD(gradient_accumulation_steps=1), "gradient_accumulation_steps must be 2 or more"),
    (lambda: Muon(ns_steps=0), "ns_steps must be 1 or more"), (lambda: Muon(adam_weight_decay=-1), "adam_weight_decay must be 0"),
    (lambda: Muon(momentum=1), "momentum"), (lambda: Muon(exclude_layers=["("]), "is no regular expression"),
    (lambda: MaxNorm(-1), "max_value=-1.0 must be 0 or more"), (lambda: MaxNorm(axis=0.5), "whole number"),
    (lambda: MaxNorm(axis=True), "whole number"), (lambda: UnitNorm(axis=[]), "must name an axis"),
    (lambda: MinMaxNorm(2.0, 1.0), "min_value <= max_value"), (lambda: MinMaxNorm(-1.0), "min_value"),
    (lambda: MinMaxNorm(rate=1.5), "rate=1.5 must be between 0 and 1"),
    (lambda: mrdl.Sequential([Input(3), Dense(2, kernel_constraint=MaxNorm(axis=2))]),
     r"axis=2 does not fit the kernel of shape \(3, 2\)"),
    (lambda: mrdl.Sequential([Input(3), Dense(2, kernel_constraint=UnitNorm(axis=[1, -1]))]),
     r"axis=\(1, -1\) does not fit"),
    (lambda: Dense(2, bias_constraint="max"), "unknown constraint 'max'; there are MaxNorm"),
    (lambda: Adam(clipnorm=0), "above 0"), (lambda: SGD(global_clipnorm=-1), "above 0"),
    (lambda: ExponentialDecay(0.1, 0, 0.5), "decay_steps must be 1 or more"),
    (lambda: ExponentialDecay(0.1, 5, -0.5), "decay_rate must be above 0"),
    (lambda: ExponentialDecay(0.1, "5", 0.5), "decay_steps='5' must be a finite number"),
    (lambda: PiecewiseConstantDecay([1, 2], [0.1, 0.2]), "one value more"),
    (lambda: PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), "must ascend"),
    (lambda: PiecewiseConstantDecay(2, [0.1, 0.2]), "must be a list"),
    (lambda: PolynomialDecay(0.1, 1e-300, cycle=True), "decay_steps must be 1 or more"),
    (lambda: PolynomialDecay(0.1, 5, power=-1.0), "power must be 0 or more"),
    (lambda: InverseTimeDecay(0.1, 1, -0.5), "decay_rate must be 0 or more"),
    (lambda: CosineDecayRestarts(0.1, 1e-300), "first_decay_steps must be 1 or more"),
    (lambda: SGD(ExponentialDecay(0.1, 1, 2.0)).rate(5000), "ExponentialDecay: its learning rate is not finite at update 5,000"),
    (lambda: CosineDecayRestarts(0.1, 10, t_mul=0.5), "t_mul must be 1 or more"),
])
def test_values_that_make_no_sense_are_refused(make, reason):
    with pytest.raises(ConfigError, match=reason):
        make()


def test_numpy_scalars_are_taken_as_numbers():
    optimizer = Adam(np.float32(0.25), beta_1=np.float64(0.5), clipnorm=np.int64(3))
    assert optimizer == Adam(0.25, 0.5, clipnorm=3.0)
    json.dumps(serialize(optimizer))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_five_steps_make_a_matrix_nearly_orthogonal_with_its_own_directions(dtype):
    u, s, vt = np.linalg.svd(np.random.default_rng(0).standard_normal((40, 17)))
    for rows in (slice(None), slice(0, 17)):
        matrix = ((u[:, :17] * s) @ vt).astype(dtype)[rows]
        found = orthogonal(kernels.typed(dtype), matrix, 5, 3.4445, -4.775, 2.0315)
        left, own, right = np.linalg.svd(matrix, full_matrices=False)
        each = left.T @ found @ right.T         # diagonal, about 1 where s was not small
        np.testing.assert_allclose(each, np.diag(np.diag(each)), atol=1e-4)
        assert abs(np.diag(each)[own > own[0] / 10] - 1).max() < 0.35


def test_what_pads_a_matrix_changes_nothing_and_one_of_zeros_stays():
    rng, k = np.random.default_rng(0), kernels.typed("float32")
    matrix = rng.standard_normal((5, 21)).astype("f4")
    wide = np.zeros((16, 32), "f4")
    wide[:5, :21] = matrix
    args = 5, 3.4445, -4.775, 2.0315
    np.testing.assert_array_equal(orthogonal(k, matrix, *args), orthogonal(k, wide, *args)[:5, :21])
    np.testing.assert_array_equal(orthogonal(k, matrix, *args), orthogonal(k, np.ascontiguousarray(matrix.T), *args).T)
    assert not orthogonal(k, np.zeros((3, 4), "f4"), *args).any()


def test_a_dense_layer_behind_a_sparse_input_is_no_matrix_of_muon():
    x, y = np.zeros((4, 6), "f4"), np.ones((4, 3), "f4")
    x[:, 2] = 1
    model = mrdl.Sequential([Input(6, sparse=True), Dense(3, use_bias=False)])
    model.compile(Muon(0.1, weight_decay=None, adam_weight_decay=None), "mse")
    model.build()
    before = model.get_weights()[0]
    model.fit(x, y, batch_size=4, epochs=2)
    assert [*np.flatnonzero((model.get_weights()[0] != before).any(1))] == [2] and model.slots[1].any()


def test_ftrl_at_a_rate_of_0_stays_finite():
    model = mrdl.Sequential([Input(3), Dense(2)]).build()
    model.compile(Ftrl(0.0, beta=1.0), "mse")
    model.fit(np.ones((8, 3), "f4"), np.ones((8, 2), "f4"), epochs=3, verbose=0)
    assert np.isfinite(model.weights).all()


@pytest.mark.parametrize("optimizer, reason", [
    (Lamb(), "Lamb takes the norm of each weight as a whole, and does not go with sparse inputs: take Adam"),
    (Adafactor(), "Adafactor takes each weight as a whole, and does not go with sparse inputs: take Adam"),
    (SGD(gradient_accumulation_steps=2), "gradient_accumulation_steps does not go with sparse inputs: take a larger batch_size")])
def test_what_does_not_go_with_sparse_inputs(optimizer, reason):
    model = mrdl.Sequential([Input(8, sparse=True), Dense(2)])
    model.compile(optimizer, "mse")
    with pytest.raises(ConfigError, match=reason):
        model.fit(np.eye(8, dtype="f4"), np.ones((8, 2), "f4"), verbose=0)


def test_gathered_gradients_are_those_of_a_larger_minibatch_and_the_average_follows():
    """Of an embedding, whose gradient has rows alone, and a layer that is called twice; in two calls of fit, and saved between."""
    ids, y = np.resize(np.arange(9), (16, 3)), np.random.default_rng(0).standard_normal((16, 2))

    def made(optimizer):
        twice, x = Dense(4, "tanh", kernel_regularizer="l2"), Input(3)
        model = mrdl.Model(x, Dense(2)(twice(twice(Dense(4)(Flatten()(Embedding(9, 4)(x)))))), dtype="float64")
        model.compile(optimizer, "mse")
        return model.build(seed=1)
    whole, parts = made(SGD(0.1, 0.9)), made(SGD(0.1, 0.9, gradient_accumulation_steps=4))
    whole.fit(ids, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    parts.fit(ids, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-12, atol=1e-14)
    assert parts.iterations == 12 and not parts.slots[1].any()
    averaged, plain = made(SGD(0.1, use_ema=True, ema_momentum=0.5)), made(SGD(0.1))
    for _ in range(3):
        averaged.train_on_batch(ids, y)
    seen = []
    for _ in range(3):
        plain.train_on_batch(ids, y)
        seen.append(plain.weights.copy())
    np.testing.assert_allclose(averaged.weights, seen[2], rtol=1e-12)
    np.testing.assert_allclose(averaged.slots[0], seen[0] / 4 + seen[1] / 4 + seen[2] / 2, rtol=1e-12)


def test_the_average_leaves_frozen_weights_and_moving_moments_alone():
    model = mrdl.Sequential([Input(3), Dense(4, trainable=False), BatchNormalization(), Dense(2)]).build()
    model.compile(SGD(0.1, use_ema=True), "mse")
    before = model.get_weights()
    model.fit(np.random.default_rng(0).standard_normal((8, 3)).astype("f4"), np.ones((8, 2), "f4"), epochs=2, batch_size=4, verbose=0)
    after = model.get_weights()
    assert (after[0] == before[0]).all() and (after[4] != before[4]).any() and (after[5] != before[5]).any()
    kept = {f"{step.name}/{w.name}": model.slots[0, start:start + w.size].any() for step, w, start in model.places()}
    assert kept == {"dense/kernel": False, "dense/bias": False, "batch_normalization/gamma": True, "batch_normalization/beta": True,
                    "batch_normalization/moving_mean": False, "batch_normalization/moving_variance": False, "dense_1/kernel": True, "dense_1/bias": True}
