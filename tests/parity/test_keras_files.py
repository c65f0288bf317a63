"""Files of Keras against Keras itself, live: what one saves the other loads, predicts the same with, and trains on."""
import warnings

import keras
import numpy as np
import pytest
from keras import layers as k

import mrdl
from mrdl.layers import Dense, Embedding, Input
from mrdl.models.formats import keras_state
from mrdl.optimizers import OPTIMIZERS, SGD, Adafactor, Adam, AdamW, Nadam
from mrdl.schedules import ExponentialDecay

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning",    # Keras's variables
                                        "ignore:You are saving your model as an HDF5:UserWarning")
draw = np.random.default_rng(5)
ROWS = 8


def images():
    """Convolutions of all kinds, normalization, and a slope that is learned."""
    return keras.Sequential([
        k.Input((9, 9, 2)), k.Conv2D(3, 3, activation="relu"), k.BatchNormalization(), k.SeparableConv2D(4, 3, depth_multiplier=2),
        k.DepthwiseConv2D(2), k.Conv2DTranspose(3, 2), k.LayerNormalization(), k.MaxPooling2D(), k.Dropout(0.0), k.Flatten(), k.Dense(5),
        k.PReLU(), k.Dense(3, "softmax")]), draw.normal(size=(ROWS, 9, 9, 2)), draw.integers(0, 3, ROWS), "sparse_categorical_crossentropy"


def volumes():
    """Convolutions over volumes, steps and images in time, and groups of channels."""
    return keras.Sequential([
        k.Input((3, 6, 6, 1)), k.ConvLSTM2D(4, 3, return_sequences=True), k.GroupNormalization(2), k.Conv3D(3, 2),
        k.MaxPooling3D((1, 2, 2), padding="same"), k.Reshape((8, 3)), k.Conv1DTranspose(2, 3, 2), k.UnitNormalization(), k.Flatten(), k.Dense(1)]), \
        draw.normal(size=(ROWS, 3, 6, 6, 1)), draw.normal(size=(ROWS, 1)), "mse"


def sequences():
    """Recurrent layers of all kinds; layers inside layers."""
    return keras.Sequential([
        k.Input((5,)), k.Embedding(9, 4, mask_zero=True), k.Bidirectional(k.LSTM(3, return_sequences=True)), k.GRU(3, return_sequences=True),
        k.SimpleRNN(3, return_sequences=True), k.TimeDistributed(k.Dense(4, "relu")), k.GRU(3, reset_after=False), k.Dense(1)]), \
        draw.integers(0, 9, (ROWS, 5)), draw.normal(size=(ROWS, 1)), "mse"


def graph():
    """Layers with names that sort otherwise than they stand; one that is called twice; two inputs and outputs."""
    left, right, shared = k.Input((4,), name="z"), k.Input((4,), name="a"), k.Dense(3, "tanh", name="shared")
    hidden = k.BatchNormalization()(k.Concatenate()([shared(left), shared(right), k.Dense(2, use_bias=False, name="zed")(left)]))
    return keras.Model([left, right], [k.Dense(3, "softmax", name="y")(hidden), k.Dense(1, name="b")(hidden)]), \
        [draw.normal(size=(ROWS, 4)), draw.normal(size=(ROWS, 4))], [draw.integers(0, 3, ROWS), draw.normal(size=(ROWS, 1))], \
        ["sparse_categorical_crossentropy", "mse"]


def close(model, x, wanted):
    """The model predicts what is wanted, to 1e-5."""
    for one, other in zip(*(v if isinstance(v, list) else [v] for v in (model.predict(x, verbose=0), wanted))):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make, optimizer, end", [
    (images, lambda: keras.optimizers.Adam(0.01, amsgrad=True), ".keras"), (volumes, lambda: keras.optimizers.Adam(0.01), ".keras"), (sequences, lambda: keras.optimizers.SGD(0.05, 0.9, True), ".h5"),
    (graph, lambda: keras.optimizers.Nadam(keras.optimizers.schedules.ExponentialDecay(0.02, 2, 0.5)), ".keras")],
                         ids=["images", "volumes", "sequences", "graph"])       # made in the test: JAX's threads must not be there before
def test_training_goes_on_from_keras_to_mrdl_and_back(tmp_path, make, optimizer, end):
    theirs, x, y, loss = make()
    x = [v.astype("f4") for v in x] if isinstance(x, list) else x.astype("f4")
    theirs.compile(optimizer(), loss, metrics=None if isinstance(loss, list) else ["mae"] if loss == "mse" else ["accuracy"])

    def trained(model):
        model.fit(x, y, batch_size=ROWS, epochs=3, verbose=0)
        return model.predict(x, verbose=0)
    y1 = trained(theirs)
    theirs.save(first := str(tmp_path / f"theirs{end}"))
    ours = mrdl.load_model(first)
    close(ours, x, y1)
    assert ours.iterations == 3 and ours.names() == [layer.name for layer in theirs.layers]
    y2 = trained(theirs)
    trained(ours)
    close(ours, x, y2)
    ours.save(second := str(tmp_path / f"ours{end}"))
    ours.save_weights(weights := str(tmp_path / "ours.weights.h5"))
    back = keras.models.load_model(second)
    close(back, x, y2)
    if end == ".keras":                                 # from .h5 Keras 3 itself does not take its optimizer's slots
        y3 = trained(theirs)
        trained(back)
        close(back, x, y3)
    fresh = keras.models.clone_model(theirs)
    fresh.load_weights(weights)
    close(fresh, x, y2)
    again = mrdl.load_model(second)
    assert again.to_json() == ours.to_json() and (again.weights == ours.weights).all() and (again.slots == ours.slots).all()
    assert (again.iterations, again.epochs) == (ours.iterations, ours.epochs) == (6, 3)


@pytest.mark.parametrize("optimizer", [*(cls() for cls in OPTIMIZERS), SGD(momentum=0.9), Adam(amsgrad=True, use_ema=True, gradient_accumulation_steps=4),
                                       Adafactor(use_ema=True), AdamW(ExponentialDecay(0.1, 2, 0.5))],
                         ids=lambda o: type(o).__name__)
def test_each_optimizer_keeps_its_state_as_keras_orders_it(tmp_path, optimizer):
    ours = mrdl.Sequential([Input(3), Embedding(5, 4), Dense(3), Dense(2)]).build()
    ours.compile(optimizer, "mse")
    ours.slots = draw.random((optimizer.vectors, len(ours.weights))).astype("f4")
    if isinstance(optimizer, Adafactor):                # whose matrices have two means in front, and then nothing
        for _, weight, start in keras_state.trained(ours):
            if len(weight.keras) == 2:
                ours.slots[0, start + sum(weight.keras):start + weight.size] = 0
    if type(optimizer).__name__ == "Muon":              # whose second slot Keras has only where it is used
        for name, weight, start in keras_state.trained(ours):
            if optimizer.is_matrix(name, weight.keras):
                ours.slots[1, start:start + weight.size] = 0
    ours.iterations = 7
    path = str(tmp_path / "m.h5")
    ours.save(path)
    assert (mrdl.load_model(path).slots == ours.slots).all()
    ours.save(path := str(tmp_path / "m.keras"))
    with warnings.catch_warnings():                     # Keras warns where the state is not that of its optimizer
        warnings.filterwarnings("error", "Skipping")
        theirs = keras.models.load_model(path)
    assert int(theirs.optimizer.variables[0].value) == 7        # minibatches, which `iterations` divides by those of an update
    for slot in ours.slots[:0 if isinstance(optimizer, Adafactor) else 1]:
        kernel = slot[-8:-2].reshape(2, 3).T            # of the last layer
        assert any(v.shape == (3, 2) and (v.numpy() == kernel).all() for v in theirs.optimizer.variables)
    theirs.save(path)
    again = mrdl.load_model(path)
    assert again.iterations == 7 and (again.slots == ours.slots).all() and type(again.optimizer) is type(optimizer)
    if isinstance(optimizer, Nadam):
        product = float(theirs.optimizer.variables[-1].numpy())
        assert product == pytest.approx(np.prod([0.9 * (1 - 0.5 * 0.96 ** i) for i in range(1, 8)]), rel=1e-6)


def test_a_rate_that_was_set_or_halved_comes_along(tmp_path):
    model = mrdl.Sequential([Input(3), Dense(2)])
    model.compile("sgd", "mse")
    model.rate_scale = 0.5
    model.save(path := str(tmp_path / "m.keras"))
    theirs = keras.models.load_model(path)
    assert float(theirs.optimizer.learning_rate) == pytest.approx(0.005)
    again = mrdl.load_model(path)
    assert (again.optimizer.learning_rate, again.rate_scale) == (pytest.approx(0.005), 1.0)


def with_models_inside(of, layers):
    """A functional model of a Sequential, a functional model that has one too, and a layer."""
    tower = of.Sequential([of.Input((3,)), layers.Dense(4, "tanh", name="d"), layers.BatchNormalization()], name="tower")
    x, inner = of.Input((3,)), of.Input((4,))
    middle = of.Model(inner, of.Sequential([of.Input((4,)), layers.Dense(2)], name="last")(layers.Dense(4, name="d")(inner)), name="middle")
    model = of.Model(x, layers.Dense(1)(middle(tower(x))))
    model.compile("adam", "mse")
    return model


def test_models_inside_models_go_both_ways_and_train_on(tmp_path):
    x, y = draw.normal(size=(ROWS, 3)).astype("f4"), draw.normal(size=(ROWS, 1))
    path = str(tmp_path / "m.keras")
    theirs = with_models_inside(keras, k)
    theirs.fit(x, y, verbose=0)
    theirs.save(path)
    ours = mrdl.load_model(path)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), atol=1e-6)
    for model in (ours, theirs):
        model.fit(x, y, verbose=0, shuffle=False)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), atol=1e-5)
    ours = with_models_inside(mrdl, mrdl.layers)
    ours.fit(x, y, verbose=0)
    ours.save(path)
    np.testing.assert_allclose(keras.models.load_model(path).predict(x, verbose=0), ours.predict(x), atol=1e-6)
    again = mrdl.load_model(path)
    assert (again.predict(x) == ours.predict(x)).all() and again.iterations == ours.iterations
    with pytest.raises(mrdl.config.ConfigError, match=r"has a model inside it, which is not written to \.h5 yet: save it as \.keras"):
        ours.save(str(tmp_path / "m.h5"))
