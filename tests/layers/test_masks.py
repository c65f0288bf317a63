"""Masks where they meet: outputs of one step, merges, views, windows and averaging; against plain sums."""
import copy

import numpy as np
import pytest
from gradients import Probe
from sequence_data import F, T, V, ids, prepared, sequences
from shards import rows

import mrdl
from mrdl import ParameterAveraging, seeds
from mrdl.config import ConfigError
from mrdl.layers import (
    LSTM,
    Add,
    Bidirectional,
    CategoryEncoding,
    Concatenate,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    Input,
    LayerNormalization,
    Masking,
    Maximum,
    Minimum,
    Multiply,
    Normalization,
    RepeatVector,
    Reshape,
    SimpleRNN,
    TimeDistributed,
)
from mrdl.optimizers import SGD, Adam
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.training.learner import Learner

STEPS = Masking(), SimpleRNN(3, return_sequences=True), Dense(1)


def numbers(*layers, steps=T, optimizer="sgd", dtype="float64", loss="mse"):
    model = mrdl.Sequential([Input((steps, F)), *copy.deepcopy(layers)], dtype=dtype).build(seed=3)
    model.compile(SGD(0.0) if optimizer is None else optimizer, loss, metrics=["mae"] if loss == "mse" else [])
    return model


def targets(x, units=1):
    return np.random.default_rng(2).standard_normal((*x.shape[:2], units))


# outputs

def test_a_sequence_of_one_step_counts_or_does_not():
    x = np.ascontiguousarray(sequences()[:, 4:])
    y, model = targets(x), numbers(*STEPS, steps=1)
    counts = (x != 0).any((1, 2))
    off = (model.predict(x) - y)[counts]
    got = model.evaluate(x, y, return_dict=True)
    assert 0 < counts.sum() < len(x)
    assert got["loss"] == pytest.approx((off ** 2).mean()) and got["mae"] == pytest.approx(abs(off).mean())
    Probe([Input((1, F)), *STEPS], model.loss, x=x).check()


@pytest.mark.parametrize("loss, end", [("mse", Dense(1)), ("sparse_categorical_crossentropy", Dense(4, "softmax"))])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9])
def test_the_loss_of_all_windows_is_that_of_the_sequences(steps, loss, end):
    x = sequences()
    y = targets(x) if loss == "mse" else ids() % 4
    model = numbers(*STEPS[:2], end, optimizer=None, loss=loss)
    found = model.fit(x, y, batch_size=len(x), tbptt=steps).history
    assert found["loss"][0] == pytest.approx(model.evaluate(x, y, return_dict=True)["loss"], rel=1e-12)


@pytest.mark.parametrize("nothing, loss, units", [(-1, "sparse_categorical_crossentropy", 4), (np.nan, "mse", 1)])
def test_targets_of_steps_that_do_not_count_may_be_anything(nothing, loss, units):
    x, ends = sequences(), [Dense(units, "softmax" if units > 1 else None)]
    counts = (x != 0).any(2)
    y = ids() % 4 if units > 1 else targets(x)
    odd = np.where(counts if units > 1 else counts[..., None], y.astype("i4" if units > 1 else "f8"), nothing)
    found = []
    for t in (y, odd):
        model = numbers(*STEPS[:2], *ends, loss=loss, optimizer=Adam(0.01))
        model.fit(x, t, batch_size=16, epochs=2)
        found.append((model.weights.tobytes(), model.evaluate(x, t, return_dict=True)))
    assert found[0] == found[1]


def test_targets_may_be_flat_and_of_two_bytes():
    x = sequences()
    y = (targets(x, 2) * 100).astype("u2")
    weights = []
    for given in (y, y.reshape(64, -1), y.astype("f8"), y.reshape(64, -1).astype("f8")):
        for options in ({}, {"tbptt": 2}, {"buckets": [2, 4]}):
            model = numbers(*STEPS[:2], Dense(2), optimizer=SGD(1e-9))
            model.fit(x, given, batch_size=16, **options)
            weights.append(model.weights.tobytes())
    assert len(set(weights)) <= 3 and weights[:3] * 4 == weights


# merges and views

@pytest.mark.parametrize("layer", [Add(), Multiply(), Maximum(), Minimum(), Concatenate(), Concatenate(1), Concatenate(2)])
@pytest.mark.parametrize("second", [Masking(), LSTM(F, return_sequences=True)])
def test_the_gradient_of_merged_masks(layer, second):
    a, b = Input((T, F), name="a"), Input((T, F), name="b")
    y = layer([LSTM(F, return_sequences=True)(Masking()(a)), Dense(F, "tanh")(second(b))])
    model = mrdl.Model([a, b], Dense(2)(Flatten()(LSTM(3, return_sequences=True)(y))), dtype="float64")
    model.compile(SGD(1.0), "mse")
    x = np.concatenate([sequences(seed=seed).reshape(64, -1) for seed in (5, 6)], 1)
    Probe(model, None, x=x).check()


def test_a_view_of_one_hot_ids_is_no_ids():
    model = mrdl.Sequential([Input(T), CategoryEncoding(V, "one_hot"), Reshape((V, T)), LSTM(3)]).build()
    twin = mrdl.Sequential([Input((V, T)), LSTM(3)]).build()
    twin.set_weights(model.get_weights())
    np.testing.assert_allclose(model.predict(ids()), twin.predict(np.eye(V)[ids()].reshape(64, V, T)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("zero", [False, True])
def test_the_gradient_of_a_last_step_that_may_be_zeroed(zero):
    model = numbers(Masking(), LSTM(3, zero_output_for_mask=zero), Dense(2))
    Probe([Input((T, F)), *model.layers], model.loss, x=sequences()).check()


@pytest.mark.parametrize("make, reason", [
    (lambda: mrdl.Sequential([Input((3, 4)), Embedding(5, 4, mask_zero=True)]), r"mask_zero=True is for ids of the shape \(steps,"),
    (lambda: mrdl.Sequential([Input((3, 4, 2)), Masking()]), r"Masking: its input has the shape \(3, 4, 2\), not \(steps, feat"),
    (lambda: TimeDistributed(LSTM(3, stateful=True)), "its layer's stateful=True is not supported"),
    (lambda: TimeDistributed(LSTM(3, return_state=True)), "its layer's return_state=True is not supported"),
    (lambda: TimeDistributed(Input((4, 2))), "Input is not supported"),
    (lambda: mrdl.Sequential([Input(1), Embedding((1 << 24) + 1, 1)]).build().predict(np.zeros((1, 1))),
     "it has 16777217 ids, but ids come as float32, which is exact only up to 16777216"),
    (lambda: LSTM(4)(Input((T, F)), initial_state=np.zeros((20, 4))), "initial_state=array"),
    (lambda: mrdl.Sequential([Input(T), LSTM(4)]), "for ids, put Embedding or CategoryEncoding before it"),
    (lambda: numbers(*STEPS).fit(sequences(), np.zeros((63, T, 1))), "the same length, and not be empty; their lengths are 64, 63"),
    (lambda: numbers(SimpleRNN(2), Dense(4, "softmax"), loss="sparse_categorical_crossentropy").fit(sequences(), ids()),
     "give the last recurrent layer return_sequences=True"),
    (lambda: numbers(SimpleRNN(2, return_sequences=True), Dense(4, "softmax"), loss="categorical_crossentropy").fit(
        sequences(), ids() % 4), "for class numbers use sparse_categorical_crossentropy"),
    (lambda: numbers(SimpleRNN(3, return_sequences=True), Dense(1, "sigmoid"), loss="binary_crossentropy").fit(
        sequences(), np.ones((64, T, 1)), class_weight={0: 1, 1: 5}), "class_weight needs one class per example"),
    (lambda: unbuilt().fit(sequences(), ids() % 4, class_weight={0: 1, 1: 5}), "class_weight needs one class per example"),
])
def test_what_does_not_fit_is_refused_in_one_line(make, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        make()
    assert "\n" not in str(error.value)


def unbuilt():
    model = mrdl.Sequential([SimpleRNN(3, return_sequences=True), Dense(4, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


# windows and buckets

@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.01)])
def test_padding_is_no_update(optimizer):
    x = sequences(40)
    weights = []
    for longer in (0, 1, 20):
        padded = np.concatenate([np.zeros((40, longer // 2 * 2, F)), x, np.zeros((40, longer, F))], 1)
        model = numbers(*STEPS, steps=padded.shape[1], optimizer=optimizer)
        model.fit(padded, np.concatenate([np.zeros((40, longer // 2 * 2, 1)), targets(x), np.ones((40, longer, 1))], 1),
                  batch_size=8, epochs=2, tbptt=5)
        weights.append((model.weights.tobytes(), model.iterations))
    assert weights[0] == weights[1] == weights[2]


@pytest.mark.parametrize("layers, shape", [
    ([Masking(), SimpleRNN(3), RepeatVector(T), SimpleRNN(3, return_sequences=True), Dense(1)], (T, 1)),
    ([Masking(), SimpleRNN(2 * F), Reshape((2, F))], (2, F)),
    ([Masking(), Normalization(mean=0.5, variance=2.0), SimpleRNN(3, return_sequences=True), Dense(1)], (T, 1)),
    ([Masking(), Bidirectional(LSTM(3)), Dense(2)], (2,))])
def test_targets_are_cut_where_they_are_those_of_steps(layers, shape):
    x, y = sequences(), np.random.default_rng(2).standard_normal((64, *shape))
    model = numbers(*layers, optimizer=None)
    assert model.fit(x, y, batch_size=16, buckets=(2, 4)).history["loss"][0] == pytest.approx(model.evaluate(x, y, return_dict=True)["loss"])


@pytest.mark.parametrize("kind, value", [("u1", 0.5), ("i4", 0.5), ("u1", -1.0), ("f8", 0.1), ("f4", 0.1)])
def test_what_counts_is_the_same_for_buckets_and_the_layer(kind, value):
    x = (np.full((16, T, F), np.float32(value)) if kind[0] == "f" else np.zeros((16, T, F))).astype(kind)
    x[::2, :2], x[1::2, 3] = 3, 2
    y, model = targets(x), numbers(Masking(value), *STEPS[1:], optimizer=None, dtype="float32")
    assert model.fit(x, y, batch_size=16, buckets=[1, 3]).history["loss"][0] == pytest.approx(model.evaluate(x, y, return_dict=True)["loss"],
                                                                                          rel=1e-6)


@pytest.mark.parametrize("layers, options, reason", [
    ([SimpleRNN(3), RepeatVector(T), SimpleRNN(3, return_sequences=True), Dense(1)], {"tbptt": 2}, "simple_rnn gives one for all steps"),
    ([GlobalAveragePooling1D(), RepeatVector(T), Dense(1)], {"tbptt": 2}, "global_average_pooling1d gives one for all steps"),
    ([LayerNormalization((1, 2), center=False, scale=False), Dense(1)], {"tbptt": 2}, "layer_normalization, which mixes steps"),
    ([Masking(), LayerNormalization((1, 2), center=False, scale=False), Dense(1)], {"buckets": [2]}, "which mixes steps"),
    (STEPS, {"tbptt": "2"}, "tbptt='2' must be a whole number"), (STEPS, {"tbptt": 2.0}, "tbptt=2.0 must be a whole"),
    (STEPS, {"tbptt": True}, "tbptt=True must be a whole"), (STEPS, {"buckets": 3}, "buckets=3 must be a list"),
    (STEPS, {"tbptt": 3, "tbptt_backward": 1.5}, "tbptt_backward=1.5 must be a whole"),
    (STEPS, {"buckets": ["3"]}, "buckets='3' must be a whole"), (STEPS, {"buckets": [2.5]}, "buckets=2.5 must be a whole"),
    (STEPS, {"buckets": np.array([3, 4])}, "must be a list"),
])
def test_options_that_do_not_fit_are_refused_by_fit_and_by_a_run(tmp_path, inline, layers, options, reason):
    model = numbers(*layers)
    with pytest.raises(ConfigError, match=reason):
        model.fit(sequences(), np.zeros((64, T, 1)), **options)
    data = prepared(tmp_path, inline, sequences(), np.zeros((64, T, 1)), 2)
    with pytest.raises(ConfigError, match=reason):
        ParameterAveraging(runner="inline", rounds=1, **options).fit(model, data.url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


# averaging

def test_numbers_of_numpy_and_a_tuple_are_options_of_a_run(tmp_path, inline):
    data = prepared(tmp_path, inline, sequences(), targets(sequences()), 2)
    runs = []
    for name, options in (("a", {"tbptt": np.int64(2), "buckets": (2, np.int64(4))}), ("b", {"tbptt": 2, "buckets": [2, 4]})):
        averaging = ParameterAveraging(runner="inline", rounds=2, **options)
        for _ in range(2):                      # the same command goes on with its run
            runs.append(averaging.fit(numbers(*STEPS), data.url, run=str(tmp_path / name)).model.weights.tobytes())
    assert len(set(runs)) == 1


def uneven(n=24):
    """Rows of which half have no step that counts."""
    x = sequences(n, seed=4)
    x[::2] = 0
    x[1::2, 0] = 1
    return x


@pytest.mark.parametrize("options", [{}, {"tbptt": 2}])
def test_workers_without_any_step_change_no_average(tmp_path, inline, options):
    """The oracle where some workers have nothing to learn from in a round, and where none has."""
    x = uneven()
    data, whole = prepared(tmp_path, inline, x, targets(x), 2), not options
    model = numbers(*STEPS, optimizer=SGD(0.1, 0.9 if whole else 0.0))
    result = ParameterAveraging(workers=2, batch_size=1, averaging_frequency=1, epochs=1, seed=3, keep_rounds=99,
                                runner="inline", **options).fit(model, data.url, run=str(tmp_path / "run"))
    run, alone = Run(tmp_path / "run"), numbers(*STEPS, optimizer=model.optimizer)
    shards = [rows(shard) for shard in data.train()]
    orders = [seeds.permutation(len(s["x"]), 3, "rows", 0, shard.index, 0) for s, shard in zip(shards, data.train())]
    learner = Learner(alone, alone.weights, alone.optimizer.start(alone.weights), batch_size=2)
    counted = []
    for r in run.rounds()[1:]:
        joined = {k: np.concatenate([s[k][order[r - 1:r]] for s, order in zip(shards, orders)]) for k in "xy"}
        counted.append(int((joined["x"] != 0).any((1, 2)).sum()))
        if whole:
            learner.step(joined, np.arange(len(joined["x"])), 0, r)
            np.testing.assert_allclose(run.state(r).weights, alone.weights, rtol=1e-10, atol=1e-12)
        elif not counted[-1]:
            assert run.state(r).weights.tobytes() == run.state(r - 1).weights.tobytes()
    assert set(counted) == {0, 1, 2} and np.isfinite(result.history["loss"]).all()


def test_a_round_without_any_step_says_so(tmp_path, inline):
    x = np.zeros((24, T, F))
    data = prepared(tmp_path, inline, x, targets(x), 2)
    with pytest.raises(RunError, match="round 1: all steps of its sequences are masked, so there is nothing to learn from"):
        ParameterAveraging(workers=2, batch_size=4, rounds=1, runner="inline").fit(
            numbers(*STEPS), data.url, run=str(tmp_path / "run"))


def test_a_batch_larger_than_all_shards_is_the_largest(tmp_path, inline):
    x = sequences(40)
    data = prepared(tmp_path, inline, x, targets(x), 2)
    found = [ParameterAveraging(workers=2, batch_size=size, rounds=3, runner="inline").fit(
        numbers(*STEPS), data.url, run=str(tmp_path / str(size))).model.weights.tobytes()
        for size in (max(shard.n for shard in data.train()), 1 << 40)]
    assert found[0] == found[1]
