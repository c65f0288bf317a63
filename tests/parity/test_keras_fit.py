"""fit, evaluate and predict with Keras's arguments and on what yields minibatches: Keras's own numbers."""
import copy
import inspect
import warnings

import keras
import numpy as np
import pytest
from keras_twins import of_keras

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import Dense, Input, Normalization
from mrdl.optimizers import SGD

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning", "ignore:.*ran out of data:UserWarning",
                                        "ignore:the data ended:UserWarning")
rng = np.random.default_rng(0)
X, Y, W = rng.random((44, 4)).astype("f4"), rng.integers(0, 3, 44), rng.uniform(0.5, 2, 44).astype("f4")


def made():
    model = mrdl.Sequential([Input((4,)), Dense(6, "tanh"), Dense(3, "softmax")]).build(seed=1)
    model.compile(SGD(0.5, momentum=0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Pairs(keras.utils.PyDataset):
    """Minibatches of 10, the last of 4."""

    def __len__(self):
        return 5

    def __getitem__(self, i):
        return X[i * 10:i * 10 + 10], Y[i * 10:i * 10 + 10], W[i * 10:i * 10 + 10]


class Loader:
    """As one of torch: it has a length, is iterated over, and gives lists."""

    def __len__(self):
        return 5

    def __iter__(self):
        return (list(Pairs()[i]) for i in range(5))


def forever():
    while True:
        for i in range(5):
            yield Pairs()[i][:2]


@pytest.fixture(scope="module")
def twin():
    twin = of_keras(made())
    twin.compile(keras.optimizers.SGD(0.5, momentum=0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return twin


def begun(twin):
    model = made()
    twin.set_weights(model.get_weights())
    for variable in twin.optimizer.variables:
        if "learning_rate" not in variable.path:
            variable.assign(np.zeros(variable.shape, variable.dtype))
    return model


CALLS = {
    "split": lambda m: m.fit(X, Y, 8, 3, 0, None, 0.3, shuffle=False, sample_weight=W),
    "steps": lambda m: m.fit(X, Y, batch_size=11, epochs=5, steps_per_epoch=2, shuffle=False, verbose=0),
    "odd steps": lambda m: m.fit(X, Y, batch_size=11, epochs=4, steps_per_epoch=3, shuffle=False, verbose=0),
    "held out": lambda m: m.fit(X[:24], Y[:24], epochs=6, initial_epoch=1, validation_data=(X[24:], Y[24:]), validation_freq=2,
                                validation_steps=2, validation_batch_size=8, shuffle=False, verbose=0),
    "a generator": lambda m: m.fit(forever(), shuffle=False, epochs=2, steps_per_epoch=5, validation_data=Pairs(), validation_steps=3, verbose=0),
    "one that ends": lambda m: m.fit((Pairs()[i] for i in range(5)), epochs=1, shuffle=False, verbose=0),
    "a PyDataset": lambda m: m.fit(Pairs(), epochs=2, shuffle=False, validation_data=Pairs(), class_weight=None, verbose=0),
    "epochs": lambda m: m.fit(X, Y, epochs=3, validation_data=(X, Y, W), validation_freq=[1, 3], shuffle=False, verbose=0)}


@pytest.mark.parametrize("name", CALLS)
def test_fit_gives_the_history_and_weights_of_keras(name, twin):
    model = begun(twin)
    wanted, got = CALLS[name](twin), CALLS[name](model)
    assert got.epoch == wanted.epoch and set(got.history) == set(wanted.history)
    for key, values in wanted.history.items():
        assert got.history[key] == pytest.approx(values, rel=1e-4), key
    for mine, theirs in zip(model.get_weights(), twin.get_weights()):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_scores_and_outputs_of_minibatches_are_those_of_keras(twin):
    model = begun(twin)
    for call in (lambda m: m.evaluate(Pairs(), verbose=0), lambda m: m.evaluate(forever(), steps=4, verbose=0),
                 lambda m: m.evaluate(X, Y, batch_size=5, steps=3, verbose=0),
                 lambda m: m.test_on_batch(X[:5], Y[:5], W[:5])):
        assert call(model) == pytest.approx([float(v) for v in call(twin)], rel=1e-5)
    for call in (lambda m: m.predict(Pairs(), verbose=0), lambda m: m.predict(forever(), steps=3, verbose=0),
                 lambda m: m.predict_on_batch(X[:3])):
        np.testing.assert_allclose(call(model), call(twin), rtol=1e-5, atol=1e-6)
    assert (model.predict(Loader()) == model.predict(X)).all() and model.evaluate(Loader()) == pytest.approx(model.evaluate(Pairs()))


def test_single_minibatches_are_trained_as_in_keras(twin):
    model = begun(twin)
    for one in (model, twin):
        one.reset_metrics()
    for i in range(5):
        x, y, w = Pairs()[i]
        more = {"sample_weight": w} if i % 2 else {"class_weight": {0: 2.0, 1: 0.5}}
        assert model.train_on_batch(x, y, **more) == pytest.approx([float(v) for v in twin.train_on_batch(x, y, **more)], rel=1e-4)
        assert set(copy.deepcopy(model).train_on_batch(X, Y, return_dict=True)) == {"loss", "accuracy"}
    for mine, theirs in zip(model.get_weights(), twin.get_weights()):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    assert model.iterations == 5


def test_minibatches_are_permuted_anew_and_larger_ones_may_come():
    one, other = made(), made()
    one.fit(Pairs(), epochs=2)
    other.fit(Pairs(), epochs=2, shuffle=False)
    assert one.weights.tobytes() != other.weights.tobytes()
    late = mrdl.Sequential([Dense(3, "softmax")])
    late.compile("sgd", "sparse_categorical_crossentropy")
    assert late.fit(iter([(X[:4], Y[:4]), (X, Y)])).history["loss"] and late.input_shape == (4,) and late.iterations == 2


def test_rows_of_a_table_are_its_columns():
    import pyarrow
    table = pyarrow.table({f"c{i}": X[:, i] for i in range(4)})
    one, other = made(), made()
    one.fit(table, Y)
    other.fit(X, Y)
    assert one.weights.tobytes() == other.weights.tobytes()
    assert (one.predict(table) == one.predict(X)).all()


@pytest.mark.parametrize("method", ["compile", "fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch",
                                    "reset_metrics", "__init__"])
@pytest.mark.parametrize("cls", ["Model", "Sequential"])
def test_arguments_of_methods_stand_where_keras_has_them(cls, method):
    from keras.src.models.functional import Functional
    theirs = {"Model": Functional, "Sequential": keras.Sequential}[cls]
    ours, theirs = (inspect.signature(getattr(home, method)).parameters.values() for home in (getattr(mrdl, cls), theirs))
    ours, theirs = ([(p.name, p.default) for p in of if p.kind is p.POSITIONAL_OR_KEYWORD] for of in (ours, theirs))
    assert ours == theirs


@pytest.mark.parametrize("call, reason", [
    (lambda m: m.fit(X), "y is missing"), (lambda m: m.fit(Pairs(), Y), "must be in the minibatches"),
    (lambda m: m.fit(X, Y, validation_split=0.99), "leaves nothing"), (lambda m: m.fit(X, Y, shuffle="batch"), "shuffle='batch' must be"),
    (lambda m: m.fit(Pairs(), validation_split=0.5), "validation_split is for arrays"), (lambda m: m.fit(iter([])), "yields no minibatches"),
    (lambda m: m.fit(iter([(X,)])), "a minibatch must be"), (lambda m: m.fit(iter([(X, Y, W, W)])), "not 4 things"),
    (lambda m: m.fit(X, Y, steps_per_epoch=0), "steps_per_epoch must be 1 or more"), (lambda m: m.evaluate(X), "y is missing"),
    (lambda m: m.compile("sgd", "mse", weighted_metrics=["mae"]), "weighted_metrics is not supported")])
def test_what_cannot_be_given_is_refused_with_the_reason(call, reason):
    with pytest.raises(ConfigError, match=reason):
        call(made())


def test_a_normalization_is_adapted_before_what_is_yielded():
    model = mrdl.Sequential([Input((4,)), Normalization(), Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ConfigError, match="call model.adapt"):
        model.fit(Pairs())
    model.adapt(X)
    assert model.fit(Pairs()).history["loss"]


def test_too_few_minibatches_are_told():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made().fit(iter([(X, Y)]), steps_per_epoch=3)
    assert "ended after 1 of the 3" in str(told[-1].message)
