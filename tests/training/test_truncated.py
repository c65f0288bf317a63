"""Windows of sequences: truncated back-propagation, stateful layers and buckets, also across rounds."""
import copy

import jax
import keras
import numpy as np
import pytest
from sequence_data import F, T, V, ids, prepared, sequences
from shards import rows

import mrdl
from mrdl import ParameterAveraging
from mrdl.config import ConfigError
from mrdl.layers import (
    GRU,
    LSTM,
    Bidirectional,
    CategoryEncoding,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GravesLSTM,
    Input,
    LayerNormalization,
    Masking,
    SimpleRNN,
)
from mrdl.optimizers import SGD, Adam, RMSprop
from mrdl.runs.run import Run
from mrdl.schedules import ExponentialDecay
from mrdl.training.learner import Learner
from mrdl.training.sequences import SequenceLearner, counting, learner_for, lengths

X, Y = np.random.default_rng(1).standard_normal((24, 11, F)), np.random.default_rng(2).integers(0, 4, (24, 11))


def network(optimizer="sgd", *layers, steps=11, dtype="float64"):
    model = mrdl.Sequential([Input((steps, F)), *copy.deepcopy(layers or (LSTM(5, return_sequences=True), GRU(4, return_sequences=True))),
                             Dense(4, "softmax")], dtype=dtype).build(seed=3)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_windows_of_a_whole_sequence_are_no_windows():
    whole, truncated = network(Adam(0.01)), network(Adam(0.01))
    whole.fit(X, Y, batch_size=7, epochs=2)
    truncated.fit(X, Y, batch_size=7, epochs=2, tbptt=11)
    assert whole.weights.tobytes() == truncated.weights.tobytes() and truncated.iterations == 8


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10, 50])
def test_windows_without_updates_see_the_whole_sequence(steps):
    """The last window is shorter; the states go on from one to the next."""
    model = network(SGD(0.0))
    seen = model.fit(X, Y, batch_size=7, tbptt=steps).history
    assert seen["loss"][0] == pytest.approx(model.evaluate(X, Y, return_dict=True)["loss"], rel=1e-12)
    assert seen["accuracy"][0] == pytest.approx(model.evaluate(X, Y, return_dict=True)["accuracy"], rel=1e-12)
    assert model.iterations == 4 * -(-11 // steps)


class Twin:
    """Keras's layers with the weights of ours, which hand their states out and take them in."""

    def __init__(self, model):
        x = y = keras.Input((None, F))
        self.given, ends = [], []
        for layer, entry in zip(model.layers, model.get_config()["layers"][1:]):
            config = {k: v for k, v in entry["config"].items() if k != "stateful"}
            if not hasattr(layer, "return_sequences"):
                y = keras.layers.deserialize({**entry, "config": config})(y)
                continue
            made = keras.layers.deserialize({**entry, "config": {**config, "return_state": True}})
            given = [keras.Input((layer.units,)) for _ in range(2 if isinstance(layer, LSTM) else 1)]
            y, *end = made(y, initial_state=given)
            self.given += given
            ends += end
        self.model = keras.Model([x, *self.given], [y, *ends])
        self.weights = model.get_weights()
        self.states = None

    def zeros(self, n):
        return [np.zeros((n, *s.shape[1:]), "f4") for s in self.given]

    def call(self, weights, x):
        states = self.zeros(len(x)) if self.states is None else self.states
        outputs, _ = self.model.stateless_call(weights, [v.value for v in self.model.non_trainable_variables], [x, *states])
        return outputs[0], outputs[1:]

    def train(self, x, y, rate):
        """One update by plain gradient descent; the states go on, as constants."""
        def loss(weights):
            p, states = self.call(weights, x)
            return -jax.numpy.log(jax.numpy.take_along_axis(p, y[:, :, None], 2)).mean(), states
        (_, states), slopes = jax.value_and_grad(loss, has_aux=True)(self.weights)
        self.weights = [w - rate * g for w, g in zip(self.weights, slopes)]
        self.states = states


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_each_window_is_an_update_that_begins_with_the_states_of_the_one_before(make):
    model = network(SGD(0.5), make(5, return_sequences=True), make(4, return_sequences=True), steps=9, dtype="float32")
    theirs = Twin(model)
    learner = learner_for(model, model.weights, model.optimizer.start(model.weights), batch_size=8, tbptt=3)
    x, y = X[:, :9].astype("f4"), Y[:, :9]
    for start in range(0, 24, 8):
        index = np.arange(start, start + 8)
        learner.step({"x": x, "y": y}, index, 0, start)
        theirs.states = None
        for t in range(0, 9, 3):
            theirs.train(x[index, t:t + 3], y[index, t:t + 3], 0.5)
    assert learner.updates == learner.iterations == 9 and learner.terms == 24 * 9
    for a, b in zip(model.get_weights(), theirs.weights):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN, lambda units, **more: GRU(units, reset_after=False, **more)])
def test_gradients_go_through_the_last_steps_of_a_window_alone(make):
    """DL4J's tBPTT with a shorter way back: recurrent layers learn from the last steps, those above from all."""
    model = network(SGD(0.5), make(5, return_sequences=True), Dense(6, "tanh"), make(4, return_sequences=True), steps=9,
                    dtype="float32")
    theirs = Twin(model)
    first, second = (layer for layer in theirs.model.layers if hasattr(layer, "units") and hasattr(layer, "return_state"))

    def cut(weights, x):
        """What the network gives where all of a recurrent layer before its last 2 steps counts as constant."""
        w = list(weights)

        def layer(one, own, y, states):
            def run(own, y, states):
                out, _ = one.stateless_call(own, [v.value for v in one.non_trainable_variables], y, initial_state=states)
                return out[0], out[1:]
            early, states = jax.lax.stop_gradient(run(own, y[:, :-2], states))
            late, states = run(own, y[:, -2:], states)
            return jax.numpy.concatenate([early, late], 1), states
        n = len(first.trainable_variables)
        half = len(theirs.given) // 2
        y, a = layer(first, w[:n], x, theirs.states[:half])
        y = jax.numpy.tanh(y @ w[n] + w[n + 1])
        y, b = layer(second, w[n + 2:2 * n + 2], y, theirs.states[half:])
        return jax.nn.softmax(y @ w[-2] + w[-1]), [*a, *b]
    theirs.call, x, y = cut, X[:8, :9].astype("f4"), Y[:8, :9]
    learner = learner_for(model, model.weights, model.optimizer.start(model.weights), batch_size=8, tbptt=3, tbptt_backward=2)
    learner.step({"x": x, "y": y}, np.arange(8), 0, 0)
    theirs.states = theirs.zeros(8)
    for t in range(0, 9, 3):
        theirs.train(x[:, t:t + 3], y[:, t:t + 3], 0.5)
    for a, b in zip(model.get_weights(), theirs.weights):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_stateful_layers_go_on_from_minibatch_to_minibatch():
    """Row i of one with the state of row i of the one before; epochs, and calls of predict and evaluate, begin at 0."""
    model = network(SGD(0.5), LSTM(5, return_sequences=True, stateful=True), GRU(4, return_sequences=True, stateful=True),
                    steps=3, dtype="float32")
    theirs = Twin(model)
    x, y = X[:, :3].astype("f4"), Y[:, :3]

    def predicted():
        theirs.states, found = None, []
        for start in range(0, 24, 8):
            p, theirs.states = theirs.call(theirs.weights, x[start:start + 8])
            found.append(np.asarray(p))
        return np.concatenate(found)
    np.testing.assert_allclose(model.predict(x, batch_size=8), predicted(), rtol=1e-5, atol=1e-6)
    assert abs(model.predict(x, batch_size=8) - model.predict(x, batch_size=24)).max() > 1e-3
    for _ in range(2):
        theirs.states = None
        for start in range(0, 24, 8):
            theirs.train(x[start:start + 8], y[start:start + 8], 0.5)
    model.fit(x, y, batch_size=8, epochs=2)
    for a, b in zip(model.get_weights(), theirs.weights):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    wanted = -np.log(np.take_along_axis(predicted(), y[:, :, None], 2)).mean()
    assert model.evaluate(x, y, batch_size=8, return_dict=True)["loss"] == pytest.approx(wanted, rel=1e-5)
    assert mrdl.model_from_json(model.to_json()).layers[0].stateful


# sequences of unequal length

MASKED = {
    "steps": [Masking(), LSTM(5, return_sequences=True), Dropout(0.2), LayerNormalization(), GravesLSTM(4, return_sequences=True)],
    "label": [Masking(), Bidirectional(GRU(4, return_sequences=True)), LSTM(4)],
    "pooled": [Masking(), Dense(5, "tanh"), GlobalAveragePooling1D()],
}


@pytest.mark.parametrize("kind", MASKED)
def test_a_minibatch_cut_to_its_longest_sequence_gives_the_same_bits(kind):
    x = sequences()
    x[:8, 2:], x[8:16, 3:] = 0, 0
    y = ids()[:, 0] % 4 if kind != "steps" else ids() % 4
    found = []
    for buckets in (None, [2, 3, 99]):
        model = network(Adam(0.05), *MASKED[kind], steps=T)
        learner = learner_for(model, model.weights, model.optimizer.start(model.weights), batch_size=8, buckets=buckets)
        for start in range(0, 64, 8):
            learner.step({"x": x, "y": y}, np.arange(start, start + 8), 5, start)
        found.append((model.weights.tobytes(), learner.terms, learner.sums["loss"].tolist()))
        if buckets:
            assert sorted(learner.learners) == [2, 3, 5]
    assert found[0] == found[1]


def test_like_lengths_come_together_and_no_example_is_lost(monkeypatch):
    x = np.zeros((50, 20), "u1")
    for row, n in zip(x, np.random.default_rng(0).permutation(50) % 20 + 1):
        row[:n] = np.arange(n) % (V - 1) + 1
    model = mrdl.Sequential([Input((20,)), Embedding(V, 3, mask_zero=True), LSTM(3, return_sequences=True), Dense(V, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    seen, step = [], SequenceLearner.step

    def watched(self, arrays, index, key, number):
        seen.append(arrays["x"][index])
        step(self, arrays, index, key, number)
    monkeypatch.setattr(SequenceLearner, "step", watched)
    model.fit(x, x, batch_size=8, buckets=(5, 10, 15), seed=4)
    assert [len(batch) for batch in seen] == [8] * 6 + [2]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen).view("V20"), 0), np.sort(x.view("V20"), 0))
    spans = [np.ptp(lengths(counting(model, batch))) for batch in seen]
    assert max(spans) <= 4
    order = [lengths(counting(model, batch)).max() for batch in seen[:6]]
    assert order != sorted(order)                               # the minibatches come in an order of their own


@pytest.mark.parametrize("layer, x, wanted", [
    (Masking(-1.0), np.array([[[0, -1.0], [-1, -1]], [[-1, -1], [-1, -1]], [[-1, -1], [2, -1]]]), [1, 1, 2]),
    (Embedding(9, 2, mask_zero=True), np.array([[1, 0, 2], [0, 0, 0], [3, 0, 0]]), [3, 1, 1]),
])
def test_a_length_is_that_up_to_the_last_step_that_counts(layer, x, wanted):
    assert lengths(counting(mrdl.Sequential([Input(x.shape[1:]), layer]), x)).tolist() == wanted


# across rounds

WAYS = {
    "tbptt": (MASKED["steps"], {"tbptt": 2}),
    "tbptt and buckets": (MASKED["steps"], {"tbptt": 2, "buckets": [3, 4]}),
    "buckets": (MASKED["label"], {"buckets": [2, 4]}),
}


@pytest.mark.parametrize("frequency", [1, 2, None])
@pytest.mark.parametrize("way", WAYS)
def test_one_worker_at_any_frequency_equals_one_uninterrupted_fit_bit_for_bit(tmp_path, inline, way, frequency):
    """A schedule sees every window's update, and dropout the minibatch and window, whatever the rounds."""
    layers, options = WAYS[way]
    y = ids(50)[:, 0] % 4 if way == "buckets" else ids(50) % 4
    data = prepared(tmp_path, inline, sequences(50), y, 1, "float32")

    def made():
        return network(RMSprop(ExponentialDecay(0.02, 10, 0.8)), *layers, steps=T, dtype="float32")
    result = ParameterAveraging(workers=1, batch_size=8, averaging_frequency=frequency, epochs=2, seed=3, runner="inline",
                                **options).fit(made(), data.url, run=str(tmp_path / "run"))
    whole, twin = rows(data.train()[0]), made()
    twin.fit(whole["x"], whole["y"], batch_size=8, epochs=2, seed=3, **options)
    assert twin.weights.tobytes() == result.model.weights.tobytes()
    assert Run(tmp_path / "run").state(Run(tmp_path / "run").rounds()[-1]).iterations == twin.iterations
    assert twin.iterations > 14 if "tbptt" in options else twin.iterations == 14


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_w_workers_at_frequency_1_equal_one_machine_at_batch_w_b_in_each_window_of_one_update(tmp_path, inline, workers):
    """One window a minibatch, as averaging comes after all of a minibatch's windows."""
    data = prepared(tmp_path, inline, sequences(40), ids(40) % 4, workers)

    def made():
        return network(SGD(0.3), Masking(), LSTM(5, return_sequences=True), steps=T)
    ParameterAveraging(workers=workers, batch_size=6, averaging_frequency=1, epochs=1, keep_rounds=99, runner="inline",
                       tbptt=T, seed=5).fit(made(), data.url, run=str(tmp_path / "run"))
    run, model = Run(tmp_path / "run"), made()
    shards = {s.index: rows(s) for s in data.train()}
    orders = {i: mrdl.seeds.permutation(len(a["x"]), 5, "rows", 0, i, 0) for i, a in shards.items()}
    alone = Learner(model, model.weights, np.zeros((0, len(model.weights))), batch_size=6 * workers)
    for r in run.rounds()[1:]:
        index = {i: order[(r - 1) * 6:r * 6] for i, order in orders.items()}
        joined = {k: np.concatenate([shards[i][k][index[i]] for i in shards]) for k in "xy"}
        alone.step(joined, np.arange(len(joined["x"])), 0, r)
        np.testing.assert_allclose(run.state(r).weights, model.weights, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make, options, reason", [
    (lambda: network(), {"tbptt": 0}, "tbptt=0 must be 1 or more steps"),
    (lambda: network(), {"tbptt_backward": 3}, "tbptt_backward is given without tbptt"),
    (lambda: network(), {"tbptt": 4, "tbptt_backward": 5}, "tbptt_backward=5 must be from 1 to tbptt=4"),
    (lambda: network("sgd", Bidirectional(LSTM(3, return_sequences=True))), {"tbptt": 4},
     "tbptt cannot be used with Bidirectional, which reads backwards"),
    (lambda: network("sgd", LSTM(3, return_sequences=True, go_backwards=True)), {"tbptt": 4}, "tbptt cannot be used with LSTM, which reads backwards"),
    (lambda: network("sgd", LSTM(3)), {"tbptt": 4}, "tbptt needs an output for each step, but lstm gives one for all steps: give recurrent layers return_sequences"),
    (lambda: network("sgd", Conv1D(3, 2, padding="same")), {"tbptt": 4}, "tbptt cannot be used with conv1d, which mixes steps"),
    (lambda: network("sgd", Flatten()), {"buckets": [3]}, "buckets cannot be used with flatten, which mixes steps"),
    (lambda: network("sgd", LayerNormalization((1, 2))), {"tbptt": 4}, "tbptt cannot be used with layer_normalization, which mixes steps"),
    (lambda: network(), {"buckets": [3]}, "buckets need a mask: the model must begin with Masking or Embedding"),
    (lambda: network("sgd", *MASKED["steps"]), {"buckets": [3, 2]}, r"buckets=\[3, 2\] must be numbers of steps in ascending order"),
    (lambda: network("sgd", *MASKED["steps"]), {"buckets": [0, 2]}, r"buckets=\[0, 2\] must be numbers of steps"),
    (lambda: network("sgd", LSTM(3, return_sequences=True, stateful=True)), {"tbptt": 4}, "cannot be used with stateful layers"),
])
def test_what_does_not_fit_is_refused_in_one_line(make, options, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        make().fit(X, Y if len(make().output_shape) > 1 else Y[:, 0], **options)
    assert "\n" not in str(error.value)


def test_a_run_refuses_what_does_not_fit_before_anything_is_written(tmp_path, inline):
    data = prepared(tmp_path, inline, X, Y, 2)
    for model, options, reason in (
            (network("sgd", LSTM(3, return_sequences=True, stateful=True)), {}, "a dataset's rows are shuffled"),
            (network(), {"tbptt": -1}, "tbptt=-1 must be"), (network(), {"buckets": [2]}, "buckets need a mask")):
        with pytest.raises(ConfigError, match=reason):
            ParameterAveraging(runner="inline", rounds=1, **options).fit(model, data.url, run=str(tmp_path / "run"))
        assert not (tmp_path / "run").exists()
    model = network("sgd", LSTM(3, return_sequences=True, stateful=True))
    model.save(str(tmp_path / "saved"))
    with pytest.raises(ConfigError, match="a dataset's rows are shuffled, so stateful=True"):
        mrdl.evaluate(str(tmp_path / "saved"), data.url, runner="inline")
    with pytest.raises(ConfigError, match="call model.predict on arrays"):
        mrdl.predict(str(tmp_path / "saved"), data.url, str(tmp_path / "out"), runner="inline")
    with pytest.raises(ConfigError, match="Bidirectional: stateful=True and return_state=True are not supported"):
        Bidirectional(LSTM(3, stateful=True))


def test_ids_are_trained_in_windows_of_one_step_too():
    x = ids()
    model = mrdl.Sequential([Input((T,)), CategoryEncoding(V, "one_hot"), GRU(8, return_sequences=True), Dense(V, "softmax")])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    y = (x + 1) % V
    model.fit(x, y, epochs=20, tbptt=1)
    assert model.evaluate(x, y, return_dict=True)["accuracy"] > 0.9 and model.iterations == 20 * 2 * T
