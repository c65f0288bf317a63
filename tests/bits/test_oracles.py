"""What averaging must equal: one machine at batch W b, one uninterrupted fit, a plain NumPy loop."""
import numpy as np
import pytest
from shards import in_one_fit, rows

import mrdl
from mrdl import ParameterAveraging, seeds
from mrdl.driver import schedule
from mrdl.layers import (
    GRU,
    LSTM,
    Add,
    Bidirectional,
    Concatenate,
    Conv1D,
    Dense,
    Dropout,
    Flatten,
    GravesLSTM,
    Input,
    Masking,
    MaxPooling1D,
    Reshape,
    TimeDistributed,
)
from mrdl.optimizers import SGD, Adagrad, Adam, Nadam, RMSprop
from mrdl.regularizers import L2
from mrdl.runs.run import Run
from mrdl.schedules import ExponentialDecay
from mrdl.training import class_weights, learner

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
CLASS_WEIGHT = {0: 0.5, 1: 2.0, 2: 1.5}


def network(optimizer, dtype="float64", dropout=0.0, l2=0.0):
    model = mrdl.Sequential([Input((5,)), Dense(8, "tanh", kernel_regularizer=L2(l2) if l2 else None),
                             Dropout(dropout), Dense(7, "relu"), Dense(3, "softmax")], dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def convolutional(optimizer, dtype="float64", dropout=0.0, l2=0.0):
    model = mrdl.Sequential([
        Input((5,)), Reshape((5, 1)), Conv1D(4, 3, activation="relu", padding="same", kernel_regularizer=L2(l2)),
        MaxPooling1D(2, 1), Dropout(dropout), Flatten(), Dense(3, "softmax")], dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def two_inputs(optimizer, dtype="float64", dropout=0.0, l2=0.0):
    """A layer that both inputs share, a sum of branches, and another input."""
    a, b = Input((2,)), Input((3,))
    twin = Dense(6, "tanh", kernel_regularizer=L2(l2))
    h, k = twin(Dense(4)(a)), twin(Dense(4, "relu")(b))
    model = mrdl.Model([a, b], Dense(3, "softmax")(Concatenate()([Add()([h, k]), Dropout(dropout)(h), b])), dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def recurrent(optimizer, dtype="float64", dropout=0.0, l2=0.0):
    """From a sequence to one label."""
    model = mrdl.Sequential([
        Input((5,)), Reshape((5, 1)), Bidirectional(LSTM(3, return_sequences=True, recurrent_regularizer=L2(l2))),
        GravesLSTM(4, return_sequences=True), GRU(4), Dropout(dropout), Dense(3, "softmax")], dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def masked(optimizer, dtype="float64", dropout=0.0, l2=0.0):
    """From a sequence to a sequence; the steps where x is 0 do not count, and shards have unequal numbers of the others."""
    model = mrdl.Sequential([
        Input((5, 1)), Masking(), LSTM(3, return_sequences=True, recurrent_regularizer=L2(l2)),
        GravesLSTM(4, return_sequences=True), Dropout(dropout), TimeDistributed(Dense(3, "softmax"))], dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def states(url):
    run = Run(url)
    return [run.state(r) for r in run.rounds()]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.9),
                                       SGD(0.1, momentum=0.9, nesterov=True)], ids=repr)
@pytest.mark.parametrize("kind", [network, convolutional, two_inputs, recurrent, masked])
def test_w_workers_at_frequency_1_equal_one_machine_at_batch_w_b(tmp_path, made, kind, optimizer, workers,
                                                                  dtype):
    """With class and sample weights, L2, uneven shards and an uneven last batch, to the epoch's end."""
    data, b = made(101, shards=workers, steps=kind is masked), 9
    model = kind(optimizer, dtype, l2=0.01)
    class_weight = None if kind is masked else CLASS_WEIGHT
    ParameterAveraging(workers=workers, batch_size=b, averaging_frequency=1, runner="inline",
                       class_weight=class_weight, epochs=1, keep_rounds=1000, seed=5).fit(
        model, data.url, run=str(tmp_path / "run"))
    averaged = states(tmp_path / "run")
    assert len(averaged) - 1 == -(-max(s.n for s in data.train()) // b) >= 3

    vector = averaged[0].vector.copy()
    alone = learner.Learner(model, vector[:averaged[0].parameters],
                            vector[averaged[0].parameters:].reshape(-1, averaged[0].parameters),
                            batch_size=b * workers, class_weight=class_weight)
    shards = {s.index: rows(s) for s in data.train()}
    orders = {i: seeds.permutation(len(a["x"]), 5, "rows", 0, i, 0) for i, a in shards.items()}
    for r, state in enumerate(averaged[1:]):
        index = {i: order[r * b:(r + 1) * b] for i, order in orders.items()}
        joined = {key: np.concatenate([shards[i][key][index[i]] for i in shards])
                  for key in ("x", "y", "w")}
        alone.step(joined, np.arange(len(joined["x"])), 0, r)
        np.testing.assert_allclose(state.vector, vector, rtol=TOLERANCE[dtype],
                                   atol=TOLERANCE[dtype] * abs(vector).max())


def test_class_weights_of_one_hot_targets_are_those_of_their_classes():
    weights = class_weights.by_class({0: 2.0, 2: 0.5}, np.eye(3)[[1, 0, 2, 0]])
    assert weights.tolist() == [1, 2, 0.5, 2]
    assert class_weights.by_class({1: 3.0}, np.array([0.9999, 0.2])).tolist() == [3, 1]


UPDATERS = [SGD(0.05), SGD(0.05, momentum=0.9), SGD(0.05, momentum=0.9, nesterov=True),
            SGD(0.05, global_clipnorm=0.5), RMSprop(0.01), Adam(0.01, clipnorm=0.3),
            Adam(ExponentialDecay(0.01, 10, 0.9)), Nadam(ExponentialDecay(0.01, 10, 0.9), weight_decay=0.1),
            Adam(0.01, amsgrad=True, clipvalue=0.01), Adagrad(0.05)]


@pytest.mark.parametrize("frequency", [1, 3, 100, None])
@pytest.mark.parametrize("optimizer", UPDATERS, ids=repr)
def test_one_worker_at_any_frequency_equals_one_uninterrupted_fit_bit_for_bit(
        tmp_path, made, optimizer, frequency):
    data = made(75, shards=1, dtype="float32")
    model = network(optimizer, "float32", dropout=0.3)
    result = ParameterAveraging(workers=1, batch_size=8, averaging_frequency=frequency, epochs=2,
                                runner="inline", seed=3).fit(model, data.url,
                                                             run=str(tmp_path / "run"))
    twin = in_one_fit(network(optimizer, "float32", dropout=0.3), data)
    assert twin.weights.tobytes() == result.model.weights.tobytes()
    last = states(tmp_path / "run")[-1] if frequency is None else Run(tmp_path / "run").state(
        result.rounds)
    assert last.slots.tobytes() == twin.slots.tobytes()
    assert last.iterations == twin.iterations == 2 * -(-75 // 8)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "rmsprop", "adam"])
def test_a_run_equals_a_plain_numpy_loop(tmp_path, made, name):
    """The network, its gradient, the loss and the updater written again, in float64."""
    data, lr = made(60, shards=1), 0.05
    optimizer = {"sgd": SGD(lr), "momentum": SGD(lr, 0.9), "nesterov": SGD(lr, 0.9, True),
                 "rmsprop": RMSprop(lr), "adam": Adam(lr)}[name]
    model = mrdl.Sequential([Input((5,)), Dense(8, "tanh"), Dense(7, "relu"), Dense(3, "softmax")],
                            dtype="float64").build(seed=3)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    w = [a.copy() for a in model.get_weights()]
    result = ParameterAveraging(workers=1, batch_size=8, averaging_frequency=2, epochs=2,
                                runner="inline", seed=3).fit(model, data.url,
                                                             run=str(tmp_path / "run"))
    whole, m, v, t = rows(data.train()[0]), [0 * a for a in w], [0 * a for a in w], 0
    for epoch in range(2):
        order = seeds.permutation(60, 3, "rows", epoch, 0, 0)
        for start in range(0, 60, 8):
            i = order[start:start + 8]
            x, y, sample = whole["x"][i], whole["y"][i], whole["w"][i]
            h1 = np.tanh(x @ w[0] + w[1])
            h2 = np.maximum(h1 @ w[2] + w[3], 0)
            z = h2 @ w[4] + w[5]
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            d3 = (p - np.eye(3)[y]) * sample[:, None] / len(i)
            d2 = d3 @ w[4].T * (h2 > 0)
            d1 = d2 @ w[2].T * (1 - h1 ** 2)
            g = [x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)]
            t += 1
            for j in range(6):
                if name == "sgd":
                    w[j] -= lr * g[j]
                elif name in ("momentum", "nesterov"):
                    m[j] = 0.9 * m[j] - lr * g[j]
                    w[j] += m[j] if name == "momentum" else 0.9 * m[j] - lr * g[j]
                elif name == "rmsprop":
                    v[j] = 0.9 * v[j] + 0.1 * g[j] ** 2
                    w[j] -= lr * g[j] / np.sqrt(v[j] + 1e-7)
                else:
                    m[j] = 0.9 * m[j] + 0.1 * g[j]
                    v[j] = 0.999 * v[j] + 0.001 * g[j] ** 2
                    rate = lr * np.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t)
                    w[j] -= rate * m[j] / (np.sqrt(v[j]) + 1e-7)
    for mine, theirs in zip(result.model.get_weights(), w, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("frequency", [2, None])
def test_each_example_is_used_exactly_once_an_epoch(tmp_path, made, monkeypatch, shards, frequency):
    data, seen = made(131, shards=shards), []
    step = learner.Learner.step

    def watched(self, arrays, index, key, number):
        seen.extend(arrays["x"][index, 0].tolist())
        step(self, arrays, index, key, number)

    monkeypatch.setattr(learner.Learner, "step", watched)
    ParameterAveraging(workers=3, batch_size=8, averaging_frequency=frequency, epochs=2,
                       runner="inline").fit(network("sgd"), data.url, run=str(tmp_path / "run"))
    every = sorted(np.concatenate([rows(s)["x"][:, 0] for s in data.train()]).tolist() * 2)
    assert sorted(seen) == every


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_mappers_are_shards_and_inline_and_local_give_the_same_bits(tmp_path, made, shards):
    data, ends = made(131, shards=shards, hold_out=0.2, dtype="float32"), []
    for runner in ("inline", "local"):
        run = str(tmp_path / runner)
        ParameterAveraging(workers=shards, batch_size=8, averaging_frequency=3, rounds=4,
                           runner=runner).fit(network("adam", "float32", dropout=0.2), data.url,
                                              run=run)
        first = Run(run).records()[1]
        assert first["workers"] == shards and first["present"] == sum(s.n for s in data.train())
        ends.append([Run(run).state(r).vector.tobytes() for r in (3, 4)])
        assert "val_loss" in Run(run).finished()["metrics"]
    assert ends[0] == ends[1]


def test_averaging_adam_is_not_one_machine_and_that_is_known(tmp_path, made):
    """Its second moments are squares: the mean of two workers' is not that of their joined batch."""
    data = made(64, shards=2)
    model = network(Adam(0.01))
    ParameterAveraging(workers=2, batch_size=8, averaging_frequency=1, rounds=1, runner="inline",
                       seed=5).fit(model, data.url, run=str(tmp_path / "run"))
    before, after = (Run(tmp_path / "run").state(r) for r in (0, 1))
    vector = before.vector.copy()
    alone = learner.Learner(model, vector[:before.parameters],
                            vector[before.parameters:].reshape(2, -1), batch_size=16)
    shards = {s.index: rows(s) for s in data.train()}
    index = {i: seeds.permutation(len(a["x"]), 5, "rows", 0, i, 0)[:8] for i, a in shards.items()}
    alone.step({k: np.concatenate([shards[i][k][index[i]] for i in shards]) for k in "xyw"},
               np.arange(16), 0, 0)
    m, v = vector[before.parameters:].reshape(2, -1)
    np.testing.assert_allclose(after.slots[0], m, rtol=1e-10, atol=1e-14)
    assert abs(after.slots[1] - v).max() > 1e-3 * abs(v).max()


@pytest.mark.parametrize("optimizer, initial", [("adam", 0.0), (Adagrad(0.1, 0.3), 0.3)])
def test_without_save_updater_slots_and_step_count_start_again_each_round(tmp_path, made, optimizer, initial):
    data = made(64, shards=2)
    ParameterAveraging(workers=2, batch_size=8, averaging_frequency=2, rounds=3, runner="inline",
                       save_updater=False, keep_rounds=9).fit(
        network(optimizer), data.url, run=str(tmp_path / "run"))
    for state in states(tmp_path / "run"):
        assert state.iterations == 0 and state.slots.size and (state.slots == initial).all()


def test_the_plan_deals_every_shard_once_an_epoch_in_an_order_of_its_own(made):
    data = made(131, shards=7)
    for epoch in range(3):
        dealt = [s.index for group in schedule.groups(data.train(), 3, 0, epoch) for s in group]
        assert sorted(dealt) == list(range(7))
    assert schedule.groups(data.train(), 3, 0, 0) != schedule.groups(data.train(), 3, 0, 1)
