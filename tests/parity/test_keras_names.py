"""Keras's helpers and functions under their names: the same results as Keras's own."""
import inspect
import json

import keras
import numpy as np
import pytest

import mrdl
from mrdl import activations, constraints, initializers, layers, losses, regularizers, utils
from mrdl.config import ConfigError
from mrdl.layers import Dense, Input

rng = np.random.default_rng(0)
LABELS = [[0, 2, 1], [[1], [3]], np.array([[0, 1], [2, 2]])]
RAGGED = [[1], [2, 3], [], [4, 5, 6, 7]]


def test_what_scripts_import_is_there():
    for name in ("activations", "callbacks", "constraints", "initializers", "layers", "losses", "metrics", "models", "optimizers",
                 "regularizers", "utils", "Input", "Model", "Sequential"):
        assert hasattr(keras, name) and hasattr(mrdl, name)
    assert mrdl.preprocessing.sequence.pad_sequences is utils.pad_sequences
    assert mrdl.models.Sequential is mrdl.Sequential and mrdl.models.load_model is mrdl.load_model
    assert mrdl.optimizers.schedules.CosineDecay is mrdl.schedules.CosineDecay
    for ours, theirs in ((regularizers, keras.regularizers), (initializers, keras.initializers), (constraints, keras.constraints)):
        small = [name for name, value in vars(ours).items() if name.islower() and isinstance(value, type) and hasattr(value, "keras_module")]
        assert len(small) > 2 and all(name == "l1l2" or getattr(theirs, name).__name__ == vars(ours)[name].__name__ for name in small)
    assert regularizers.l1_l2 is regularizers.L1L2 and Dense(3, kernel_regularizer=regularizers.l2(0.1)).kernel_regularizer.l2 == 0.1


@pytest.mark.parametrize("call", [
    *(lambda u, x=x: u.to_categorical(x) for x in LABELS), lambda u: u.to_categorical([1, 0], 5),
    lambda u: u.pad_sequences(RAGGED), lambda u: u.pad_sequences(RAGGED, 3, "float32", "post", "post", -1.0),
    lambda u: u.pad_sequences(RAGGED, maxlen=2), lambda u: u.pad_sequences([[[1, 2]], [[3, 4], [5, 6]]], padding="post"),
    lambda u: u.normalize(np.arange(12.0).reshape(3, 4)), lambda u: u.normalize(np.arange(12.0).reshape(3, 4), 1, 1)])
def test_helpers_give_what_those_of_keras_give(call):
    wanted, got = call(keras.utils), call(utils)
    assert got.dtype == wanted.dtype and got.shape == wanted.shape and np.allclose(got, wanted)


@pytest.mark.parametrize("name", utils.__all__)
def test_helpers_have_keras_s_arguments(name):
    ours, theirs = ([(p.name, p.default) for p in inspect.signature(getattr(of, name)).parameters.values()] for of in (utils, keras.utils))
    assert ours == theirs


@pytest.mark.parametrize("call, reason", [
    (lambda: utils.to_categorical([0, 3], 3), "from 0 to 2, not 0 to 3"), (lambda: utils.pad_sequences([1, 2]), "number 0 is no sequence"),
    (lambda: utils.pad_sequences(RAGGED, padding="left"), "padding='left' must be"),
    (lambda: utils.timeseries_dataset_from_array(np.arange(5), None, 0), "sequence_length=0 must be 1 or more"),
    (lambda: activations.get("none"), "unknown activation"), (lambda: losses.mean_squared_error(np.ones((2, 3)), np.ones((2, 4))), "do not fit")])
def test_what_helpers_cannot_do_is_told(call, reason):
    with pytest.raises(ConfigError, match=reason):
        call()


def test_windows_over_a_series_are_those_that_keras_describes():
    windows = utils.timeseries_dataset_from_array(np.arange(99), None, 10, sampling_rate=2, sequence_stride=3, batch_size=8)
    found = np.concatenate(list(windows))
    assert found[0].tolist() == list(range(0, 20, 2)) and found[-1].tolist() == list(range(78, 98, 2)) and len(found) == 27 and len(windows) == 4
    series = rng.random((50, 2)).astype("f4")
    made = utils.timeseries_dataset_from_array(series[:-10], series[10:, 0], 10, batch_size=16)
    x, y = made[0]
    assert (x[3] == series[3:13]).all() and y[3] == series[13, 0] and sum(len(y) for _, y in made) == 31
    model = mrdl.Sequential([Input((10, 2)), layers.Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    assert len(model.fit(made, epochs=2, validation_data=made).history["val_loss"]) == 2
    mixed = utils.timeseries_dataset_from_array(np.arange(50), None, 1, shuffle=True, seed=3)
    assert sorted(mixed[0][:, 0].tolist()) == list(range(50)) != mixed[0][:, 0].tolist()


@pytest.mark.parametrize("name", [name for name in activations.__all__ if name != "get" and hasattr(keras.activations, name)])
def test_activations_are_functions_of_arrays_and_of_layers(name):
    ours, theirs = getattr(activations, name), getattr(keras.activations, name)
    for x in (np.linspace(-4, 4, 40, dtype="f4").reshape(2, 20), rng.normal(size=(3, 2, 5))):
        np.testing.assert_allclose(ours(x), theirs(x), rtol=2e-5, atol=2e-6)
        assert ours(x).dtype == x.dtype
    model = mrdl.Model(start := Input((5,)), ours(Dense(5, activation=ours)(start)))
    assert model.predict(np.zeros((2, 5))).shape == (2, 5) and Dense(3, theirs) == Dense(3, ours) and activations.get(name) is not None


ROWS = {"categorical_crossentropy": 1, "binary_crossentropy": 1, "mean_squared_error": 0, "mean_absolute_error": 0, "hinge": 0,
        "kl_divergence": 1, "poisson": 1, "huber": 0, "log_cosh": 0, "cosine_similarity": 0, "categorical_hinge": 0}


@pytest.mark.parametrize("name", ROWS)
def test_losses_are_functions_that_give_the_loss_of_each_row(name):
    p, t = rng.dirichlet(np.ones(4), (5, 7)), np.eye(4)[rng.integers(0, 4, (5, 7))]
    np.testing.assert_allclose(getattr(losses, name)(t, p), getattr(keras.losses, name)(t, p), rtol=2e-5, atol=1e-6)
    model = mrdl.Sequential([Input((3,)), Dense(4, {"categorical_crossentropy": "softmax", "binary_crossentropy": "sigmoid"}.get(name))])
    model.compile("sgd", getattr(losses, name))
    assert type(model.loss) is losses.LOSSES[[c.__name__ for c in losses.LOSSES].index(type(model.loss).__name__)]


def test_class_numbers_and_logits_have_losses_too():
    z, t = rng.normal(size=(5, 4)), rng.integers(0, 4, 5)
    for more in ({}, {"from_logits": True}):
        y = z if more else np.exp(z) / np.exp(z).sum(1, keepdims=True)
        np.testing.assert_allclose(losses.sparse_categorical_crossentropy(t, y, **more),
                                   keras.losses.sparse_categorical_crossentropy(t, y, **more), rtol=1e-5)
    np.testing.assert_allclose(losses.binary_crossentropy(np.eye(4)[t], z, from_logits=True),
                               keras.losses.binary_crossentropy(np.eye(4)[t], z, from_logits=True), rtol=1e-5)


def test_merges_are_functions_too():
    a, b = Input((4,)), Input((4,))
    for name in ("add", "subtract", "multiply", "average", "maximum", "minimum"):
        assert type(getattr(layers, name)([a, b]).layer).__name__.lower() == name
    assert layers.concatenate([a, b]).shape == (8,) and layers.dot([a, b], 1).shape == (1,)


def test_losses_and_metrics_may_be_classes_and_functions_of_keras():
    model = mrdl.Sequential([Input((3,)), Dense(4, keras.activations.relu)])
    model.compile("sgd", keras.losses.mean_squared_error, metrics=[mrdl.metrics.MeanAbsoluteError, losses.mean_squared_error])
    assert model.loss == losses.MeanSquaredError() and set(model.named_metrics()) == {"mean_absolute_error", "mean_squared_error"}
    model.compile("sgd", losses.Huber)
    assert model.loss == losses.Huber()


def test_layers_are_found_and_popped():
    model = mrdl.Sequential([Input((3,)), Dense(4, name="first"), Dense(2)]).build(seed=1)
    assert model.get_layer("first") is model.get_layer(index=0) is model.layers[0]
    before, (kernel, *_) = model.predict(np.ones((2, 3))), model.get_weights()
    last = model.pop()
    assert last == Dense(2) and model.output_shape == (4,) and (model.get_weights()[0] == kernel).all()
    model.add(last)
    assert model.predict(np.ones((2, 3))).shape == before.shape
    for wrong in (lambda: model.get_layer("second"), lambda: model.get_layer(index=7), lambda: model.get_layer(), mrdl.Sequential().pop):
        with pytest.raises(ConfigError, match="get_layer|pop"):
            wrong()


def test_models_are_made_of_their_configs_and_built_by_keras_s_shapes():
    text, model = [], mrdl.Sequential([Input((3,)), Dense(4), Dense(2, "relu")])
    again = mrdl.Sequential.from_config(json.loads(json.dumps(model.get_config())))
    assert again.get_config() == model.get_config() and again.summary(print_fn=text.append) == text[0]
    x = Input((3,))
    graph = mrdl.Model(x, Dense(2)(x))
    assert mrdl.Model.from_config(graph.get_config()).get_config() == graph.get_config()
    assert mrdl.Sequential([Dense(2)]).build((None, 3)).count_params() == 8 == mrdl.Sequential([Dense(2)]).build((3,)).count_params()


def test_a_model_is_drawn_as_text_and_what_a_picture_needs_is_told(tmp_path, monkeypatch):
    a, b = Input((3,), name="left"), Input((3,))
    model = mrdl.Model([a, b], Dense(2, name="end")(layers.add([a, b])))
    utils.plot_model(model, tmp_path / "model.dot", show_shapes=True, show_layer_names=True)
    text = (tmp_path / "model.dot").read_text()
    assert all(part in text for part in ('0 [label="left (Input)', "0 -> 2;", "1 -> 2;", "2 -> 3;", 'end (Dense)\\n(None, 2)'))
    monkeypatch.setitem(__import__("sys").modules, "pydot", None)
    with pytest.raises(ConfigError, match="plot_model needs pydot and Graphviz: pip install pydot"):
        utils.plot_model(model, tmp_path / "model.png")
