"""A learner that begins anew is as good as a new one: resident workers use theirs from round to round."""
import numpy as np
import pytest
from test_levels import AFTER_IDS, IDS, LAYERS, UPDATERS, merging

import mrdl
from mrdl.layers import LSTM, Dense, Dropout, Input, Rescaling, Reshape
from mrdl.training.learner import Learner

BATCH = 11


def of(layers, optimizer="adam", **given):
    model = mrdl.Sequential([Input((21,), **given), *layers, Dense(5, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def whole():
    model = mrdl.Model(*merging())
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


MODELS = {
    "layers": lambda: [of([Rescaling(1 / 100, -1), *layers]) for layers in LAYERS],
    "graph": lambda: [whole()],
    "updaters": lambda: [of([Rescaling(1 / 100, -1), Dense(9, "relu"), Dropout(0.3)], updater) for updater in UPDATERS],
    "sparse": lambda: [of([Dense(4, "tanh")], updater, sparse=True) for updater in ("adam", "sgd")],
    "ids": lambda: [of([*layers, *AFTER_IDS], "rmsprop") for layers in IDS],
    "stateful": lambda: [of([Reshape((7, 3)), LSTM(4, stateful=True)])]}


@pytest.mark.parametrize("kind", MODELS)
def test_a_learner_that_begins_anew_is_as_good_as_a_new_one(kind):
    x = np.random.default_rng(0).integers(0, 256, (4 * BATCH, 21)).astype("u1")
    x = np.where(x < 200, 0, x) if kind == "sparse" else x
    arrays = {"x": x, "y": x % 5 if kind == "ids" else x[:, 0] % 5}
    for model in MODELS[kind]():
        model.build()

        def steps(learner, numbers):
            for number in numbers:
                learner.step(arrays, np.arange(number * BATCH, (number + 1) * BATCH), 7, number)
        begun = model.weights.copy(), model.optimizer.start(model.weights)
        new, used = ([array.copy() for array in begun] for _ in range(2))
        fresh, old = (Learner(model, *given, batch_size=BATCH, iterations=3) for given in (new, used))
        steps(old, [2, 3])
        for array, first in zip(used, begun):
            array[:] = first
        old.begin(3, 1.0)
        for learner in fresh, old:
            steps(learner, [0, 1])
        assert [a.tobytes() for a in new] == [a.tobytes() for a in used], [type(layer).__name__ for layer in model.layers]
        assert (repr(fresh.sums), fresh.terms, fresh.updates) == (repr(old.sums), old.terms, old.updates)
