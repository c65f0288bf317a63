"""Functional models in Keras itself: the same outputs, scores and training, and the same JSON back."""
import keras
import numpy as np
import pytest
from graphs import GRAPHS, LOSSES, arrays, made
from keras_twins import of_keras

import mrdl
from mrdl.data.tables.kinds import Categorical, Numeric, Text, Weight
from mrdl.driver.embedding import embedded
from mrdl.layers import Dense
from mrdl.optimizers import SGD

# Keras's own, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_computes_and_scores_as_in_keras_and_its_json_comes_back(name):
    model = made(name).build(seed=1)
    x, y = arrays(model, 20)
    twin, single = of_keras(model), len(model.heads()) == 1
    assert ["/".join(w.path.split("/")[-2:]) for w in twin.weights] == [
        f"{step.name}/{weight.name}" for step, weight, _ in model.places()]
    wanted, got = twin.predict(x if len(x) > 1 else x[0], verbose=0), model.predict(x)
    for mine, theirs in zip([got] if single else got, [wanted] if single else wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    assert mrdl.model_from_json(twin.to_json()).get_config() == model.get_config()
    twin.compile("sgd", [LOSSES[n] for n in (model.output_names() if not single else [""])],
                 loss_weights=model.loss_weights, metrics=[["accuracy"], ["mse"]][:len(model.heads())])
    wanted = twin.evaluate(x if len(x) > 1 else x[0], y if len(y) > 1 else y[0], verbose=0, return_dict=True)
    got = model.evaluate(x, y, return_dict=True)
    assert set(got) == set(wanted)
    for key, value in wanted.items():
        assert got[key] == pytest.approx(value, rel=2e-5), key
    in_order = twin.evaluate(x if len(x) > 1 else x[0], y if len(y) > 1 else y[0], 32, 0)
    assert model.evaluate(x, y, 32, 0) == pytest.approx(in_order, rel=2e-5)


def test_a_compiled_model_that_keras_wrote_is_read_with_its_losses_by_name():
    twin = of_keras(made("two outputs").build())
    twin.compile("adam", {"kind": LOSSES["kind"], "size": "mse"}, metrics={"kind": ["accuracy"]},
                 loss_weights={"size": 0.5})
    model = mrdl.model_from_json(twin.to_json())
    assert [(h.name, h.weight, list(h.metrics)) for h in model.heads()] == [
        ("kind", 1.0, ["accuracy"]), ("size", 0.5, [])]


@pytest.mark.parametrize("name", ["two outputs", "shared", "images"])
def test_a_graph_trains_as_in_keras(name):
    model = made(name, optimizer=SGD(0.1, momentum=0.9)).build(seed=1)
    x, y = arrays(model, 12)
    twin = of_keras(model)
    twin.compile(keras.optimizers.SGD(0.1, momentum=0.9), [LOSSES[h.name] for h in model.heads()],
                 loss_weights=model.loss_weights)
    model.fit(x, y, batch_size=12, epochs=6)
    twin.fit(x, y if len(y) > 1 else y[0], batch_size=12, epochs=6, shuffle=False, verbose=0)
    for mine, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-5)


def test_a_network_of_columns_computes_as_in_keras():
    columns = {"a": Numeric(mean=0), "w": Weight(), "city": Categorical(vocabulary=("x", "y"), encode_as="index"), "b": Numeric(mean=0),
               "sex": Categorical(vocabulary=("m", "f")), "a/b": Text(hash=3, length=4)}
    inputs, x = embedded(columns, ([1, 0, 2, 0, 0, 0, 0, 0, 0, 0], [4, 1, 9, 1, 1, 1, 1, 1, 1, 1]), 8)
    model = mrdl.Model(inputs, Dense(3, "softmax")(x)).build(seed=1)
    assert model.input_shapes() == [(1,), (1,), (4,), (4,)] and model.input_names()[1] == "city"
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((20, 1)), rng.integers(0, 4, (20, 1)), rng.standard_normal((20, 4)), rng.integers(0, 9, (20, 4))]
    np.testing.assert_allclose(of_keras(model).predict([part.astype("f4") for part in x], verbose=0), model.predict(x), rtol=1e-5, atol=1e-5)
