"""Layers and models with trainable=False: what training changes, sends and averages."""
import json

import keras
import numpy as np
import pytest
from averaged import averaging, same_there
from gradients import Probe
from keras_twins import of_keras

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import (
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Multiply,
)
from mrdl.optimizers import SGD
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run


def network(optimizer="adam", dtype="float32", **options):
    """A base that is frozen, with a penalty and moving means, and a head of 39 weights."""
    model = mrdl.Sequential([Dense(8, "relu", kernel_regularizer="l2"), BatchNormalization(), Dense(6, "tanh"), Dense(4, "relu"),
                             Dense(3, "softmax")], dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    for layer in model.layers[:3]:
        layer.trainable = False
    return model


HEAD = 6 * 4 + 4 + 4 * 3 + 3


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 5)).astype("f4")
    return x, (x @ rng.standard_normal((5, 3))).argmax(1).astype("i4")


@pytest.fixture(scope="module")
def data(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    np.savez(folder / "raw.npz", x=rows[0], y=rows[1])
    return mrdl.prepare(str(folder / "raw.npz"), str(folder / "data"), shards=2, runner="inline").url


def test_the_gradient_goes_through_frozen_layers_and_not_to_them():
    x = Input((4, 3, 2))
    frozen = [Conv2D(3, 2), BatchNormalization(), Dense(4, "sigmoid", name="gate")]
    h = frozen[1](frozen[0](Conv2D(2, 2, padding="same", activation="tanh")(x)))
    gate = frozen[2](GlobalAveragePooling2D(keepdims=True)(h))
    model = mrdl.Model(x, Dense(3, "softmax")(Flatten()(Multiply()([Dense(4)(h), gate]))), dtype="float64")
    for layer in frozen:
        layer.trainable = False
    model.compile(SGD(1.0), "sparse_categorical_crossentropy")
    probe = Probe(model, None)
    probe.check()
    assert {step.name for step, w, start in model.places() if not probe.gradient()[start:start + w.size].any()} == {
        "conv2d_1", "batch_normalization", "gate"}


@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9), "adam", "muon", SGD(0.1, global_clipnorm=0.1)], ids=str)
def test_fit_changes_the_head_alone_and_later_what_is_trainable_again(rows, optimizer):
    model = network(optimizer)
    model.build(5)
    before, head = model.weights.copy(), slice(-HEAD, None)
    model.fit(*rows, epochs=2, verbose=0)
    assert (model.weights[:-HEAD] == before[:-HEAD]).all() and (model.weights[head] != before[head]).mean() > 0.5
    assert not model.slots[:, :-HEAD].any()
    for layer in model.layers:
        layer.trainable = True
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(*rows, epochs=1, verbose=0)
    assert (model.weights[:-HEAD] != before[:-HEAD]).mean() > 0.5


def test_a_frozen_layer_adds_no_penalty_and_a_model_can_be_frozen_as_a_whole(rows):
    model, plain = network(), network()
    plain.layers[0].trainable = True
    assert plain.evaluate(*rows)[0] > model.build(5).evaluate(*rows)[0]
    model.trainable = False
    before = model.weights.copy()
    model.fit(*rows, verbose=0)
    assert (model.weights == before).all() and model.trainable_weights == [] and not model.layers[4].trainable
    with pytest.raises(ConfigError, match="trainable = 1 must be true or false"):
        model.trainable = 1
    with pytest.raises(ConfigError, match="Dense: trainable='no' must be true or false"):
        model.layers[0].trainable = "no"
    with pytest.raises(AttributeError):
        model.layers[0].units = 3


def test_flags_stand_in_the_json_and_the_summary(rows, capsys):
    model = network()
    model.build(5)
    text = model.to_json()
    again = mrdl.model_from_json(text)
    assert [layer.trainable for layer in again.layers] == [False] * 3 + [True] * 2 and again.frozen() == model.frozen() == [
        (0, len(model.weights) - HEAD)]
    assert "134 of them are frozen" in model.summary() and capsys.readouterr()
    assert len(model.trainable_weights) == 4 and len(model.non_trainable_weights) == 8
    model.trainable = False
    assert mrdl.model_from_json(model.to_json()).trainable is False
    wrapper = Bidirectional(LSTM(3), trainable=False)
    assert wrapper.frozen and json.loads(json.dumps(wrapper.get_config()))["trainable"] is False
    wrapper.trainable = True
    assert not wrapper.frozen and "trainable" not in wrapper.get_config()


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_keras_trains_the_same_weights_alike(rows):
    model = network(SGD(0.1, 0.9)).build(5)
    twin = of_keras(model)
    assert [layer.trainable for layer in twin.layers] == [layer.trainable for layer in model.layers]
    assert [v.shape for v in twin.trainable_weights] == [w.shape for w in model.trainable_weights]
    assert [v.shape for v in twin.non_trainable_weights] == [w.shape for w in model.non_trainable_weights]
    twin.compile(keras.optimizers.SGD(0.1, 0.9), "sparse_categorical_crossentropy")
    model.fit(*rows, batch_size=120, epochs=5, verbose=0)
    twin.fit(*rows, batch_size=120, epochs=5, shuffle=False, verbose=0)
    for mine, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-5)
    assert mrdl.model_from_json(twin.to_json()).frozen() == model.frozen()


# -- rounds

@pytest.mark.parametrize("options, row", [({}, 3), ({"save_updater": False}, 1), ({"outer": "nesterov"}, 3), ({"compress": "bfloat16"}, None),
                                          ({"resident": "always", "runner": "local", "cores": 2}, 3)], ids=str)
def test_workers_send_the_weights_of_the_head_alone(data, tmp_path, options, row):
    model = network().build(5)
    before = model.weights.copy()
    result = averaging(epochs=1, **options).fit(model, data, run=str(tmp_path / "run"))
    sent = [line["bytes"] for line in Run(str(tmp_path / "run")).history()]
    assert set(sent) == {2 * row * HEAD * 4} if row else max(sent) < 2 * 3 * HEAD * 4
    assert (result.model.weights[:-HEAD] == before[:-HEAD]).all() and (result.model.weights[-HEAD:] != before[-HEAD:]).mean() > 0.5


def test_one_worker_is_one_fit_and_runners_agree(data, tmp_path, monkeypatch):
    monkeypatch.setattr("averaged.network", network)
    assert same_there(data, tmp_path, "local", "always", epochs=1)


def test_a_run_of_frozen_layers_alone_is_refused(data, tmp_path):
    model = network()
    model.trainable = False
    with pytest.raises(RunError, match="all layers of the model are frozen"):
        averaging().fit(model, data, run=str(tmp_path / "run"))
