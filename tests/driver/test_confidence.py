"""Weights averaged by how much each worker knows of them (Vowpal Wabbit's)."""
import numpy as np
import pytest
from averaged import averaging, died, network, same_there, whole
from by_hand import by_hand, run_of

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import BatchNormalization, Dense, Input
from mrdl.optimizers import OPTIMIZERS, Adagrad, Adam, RMSprop
from mrdl.rounds.confidence import Confidence
from mrdl.runs.commits import RunError


def of_vw(weights, squares):
    """accumulate.cc: w = sum a_i w_i / sum a_i; a = sum a_i^2 / sum a_i."""
    total = squares.sum(0)
    return (squares * weights).sum(0) / total, (squares ** 2).sum(0) / total


@pytest.mark.parametrize("dtype, close", [("f8", 1e-12), ("f4", 1e-6)])
def test_reducers_means_of_what_workers_send_give_vowpal_wabbits_weights(dtype, close):
    rng, P, sizes = np.random.default_rng(0), 50, np.array([3, 700, 41])
    before = np.stack([rng.standard_normal(P), rng.random(P) * 1e-9, rng.standard_normal(P)]).astype(dtype)
    before[1, :5] = 0                           # nothing known before
    after = before + np.stack([rng.standard_normal((3, P)), rng.random((3, P)) * 10.0 ** rng.integers(-14, 2, P), rng.random((3, P))], 1)
    after = after.astype(dtype)
    after[:, :2, 3] = before[:2, 3]             # nor then: the weight stays
    rounds = [Confidence(before.reshape(-1), P, 0, [slice(7, 9)]) for _ in sizes]
    sent = [own.sent(vector.reshape(-1), n).astype(float) for own, vector, n in zip(rounds, after, sizes)]
    mean = (sizes @ np.array(sent) / sizes.sum()).astype(dtype)
    found = rounds[0].joined(mean).reshape(3, P)
    weights, squares = of_vw(after[:, 0].astype(float), np.where(np.arange(P) == 3, 1.0, after[:, 1]))
    squares[3] = 0
    plain = sizes @ after.reshape(3, -1).astype(float).reshape(3, 3 * P) / sizes.sum()
    weights[7:9] = plain[7:9]
    np.testing.assert_allclose(found[0], weights, rtol=close, atol=close)
    np.testing.assert_allclose(found[1], squares, rtol=10 * close)
    np.testing.assert_allclose(found[2], plain[2 * P:], rtol=close, atol=close)


@pytest.mark.parametrize("optimizer, slot, rate", [(Adagrad(0.3), 0, 1.0), (RMSprop(0.05), 0, 0.5), (Adam(0.05), 1, 1.0)])
def test_a_run_is_that(tmp_path, made, optimizer, slot, rate):
    data = made(80, shards=2)

    def merged(r, given, vectors):
        vectors, mean = np.array(vectors), np.mean(vectors, 0)
        weights, mean[1 + slot] = of_vw(vectors[:, 0], vectors[:, 1 + slot])
        mean[0] = given[0][0] + rate * (weights - given[0][0])
        return [mean, mean]
    wanted = by_hand(data, network(optimizer=optimizer, dtype="float64"), 3, merged)[0]
    model, run = run_of(tmp_path, data, network(optimizer=optimizer, dtype="float64"), rounds=3, outer=f"confidence learning_rate {rate}")
    np.testing.assert_allclose(run.state(3).vector, wanted.reshape(-1), rtol=1e-9, atol=1e-13)
    P = model.weights.size
    assert run.history()[0]["bytes"] == 2 * 8 * P * (3 + len(model.slots) - 1)      # one vector more


def test_a_weight_that_one_worker_knows_of_is_that_workers():
    """By the mean the first would be halved, as the other worker did not move it."""
    before = np.zeros((2, 3))
    after = np.stack([before + [[0.5, 0.1, 0.1], [4.0, 4.0, 4.0]], before + [[0.0, 0.3, 0.1], [1e-3, 4.0, 4.0]]])
    rounds = Confidence(before.reshape(-1), 3, 0, [])
    found = rounds.joined(np.mean([rounds.sent(vector.reshape(-1), 5) for vector in after], 0)).reshape(2, 3)
    np.testing.assert_allclose(found[0], [0.5, 0.2, 0.1], atol=2e-4)
    np.testing.assert_allclose(found[1], [4.0, 4.0, 4.0], atol=1e-3)


OPTIONS = {"outer": "confidence", "rounds": 6, "validation_freq": None}


@pytest.mark.parametrize("runner, resident", [("local", "never"), ("local", "always")])
def test_all_runners_and_kinds_of_rounds_give_the_same_bits(tmp_path, made, runner, resident):
    assert same_there(made(100, shards=2).url, tmp_path, runner, resident, **OPTIONS)


def test_a_run_that_dies_goes_on_to_the_same_bits_and_moving_means_are_means(tmp_path, made):
    data, options = made(100, shards=3).url, OPTIONS | {"warm_start": 1}

    def model():
        made = mrdl.Sequential([Input(5), BatchNormalization(), Dense(3, "softmax")])
        made.compile(Adagrad(0.1), "sparse_categorical_crossentropy")
        return made
    averaging(**options).fit(model(), data, run=str(tmp_path / "once"))
    died(model(), data, tmp_path / "run", 4, **options)
    assert whole(tmp_path / "run") == whole(tmp_path / "once")
    found = [{w.name: done.weights[start:start + w.size].copy() for _, w, start in done.places()} for done in (
        averaging(outer=rule, rounds=1, averaging_frequency=1).fit(model(), data, run=str(tmp_path / str(rule))).model for rule in (None, "confidence"))]
    np.testing.assert_array_equal(found[0]["moving_variance"], found[1]["moving_variance"])
    assert abs(found[0]["kernel"] - found[1]["kernel"]).max() > 1e-4


def test_what_knows_nothing_is_refused(tmp_path, made):
    for more in ({"compress": "int8"}, {"save_updater": False}, {"save_updater": "keep"}):
        with pytest.raises(RunError, match="outer confidence needs what workers' updaters know"):
            averaging(outer="confidence", **more).options()
    with pytest.raises(ConfigError, match="outer confidence needs an optimizer that keeps squares of gradients: .* not SGD"):
        averaging(outer="confidence", rounds=1).fit(network(optimizer="sgd"), made(60).url, run=str(tmp_path / "run"))
    assert {cls.__name__ for cls in OPTIMIZERS if cls.squares is not None} == {"Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW", "Nadam"}
