"""fit, evaluate and predict on arrays: their promises, and what they refuse."""
import numpy as np
import pytest
from models import arrays, bits, classifier

import mrdl
from mrdl import metrics as m
from mrdl.config import ConfigError
from mrdl.layers import Dense, Flatten, Input, Masking, Rescaling, Reshape
from mrdl.losses import CategoricalCrossentropy
from mrdl.optimizers import OPTIMIZERS, SGD, Adam
from mrdl.training.learner import Learner


@pytest.mark.parametrize("optimizer", [c() for c in OPTIMIZERS] + [SGD(momentum=0.9, clipnorm=0.1)],
                         ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(optimizer, dtype):
    x, y = arrays()

    def trained(seed):
        model = classifier(optimizer, dtype)
        model.fit(x, y, epochs=2, batch_size=16, seed=seed)
        return model

    a, b, c = trained(1), trained(1), trained(2)
    assert bits(a) == bits(b) != bits(c) and a.weights.dtype == dtype
    assert a.iterations == 2 * 4 and np.isfinite(a.weights).all()


def test_two_fits_are_one_where_the_epochs_go_on():
    x, y = arrays()
    once, twice = classifier(), classifier()
    whole = once.fit(x, y, epochs=3, batch_size=16, seed=3)
    twice.fit(x, y, epochs=1, batch_size=16, seed=3)
    rest = twice.fit(x, y, epochs=3, initial_epoch=1, batch_size=16, seed=3)
    assert bits(once) == bits(twice) and once.iterations == twice.iterations
    assert rest.epoch == [1, 2] and whole.epoch == [0, 1, 2]
    assert rest.history["loss"] == whole.history["loss"][1:]


def test_fit_learns_and_its_history_has_the_names_of_keras():
    x, y = arrays(600)
    model = classifier(Adam(0.01))
    history = model.fit(x, y, epochs=15, validation_data=arrays(200, 1)).history
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(values) == 15 for values in history.values())
    assert history["val_accuracy"][-1] > 0.9 and history["loss"][-1] < history["loss"][0] / 2
    scores = model.evaluate(*arrays(200, 1), return_dict=True)
    assert scores == {"loss": history["val_loss"][-1], "accuracy": history["val_accuracy"][-1]}


def test_the_loss_of_an_epoch_is_the_mean_over_its_examples_with_penalties():
    x, y = arrays(10)
    model = classifier(SGD(0.0))
    model.layers.pop(1)                                 # no dropout: fit and evaluate agree
    history = model.fit(x, y, batch_size=4, epochs=1).history
    scores = model.evaluate(x, y, batch_size=3, return_dict=True)
    assert history["loss"][0] == pytest.approx(scores["loss"], rel=1e-6)
    w = model.get_weights()[0].astype("f8")
    penalty = (1e-4 * abs(w) + 1e-3 * w ** 2).sum()
    p = model.predict(x)[np.arange(10), y].astype("f8")
    assert scores["loss"] == pytest.approx(penalty - np.log(p).mean(), rel=1e-6)


def test_validation_data_may_bring_weights():
    x, y = arrays()
    w = np.linspace(0, 2, len(x))
    history = classifier().fit(x, y, validation_data=(x, y, w), epochs=1).history
    model = classifier()
    model.fit(x, y, epochs=1)
    assert history["val_loss"] == [model.evaluate(x, y, sample_weight=w, return_dict=True)["loss"]]
    assert history["val_loss"] != [model.evaluate(x, y, return_dict=True)["loss"]]


def test_class_weights_are_sample_weights_and_multiply_them():
    x, y = arrays()
    given = {0: 2.0, 2: 0.5}
    by_class = np.array([2.0, 1.0, 0.5], "f4")[y]
    w = np.random.default_rng(0).random(len(x)).astype("f4")
    for sample_weight, wanted in ((None, by_class), (w, w * by_class)):
        a, b = classifier(), classifier()
        a.fit(x, y, class_weight=given, sample_weight=sample_weight)
        b.fit(x, y, sample_weight=wanted)
        assert bits(a) == bits(b)


@pytest.mark.parametrize("targets", [lambda y: np.eye(3, dtype="f4")[y],
                                     lambda y: np.eye(3, dtype="i8")[y] * 5])
def test_the_class_of_a_target_that_is_a_vector_is_its_largest(targets):
    x, y = arrays()
    by_class = np.array([2.0, 1.0, 0.5], "f4")[y]
    a, b = (classifier(loss="categorical_crossentropy") for _ in range(2))
    a.fit(x, targets(y), class_weight={0: 2.0, 2: 0.5})
    b.fit(x, targets(y), sample_weight=by_class)
    assert bits(a) == bits(b)


def test_examples_of_weight_zero_change_nothing_but_the_mean():
    x, y = arrays(40)

    def trained(rate, x, y, w):
        model = mrdl.Sequential([Input(6), Dense(3, "softmax")], dtype="float64")
        model.compile(SGD(rate), "sparse_categorical_crossentropy")
        model.fit(x, y, sample_weight=w, batch_size=40)
        return model.weights

    half = np.arange(40) < 20                           # the mean is over all 40, as in Keras
    np.testing.assert_allclose(trained(0.2, x, y, half), trained(0.1, x[:20], y[:20], None),
                               rtol=1e-10)


@pytest.mark.parametrize("n, batch_size", [(1, 1), (1, 32), (5, 32), (16, 16), (17, 16), (33, 7)])
def test_any_number_of_rows_and_any_batch_train_alike_with_larger_buffers(n, batch_size):
    x, y = arrays(n)
    model = classifier()
    history = model.fit(x, y, batch_size=batch_size, epochs=2).history
    assert np.isfinite(history["loss"]).all() and model.iterations == 2 * -(-n // batch_size)
    np.testing.assert_allclose(model.predict(x, batch_size=3), model.predict(x), rtol=1e-6)
    assert model.predict(x[:0]).shape == (0, 3)


@pytest.mark.parametrize("y", [lambda y: y.astype("i8"), lambda y: y.astype("u1"),
                               lambda y: y.astype("f4"), lambda y: y.astype(">i2"),
                               lambda y: y[:, None], lambda y: y.tolist(), lambda y: y.astype("f2")])
def test_class_numbers_of_every_kind_train_alike(y):
    x, labels = arrays()
    a, b = classifier(), classifier()
    a.fit(x, labels.astype("i4"))
    b.fit(x.tolist(), y(labels))
    assert bits(a) == bits(b)


def test_large_whole_targets_keep_their_value():
    x = np.zeros((2, 1), "f4")
    model = mrdl.Sequential([Input(1), Dense(1)], dtype="float64")
    model.compile("sgd", "mse", metrics=["mae"])
    assert model.evaluate(x, np.array([5 * 10 ** 9, 5 * 10 ** 9]), return_dict=True)["mae"] == 5e9


def test_a_float64_model_goes_through_in_float64():
    x, y = arrays()
    model = classifier(Adam(0.01), "float64")
    model.fit(x, y, epochs=2)
    again = mrdl.model_from_json(model.to_json()).load_weights(model.to_safetensors())
    assert again.dtype == model.weights.dtype == model.predict(x).dtype == np.float64
    assert (again.predict(x) == model.predict(x)).all()
    narrow = classifier(Adam(0.01))
    narrow.fit(x, y, epochs=2)
    np.testing.assert_allclose(narrow.weights, model.weights, rtol=1e-3, atol=1e-5)


def test_a_model_without_input_takes_the_shape_of_its_first_rows():
    x, y = arrays()
    model = mrdl.Sequential([Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ConfigError, match="must have at least one axis"):
        model.fit(x[:, 0], y)
    assert model.input_shape is None
    model.fit(x, y)
    assert model.input_shape == (6,) and model.get_weights()[0].shape == (6, 3)
    assert mrdl.model_from_json(model.to_json()).input_shape == (6,)


def test_a_model_without_weights_scores():
    model = mrdl.Sequential([Input((2, 2)), Rescaling(2.0), Flatten()])
    model.compile("sgd", "mse", metrics=["mae"])
    x = np.ones((3, 2, 2), "f4")
    assert model.evaluate(x, np.zeros((3, 4)), return_dict=True) == {"loss": 4.0, "mae": 2.0}
    assert model.fit(x, np.zeros((3, 4))).history["loss"] == [4.0]


# -- what fit, evaluate and predict refuse

X, Y = arrays(8)
WRONG = {
    "no rows": (X[:0], Y[:0], {}, "the same length, and not be empty"), "lengths": (X, Y[:5], {}, "the same length"),
    "weights": (X, Y, {"sample_weight": np.ones(5)}, "the same length"),
    "shape of weights": (X, Y, {"sample_weight": np.ones((8, 2))}, r"but has the shape \(8, 2\)"),
    "shape": (X[:, :5], Y, {}, r"examples of shape \(6,\), not \(5,\)"),
    "rank": (X[:, :, None], Y, {}, r"not \(6, 1\)"), "one-hot": (X, np.eye(3)[Y % 3], {}, "one-hot"),
    "text": (np.full((8, 6), "a"), Y, {}, "x holds <U1, not numbers"),
    "objects": (X, np.array([None] * 8), {}, "y holds object, not numbers"),
    "ragged": ([[1, 2], [3]], [0, 1], {}, "x: "), "complex": (X * 1j, Y, {}, "not numbers"),
    "between": (X, Y + 0.5, {}, "must hold class numbers"), "nan": (X, Y * np.nan, {}, "class numbers"),
    "infinite": (X, Y + np.inf, {}, "class numbers"), "far": (X, Y + 2 ** 40, {}, "class numbers"),
    "label": (X, Y * 0 + 3, {}, r"label 3 is outside 0\.\.2"), "below": (X, Y * 0 - 1, {}, "label -1"),
    "batch": (X, Y, {"batch_size": 0}, "1 or more"),
}


@pytest.mark.parametrize("what", WRONG)
def test_rows_that_do_not_fit_are_refused_with_the_reason(what):
    x, y, options, reason = WRONG[what]
    model = classifier().build()
    before = model.weights.tobytes()
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=reason) as error:
            method(x, y, **options)
        assert "\n" not in str(error.value)
    assert model.weights.tobytes() == before and model.iterations == 0


@pytest.mark.parametrize("options, reason", [
    ({"epochs": 0}, "1 or more"), ({"class_weight": {"a": 1}}, "class_weight={'a': 1} must be a dict"),
    ({"class_weight": {-1: 1}}, "class_weight"), ({"class_weight": {0: "a"}}, "class_weight"),
    ({"class_weight": [1, 2]}, "class_weight"), ({"class_weight": {0: None}}, "class_weight"),
])
def test_options_of_fit_that_make_no_sense_are_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        classifier().fit(X, Y, **options)


def test_predict_refuses_what_does_not_fit():
    model = classifier()
    for x, reason in ((X[:, :2], "not .2,"), (np.full((2, 6), "a"), "not numbers"), (3.0, "not")):
        with pytest.raises(ConfigError, match=reason):
            model.predict(x)
    with pytest.raises(ConfigError, match="batch_size"):
        model.predict(X, batch_size=0)


@pytest.mark.parametrize("compile, reason", [
    ({"loss": None}, "compile needs a loss"), ({"optimizer": None}, "compile needs an optimizer"),
    ({"loss": "binary_crossentropy"}, "needs an output with activation 'sigmoid', not 'softmax'"),
    ({"loss": "slices"}, "unknown loss 'slices'; there are Sparse"), ({"loss": np.square}, "unknown loss"),
    ({"optimizer": "rprop"}, "unknown optimizer 'rprop'"), ({"metrics": "accuracy"}, "must be a list"),
    ({"metrics": [None]}, "a metric is missing"), ({"metrics": ["dcg"]}, "unknown metric 'dcg'"),
    ({"metrics": ["auc", m.AUC(50)]}, "two metrics have the name 'auc'; give one another name="),
    ({"metrics": [m.Recall(name="loss")]}, "a metric cannot have the name 'loss'"),
    ({"metrics": [m.Recall(class_id=3)]}, "Recall: class_id=3 must be from 0 to 2"),
    ({"metrics": [m.Precision(top_k=4)]}, "Precision: top_k=4 must be from 1 to 3"),
    ({"metrics": [m.ConfusionMatrix(2)]}, "num_classes=2 must be at least 3: so many"),
    ({"metrics": ["mae"]}, "MeanAbsoluteError and SparseCategoricalCrossentropy take different"),
])
def test_what_compile_does_not_know_is_refused_and_changes_nothing(compile, reason):
    model = classifier()
    before = model.to_json()
    with pytest.raises(ConfigError, match=reason):
        model.compile(**{"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"} | compile)
    assert model.to_json() == before


def test_a_model_that_is_not_compiled_or_not_built_says_so():
    model = mrdl.Sequential([Input(6), Dense(3)])
    for call in (model.fit, model.evaluate):
        with pytest.raises(ConfigError, match="not compiled: call compile"):
            call(X, Y)
    for call in (mrdl.Sequential([Dense(3)]).get_weights, mrdl.Sequential([Dense(3)]).summary,
                 mrdl.Sequential([Dense(3)]).build):
        with pytest.raises(ConfigError, match="no input shape yet"):
            call()
    with pytest.raises(ConfigError, match="has no layers"):
        mrdl.Sequential([Input(3)]).build()
    with pytest.raises(ConfigError, match="more than the limit"):
        mrdl.Sequential([Input(10 ** 9), Dense(10 ** 9)]).build()
    with pytest.raises(ConfigError, match="takes examples of shape"):
        model.build(7)


def test_a_softmax_over_another_axis_is_none_and_accuracies_want_one_row_of_outputs():
    layers = [Dense(6, "softmax"), Reshape((2, 3))]
    x = Input(6)
    for model in (mrdl.Sequential([Input(6), *layers]), mrdl.Model(x, layers[1](layers[0](x)))):
        with pytest.raises(ConfigError, match="with activation 'softmax', not 'softmax over 6'"):
            model.compile("sgd", CategoricalCrossentropy())
    model = mrdl.Sequential(layers)
    model.compile("sgd", CategoricalCrossentropy())
    with pytest.raises(ConfigError, match="not 'softmax over 6'"):
        model.fit(X, np.zeros((8, 2, 3)))
    with pytest.raises(ConfigError, match="one row of outputs"):
        model.compile("sgd", "mse", metrics=["accuracy"])


@pytest.mark.parametrize("name", ["jit", "stop"])
def test_an_attribute_without_effect_is_refused(name):
    model = classifier()
    with pytest.raises(ConfigError, match=f"model.{name} = False is not supported"):
        setattr(model, name, False)
    with pytest.raises(AttributeError):
        model.layers[0].units = 3
    with pytest.raises(AttributeError):
        mrdl.ParameterAveraging().worker = 8


@pytest.mark.parametrize("loss, activation, y, reason", [
    ("binary_crossentropy", "sigmoid", Y * 1.0, "BinaryCrossentropy takes targets from 0 to 1, not 2"),
    ("binary_crossentropy", "sigmoid", -(Y % 2), "from 0 to 1, not -1"),
    ("binary_crossentropy", "sigmoid", Y * np.nan, "from 0 to 1, not nan"),
    ("poisson", "softplus", Y - 1, "Poisson takes targets of 0 and more, not -1"),
    ("kl_divergence", "sigmoid", Y, "KLDivergence takes targets from 0 to 1, not 2"),
    ("hinge", "tanh", Y, "Hinge takes targets from -1 to 1, not 2")])
def test_targets_beyond_what_the_loss_is_for_are_refused(loss, activation, y, reason):
    model = mrdl.Sequential([Input(6), Dense(1, activation)])
    model.compile("sgd", loss)
    before = model.build().weights.tobytes()
    for call in (lambda: model.fit(X, y), lambda: model.evaluate(X, y),
                 lambda: model.fit(X, Y * 0, validation_data=(X, y))):
        with pytest.raises(ConfigError, match=reason):
            call()
    assert model.weights.tobytes() == before
    model.fit(X, Y % 2)


def test_targets_of_steps_that_count_are_looked_at_and_others_may_be_anything():
    x, y = np.ones((4, 3, 2), "f4"), np.ones((4, 3, 1), "f4")
    x[1, 2], y[1, 2] = 0, np.nan
    model = mrdl.Sequential([Input((3, 2)), Masking(), Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    model.fit(x, y)
    y[1, 1] = 2
    with pytest.raises(ConfigError, match="from 0 to 1, not 2"):
        model.fit(x, y)


def test_probabilities_that_were_rounded_are_no_mistake():
    model = mrdl.Sequential([Input(6), Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    model.fit(X, np.nextafter(np.ones(8, "f4"), np.float32(2)))


@pytest.mark.parametrize("given, reason", [
    ({"class_weight": {3: 1.0}}, "there is no class 3; there are 0 to 2"),
    ({"class_weight": {0: 1.0, 0.5: 1.0}}, "must be a dict of class numbers"),
    ({"class_weight": {0: np.inf}}, "must be a dict of class numbers"), ({"class_weight": {0: np.nan}}, "must be a dict of class numbers"),
    ({"sample_weight": -np.ones(8)}, "must be finite and not negative"),
    ({"sample_weight": np.full(8, np.nan)}, "must be finite and not negative"),
    ({"validation_data": X}, "must be .x, y. or"), ({"validation_data": (X,)}, "must be .x, y. or"),
    ({"validation_data": (X[:, :2], Y)}, "examples of shape"), ({"validation_data": (X, Y + 0.5)}, "class numbers"),
    ({"initial_epoch": -1}, "initial_epoch")])
def test_what_fit_cannot_use_is_refused_before_it_trains(given, reason):
    model = classifier().build()
    before = model.weights.tobytes()
    with pytest.raises(ConfigError, match=reason):
        model.fit(X, Y, **given)
    assert model.weights.tobytes() == before and model.epochs == 0


@pytest.mark.parametrize("loss, activation, classes", [("binary_crossentropy", "sigmoid", 2), ("mse", "linear", 3)])
def test_the_classes_of_one_number_are_its_labels(loss, activation, classes):
    model = mrdl.Sequential([Input(6), Dense(1, activation)])
    model.compile("sgd", loss)
    y = np.arange(8) % classes
    model.fit(X, y, class_weight={classes - 1: 2.0})
    with pytest.raises(ConfigError, match=f"there is no class {classes}; there are 0 to {classes - 1}"):
        model.fit(X, y, class_weight={classes: 2.0})


def test_the_gradient_of_a_matrix_asks_for_its_weights_and_slots_meanwhile(monkeypatch):
    model = classifier(optimizer=Adam())
    x, y = arrays()
    model.build()
    weights = model.weights
    slots = model.optimizer.start(weights)
    learner, asked = Learner(model, weights, slots, batch_size=16), []

    def gradient(dy, rows, batch, dw, steps, first, ahead):
        asked.append(ahead)

    monkeypatch.setattr(learner.net.k, "dense_gradient", gradient)
    learner.step({"x": x, "y": y}, np.arange(16), 1, 0)
    begins = [w.__array_interface__["data"][0] for w in (weights, *slots)]
    first, *_ = [start for _, _, start in model.places()]
    assert [int(a) for a in asked[-1]] == [begin + 4 * first for begin in begins]
    model.compile(Adam(clipnorm=1.0), model.loss)
    Learner(model, weights, slots, batch_size=16).step({"x": x, "y": y}, np.arange(16), 1, 0)
    assert asked[-1] is None


def test_without_metrics_evaluate_gives_the_loss_alone_or_that_of_each_output_too():
    x, y, inputs = np.ones((4, 3)), np.zeros((4, 1)), mrdl.layers.Input(3)
    one, two = mrdl.layers.Dense(1, name="one")(inputs), mrdl.layers.Dense(1, name="two")(inputs)
    model = mrdl.Model(inputs, one)
    model.compile("sgd", "mse")
    assert model.evaluate(x, y) == model.evaluate(x, y, return_dict=True)["loss"] > 0
    model = mrdl.Model(inputs, [one, two])
    model.compile("sgd", ["mse", "mse"])
    found = model.evaluate(x, [y, y])
    assert model.metrics_names == ["loss", "one_loss", "two_loss"] and found[0] == pytest.approx(found[1] + found[2])
