"""States that calls hand out and take in: encoders and decoders, as in Keras."""
import json

import keras
import numpy as np
import pytest
from gradients import Probe

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import (
    GRU,
    LSTM,
    Add,
    Bidirectional,
    Concatenate,
    Dense,
    GravesLSTM,
    Input,
    Masking,
    SimpleRNN,
)
from mrdl.optimizers import SGD

T, F = 4, 3
KINDS = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": SimpleRNN, "GravesLSTM": GravesLSTM,
         "GRU, reset before": lambda units, **more: GRU(units, reset_after=False, **more)}


def translator(make, masked=False, **more):
    """An encoder whose output nobody takes, and a decoder that begins with its states."""
    source, target = Input((T, F), "source"), Input((5, 2), "target")
    _, *states = make(4, return_state=True, **more)(Masking()(source) if masked else source)
    y = make(4, return_sequences=True, **more)(target, initial_state=states)
    return [source, target], Dense(3, "softmax")(y)


def mixed(make):
    """States that several take, and outputs beside them."""
    x = Input((T, F), "x")
    y, *states = make(4, return_sequences=True, return_state=True)(Dense(3, "tanh")(x))
    z, *more = make(4, return_state=True, go_backwards=True)(y, initial_state=states)
    return [x], Dense(3, "softmax")(Concatenate()([z, Add()([states[-1], more[-1]]), states[0]]))


def initial(make):
    """States that are inputs, and an output that is one."""
    x, h = Input((T, F), "x"), [Input((4,), f"state{i}") for i, _ in enumerate(make(4).state_names)]
    y, *states = make(4, return_state=True, recurrent_dropout=0.0)(x, initial_state=h)
    return [x, *h], [Dense(3, "softmax")(y), states[-1]]


GRAPHS = {**{f"translator, {kind}": lambda make=make: translator(make) for kind, make in KINDS.items()},
          **{f"translator, masked, {kind}": lambda make=make: translator(make, True) for kind, make in KINDS.items()},
          "translator, dropped": lambda: translator(LSTM, recurrent_dropout=0.3, dropout=0.2),
          **{f"mixed, {kind}": lambda make=make: mixed(make) for kind, make in KINDS.items()},
          **{f"initial, {kind}": lambda make=make: initial(make) for kind, make in KINDS.items()}}


def compiled(name, **more):
    inputs, outputs = GRAPHS[name]()
    model = mrdl.Model(inputs, outputs, **more)
    several = isinstance(outputs, list)
    model.compile(SGD(1.0), ["sparse_categorical_crossentropy", "mse"] if several else "sparse_categorical_crossentropy",
                  loss_weights=[1.0, 0.7] if several else None)
    return model


def examples(model, n=64, seed=0):
    """Rows of all inputs; with masks the first steps of some count for nothing."""
    x = np.random.default_rng(seed).standard_normal((n, sum(int(np.prod(s)) for s in model.input_shapes())))
    x[::3, :2 * F] = 0
    x[1::4, T * F - F:T * F] = 0
    return x


@pytest.mark.parametrize("name", GRAPHS)
def test_the_gradient_goes_through_the_states(name):
    model = compiled(name, dtype="float64")
    Probe(model, None, x=examples(model)).check()


@pytest.mark.filterwarnings("ignore:__array__ implementation")      # of Keras's own
@pytest.mark.parametrize("name", [name for name in GRAPHS if "Graves" not in name])
def test_keras_computes_the_same_and_its_json_comes_back(name):
    model = compiled(name).build(seed=1)
    theirs = keras.models.model_from_json(model.to_json())
    theirs.set_weights(model.get_weights())
    x, parts = examples(model, 20).astype("f4"), []
    for shape in model.input_shapes():
        size = int(np.prod(shape))
        parts.append(x[:, :size].reshape(-1, *shape))
        x = x[:, size:]
    wanted, got = theirs(parts, training=False), model.predict(parts)
    several = isinstance(got, list)
    for a, b in zip(got if several else [got], wanted if several else [wanted]):
        np.testing.assert_allclose(a, np.asarray(b), rtol=1e-5, atol=1e-6)
    again = mrdl.model_from_json(theirs.to_json())
    assert json.loads(again.to_json())["config"]["layers"] == json.loads(model.to_json())["config"]["layers"]


def test_the_table_of_a_model_names_the_states(capsys):
    compiled("mixed, LSTM").summary()
    assert "lstm[1], lstm[2]" in capsys.readouterr().out


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


def json_with(**kwargs):
    form = json.loads(compiled("translator, LSTM").to_json())
    node, = next(entry for entry in form["config"]["layers"] if entry["name"] == "lstm_1")["inbound_nodes"]
    node["kwargs"] |= kwargs
    return json.dumps(form)


@pytest.mark.parametrize("make, reason", [
    (lambda: LSTM(4)(Input((T, F)), initial_state=[Input((4,))]), r"must be 2 of shape \(4,\)"),
    (lambda: GRU(4)(Input((T, F)), initial_state=Input((5,))), r"must be 1 of shape \(4,\)"),
    (lambda: GRU(4)(Input((T, F)), initial_state="zeros"), r"must be 1 of shape \(4,\)"),
    (lambda: mrdl.Sequential([Input((T, F)), LSTM(4, return_state=True)]), "gives its states too .*: use mrdl.Model"),
    (lambda: Bidirectional(LSTM(4, return_state=True)), "stateful=True and return_state=True are not"),
    (lambda: compiled("mixed, GRU").fit(examples(compiled("mixed, GRU")).reshape(64, T, F), np.zeros(64), tbptt=2),
     "cannot be used with return_state=True"),
    (lambda: mrdl.model_from_json(json_with(initial_state=[3])), "the spec calls a layer with 3"),
    (lambda: mrdl.model_from_json(json_with(initial_state={"a": 1})), "the spec calls a layer with .* which is no tensor"),
    (lambda: mrdl.model_from_json(json_with(mask="x")), "LSTM: mask='x' in its call is not supported"),
    (lambda: mrdl.model_from_json(json.dumps(json.loads(compiled("mixed, LSTM").to_json().replace(
        '["lstm", 0, 2]', '["lstm", 0, 3]')))), "speaks of a tensor that is not there"),
])
def test_what_does_not_fit_is_refused_in_one_line(make, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        make()
    assert "\n" not in str(error.value)
