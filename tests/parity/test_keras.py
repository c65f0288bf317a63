"""Models that Keras wrote, models that Keras has read, and its scores: the same numbers."""
import json
from pathlib import Path

import numpy as np
import pytest

import mrdl
from mrdl import metrics as m
from mrdl.initializers import Constant, VarianceScaling
from mrdl.layers import Activation, Dense, Dropout, Flatten, Input, Rescaling, Reshape
from mrdl.losses import BinaryCrossentropy, MeanSquaredError
from mrdl.optimizers import SGD, Adam
from mrdl.regularizers import L1L2
from mrdl.schedules import ExponentialDecay

DATA = Path(__file__).parents[1] / "support/from_keras"
# Written by Keras 3.15.1: to_json(), get_weights(), x and predict(x) of four models, among them
# activations and losses given as functions, and a model without an Input
MODELS = json.loads((DATA / "keras_models.json").read_text())
# mrdl's to_json() of three models, read by keras.models.model_from_json, which was given their
# weights: predict(x), and evaluate(x, t, return_dict=True) once compile_from_config had been called
READ_BY_KERAS = json.loads((DATA / "keras_reads_mrdl.json").read_text())
# see test_optimizers.py: weights after 20 updates, and evaluate(batch_size=4)
TRAINED = json.loads((DATA / "keras_training.json").read_text())


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case["name"])
def test_a_model_that_keras_wrote_predicts_the_same(case):
    model = mrdl.model_from_json(json.dumps(case["spec"]))
    model.set_weights([np.array(w) for w in case["weights"]])
    got = model.predict(np.array(case["x"], "f4"))
    np.testing.assert_allclose(got, case["y"], rtol=1e-5, atol=1e-6)
    names = [c["config"]["name"] for c in case["spec"]["config"]["layers"]
             if c["class_name"] != "InputLayer"]
    assert model.names() == names and model.name == case["spec"]["config"]["name"]
    again = mrdl.model_from_json(model.to_json())
    assert again.to_json() == model.to_json()
    assert (again.build().load_weights(model.to_safetensors()).predict(np.array(case["x"], "f4"))
            == got).all()


def test_the_settings_of_keras_are_read_too():
    models = {case["name"]: mrdl.model_from_json(json.dumps(case["spec"])) for case in MODELS}
    assert models["every layer"].optimizer == Adam(ExponentialDecay(0.01, 10, 0.9))
    assert models["every layer"].metrics == ["accuracy"]
    middle = models["softmax in the middle"]
    assert middle.optimizer == SGD(float(np.float32(0.1)), 0.9, True, global_clipnorm=1.0)
    assert middle.loss == BinaryCrossentropy()
    assert middle.named_metrics() == {"binary_accuracy": m.BinaryAccuracy("binary_accuracy", threshold=0.4),
                                      "mae": m.MeanAbsoluteError()}
    assert models["not compiled"].loss is None
    function = models["rmsprop, loss as a function"]
    assert function.loss == MeanSquaredError() and set(function.named_metrics()) == {"mse", "far"}
    dense = models["every layer"].layers[2]
    assert dense.kernel_regularizer.l2 == pytest.approx(1e-3)
    assert dense.bias_regularizer.l1 == pytest.approx(0.01)


def written():
    """The models of keras_reads_mrdl.json."""
    rich = mrdl.Sequential([
        Input((2, 4)), Rescaling(0.5, 1.0), Flatten(),
        Dense(6, "relu", kernel_regularizer=L1L2(0.1, 0.2), kernel_initializer="he_normal",
              bias_initializer=Constant(0.5)),
        Dropout(0.5), Dense(4, kernel_initializer=VarianceScaling(2.0, "fan_out", "uniform", seed=3)),
        Activation("tanh"), Reshape((2, -1)), Flatten(), Dense(3, "softmax", use_bias=False)],
        name="from_mrdl")
    rich.compile(Adam(ExponentialDecay(0.01, 10, 0.9), clipnorm=1.0),
                 "sparse_categorical_crossentropy",
                 metrics=["accuracy", m.SparseCategoricalAccuracy(name="right")])
    named = mrdl.Sequential([Input(3), Dense(4, "sigmoid", name="own"), Dense(4, "softmax"),
                             Dense(2, bias_regularizer="l2"), Dense(1, "sigmoid")])
    named.compile(SGD(0.1, momentum=0.9, nesterov=True), BinaryCrossentropy(),
                  metrics=["accuracy", "mae", m.BinaryAccuracy(threshold=0.4), m.MeanSquaredError()])
    plain = mrdl.Sequential([Input(3), Dense(2)])
    plain.compile("rmsprop", "mse")
    return [rich, named, plain]


@pytest.mark.parametrize("number", range(3))
def test_what_mrdl_writes_keras_has_read_with_the_same_forward_and_scores(number):
    model, case = written()[number], READ_BY_KERAS[number]
    assert json.loads(model.to_json()) == case["spec"]
    model.set_weights([np.array(w, "f4") for w in case["weights"]])
    x, t = np.array(case["x"], "f4"), np.array(case["t"])
    np.testing.assert_allclose(model.predict(x), case["y"], rtol=1e-5, atol=1e-6)
    scores = model.evaluate(x, t, return_dict=True)
    for name, value in case["evaluate"].items():
        assert scores[name] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("case", TRAINED, ids=lambda case: case["name"])
def test_scores_have_the_names_and_values_of_keras_with_weights_and_an_uneven_last_batch(case):
    model = mrdl.model_from_json(json.dumps(case["spec"]))
    model.set_weights([np.array(w) for w in case["after"]])
    w = None if case["w"] is None else np.array(case["w"])
    got = model.evaluate(np.array(case["x"]), np.array(case["y"]), sample_weight=w, batch_size=4, return_dict=True)
    assert set(got) == set(case["evaluate"])
    for name, value in case["evaluate"].items():
        assert got[name] == pytest.approx(value, rel=2e-7)


def test_soft_targets_are_right_only_where_they_are_met_as_in_keras():
    y, t = np.array([[0.7, 0.7, 0.2]]), np.array([[1.0, 0.7, 0.0]])
    assert m.BinaryAccuracy().each(y, t).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("layers, loss, metric, wanted", [
    ([Dense(3, "softmax")], "sparse_categorical_crossentropy", "accuracy",
     m.SparseCategoricalAccuracy()),
    ([Dense(3, "softmax")], "categorical_crossentropy", "acc", m.CategoricalAccuracy()),
    ([Dense(1, "sigmoid")], "binary_crossentropy", "Accuracy", m.BinaryAccuracy()),
    ([Dense(3, "sigmoid")], "binary_crossentropy", "accuracy", m.CategoricalAccuracy()),
    ([Dense(1)], "mse", "accuracy", m.BinaryAccuracy()),
    ([Dense(4), Reshape((4, 1))], "mse", "accuracy", m.BinaryAccuracy()),
])
def test_accuracy_takes_the_form_that_keras_takes(layers, loss, metric, wanted):
    model = mrdl.Sequential([Input(2), *layers])
    model.compile("sgd", loss, metrics=[metric])
    assert model.named_metrics() == {metric: wanted}
