"""Constraints within rounds: each worker's weights obey them, and a round is a fit."""
import numpy as np
import pytest
from shards import in_one_fit, rows

import mrdl
from mrdl import ParameterAveraging
from mrdl.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from mrdl.driver.schedule import chunk_keys
from mrdl.layers import Dense, Input
from mrdl.optimizers import SGD
from mrdl.rounds.partial import RECORD
from mrdl.rounds.plan import Plan, name
from mrdl.runs.run import Run
from mrdl.worker import answer


def norms(w, axis=0):
    return np.sqrt(np.square(w, dtype="f8").sum(axis))


# what holds of a kernel [in, out], and whether it survives a mean
TABLE = [
    (MaxNorm(0.5), lambda w: norms(w).max() < 0.5 + 1e-6, True),
    (MaxNorm(0.7, [0, 1]), lambda w: norms(w, None) < 0.7 + 1e-6, True),
    (NonNeg(), lambda w: w.min() >= 0, True),
    (UnitNorm(), lambda w: abs(norms(w) - 1).max() < 1e-5, False),
    (MinMaxNorm(0.8, 0.9), lambda w: norms(w).min() > 0.8 - 1e-5 and norms(w).max() < 0.9 + 1e-5, False),
]


def network(constraint):
    model = mrdl.Sequential([Input(5), Dense(8, "tanh", kernel_constraint=constraint),
                             Dense(3, "softmax", kernel_constraint=constraint)])
    model.compile(SGD(0.5, momentum=0.9), "sparse_categorical_crossentropy")
    return model.build(seed=1)


def kernels(model, weights):
    return [weight.to_keras(weights[start:start + weight.size]) for _, weight, start in model.places()
            if weight.name == "kernel"]


def emitted(run, model, data, seed):
    """What each worker of the first round emits, and how many examples it trained on."""
    state, found = Run(run).state(0), []
    keys = chunk_keys(len(state.vector), 1)
    for slot, shard in enumerate(data.train()):
        asked = Plan(model.to_json(), 1, 0, 0, None, 8, seed, keys, train={name(data.uid, shard.index): slot})
        path = Run(run).store.path("plan.json")
        with open(path, "wb") as file:
            file.write(asked.dump())
        with open(shard.path, "rb") as file:
            parts = list(answer.work((line.rstrip(b"\n") for line in file), Run(run).state_path(0), path))
        assert all("error" not in p.values for chunk, p in parts if chunk == RECORD)
        found.append((shard.n, np.concatenate([p.values for chunk, p in parts if chunk != RECORD])))
    return found


@pytest.mark.parametrize("constraint, holds, survives", TABLE, ids=[repr(c) for c, *_ in TABLE])
def test_each_workers_weights_obey_their_constraint_after_a_round(tmp_path, made, constraint, holds, survives):
    data, model, run = made(150, shards=3, dtype="float32"), network(constraint), str(tmp_path / "run")
    ParameterAveraging(workers=3, batch_size=8, rounds=1, runner="inline", seed=5, keep_rounds=9).fit(
        model, data.url, run=run)
    found, merged = emitted(run, model, data, 5), Run(run).state(1).vector
    mean = sum(n * w.astype("f8") for n, w in found) / sum(n for n, _ in found)
    np.testing.assert_allclose(merged, mean, rtol=1e-6, atol=1e-7)      # those are what was averaged
    for _, w in found:
        assert all(map(holds, kernels(model, w)))
    assert not survives or all(map(holds, kernels(model, merged)))
    free = network(None)
    for shard in data.train():                  # without it, it does not hold
        free.fit(rows(shard)["x"], rows(shard)["y"], batch_size=8)
        assert not any(map(holds, kernels(free, free.weights)))


@pytest.mark.parametrize("constraint, holds, survives", TABLE, ids=[repr(c) for c, *_ in TABLE])
def test_one_workers_rounds_are_one_fit_bit_for_bit_under_a_constraint(tmp_path, made, constraint, holds, survives):
    data, twin = made(75, shards=1, dtype="float32"), network(constraint)
    result = ParameterAveraging(workers=1, batch_size=8, averaging_frequency=3, epochs=2, runner="inline", seed=3).fit(
        network(constraint), data.url, run=str(tmp_path / "run"))
    in_one_fit(twin, data)
    assert twin.weights.tobytes() == result.model.weights.tobytes()
    assert all(map(holds, kernels(twin, twin.weights)))
