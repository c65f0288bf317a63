"""Sequences: steps in every layer and loss, ids, and masks all the way through."""

import numpy as np
import pytest
from gradients import Probe
from mrdl.kernels import typed
from sequence_data import F, T, V, ids, masked_value, sequences

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import (
    GRU,
    LSTM,
    Activation,
    Add,
    BatchNormalization,
    Bidirectional,
    CategoryEncoding,
    Concatenate,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    Input,
    LayerNormalization,
    Masking,
    Reshape,
    Softmax,
    TimeDistributed,
)
from mrdl.losses import (
    CategoricalCrossentropy,
    Huber,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from mrdl.optimizers import OPTIMIZERS, SGD, Adafactor, Adam, Lamb, RMSprop
from mrdl.training.network import Network

SOFTMAX = [Dense(4, "softmax")], SparseCategoricalCrossentropy()
# from (T, F) to steps of a loss
STACKS = {
    "steps": ([Dense(6, "relu"), *SOFTMAX[0]], SOFTMAX[1]),
    "steps, one-hot targets": ([Dense(4), Activation("softmax")], CategoricalCrossentropy(label_smoothing=0.1)),
    "logits": ([Dense(4, "tanh")], SparseCategoricalCrossentropy(from_logits=True)),
    "softmax in the middle": ([Dense(6, "softmax"), Softmax(), Dense(2)], MeanSquaredError()),
    "no bias, a penalty": ([Dense(6, "gelu", use_bias=False, kernel_regularizer="l2"), Dense(2)], Huber()),
    "an image of steps": ([Reshape((T, 1, F)), Dense(4, "tanh"), Dense(3, "softmax")], SOFTMAX[1]),
    "masked": ([Masking(), LSTM(4, return_sequences=True), *SOFTMAX[0]], SOFTMAX[1]),
    "masked, another value": ([Masking(-1.5), GRU(4, return_sequences=True, dropout=0.2), *SOFTMAX[0]], SOFTMAX[1]),
    "masked, no recurrent layer": ([Masking(), Dense(5, "relu"), Dropout(0.3), LayerNormalization(), Dense(2)],
                                   MeanSquaredError()),
    "masked, both ways": ([Masking(), Bidirectional(LSTM(3, return_sequences=True)), Dense(2, "sigmoid")],
                          mrdl.losses.BinaryCrossentropy()),
    "masked, to a label": ([Masking(), LSTM(4), *SOFTMAX[0]], SOFTMAX[1]),
    "masked, pooled": ([Masking(), Dense(4, "tanh"), GlobalAveragePooling1D(), *SOFTMAX[0]], SOFTMAX[1]),
    "masked, then not": ([Masking(), Dense(4, "tanh"), Conv1D(3, 2), *SOFTMAX[0]], SOFTMAX[1]),
    "masked, flat": ([Masking(), Flatten(), *SOFTMAX[0]], SOFTMAX[1]),
    "each step": ([TimeDistributed(Dense(5, "relu")), TimeDistributed(Dropout(0.3)), TimeDistributed(Dense(4, "softmax"))],
                  SOFTMAX[1]),
    "each step's image": ([Dense(12), Reshape((T, 2, 3, 2)), TimeDistributed(Conv2D(3, 2, activation="tanh")),
                           TimeDistributed(Flatten()), TimeDistributed(LayerNormalization()), Masking(), GRU(3)],
                          MeanSquaredError()),
}
# from ids (T,)
OF_IDS = {
    "embedded": ([Embedding(V, 4, "normal"), Dense(4, "tanh"), Flatten(), Dense(3)], MeanSquaredError()),
    "embedded, a penalty": ([Embedding(V, 4, "normal", "l2"), GRU(3), *SOFTMAX[0]], SOFTMAX[1]),
    "embedded, masked": ([Embedding(V, 4, "normal", mask_zero=True), LSTM(4, return_sequences=True), *SOFTMAX[0]], SOFTMAX[1]),
    "one-hot": ([CategoryEncoding(V, "one_hot"), LSTM(4, return_sequences=True), *SOFTMAX[0]], SOFTMAX[1]),
    "one-hot, dropped": ([CategoryEncoding(V, "one_hot"), LSTM(4, return_sequences=True, dropout=0.4), *SOFTMAX[0]],
                         SOFTMAX[1]),
    "one-hot, both ways": ([CategoryEncoding(V, "one_hot"), Bidirectional(GRU(4, return_sequences=True)), *SOFTMAX[0]],
                           SOFTMAX[1]),
    "one-hot, no recurrent layer": ([CategoryEncoding(V, "one_hot"), *SOFTMAX[0]], SOFTMAX[1]),
    "multi-hot": ([CategoryEncoding(V), *SOFTMAX[0]], SOFTMAX[1]),
    "counted": ([CategoryEncoding(V, "count"), *SOFTMAX[0]], SOFTMAX[1]),
}


@pytest.mark.parametrize("n", [5, 17])
@pytest.mark.parametrize("name", [*STACKS, *OF_IDS])
def test_the_gradient_is_that_of_the_differences(name, n):
    layers, loss = {**STACKS, **OF_IDS}[name]
    shape, x = ((T, F), sequences(value=masked_value(layers))) if name in STACKS else ((T,), ids())
    probe = Probe([Input(shape), *layers], loss, n, buffers=24, x=x)
    probe.step(np.arange(24), 0.0)
    probe.check()


def test_the_gradient_holds_where_branches_have_masks_of_their_own():
    a, b = Input((T, F), name="a"), Input((T, F), name="b")
    one = LSTM(3, return_sequences=True)(Masking()(a))
    other = Dense(3, "tanh")(Masking(-1.0)(b))
    y = Dense(4, "softmax")(Concatenate()([Add()([one, other]), other, Dense(2)(b)]))
    model = mrdl.Model([a, b], [y, GRU(2)(other)], dtype="float64")
    model.compile(SGD(1.0), ["sparse_categorical_crossentropy", "mse"], loss_weights=[1.0, 0.5])
    x = np.concatenate([sequences().reshape(64, -1), sequences(64, -1.0, 6).reshape(64, -1)], 1)
    Probe(model, None, x=x).check()


@pytest.mark.parametrize("name", OF_IDS)
def test_one_update_of_the_rows_is_that_of_all(name):
    """Of SGD without momentum: a gradient of 0 changes nothing."""
    layers, loss = OF_IDS[name]
    probes = [Probe([Input((T,)), *layers], loss, x=ids()) for _ in range(2)]
    probes[1].learner = mrdl.training.learner.Learner(recompiled(probes[1].model, SGD(1.0, clipnorm=1e9)), probes[1].w,
                                             np.zeros((0, len(probes[1].w))), batch_size=5)
    a, b = (probe.gradient() for probe in probes)
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def recompiled(model, optimizer):
    model.compile(optimizer, model.loss)
    return model


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind not in (Adafactor, Lamb)])     # which take norms of the whole table
def test_an_embedding_changes_only_the_rows_that_a_minibatch_has(kind):
    model = mrdl.Sequential([Input((T,)), Embedding(40, 3), Flatten(), Dense(2)])
    model.compile(kind(weight_decay=0.1), "mse")
    x, y = np.resize(np.arange(4, 12), (20, T)), np.ones((20, 2))
    before = model.get_weights()[0]
    model.fit(x, y, batch_size=10, epochs=2)
    rows = np.zeros(40, bool)
    rows[4:12] = True
    changed = (model.get_weights()[0] != before).any(1)
    np.testing.assert_array_equal(changed, rows)
    slots, start = (a[:, :120].reshape(len(a), 40, 3) for a in (model.slots, model.optimizer.start(model.weights)))
    assert (slots[:, ~rows] == start[:, ~rows]).all() and (slots[:, rows] != start[:, rows]).any(-1).all()


def trained(model, x, y, **more):
    model.compile(SGD(0.5), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, batch_size=8, **more)
    return model.get_weights()


def test_an_embedding_that_is_called_twice_learns_from_both():
    a, b = Input((T,), name="a"), Input((T,), name="b")
    layer = Embedding(V, 3, "normal")
    twice = mrdl.Model([a, b], Dense(2)(Concatenate()([Flatten()(layer(a)), Flatten()(layer(b))])), dtype="float64")
    twice.compile(SGD(1.0), "mse")
    x = np.concatenate([ids(), ids(seed=6)], 1)
    Probe(twice, None, x=x).check()


# what masks mean

def test_what_is_masked_changes_nothing():
    x = sequences(40)
    y = np.random.default_rng(1).integers(0, 4, (40, T))
    other, labels = x.copy(), y.copy()
    counts = (x != 0).any(-1)
    labels[~counts] = 3 - labels[~counts]

    def weights(x, y):
        model = mrdl.Sequential([Input((T, F)), Masking(), LSTM(4, return_sequences=True), Dense(4, "softmax")]).build(seed=3)
        return trained(model, x, y)
    for a, b in zip(weights(x, y), weights(other, labels)):
        assert a.tobytes() == b.tobytes()


def test_a_minibatch_without_any_step_leaves_the_weights_as_they_are():
    model = mrdl.Sequential([Input((T, F)), Masking(), LSTM(4, return_sequences=True), Dense(4, "softmax")]).build()
    before = model.get_weights()
    after = trained(model, np.zeros((9, T, F)), np.zeros((9, T)))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(before, after))
    assert model.evaluate(np.zeros((9, T, F)), np.zeros((9, T)), return_dict=True) == {}
    assert np.isnan(model.evaluate(np.zeros((9, T, F)), np.zeros((9, T)))).all()


def test_the_loss_is_the_mean_over_steps_that_count():
    model = mrdl.Sequential([Input((T, F)), Masking(), Dense(4, "softmax")], dtype="float64").build()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = sequences(40), np.random.default_rng(1).integers(0, 4, (40, T))
    p = np.take_along_axis(model.predict(x), y[:, :, None], 2)[..., 0]
    counts = (x != 0).any(-1)
    found = model.evaluate(x, y, batch_size=7, return_dict=True)
    assert found["loss"] == pytest.approx(-np.log(p[counts]).mean(), rel=1e-12)
    assert found["accuracy"] == pytest.approx((model.predict(x).argmax(-1) == y)[counts].mean(), rel=1e-12)


def test_ids_are_not_coded_where_all_who_take_them_gather():
    stack = [Input((T,)), CategoryEncoding(V, "one_hot")]
    gathers = mrdl.Sequential([*stack, Bidirectional(LSTM(3, return_sequences=True)), Dense(2)]).build()
    codes = mrdl.Sequential([*stack, Dense(2)]).build()
    for model, filled in ((gathers, False), (codes, True)):
        net = Network(model, 16, model.weights)
        net.read(ids(), np.arange(16))
        net.forward()
        assert net.operations[0].b.y.value.any() == filled


def test_sequences_of_uint16_are_trained_on():
    model = mrdl.Sequential([Input((T,)), Embedding(1000, 3), LSTM(4, return_sequences=True), Dense(1000, "softmax")]).build()
    x = np.random.default_rng(0).integers(0, 1000, (30, T))
    a, b = (trained(mrdl.model_from_json(model.to_json()).build(), x.astype(kind), x.astype(kind)) for kind in ("u2", "i4"))
    assert all(u.tobytes() == v.tobytes() for u, v in zip(a, b))


@pytest.mark.parametrize("make, reason", [
    (lambda: Embedding(0, 3), "input_dim=0 and output_dim=3 must be above 0"),
    (lambda: CategoryEncoding(3, "int"), "output_mode='int' is none of one_hot, multi_hot, count"),
    (lambda: CategoryEncoding(0), "num_tokens=0 must be above 0"),
    (lambda: mrdl.Sequential([Input((T, F)), CategoryEncoding(3)]), r"its input has the shape \(5, 3\), not \(steps,\)"),
    (lambda: mrdl.Sequential([Input(T), Masking()]), r"Masking: its input has the shape \(5,\)"),
    (lambda: mrdl.Sequential([Input(T), TimeDistributed(Dense(2))]), r"TimeDistributed: its input has the shape \(5,\)"),
    (lambda: TimeDistributed(BatchNormalization()), "BatchNormalization is not supported"),
    (lambda: TimeDistributed(None), "layer is missing"), (lambda: TimeDistributed(Add()), "Add is not supported"),
    (lambda: trained(mrdl.Sequential([Input((T, F)), Masking(), BatchNormalization(), Dense(3, "softmax")]),
                     sequences(), ids() % 3), "BatchNormalization cannot handle masked steps"),
    (lambda: trained(mrdl.Sequential([Input(F), Dense(3), Embedding(3, 2), Flatten(), Dense(3, "softmax")]),
                     sequences()[:, 0], ids()[:, 0] % 3), "it must be the first layer of its input"),
    (lambda: trained(mrdl.Sequential([Input((T, F)), Dense(3, "softmax")]), sequences(), ids()[:, 0] % 3),
     r"takes one class number for each of \(5,\), not targets of shape \(\)"),
    (lambda: trained(mrdl.Sequential([Input((T, F)), Dense(3, "softmax")]), sequences(), ids()[:, :3] % 3),
     r"takes one class number for each of \(5,\), not targets of shape \(3,\)"),
    (lambda: trained(mrdl.Sequential([Input((T, F)), Dense(3, "softmax")]), sequences(), ids() % 3,
                     class_weight={0: 2.0}), "class_weight needs one class per example"),
])
def test_what_does_not_fit_is_refused_in_one_line(make, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layer", [Embedding(V, 2), CategoryEncoding(V, "one_hot")])
@pytest.mark.parametrize("value, reason", [(V, "id 7 is not one of 0..6"), (-1, "id -1 is not one of 0..6"), (1.5, "1.5 is not an id"),
                                           (np.nan, "id nan is not one of")])
def test_an_id_that_is_none_is_named(layer, value, reason):
    x = ids().astype("f4")
    x[3, 2] = value
    with pytest.raises(ValueError, match=f"{type(layer).__name__}: {reason}"):
        mrdl.Sequential([Input((T,)), layer, LSTM(2)]).build().predict(x)


def test_the_embedding_kernels_refuse_what_does_not_fit():
    k = typed("f4")
    table, y = np.zeros((4, 3), "f4"), np.zeros((6, 16), "f4")
    for bad, reason in ((np.full((2, 16), 4, "i4"), "id 4 is outside 0..3"), (np.zeros((3, 16), "i4"), "do not fit")):
        with pytest.raises(ValueError, match=reason):
            k.embedding_forward(table, bad, y)
        with pytest.raises(ValueError, match=reason):
            k.embedding_gradient(y, bad, 3, table)
    with pytest.raises(ValueError, match="batch is not within"):
        k.embedding_gradient(y, np.zeros((2, 16), "i4"), 17, table)


def test_sequences_learn_with_every_kind_of_updater():
    x = ids(200)
    for optimizer in (Adam(0.03), RMSprop(0.03)):
        model = mrdl.Sequential([Input((T,)), Embedding(V, 6, mask_zero=True), LSTM(12, return_sequences=True),
                                 Dense(V, "softmax")])
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        y = np.concatenate([np.zeros((200, 1), "u1"), x[:, :-1]], 1)         # what came before
        model.fit(x, y, epochs=30, batch_size=20)
        assert model.evaluate(x, y, return_dict=True)["accuracy"] > 0.9
