"""A network whose weights are read layer by layer computes the bits of one that has them in memory."""
import io

import numpy as np
import pytest
import test_levels

from mrdl import Model, Sequential, limits
from mrdl.layers import Dense, Input, Rescaling
from mrdl.metrics import plain
from mrdl.rounds.state import State, StateError
from mrdl.training import moments
from mrdl.training.layerwise import Layerwise
from mrdl.training.scoring import Scorer

OF_FEATURES = [lambda layers=layers: Sequential([Input((21,)), Rescaling(1 / 100, -1), *layers, Dense(5, "softmax")])
               for layers in test_levels.LAYERS]
OF_IDS = [lambda layers=layers: Sequential([Input((21,)), *layers, *test_levels.AFTER_IDS, Dense(5, "softmax")]) for layers in test_levels.IDS]
OTHERS = [lambda: Model(*test_levels.merging()), lambda: Sequential([Input((21,), sparse=True), Dense(18, "tanh", kernel_regularizer="l2"), Dense(5, "softmax")])]


def stored(vector, before=b"abc"):
    return Layerwise(io.BytesIO(before + vector.tobytes()), len(before), len(vector), vector.dtype)


@pytest.mark.parametrize("kind", [*OF_FEATURES, *OF_IDS, *OTHERS])
def test_every_layer(kind):
    rng, model = np.random.default_rng(0), kind().build(seed=1)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, sequences = rng.integers(0, 256, (40, 21)).astype("u1"), len(model.output_shape) == 2
    vector = model.weights + np.float32(0.1) * rng.random(len(model.weights), "f4")
    found = []
    for weights in (vector, stored(vector)):
        model.weights, scorer = weights, Scorer(model, weights, 16)
        scorer.add({"x": x, "y": x % 5 if sequences else x[:, 0] % 5})
        moved = moments.pooled(model, weights, model.moments(), 16, [(len(x), {"x": x})])
        found.append((model.predict(x, 16).tobytes(), plain(scorer.sums), [[np.asarray(value).tobytes() for value in each] for each in moved]))
    assert found[0] == found[1]
    assert len(weights.room) == max(sum(weight.size for weight in step.weights) for step in model.stack())


def test_a_file_that_became_shorter_is_an_error():
    with pytest.raises(OSError, match="shorter than it was"):
        stored(np.arange(3, dtype="f4"))[2:4]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_weights_that_are_much_of_the_memory_stay_in_the_file(elsewhere, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mrdl.rounds.state.PART", 7)
    if elsewhere:                               # a storage that is not this machine's disk
        monkeypatch.setattr("mrdl.rounds.state.Local", io.BytesIO)
    state, path = State(np.arange(30, dtype="f4"), 10), tmp_path / "state"
    path.write_bytes(data := state.dump())
    for memory, kind in ((320, np.ndarray), (319, Layerwise)):
        monkeypatch.setattr(limits, "task", lambda memory=memory: memory)
        path.write_bytes(data)
        found = State.weights_of(str(path))
        path.unlink()                           # as the driver does with old states
        assert isinstance(found, kind) and len(found) == 10 and found[2:9].tolist() == list(range(2, 9))
        path.write_bytes(data[:-1] + b"\0")
        with pytest.raises(StateError, match="its vector is damaged"):
            State.weights_of(str(path))
    path.write_bytes(State(np.arange(30, dtype="f4"), 31).dump())
    with pytest.raises(StateError, match="does not fit its parameters"):
        State.weights_of(str(path))


def test_the_memory_of_a_task(monkeypatch):
    monkeypatch.delenv("mapreduce_map_memory_mb", raising=False)
    monkeypatch.setattr(limits.resource, "getrlimit", lambda kind: (-1, -1))
    assert limits.task() == limits.machine()
    monkeypatch.setenv("mapreduce_map_memory_mb", "512")
    assert limits.task() == 512 << 20
    monkeypatch.setattr(limits.resource, "getrlimit", lambda kind: (1 << 28, -1))
    assert limits.task() == 1 << 28
