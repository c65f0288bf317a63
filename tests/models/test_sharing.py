"""Models that have layers in common: one set of weights, whoever trains it, as in Keras."""
import copy
import pickle

import numpy as np
import pytest

import mrdl
from mrdl import Input, Model, Sequential
from mrdl.config import ConfigError
from mrdl.layers import LSTM, BatchNormalization, Dense, Dropout, Embedding, Normalization

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((40, 6)).astype("f4"), rng.integers(0, 3, 40)


def same(ours, theirs):
    return len(ours) == len(theirs) > 0 and all(np.array_equal(a, b) for a, b in zip(ours, theirs))


def joined():
    """An autoencoder, and the encoder and decoder inside it."""
    x, code = Input(6), Input(4)
    encoded = Dense(4, "relu")(x)
    last = Dense(6)
    whole = Model(x, last(encoded))
    whole.compile(mrdl.optimizers.Adam(0.01), "mse")
    return whole, Model(x, encoded), Model(code, last(code))


def two_heads():
    """A base of two layers, and two models that end it each in its own way."""
    base = Sequential([Input(6), Dense(5, "relu"), BatchNormalization()])
    found = []
    for units in (3, 2):
        model = Model(base.inputs, Dense(units, "softmax")(base.output))
        model.compile(mrdl.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        found.append(model)
    return base, *found


def test_what_trains_a_whole_trains_its_parts_and_the_other_way_round():
    whole, encoder, decoder = joined()
    before = encoder.get_weights()
    whole.fit(X, X, epochs=2, verbose=0)
    assert not same(before, encoder.get_weights())
    assert same(whole.get_weights(), encoder.get_weights() + decoder.get_weights())
    np.testing.assert_allclose(decoder.predict(encoder.predict(X)), whole.predict(X), rtol=1e-5, atol=1e-6)
    encoder.compile("sgd", "mse")
    encoder.train_on_batch(X, np.zeros((40, 4)))
    assert same(whole.get_weights()[:2], encoder.get_weights())
    np.testing.assert_allclose(decoder.predict(encoder.predict(X)), whole.predict(X), rtol=1e-5, atol=1e-6)
    decoder.set_weights([np.ones((4, 6)), np.zeros(6)])
    assert (whole.get_weights()[2] == 1).all()


def test_two_heads_train_one_base_in_turns():
    base, a, b = two_heads()
    for number, model in enumerate((a, b, a, b)):
        before = base.get_weights()
        model.fit(X, Y % (3 if model is a else 2), epochs=number // 2 + 1, initial_epoch=number // 2, verbose=0)
        assert not same(before, base.get_weights())
        assert same(base.get_weights(), a.get_weights()[:6]) and same(base.get_weights(), b.get_weights()[:6])


def test_a_callback_that_asks_a_part_loses_no_update():
    """The part only looks at the weights: they stay those of the model that trains."""
    def trained(callbacks):
        whole, encoder, _ = joined()
        seen = []
        whole.fit(X, X, epochs=3, verbose=0, callbacks=callbacks(encoder, seen))
        return whole.get_weights(), seen
    plain, _ = trained(lambda *_: [])
    watched, seen = trained(lambda encoder, seen: [
        mrdl.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(encoder.predict(X)))])
    assert same(plain, watched) and len({s.tobytes() for s in seen}) == 3


def test_a_new_head_stands_on_the_trained_layers_and_leaves_them_if_they_are_frozen():
    first = Sequential([Input(6), Dense(5, "relu", name="hidden"), Dropout(0.2), Dense(3, "softmax")])
    first.compile("adam", "sparse_categorical_crossentropy")
    first.fit(X, Y, epochs=2, verbose=0)
    hidden = first.get_layer("hidden")
    second = Model(first.inputs, Dense(2, "softmax")(hidden.output))
    assert same(second.get_weights()[:2], first.get_weights()[:2])
    kept, hidden.trainable = hidden.get_weights(), False
    second.compile("adam", "sparse_categorical_crossentropy")
    second.fit(X, Y % 2, epochs=2, verbose=0)
    assert same(kept, hidden.get_weights()) and same(kept, first.get_weights()[:2])
    hidden.trainable = True
    second.fit(X, Y % 2, epochs=1, verbose=0)
    assert not same(kept, first.get_weights()[:2]) and same(hidden.get_weights(), first.get_weights()[:2])


def test_one_model_can_be_inside_two():
    tower = Sequential([Input(6), Dense(4, "tanh")], name="tower")
    outers = []
    for units in (3, 2):
        x = Input(6)
        outers.append(Model(x, Dense(units, "softmax")(tower(x))))
        outers[-1].compile("sgd", "sparse_categorical_crossentropy")
    for outer, y in zip(outers, (Y, Y % 2)):
        before = tower.get_weights()
        outer.fit(X, y, epochs=1, verbose=0)
        assert not same(before, tower.get_weights())
        assert all(same(tower.get_weights(), model.get_weights()[:2]) for model in outers)


def test_rounds_train_what_another_model_has_too(tmp_path, inline):
    whole, encoder, _ = joined()
    encoder.build()
    np.savez(tmp_path / "raw.npz", x=X, y=X)
    mrdl.prepare(str(tmp_path / "raw.npz"), str(tmp_path / "data"), shards=2, runner=inline)
    before = encoder.get_weights()
    mrdl.ParameterAveraging(workers=2, batch_size=8, averaging_frequency=2, rounds=2, runner=inline).fit(
        whole, str(tmp_path / "data"), run=str(tmp_path / "run"))
    assert same(encoder.get_weights(), whole.get_weights()[:2]) and not same(before, encoder.get_weights())
    started = joined()[0]
    started.build().set_weights(whole.get_weights())
    assert same(started.get_weights(), whole.get_weights())


def test_layers_have_weights_of_their_own_to_read_and_to_set():
    table = Embedding(7, 3, trainable=False)
    assert table.get_weights() == [] and table.count_params() == 0
    with pytest.raises(ValueError, match=r"Embedding has weights of the shapes \[\], not \[\(7, 3\)\]; call build"):
        table.set_weights([np.ones((7, 3))])
    table.build((None, 5))
    table.set_weights([np.full((7, 3), 0.5)])
    table.build((None, 5))                      # has them already
    x = Input(5)
    model = Model(x, Dense(2)(LSTM(4)(table(x))))
    assert (model.get_weights()[0] == 0.5).all() and table.count_params() == 21
    with pytest.raises(ValueError, match=r"shapes \[\(7, 3\)\], not \[\(3, 7\)\]$"):
        table.set_weights([np.ones((3, 7))])
    last = model.layers[-1]
    last.set_weights([np.zeros((4, 2)), np.ones(2)])
    assert (model.predict(np.zeros((1, 5))) == 1).all() and same(last.get_weights(), model.get_weights()[-2:])


def test_a_normalization_adapts_by_itself():
    layer = Normalization()
    layer.adapt(X * 3 + 1)
    model = Sequential([Input(6), layer])
    out = model.predict(X * 3 + 1)
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(0), 1, atol=1e-5)
    for bad, reason in ((Normalization(mean=1.0, variance=2.0), "are given"), (Normalization(), "no rows")):
        with pytest.raises(ConfigError, match=reason):
            bad.adapt(X[:0])


def test_copies_share_nothing():
    whole, encoder, _ = joined()
    whole.build()
    for other in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole)), mrdl.model_from_json(whole.to_json())):
        kept = whole.get_weights()
        other.compile("sgd", "mse")
        other.fit(X, X, epochs=1, verbose=0)
        assert same(kept, whole.get_weights()) and same(kept[:2], encoder.get_weights()) and not same(kept, other.get_weights())


def test_a_model_of_float64_has_the_weights_too():
    whole, _, _ = joined()
    twin = Model(whole.inputs, whole.output, dtype="float64")
    assert twin.get_weights()[0].dtype == "f8" and same([w.astype("f4") for w in twin.get_weights()], whole.get_weights())


def test_what_cannot_be_shared_is_told():
    layer = Dense(3)
    Sequential([Input(4), layer]).build()
    with pytest.raises(ConfigError, match=r"dense has weights of the shapes \(4, 3\), \(3,\) from another model, where its input"):
        Sequential([Input(5), layer]).build()
    with pytest.raises(ConfigError, match="Dense: this layer was not called yet"):
        _ = Dense(3).output
    layer = Dense(3)
    layer(Input(4)), layer(Input(4))
    with pytest.raises(ConfigError, match="Dense: this layer was called several times"):
        _ = layer.input
    with pytest.raises(ConfigError, match="no input shape yet"):
        _ = Sequential([Dense(3)]).inputs


def test_a_layer_knows_what_it_takes_and_gives():
    x, state = Input((4, 2)), Input(3)
    layer = LSTM(3, return_state=True)
    given = layer(x, [state, state])
    assert layer.output is given and layer.input[0] is x.symbol and len(layer.input) == 3
    model = Sequential([Input(6), Dense(5), Dense(3)])
    assert model.layers[1].input is model.layers[0].output and model.output is model.layers[1].output
    assert Model(model.input, model.layers[0].output).output_shape == (5,)
    model.pop()
    model.add(Dense(2))
    assert model.output is model.layers[1].output and model.output.shape == (2,)
