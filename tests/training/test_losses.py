"""Every loss against Keras's own: its values, its gradients, its JSON; and what it does at the edges."""
import dataclasses
import json

import jax
import keras
import numpy as np
import pytest
from mrdl.kernels import typed

import mrdl
from mrdl import losses as ours
from mrdl.config import ConfigError, lookup, serialize
from mrdl.layers import Dense, Input
from mrdl.layers.operation import Tensor
from mrdl.losses import LOSSES
from mrdl.optimizers import Adam
from mrdl.training.outputs import Output
from mrdl.training.protocol import Head

RNG = np.random.default_rng(5)
NORMAL, SIGNED = RNG.standard_normal((7, 12)) * 1.5, RNG.integers(0, 2, (7, 12)) * 2.0 - 1
SHARES, ONES = RNG.dirichlet(np.ones(12), 7), RNG.integers(0, 2, (7, 12)) * 1.0
ONE_HOT = np.eye(12)[RNG.integers(0, 12, 7)]
UNIFORM = RNG.random((7, 12))
# loss, outputs, targets: among them what is clipped, zero, and just where the formula turns
CASES = [
    (ours.SparseCategoricalCrossentropy(True), NORMAL, ONE_HOT.argmax(1)),
    (ours.CategoricalCrossentropy(True), NORMAL, SHARES),
    (ours.CategoricalCrossentropy(True, label_smoothing=0.2), NORMAL, ONE_HOT),
    (ours.BinaryCrossentropy(True), NORMAL, ONES),
    (ours.BinaryCrossentropy(True, label_smoothing=0.2), NORMAL, ONES),
    (ours.MeanSquaredError(), NORMAL, SIGNED), (ours.MeanAbsoluteError(), NORMAL, SIGNED),
    (ours.MeanAbsolutePercentageError(), NORMAL, NORMAL[::-1] + 3),
    (ours.MeanAbsolutePercentageError(), NORMAL, ONES),
    (ours.MeanSquaredLogarithmicError(), NORMAL, abs(NORMAL[::-1])),
    (ours.MeanSquaredLogarithmicError(), abs(NORMAL), NORMAL[::-1]),
    (ours.Huber(), NORMAL, SIGNED), (ours.Huber(0.25), NORMAL, SIGNED), (ours.LogCosh(), NORMAL * 20, SIGNED),
    (ours.LogCosh(), NORMAL, SIGNED), (ours.Hinge(), NORMAL, ONES), (ours.Hinge(), NORMAL, SIGNED),
    (ours.Hinge(), NORMAL, SIGNED * 0.5), (ours.SquaredHinge(), NORMAL, ONES),
    (ours.SquaredHinge(), NORMAL, SIGNED), (ours.CategoricalHinge(), NORMAL, ONE_HOT),
    (ours.CategoricalHinge(), NORMAL, SHARES), (ours.KLDivergence(), SHARES[::-1], SHARES),
    (ours.KLDivergence(), NORMAL, ONE_HOT), (ours.Poisson(), abs(NORMAL), abs(NORMAL[::-1]).round()),
    (ours.BinaryFocalCrossentropy(), UNIFORM, ONES), (ours.BinaryFocalCrossentropy(True, 0.3, 1.5), UNIFORM, ONES),
    (ours.BinaryFocalCrossentropy(True, from_logits=True, label_smoothing=0.2), NORMAL, ONES),
    (ours.BinaryFocalCrossentropy(gamma=1.0), UNIFORM * (UNIFORM > 0.5), ONES), (ours.BinaryFocalCrossentropy(gamma=0.0), UNIFORM, ONES),
    (ours.CategoricalFocalCrossentropy(), SHARES, ONE_HOT), (ours.CategoricalFocalCrossentropy(0.4, 3.0), SHARES, SHARES[::-1]),
    (ours.CategoricalFocalCrossentropy(label_smoothing=0.1), SHARES, ONE_HOT),
    (ours.Poisson(), ONES, ONES), (ours.CosineSimilarity(), NORMAL, SIGNED),
    (ours.CosineSimilarity(), NORMAL * 1e-3, SHARES), (ours.CosineSimilarity(), ONES * 1e-9, SHARES),
]
NAMES = [f"{i}-{type(loss).__name__}" for i, (loss, *_) in enumerate(CASES)]


def computed(loss, y, t, dtype="float64", weight=None):
    """(mean loss over the examples, its gradient) by the loss's kernel; y is [B, ..., K]."""
    B, N = len(y), -(-len(y) // 16) * 16
    tensor = Tensor(typed(dtype), int(np.prod(y.shape[1:])), N, np.dtype(dtype), True)
    tensor.value[:, :B] = y.reshape(B, -1).T
    tensor.grad[:] = 7
    targets = np.zeros_like(tensor.value)
    targets[:, :B] = 0 if loss.sparse else t.reshape(B, -1).T
    weight = np.ones(B, dtype) if weight is None else weight.astype(dtype)
    output = Output(tensor.k, Head("", y.shape[1:], loss, 1.0, {}), tensor, False)
    classes = np.ascontiguousarray(t.reshape(B, -1).T, "i4")
    total, n = output.compute((classes[0] if output.steps == 1 else classes) if loss.sparse else targets, weight, None)
    assert (tensor.grad[:, B:] == 0).all()
    return total / n, tensor.grad[:, :B].T.reshape(y.shape)


def theirs(loss):
    return getattr(keras.losses, type(loss).__name__)(**loss.get_config())


@pytest.mark.parametrize("shape", [(12,), (1, 12), (3, 4), (2, 2, 3)], ids=str)
@pytest.mark.parametrize("loss, y, t", CASES, ids=NAMES)
def test_a_loss_and_its_gradient_are_those_of_keras_on_outputs_of_any_shape(loss, y, t, shape):
    y = y.reshape(7, *shape)
    if loss.sparse:
        t = (np.arange(7 * np.prod(shape[:-1], dtype=int)) % shape[-1]).reshape(7, *shape[:-1])
    else:
        t = t.reshape(7, *shape)
    value, grad = computed(loss, y, t)
    y, t = y.astype("f4"), t.astype("i4" if loss.sparse else "f4")
    wanted, slope = jax.value_and_grad(lambda y: theirs(loss)(t, y))(y)
    assert value == pytest.approx(float(wanted), rel=1e-5, abs=1e-5)
    if abs(y).max() > 1e-6:             # of lengths below 1e-7 JAX gives 0 * infinity
        np.testing.assert_allclose(grad, slope, rtol=1e-4, atol=1e-5 * abs(np.asarray(slope)).max())
    narrow, _ = computed(loss, y, t, "float32")
    assert narrow == pytest.approx(value, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("loss, y, t", CASES, ids=NAMES)
def test_weights_and_batches_of_one_add_up(loss, y, t):
    w = np.linspace(0, 2, 7)
    value, grad = computed(loss, y, t, weight=w)
    each = [computed(loss, y[i:i + 1], t[i:i + 1]) for i in range(7)]
    assert value == pytest.approx(sum(a * v for a, (v, _) in zip(w, each)) / 7, rel=1e-12)
    np.testing.assert_allclose(grad, [a * g[0] / 7 for a, (_, g) in zip(w, each)], rtol=1e-12, atol=1e-15)


def test_every_loss_is_compared_with_keras():
    assert {type(loss) for loss, *_ in CASES} == set(LOSSES)
    fields = {(type(loss), f.name) for loss, *_ in CASES for f in dataclasses.fields(loss)
              if getattr(loss, f.name) != f.default}
    assert fields == {(cls, f.name) for cls in LOSSES for f in dataclasses.fields(cls)}


@pytest.mark.parametrize("loss", [loss for loss, *_ in CASES], ids=NAMES)
def test_the_json_of_a_loss_goes_to_keras_and_back(loss):
    again = keras.losses.deserialize(json.loads(json.dumps(serialize(loss))))
    back = lookup(json.loads(json.dumps(keras.losses.serialize(again))), LOSSES, "loss")
    # Huber's delta is not in the config that Keras writes
    assert type(again).__name__ == type(back).__name__ == type(loss).__name__
    if not isinstance(loss, ours.Huber):
        assert back == loss


@pytest.mark.parametrize("name", ["mae", "MAPE", "msle", "kld", "huber", "log_cosh", "LogCosh", "hinge", "poisson",
                                  "squared_hinge", "categorical_hinge", "kl_divergence", "cosine_similarity"])
def test_the_short_names_of_keras_are_known(name):
    known = keras.losses.get(name)
    wanted = getattr(known, "__name__", type(known).__name__).replace("_", "").lower()
    assert type(lookup(name, LOSSES, "loss")).__name__.lower() == wanted


@pytest.mark.parametrize("name", ["mean_squared_error", "log_cosh", "poisson", "kl_divergence", "huber",
                                  "mean_squared_logarithmic_error", "hinge"])
def test_an_output_that_is_no_number_is_seen_in_the_loss_and_padding_never_is(name):
    y, t = np.full((2, 16), np.nan), np.ones((2, 16))
    y[:, :3], grad = 0.5, np.ones((2, 16))
    k = typed("f8")
    assert np.isfinite(k.mean_loss(name, y, t, np.ones(3), 1.0, (1.0,), 2.0, grad))
    assert np.isfinite(grad).all() and (grad[:, 3:] == 0).all()
    for sign in (1, -1):
        y[:] = sign * np.nan
        assert np.isnan(k.mean_loss(name, y, t, np.ones(3), 1.0, (1.0,), 2.0, grad))


def test_zeros_among_other_targets_are_the_negative_side_whatever_the_batch():
    y, t = np.array([[0.3, -0.2, 0.5]]), np.array([[0.0, 0.5, 1.0]])
    for loss, power in ((ours.Hinge(), 1), (ours.SquaredHinge(), 2)):
        assert computed(loss, y, t)[0] == pytest.approx(
            (1.3 ** power + 1.1 ** power + 0.5 ** power) / 3, rel=1e-12)


@pytest.mark.parametrize("make, reason", [
    (lambda: ours.Huber(0.0), "Huber: delta=0.0 must be above 0"), (lambda: ours.Huber("a"), "delta='a'"),
    (lambda: ours.BinaryCrossentropy(label_smoothing=-0.1), "label_smoothing=-0.1 must be from 0 to 1"),
    (lambda: ours.BinaryFocalCrossentropy(gamma=-1.0), "gamma=-1.0 must be 0 or more"), (lambda: ours.CategoricalFocalCrossentropy(-0.1), "alpha=-0.1"),
    (lambda: ours.CategoricalFocalCrossentropy(from_logits=True), "softmax"), (lambda: ours.BinaryFocalCrossentropy(label_smoothing=2.0), "label_smoothing=2.0"),
    (lambda: lookup({"class_name": "CosineSimilarity", "config": {"axis": 1}}, LOSSES, "loss"), "axis=1"),
])
def test_parameters_that_make_no_sense_are_refused(make, reason):
    with pytest.raises(ConfigError, match=reason):
        make()


@pytest.mark.parametrize("loss", [cls() for cls in LOSSES], ids=lambda loss: type(loss).__name__)
def test_a_model_learns_by_every_loss(loss):
    x = np.random.default_rng(0).standard_normal((200, 6)).astype("f4")
    labels = (x.reshape(200, 3, 2).sum(2)).argmax(1)
    activation = loss.activation or {"Hinge": "tanh", "SquaredHinge": "tanh", "KLDivergence": "softmax",
                                     "Poisson": "sigmoid", "BinaryFocalCrossentropy": "sigmoid",
                                     "CategoricalFocalCrossentropy": "softmax"}.get(type(loss).__name__)
    model = mrdl.Sequential([Input(6), Dense(16, "tanh"), Dense(3, activation)])
    model.compile(Adam(0.01), loss)
    y = labels if loss.sparse else np.eye(3)[labels]
    y = y + 1 if isinstance(loss, ours.MeanAbsolutePercentageError) else y
    history = model.fit(x, y, epochs=30, batch_size=16).history["loss"]
    assert history[-1] < history[0] - 0.1 * abs(history[0])
    assert (model.predict(x).argmax(1) == labels).mean() > 0.8
