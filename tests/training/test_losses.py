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
from mrdl.layers import Dense, Embedding, Input, LayerNormalization, Rescaling
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
CASES.append((ours.CategoricalGeneralizedCrossEntropy(), SHARES, ONE_HOT.argmax(1)))
CASES.append((ours.CategoricalGeneralizedCrossEntropy(0.8), SHARES, ONE_HOT.argmax(1)))
NAMES = [f"{i}-{type(loss).__name__}" for i, (loss, *_) in enumerate(CASES)]
EMBEDDED = NORMAL / np.linalg.norm(NORMAL, axis=1, keepdims=True)
SEQUENCES, LABELS = RNG.standard_normal((7, 6, 4)) * 2, np.array(
    [[1, 2, 3], [1, 1, 0], [0, 0, 0], [2, 2, 2], [3, 0, 0], [1, 2, 1], [3, 3, 1]])
IMAGES, MASKS = UNIFORM.reshape(7, 2, 3, 2), ONES.reshape(7, 2, 3, 2)
# losses of whole minibatches: loss, outputs, targets
JOINT = [
    (ours.Dice(), IMAGES, MASKS), (ours.Dice(axis=(1, 2, 3)), IMAGES, MASKS), (ours.Dice(axis=0), IMAGES, MASKS), (ours.Dice(axis=[1, -2]), IMAGES, MASKS),
    (ours.Dice(axis=[0, 1, 2]), IMAGES, MASKS), (ours.Dice(), IMAGES * 0, MASKS * 0), (ours.Tversky(), UNIFORM, ONES),
    (ours.Tversky(0.3, 0.8, axis=[1, 2]), IMAGES, MASKS), (ours.Tversky(0.3, 0.8), IMAGES, UNIFORM[::-1].reshape(IMAGES.shape)),
    (ours.Circle(), EMBEDDED, np.array([0, 1, 0, 2, 1, 1, 700])), (ours.Circle(8.0, 0.2, False), EMBEDDED, np.array([0, 1, 0, 2, 1, 1, 0])),
    (ours.Circle(5.0), EMBEDDED, np.arange(7) % 2), (ours.Circle(5.0), EMBEDDED, np.arange(7)),
    (ours.CTC(), SEQUENCES, LABELS), (ours.CTC(), SEQUENCES * 20, LABELS)]
JOINT_NAMES = [f"{i}-{type(loss).__name__}" for i, (loss, *_) in enumerate(JOINT)]


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
    total, n = output.compute((classes[0] if output.steps == 1 and not loss.free else classes) if loss.sparse else targets, weight, None)
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


@pytest.mark.parametrize("loss, y, t", JOINT, ids=JOINT_NAMES)
def test_a_loss_of_a_minibatch_its_gradient_and_its_values_are_those_of_keras(loss, y, t):
    value, grad = computed(loss, y, t)
    y, t = y.astype("f4"), t.astype("i4" if loss.sparse else "f4")
    wanted, slope = jax.value_and_grad(lambda y: theirs(loss)(t, y))(y)
    assert value == pytest.approx(float(wanted), rel=1e-5, abs=1e-5)
    if np.isfinite(slope).all():                # Keras has NaN where no example of a row counts
        np.testing.assert_allclose(grad, slope, rtol=1e-4, atol=1e-5 * max(abs(np.asarray(slope)).max(), 1e-3))
    assert computed(loss, y, t, "float32")[0] == pytest.approx(value, rel=1e-5, abs=1e-6)
    name = {"CTC": "ctc"}.get(type(loss).__name__, type(loss).__name__.lower())
    given = {key: v for key, v in loss.get_config().items() if key in ("axis", "alpha", "beta", "gamma", "margin", "remove_diagonal")}
    np.testing.assert_allclose(getattr(ours, name)(t, y, **given), getattr(keras.losses, name)(t, y, **given), rtol=1e-4, atol=1e-5)
    if not isinstance(loss, ours.Dice | ours.Tversky) or loss.axis == (1, 2, 3):
        w = np.linspace(0.5, 2, 7)
        assert computed(loss, y, t, weight=w)[0] == pytest.approx(float(theirs(loss)(t, y, sample_weight=w)), rel=1e-5, abs=1e-5)
    else:
        assert computed(loss, y, t, weight=np.linspace(0, 2, 7))[0] == pytest.approx(value, rel=1e-5) or loss.axis


@pytest.mark.parametrize("loss, y, t", JOINT[1:4] + JOINT[7:11] + JOINT[13:14], ids=lambda v: type(v).__name__)
def test_the_gradient_of_a_loss_of_a_minibatch_is_its_slope_with_weights_too(loss, y, t):
    w, step, grad = np.linspace(0.5, 2, 7), 1e-6, computed(loss, y, t, weight=np.linspace(0.5, 2, 7))[1]
    for at in [*np.ndindex(y.shape)][::5]:
        up, down = y.copy(), y.copy()
        up[at] += step
        down[at] -= step
        assert grad[at] == pytest.approx((computed(loss, up, t, weight=w)[0] - computed(loss, down, t, weight=w)[0]) / (2 * step), rel=1e-5, abs=1e-7)


def test_long_sequences_of_ctc_do_not_vanish_and_what_cannot_be_is_refused():
    y, t = np.zeros((2, 400, 5)), np.zeros((2, 90), int)
    y[..., 0], t[:] = 25.0, 1 + np.arange(90) % 4
    value, grad = computed(ours.CTC(), y, t)
    assert 2000 < value < 2500 and np.isfinite(grad).all()
    for targets, reason in ((np.full((1, 3), 2), "CTC: a target needs 5 steps"), (np.array([[4]]), "CTC: labels must be from 0 to 3")):
        with pytest.raises(ConfigError, match=reason):
            computed(ours.CTC(), SEQUENCES[:1, :4], targets)


def test_what_goes_with_losses_of_minibatches():
    for layers, loss, metrics, y, reason in (
            ([Input((4,)), Embedding(5, 3, mask_zero=True), Dense(1, "sigmoid")], "dice", None, np.ones((3, 4, 1)), "Dice is of whole minibatches and does not go with masked steps"),
            ([Input((4, 2)), Dense(3)], "ctc", ["accuracy"], np.ones((3, 2), int), "SparseCategoricalAccuracy takes one row of outputs"),
            ([Input((4, 2)), Dense(3)], "circle", None, np.ones((3, 4), int), "Circle takes one embedding an example"),
            ([Input((4,)), Dense(3)], "ctc", None, np.ones((3, 2), int), r"CTC takes outputs of the shape \(steps, classes\)")):
        model = mrdl.Sequential(layers)
        with pytest.raises(ConfigError, match=reason):
            model.compile("sgd", loss, metrics=metrics)
            model.fit(np.ones((3, *layers[0].shape), "f4"), y, verbose=0)


def test_every_loss_is_compared_with_keras():
    every = [*CASES, *JOINT]
    assert {type(loss) for loss, *_ in every} == set(LOSSES)
    fields = {(type(loss), f.name) for loss, *_ in every for f in dataclasses.fields(loss)
              if getattr(loss, f.name) != f.default}
    assert fields == {(cls, f.name) for cls in LOSSES for f in dataclasses.fields(cls)}


@pytest.mark.parametrize("loss", [loss for loss, *_ in [*CASES, *JOINT]], ids=NAMES + JOINT_NAMES)
def test_the_json_of_a_loss_goes_to_keras_and_back(loss):
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(serialize(loss))))      # its losses.deserialize lacks one
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
    (lambda: ours.CategoricalGeneralizedCrossEntropy(1.0), "q=1.0 must be above 0 and below 1"), (lambda: ours.Circle(0.0), "gamma must be above 0"),
    (lambda: ours.Circle(margin=-0.1), "margin must be 0 or more"), (lambda: ours.Dice(axis="x"), "axis='x' must be a number"),
    (lambda: ours.dice(ONES, UNIFORM, axis=4), r"axis=\(4,\) does not fit outputs with 2 axes"),
    (lambda: lookup({"class_name": "CosineSimilarity", "config": {"axis": 1}}, LOSSES, "loss"), "axis=1"),
])
def test_parameters_that_make_no_sense_are_refused(make, reason):
    with pytest.raises(ConfigError, match=reason):
        make()


@pytest.mark.parametrize("loss", [cls() for cls in LOSSES if not cls.free], ids=lambda loss: type(loss).__name__)
def test_a_model_learns_by_every_loss(loss):
    x = np.random.default_rng(0).standard_normal((200, 6)).astype("f4")
    labels = (x.reshape(200, 3, 2).sum(2)).argmax(1)
    activation = loss.activation or {"Hinge": "tanh", "SquaredHinge": "tanh", "KLDivergence": "softmax",
                                     "Poisson": "sigmoid", "BinaryFocalCrossentropy": "sigmoid",
                                     "Dice": "sigmoid", "Tversky": "sigmoid", "CategoricalGeneralizedCrossEntropy": "softmax",
                                     "CategoricalFocalCrossentropy": "softmax"}.get(type(loss).__name__)
    last = [LayerNormalization(center=False, scale=False), Rescaling(3 ** -0.5)] if isinstance(loss, ours.Circle) else []
    model = mrdl.Sequential([Input(6), Dense(16, "tanh"), Dense(3, activation), *last])
    model.compile(Adam(0.01), loss)
    y = labels if loss.sparse else np.eye(3)[labels]
    y = y + 1 if isinstance(loss, ours.MeanAbsolutePercentageError) else y
    history = model.fit(x, y, epochs=30, batch_size=16).history["loss"]
    assert history[-1] < history[0] - 0.1 * abs(history[0])
    found = model.predict(x)
    if last:                                    # the class of the nearest mean of a class
        found = found @ np.stack([found[labels == k].mean(0) for k in range(3)]).T
    assert (found.argmax(1) == labels).mean() > (0.6 if last else 0.8)


def test_ctc_learns_where_labels_are():
    """Each label is shown for two steps, at a place of its own, in a row of noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(1, 4, (64, 2))
    x = rng.normal(size=(64, 8, 4)).astype("f4") * 0.1
    for row, labels in zip(x, y):
        for place, label in zip((rng.integers(0, 2), rng.integers(4, 6)), labels):
            row[place:place + 2, label] += 1
    model = mrdl.Sequential([Input((8, 4)), Dense(4)])
    model.compile(Adam(0.1), "ctc")
    assert model.fit(x, y, epochs=40, batch_size=16, verbose=0).history["loss"][-1] < 0.3
    best = model.predict(x).argmax(2)
    assert np.mean([[k for k, before in zip(row, [0, *row]) if k and k != before] == list(labels) for row, labels in zip(best, y)]) > 0.9
    assert model.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, batch_size=7, verbose=0), rel=1e-6)
