"""Masks and states that Keras's models hand on, read here: the same outputs; and what is refused."""
import json

import keras
import numpy as np
import pytest
from keras import Input as KerasInput
from sequence_data import F, T, V, ids, sequences

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import (
    LSTM,
    Input,
)


def merged():
    a, b, c = (KerasInput((T, F), name=name) for name in "abc")
    L, x, y = keras.layers, keras.layers.Masking()(a), keras.layers.Masking()(b)
    seen = [L.Add()([x, y]), L.Subtract()([x, y]), L.Average()([x, c]), L.Multiply()([x, y]), L.Multiply()([x, c]),
            L.Maximum()([x, y]), L.Maximum()([c, x]), L.Minimum()([x, y]), L.Minimum()([x, c, y]),
            L.Concatenate(name="last")([x, y]), L.Concatenate(name="one")([x, c]), L.Concatenate(2, name="named")([x, y]),
            L.Concatenate(1, name="steps")([x, y]), L.Concatenate(1, name="half")([c, y])]
    return keras.Model([a, b, c], [L.LSTM(2)(tensor) for tensor in seen])


def read(theirs):
    """Our model of Keras's JSON, with its weights."""
    ours = mrdl.model_from_json(theirs.to_json()).build()
    ours.set_weights(theirs.get_weights())
    return ours


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_the_masks_of_merges_are_those_of_keras():
    theirs = merged()
    given = [sequences(seed=seed).astype("f4") for seed in (1, 2, 3)]
    for got, wanted in zip(read(theirs).predict(given), theirs(given)):
        np.testing.assert_allclose(got, np.asarray(wanted), rtol=1e-5, atol=1e-6)


def of(layer, *shape):
    """A model of Keras with one input."""
    given = KerasInput(shape)
    return keras.Model(given, layer(given))


L = keras.layers


@pytest.mark.filterwarnings("ignore:Layer 'flatten:UserWarning", "ignore:Layer 'reshape:UserWarning",
                            "ignore:__array__ implementation")
@pytest.mark.parametrize("make", [
    lambda x: L.LSTM(3)(L.Reshape((T, F))(L.Flatten()(L.Masking()(x)))),
    lambda x: L.Dense(2)(L.Reshape((T, F))(L.Masking()(x))),
    lambda x: L.LSTM(3, zero_output_for_mask=True)(L.Masking()(x)),
    lambda x: L.GRU(3, zero_output_for_mask=True, go_backwards=True)(L.Masking()(x)),
    lambda x: L.Bidirectional(L.LSTM(3, zero_output_for_mask=True))(L.Masking()(x)),
    lambda x: L.LSTM(3)(L.Normalization(mean=0.5, variance=2.0)(L.Masking()(x)))])
def test_views_last_steps_and_normalization_are_those_of_keras(make):
    theirs, x = of(make, T, F), sequences().astype("f4")
    np.testing.assert_allclose(read(theirs).predict(x), theirs.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def shared():
    layer, lstm, (a, b) = L.Embedding(V, 3, mask_zero=True), L.LSTM(4), (KerasInput((T,)) for _ in "ab")
    return keras.Model([a, b], L.Add()([lstm(layer(a)), lstm(layer(b))])), [ids(), ids(seed=6)]


def positional():
    x, h, c = KerasInput((T, F)), KerasInput((4,)), KerasInput((4,))
    some = sequences().astype("f4")
    return keras.Model([x, h, c], L.LSTM(4)(x, [h, c])), [some, some[:, 0, :1].repeat(4, 1), some[:, 1, :1].repeat(4, 1)]


def alone():
    x, h = KerasInput((T, F)), KerasInput((4,))
    some = sequences().astype("f4")
    return keras.Model([x, h], L.GRU(4)(x, h)), [some, some[:, 0, :1].repeat(4, 1)]


@pytest.mark.filterwarnings("ignore:__array__ implementation")
@pytest.mark.parametrize("make", [shared, positional, alone])
def test_more_of_keras_calls_are_read(make):
    theirs, given = make()
    np.testing.assert_allclose(read(theirs).predict(given), np.asarray(theirs(given)), rtol=1e-5, atol=1e-6)


def by_hand():
    x = KerasInput((T,))
    embedding = L.Embedding(V, 3, mask_zero=True)
    return keras.Model(x, L.LSTM(4)(L.Conv1D(3, 3, padding="same")(embedding(x)), mask=embedding.compute_mask(x)))


def of_another():
    a, b = KerasInput((T, F)), KerasInput((T, F))
    layer = L.Masking()
    return keras.Model([a, b], [L.LSTM(2)(layer(a)), L.LSTM(4)(L.Masking()(b), mask=layer.compute_mask(a))])


@pytest.mark.filterwarnings("ignore:Layer 'conv1d")
@pytest.mark.parametrize("make, reason", [
    (by_hand, "LSTM: a mask in its call that is not its input's own is not supported"),
    (of_another, "LSTM: a mask in its call that is not its input's own is not supported"),
    (lambda: of(lambda x: L.LSTM(4)(x, training=True), T, F), "LSTM: training=True in its call is not supported"),
    (lambda: of(lambda x: L.LSTM(4)(keras.ops.sin(x)), T, F), "the spec has the operation 'Sin'"),
])
def test_calls_that_ask_for_more_are_refused_in_one_line(make, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        mrdl.model_from_json(make().to_json())
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
def test_a_model_of_float64_comes_back_through_keras():
    model = mrdl.Sequential([Input((T, F)), LSTM(2)], dtype="float64")
    assert mrdl.model_from_json(keras.models.model_from_json(model.to_json()).to_json()).to_json() == model.to_json()


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_masks_that_keras_writes_as_operations_are_ours_and_others_are_refused():
    x, i = keras.Input((4, 3)), keras.Input((4,))
    y = keras.layers.LSTM(2, return_sequences=True)(keras.layers.Masking(0.5)(x))
    z = keras.layers.GRU(2)(keras.layers.Embedding(5, 3, mask_zero=True)(i))
    theirs = keras.Model([x, i], [keras.layers.Dense(2)(y), z])
    ours = mrdl.model_from_json(theirs.to_json()).build()
    theirs.set_weights(ours.get_weights())
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((9, 4, 3)).astype("f4"), rng.integers(0, 5, (9, 4)).astype("f4")]
    given[0][:4, 2:] = 0.5
    for a, b in zip(ours.predict(given), theirs(given)):
        np.testing.assert_allclose(a, np.asarray(b), rtol=1e-5, atol=1e-6)
    own = keras.layers.LSTM(2)(x, mask=keras.ops.any(keras.ops.not_equal(x, 3.0), -1))
    with pytest.raises(ConfigError, match="the spec has the operation 'NotEqual': .* masks made by hand"):
        mrdl.model_from_json(keras.Model([x], [own]).to_json())


@pytest.mark.parametrize("damage", [
    lambda entry: entry.update(inbound_nodes=3), lambda entry: entry.update(inbound_nodes=[3]),
    lambda entry: entry.update(inbound_nodes=[{"args": 3, "kwargs": {}}]), lambda entry: entry.update(config=[]),
    lambda entry: entry["inbound_nodes"][0].update(kwargs=[]), lambda entry: entry.update(name=[]),
    lambda entry: entry["inbound_nodes"][0].update(args=[{"config": {"keras_history": [[], {}]}}])])
@pytest.mark.parametrize("which", range(6))
def test_a_damaged_spec_with_masks_is_no_more_than_that(which, damage):
    x = keras.Input((4, 3))
    form = json.loads(keras.Model(x, keras.layers.GRU(2)(keras.layers.Masking()(x))).to_json())
    entries = form["config"]["layers"]
    entry = entries[which % len(entries)]
    entry["inbound_nodes"] = entry["inbound_nodes"] or [{}]
    damage(entry)
    try:
        mrdl.model_from_json(json.dumps(form))
    except ConfigError as error:
        assert "\n" not in str(error)
