"""Models inside models: weights in common, their order and names, JSON, training."""
import copy
import pickle

import keras
import numpy as np
import pytest
from averaged import averaging
from gradients import Probe
from keras_twins import of_keras

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    Input,
    Subtract,
)
from mrdl.models.saving import load_model
from mrdl.optimizers import SGD

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def siamese(dtype="float32"):
    """A model called twice, one of two inputs and two outputs, and a Sequential that is not built yet."""
    a, p, q = Input((4,)), Input((4,)), Input((2,))
    twin = mrdl.Model(a, Dense(3, "tanh")(Dropout(0.0)(a)), "twin", dtype=dtype)
    two = mrdl.Model([p, q], [Dense(3, "relu", name="left")(p), Dense(2, name="right")(q)], "two", dtype=dtype)
    x, y, z = Input((4,)), Input((4,)), Input((2,))
    u, v = two([y, z])
    own = mrdl.Sequential([Dense(5, "tanh"), BatchNormalization(), Dense(3)], dtype=dtype)
    h = Add()([twin(x), twin(y), own(Dense(6, name="before")(x)), u])
    return mrdl.Model([x, y, z], [Dense(3, "softmax", name="kind")(h), v], dtype=dtype)


def chain(dtype="float32"):
    """Models in a Sequential, one of them two deep, without names of their own."""
    x = Input((5, 4, 2))
    base = mrdl.Model(x, GlobalAveragePooling2D()(BatchNormalization()(Conv2D(3, 2, activation="relu")(x))), dtype=dtype)
    deep = mrdl.Sequential([mrdl.Sequential([Dense(4, "tanh")], dtype=dtype), Dense(3)], dtype=dtype)
    return mrdl.Sequential([Input((5, 4, 2)), base, deep, mrdl.Sequential([Dense(3, "softmax")], dtype=dtype)], dtype=dtype)


MODELS = {"siamese": siamese, "chain": chain}


def made(name, dtype="float32", optimizer=None):
    model = MODELS[name](dtype)
    model.compile(optimizer or SGD(0.1, 0.9), ["sparse_categorical_crossentropy", "mse"][:len(model.output_names())])
    return model


def arrays(model, n):
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((n, *shape)).astype("f4") for shape in model.input_shapes()]
    y = [rng.integers(0, 3, n), rng.standard_normal((n, 2)).astype("f4")][:len(model.output_names())]
    return (x, y) if len(x) > 1 else (x[0], y[0])


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_the_differences(name):
    Probe(made(name, "float64", SGD(1.0)), None, 17).check()


@pytest.mark.parametrize("name", MODELS)
def test_keras_reads_computes_and_trains_it_alike_and_its_json_comes_back(name):
    model = made(name).build(seed=1)
    x, y = arrays(model, 12)
    twin = of_keras(model)
    assert ["/".join(w.path.split("/")[-2:]) for w in twin.weights] == [
        f"{step.name.split('/')[-1]}/{weight.name}" for step, weight, _ in model.places()]
    for mine, theirs in zip(*(found if isinstance(found, list) else [found] for found in (model.predict(x), twin.predict(x, verbose=0))),
                            strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    assert mrdl.model_from_json(twin.to_json()).get_config() == mrdl.model_from_json(model.to_json()).get_config() == model.get_config()
    twin.compile(keras.optimizers.SGD(0.1, momentum=0.9), ["sparse_categorical_crossentropy", "mse"][:len(model.output_names())])
    model.fit(x, y, batch_size=12, epochs=4, verbose=0)
    twin.fit(x, y, batch_size=12, epochs=4, shuffle=False, verbose=0)
    for mine, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-5)


def test_the_two_have_their_weights_in_common(tmp_path):
    base = mrdl.Sequential([Input((4,)), Dense(3, "tanh"), BatchNormalization()], name="base").build(seed=3)
    before = base.weights.copy()
    model = mrdl.Sequential([base, Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    assert (model.build().weights[:len(before)] == before).all()
    x, y = np.random.default_rng(0).standard_normal((40, 4)).astype("f4"), np.arange(40) % 3
    model.fit(x, y, verbose=0)
    assert (base.weights != before).any() and all(map(np.array_equal, base.get_weights(), model.get_weights()))
    base.set_weights([w + 1 for w in base.get_weights()])
    assert all(map(np.array_equal, base.get_weights(), model.get_weights()))
    model.save(str(tmp_path / "saved"))
    again = load_model(str(tmp_path / "saved"))
    assert all(map(np.array_equal, again.layers[0].get_weights(), base.get_weights()))
    base.load_weights(mrdl.Sequential([Input((4,)), Dense(3, "tanh"), BatchNormalization()], name="base").build(seed=3).to_safetensors())
    assert (model.weights[:len(before)] == before).all()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.weights[:] = 0
        assert not other.layers[0].weights.any() and base.weights.any()
    second = mrdl.Sequential([base, Dense(2)])
    assert all(map(np.array_equal, base.get_weights(), second.get_weights()))


def test_a_frozen_base_costs_the_bytes_of_the_head_in_rounds(tmp_path):
    model = made("chain", optimizer="adam").build(seed=1)
    model.layers[0].trainable = False
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "raw.npz", x=rng.random((60, 5, 4, 2)).astype("f4"), y=rng.integers(0, 3, 60).astype("i4"))
    data = mrdl.prepare(str(tmp_path / "raw.npz"), str(tmp_path / "data"), shards=2, runner="inline").url
    base, head = model.layers[0].weights.copy(), sum(w.size for w in model.trainable_weights)
    assert head == 3 * 4 + 4 + 4 * 3 + 3 + 3 * 3 + 3 and model.frozen() == [(0, len(base))]
    bits = []
    for runner in ("inline", "local"):
        result = averaging(epochs=1, runner=runner, cores=2).fit(copy.deepcopy(model), data, run=str(tmp_path / runner))
        assert {line["bytes"] for line in mrdl.runs.run.Run(str(tmp_path / runner)).history()} == {2 * 3 * head * 4}
        assert (result.model.layers[0].weights == base).all()
        bits.append(result.model.weights.tobytes())
    assert bits[0] == bits[1] != model.weights.tobytes()


def test_the_summary_and_names_show_the_layers_inside(capsys):
    chain().summary()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines[3:9]] == [
        "functional/conv2d", "functional/batch_normalization", "functional/global_average_pooling2d",
        "sequential/sequential/dense", "sequential/dense", "sequential_1/dense"]


@pytest.mark.parametrize("build, reason", [
    (lambda: next(m for m in siamese().layers if m.name == "twin")(Input((9,))), "takes inputs of the shapes"),
    (lambda: mrdl.Sequential([Dense(2)])(np.ones((3, 4)), training=True), "called with training=True on arrays: call fit"),
    (lambda: mrdl.Sequential([Dense(2)])("rows"), "not what Input or the call of a layer returned, nor arrays"),
    (lambda: mrdl.Sequential([Dense(2)])([Input((4,)), np.ones((3, 4))]), "nor arrays"),
    (lambda: mrdl.Sequential([mrdl.Sequential([Input((3,)), Dense(2)], dtype="float64")]).build(), "a model of float64"),
    (lambda: mrdl.Model(x := Input((4,)), mrdl.Model(y := Input((4,)), [Dense(2)(y), Dense(3)(y)])(x)[0]), "all outputs must be"),
])
def test_what_models_inside_models_cannot_do(build, reason):
    with pytest.raises(ConfigError, match=reason):
        build()


def test_a_model_that_is_called_on_arrays_predicts():
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("f4")
    model = mrdl.Sequential([Input((4,)), Dense(3), Dropout(0.5)]).build(seed=1)
    assert (model(x) == model.predict(x)).all() and (model(x.tolist(), training=False) == model(x)).all()
    left, right = Input((4,)), Input((4,))
    pair = mrdl.Model([left, right], [Subtract()([left, right]), Dense(2)(left)]).build()
    for mine, wanted in zip(pair([x, x + 1]), pair.predict([x, x + 1]), strict=True):
        assert (mine == wanted).all()


def test_calls_that_double_at_each_level_are_counted_before_they_are_made(monkeypatch):
    monkeypatch.setattr("mrdl.models.model.CALLS", 60)
    x = Input((1,))
    model = mrdl.Model(x, Dense(1)(x))
    for level in range(5):
        x = Input((1,))
        model = mrdl.Model(x, model(model(x)), f"level{level}")
    assert model.count_params() == 2 and len(model.stack()) == 32
    x = Input((1,))
    with pytest.raises(ConfigError, match="64 calls of layers, more than 60"):
        mrdl.Model(x, model(model(x)))
    monkeypatch.undo()
    assert mrdl.model_from_json(model.to_json()).to_json() == model.to_json()
