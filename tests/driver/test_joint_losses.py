"""Losses of whole minibatches in rounds: one worker is one fit; and where a row has no loss of its own."""
import numpy as np
import pytest
from averaged import averaging
from shards import in_one_fit

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import Dense, LayerNormalization, Rescaling
from mrdl.losses import CategoricalGeneralizedCrossEntropy, Circle, Dice
from mrdl.training.scoring import Scorer


def network(loss):
    last = [LayerNormalization(center=False, scale=False), Rescaling(3 ** -0.5)] if isinstance(loss, Circle) else []
    model = mrdl.Sequential([Dense(8, "relu"), Dense(3, None if last else "softmax"), *last])
    model.compile("adam", loss)
    return model


@pytest.mark.parametrize("loss", [Circle(4.0), CategoricalGeneralizedCrossEntropy()], ids=lambda loss: type(loss).__name__)
def test_one_worker_is_one_fit_and_two_take_minibatches_of_their_own(tmp_path, made, loss):
    data = made(60, shards=1, dtype="float32")
    one = averaging(workers=1, epochs=2, seed=3, averaging_frequency=None).fit(network(loss), data.url, run=str(tmp_path / "1")).model
    two = averaging(epochs=2, seed=3).fit(network(loss), made(60, shards=2, dtype="float32", name="two").url, run=str(tmp_path / "2")).model
    twin = in_one_fit(network(loss), data)
    assert (twin.weights == one.weights).all() and (one.weights != two.weights).any() and np.isfinite(two.weights).all()


def test_a_row_has_no_loss_of_its_own():
    model, arrays = mrdl.Sequential([Dense(2, "sigmoid")]).build((3,)), {"x": np.ones((4, 3), "f4"), "y": np.ones((4, 2), "f4")}
    model.compile("sgd", "dice")
    with pytest.raises(ConfigError, match="Dice is of a whole minibatch: an example has no loss of its own"):
        Scorer(model, model.weights).losses(arrays)
    model.compile("sgd", Dice(axis=1))
    each = Scorer(model, model.weights).losses(arrays)
    assert each.mean() == pytest.approx(model.evaluate(arrays["x"], arrays["y"], verbose=0), rel=1e-6)
