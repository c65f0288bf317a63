"""Every updater, way to clip and constraint against Keras itself, live: 20 updates of one model."""
import contextlib
import dataclasses
import inspect
import json
import math
from unittest import mock

import jax
import keras
import numpy as np
import pytest
from keras_twins import of_keras

import mrdl
from mrdl.config import lookup, serialize
from mrdl.constraints import CONSTRAINTS, MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from mrdl.layers import LSTM, Add, Dense, Embedding, Input, core
from mrdl.layers.layer import Weight
from mrdl.optimizers import (
    OPTIMIZERS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Lion,
    Muon,
    Nadam,
    RMSprop,
)
from mrdl.schedules import ExponentialDecay

# what a user may ask of each beside its defaults
OWN = [SGD(0.1, 0.9), SGD(0.1, 0.9, True), RMSprop(0.05, 0.5, epsilon=1e-3), RMSprop(0.05, 0.5, 0.7), RMSprop(0.05, centered=True),
       RMSprop(0.02, 0.5, 0.6, 1e-3, True, weight_decay=0.1), Ftrl(0.3, beta=0.2), Ftrl(0.1, -0.5, 0.3, 0.01, 0.02, 0.03),
       Lamb(0.05, 0.5, 0.7), Adafactor(0.5, -0.5, 1e-3, 0.1, 0.7), Adafactor(ExponentialDecay(0.5, 3, 0.5), relative_step=False),
       Adam(0.05, use_ema=True, clipnorm=0.05), RMSprop(0.02, 0.5, 0.6, gradient_accumulation_steps=3, clipnorm=0.05), Adagrad(0.1, 0.01),
       Adadelta(1.0, 0.7, 1e-3), Lion(0.01, 0.5, 0.6), Adam(0.05, 0.5, 0.7, amsgrad=True),
       AdamW(0.1, 0.1, 0.5, 0.7, amsgrad=True), Adamax(0.1, 0.5, 0.6), Nadam(0.05, 0.7, 0.8),
       Nadam(ExponentialDecay(0.05, 3, 0.5), weight_decay=0.3),
       Muon(0.05, 0.5, 0.7, 0.3, 1e-3, momentum=0.8, ns_steps=3, nesterov=False, rms_rate=None, adam_lr_ratio=0.5),
       Muon(0.05, adam_weight_decay=None, weight_decay=None, muon_a=3.0, muon_b=-3.2, muon_c=1.2),
       Muon(0.05, exclude_layers=["x", "^dense.*kernel|variable"], exclude_embeddings=False)]
COMMON = [{}, {"weight_decay": 0.3}, {"clipvalue": 0.02}, {"clipnorm": 0.05}, {"global_clipnorm": 0.05},
          {"learning_rate": 0.02, "use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3, "gradient_accumulation_steps": 2}]
UPDATERS = [*(cls(**more) for cls in OPTIMIZERS for more in COMMON), *OWN]
CONSTRAINED = [MaxNorm(0.5), MaxNorm(2, [0, 1]), MaxNorm(axis=-1), UnitNorm(), UnitNorm([1]), NonNeg(),
               MinMaxNorm(), MinMaxNorm(0.5, 1.0, 0.3, 1)]


@contextlib.contextmanager
def wide():
    """Keras in float64."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    try:
        # Keras's own norm and mean, which Muon and Adafactor take, are in float32 even here
        ops = inspect.getmodule(keras.optimizers.Muon).ops
        with jax.enable_x64(True), mock.patch.object(ops, "norm", jax.numpy.linalg.norm), mock.patch.object(
                ops, "mean", lambda x, **axes: jax.numpy.mean(jax.numpy.asarray(getattr(x, "value", x)), **axes)):
            keras.config.set_floatx("float64")
            keras.config.set_dtype_policy("float64")
            yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def theirs(thing):
    """Keras's own object of a description."""
    return keras.saving.deserialize_keras_object(json.loads(json.dumps(serialize(thing))))


def both(optimizer, constraint=None, steps=20):
    """Kernel and bias after 20 updates of a linear model with an MSE, here and by Keras's optimizer."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((12, 7)), rng.standard_normal((12, 5))
    start = [rng.standard_normal((7, 5)), rng.standard_normal(5)]
    model = mrdl.Sequential([Input(7), Dense(5, kernel_constraint=constraint)], dtype="float64").build()
    model.set_weights(start)
    model.compile(optimizer, "mse")
    model.fit(x, y, batch_size=12, epochs=steps)
    with wide():
        updater = theirs(optimizer)
        w, b = (keras.Variable(a, dtype="float64") for a in start)
        w.constraint = theirs(constraint) if constraint else None
        for _ in range(steps):
            error = 2 / y.size * (x @ np.array(w.value) + np.array(b.value) - y)
            updater.apply([keras.ops.array(x.T @ error), keras.ops.array(error.sum(0))], [w, b])
        updater.finalize_variable_values([w, b])
        return model.get_weights(), [np.array(w.value), np.array(b.value)], start


@pytest.mark.parametrize("optimizer", UPDATERS, ids=repr)
def test_twenty_updates_are_those_of_keras_itself(optimizer):
    scheduled = not isinstance(optimizer.learning_rate, float)      # Keras counts schedules in float32
    for got, wanted, start in zip(*both(optimizer), strict=True):
        assert abs(wanted - start).max() > 1e-5
        np.testing.assert_allclose(got, wanted, rtol=1e-6 if scheduled else 1e-9, atol=1e-12)


@pytest.mark.parametrize("constraint", CONSTRAINED, ids=repr)
def test_a_constraint_holds_after_each_update_as_in_keras(constraint):
    for optimizer in (SGD(0.5), Adam(0.1, clipnorm=0.5)):
        for a, b in zip(*both(optimizer, constraint)[:2], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape, constraint", [
    *(((7, 5), c) for c in CONSTRAINED), *(((3, 2, 4, 6), c) for c in CONSTRAINED),
    ((3, 2, 4, 6), MaxNorm(0.5, [0, 1, 2])), ((3, 2, 4, 6), UnitNorm([-2, 0]))], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constraint_equals_that_of_keras_on_a_kernel_in_the_flat_vector(constraint, shape, dtype):
    """Kernels of Dense layers and filters lie as [out][the rest] in the flat vector."""
    weight = Weight("kernel", (shape[-1], math.prod(shape[:-1])), shape, None, None, constraint, True)
    flat = np.random.default_rng(0).standard_normal(weight.size).astype(dtype)
    flat[3] = 0
    before = weight.to_keras(flat)
    constraint.apply(weight.view(flat))
    with wide() if dtype == "float64" else contextlib.nullcontext():
        wanted = np.array(theirs(constraint)(before))
    assert (before != wanted).any() and wanted.dtype == dtype
    np.testing.assert_allclose(weight.to_keras(flat), wanted, rtol=1e-6 if dtype == "float32" else 1e-14)


def test_the_tables_hold_every_updater_option_and_constraint():
    assert {type(u) for u in UPDATERS} == set(OPTIMIZERS)
    assert {type(c) for c in CONSTRAINED} == set(CONSTRAINTS)
    for cls in OPTIMIZERS:
        for field in dataclasses.fields(cls):       # each has been another than its default
            values = {getattr(u, field.name) for u in UPDATERS if type(u) is cls}
            assert len(values) > 1 or field.name == "epsilon", f"{cls.__name__}.{field.name}"


@pytest.mark.filterwarnings("ignore:__array__ implementation")      # of Keras's own
@pytest.mark.parametrize("optimizer", UPDATERS, ids=repr)
def test_an_updater_goes_to_keras_and_comes_back(optimizer):
    config = keras.optimizers.serialize(theirs(optimizer))
    again = lookup(json.loads(json.dumps(config)), OPTIMIZERS, "optimizer")
    assert serialize(again).keys() <= config.keys() and again == dataclasses.replace(
        optimizer, learning_rate=again.learning_rate)
    if isinstance(optimizer.learning_rate, float):              # which Keras keeps in float32
        assert again.learning_rate == pytest.approx(optimizer.learning_rate, rel=1e-7)
    else:
        assert again == optimizer


@pytest.mark.parametrize("constraint", CONSTRAINED, ids=repr)
def test_a_constraint_goes_to_keras_and_comes_back(constraint):
    config = keras.constraints.serialize(theirs(constraint))
    assert lookup(json.loads(json.dumps(config)), CONSTRAINTS, "constraint") == constraint
    layer = keras.layers.Dense(3, kernel_constraint=theirs(constraint), bias_constraint="non_neg")
    config = keras.layers.serialize(layer)["config"]
    dense = Dense.from_config(json.loads(json.dumps(config)))
    assert (dense.kernel_constraint, dense.bias_constraint) == (constraint, NonNeg())


@pytest.mark.filterwarnings("ignore:__array__ implementation")      # of Keras's own
@pytest.mark.parametrize("optimizer", [Muon(0.02, exclude_layers=["out"]), Muon(0.02, exclude_embeddings=False, global_clipnorm=0.01)], ids=["", "all"])
def test_muon_tells_matrices_from_others_as_keras_does(optimizer, monkeypatch):
    """Of an embedding, a layer that is called twice, and matrices whose gradient comes in pieces."""
    monkeypatch.setattr(core, "BLOCK", 80)
    x, twice = Input((4,)), Dense(8, "tanh", kernel_regularizer="l2", name="twice")
    y = LSTM(8)(Embedding(9, 6)(x))
    model = mrdl.Model(x, Dense(3, name="out")(Add()([twice(y), twice(twice(y))])), dtype="float64")
    model.compile(optimizer, "mse")
    model.build(seed=3)
    rng = np.random.default_rng(0)
    ids, t = np.resize(np.arange(9), (12, 4)), rng.standard_normal((12, 3))
    with wide():
        twin = of_keras(model)
        twin.compile(theirs(optimizer), "mse")
        twin.fit(ids, t, batch_size=12, epochs=4, shuffle=False, verbose=0)
        wanted = twin.get_weights()
    before = model.get_weights()
    model.fit(ids, t, batch_size=12, epochs=4, verbose=0)
    for got, want, start in zip(model.get_weights(), wanted, before, strict=True):
        assert abs(got - start).max() > 0.01
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)     # Keras takes losses' means in float32


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_what_may_be_given_by_place_stands_where_keras_has_it(cls):
    ours = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    assert ours == list(inspect.signature(getattr(keras.optimizers, cls.__name__)).parameters)[:len(ours)]


@pytest.mark.parametrize("beta_1", [0.0, 0.5, 0.9, 0.99999])
def test_nadams_product_of_momenta_follows_from_the_number_of_the_update_alone(beta_1):
    updater, product = Nadam(beta_1=beta_1), 1.0
    for t in range(1, 3001):
        now, after = (beta_1 * (1 - 0.5 * 0.96 ** i) for i in (t, t + 1))
        product *= now
        of_m, of_g, *_ = updater.numbers(1.0, t)
        assert of_m == pytest.approx(after / (1 - product * after), rel=1e-12)
        assert of_g == pytest.approx((1 - now) / (1 - product), rel=1e-12)
    assert updater.numbers(1.0, 10 ** 6)[0] == pytest.approx(beta_1, abs=1e-4)


def test_means_of_weights_that_obey_a_greatest_norm_or_a_sign_obey_it_too():
    rng = np.random.default_rng(0)
    for constraint in (MaxNorm(0.5), NonNeg(), MinMaxNorm(0.0, 0.5)):
        several = rng.standard_normal((4, 7, 5))
        for w in several:
            constraint.apply(w)
        mean, again = several.mean(0), several.mean(0)
        constraint.apply(again)
        np.testing.assert_allclose(again, mean, rtol=1e-6)
