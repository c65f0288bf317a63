"""Callbacks against Keras's own, live: the same training stops at the same epochs, at the same rates, with the same weights."""
import csv
import inspect

import keras
import numpy as np
import pytest
from keras_twins import of_keras

import mrdl
from mrdl.layers import Dense, Input

RNG = np.random.default_rng(5)
X, XV = RNG.normal(size=(16, 6)).astype("f4"), RNG.normal(size=(16, 6)).astype("f4")
Y, YV = RNG.integers(0, 3, 16), RNG.integers(0, 3, 16)       # nothing to learn: what is held out gets worse
EPOCHS = 14

# what a user gives to fit; `of`: mrdl.callbacks or keras.callbacks
GIVEN = {
    "patience": lambda of, folder: [of.EarlyStopping(patience=3, restore_best_weights=True)],
    "delta, accuracy": lambda of, folder: [of.EarlyStopping("accuracy", min_delta=0.05, patience=2, restore_best_weights=True)],
    "val_accuracy": lambda of, folder: [of.EarlyStopping("val_accuracy", patience=4, start_from_epoch=2)],
    "baseline": lambda of, folder: [of.EarlyStopping("loss", baseline=0.1, patience=3, restore_best_weights=True)],
    "at once": lambda of, folder: [of.EarlyStopping(mode="max")],
    "never": lambda of, folder: [of.EarlyStopping(patience=100, restore_best_weights=True)],
    "plateau": lambda of, folder: [of.ReduceLROnPlateau(patience=2, factor=0.5, cooldown=1, min_lr=0.02)],
    "plateau, stop": lambda of, folder: [of.ReduceLROnPlateau("val_loss", 0.1, 1), of.EarlyStopping("val_loss", patience=5)],
    "schedule": lambda of, folder: [of.LearningRateScheduler(lambda epoch, rate: rate if epoch < 3 else rate * 0.8)],
    "schedule of the epoch": lambda of, folder: [of.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))],
    "log": lambda of, folder: [of.CSVLogger(folder / "log.csv"), of.ReduceLROnPlateau(patience=1)],
    "log at the end": lambda of, folder: [of.ReduceLROnPlateau(patience=1), of.CSVLogger(folder / "log.csv", separator=";")],
    "function": lambda of, folder: [of.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(twice=2 * logs["loss"])),
                                    of.EarlyStopping("twice", mode="min", patience=2)],
    "terminate": lambda of, folder: [of.TerminateOnNaN()],
}


@pytest.mark.filterwarnings("ignore:__array__ implementation")        # Keras's get_weights, where NumPy is new
@pytest.mark.parametrize("name", GIVEN)
def test_callbacks_decide_as_those_of_keras(name, tmp_path):
    model = mrdl.Sequential([Input(6), Dense(12, "tanh"), Dense(3, "softmax")])
    model.compile(mrdl.optimizers.SGD(0.5, 0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.build(seed=1)
    twin, found = of_keras(model), []
    for trained, of in ((model, mrdl.callbacks), (twin, keras.callbacks)):
        folder = tmp_path / of.__name__
        folder.mkdir()
        done = trained.fit(X, Y, batch_size=16, epochs=EPOCHS, validation_data=(XV, YV), callbacks=GIVEN[name](of, folder), verbose=0)
        found.append((done, float(trained.optimizer.learning_rate), [list(csv.reader(path.read_text().replace(";", ",").splitlines())) for path in folder.iterdir()]))
    (ours, rate, logs), (theirs, their_rate, their_logs) = found
    assert ours.epoch == theirs.epoch and set(ours.history) == set(theirs.history)
    for key, values in theirs.history.items():
        assert ours.history[key] == pytest.approx(values, rel=1e-4, abs=1e-5), key
    assert rate == pytest.approx(their_rate, rel=1e-6)
    for weights, own in zip(twin.get_weights(), model.get_weights()):
        np.testing.assert_allclose(own, weights, rtol=1e-3, atol=1e-4)
    assert len(logs) == len(their_logs) == ("log" in name)
    for own, wanted in zip(*logs or [[]], *their_logs or [[]]):
        assert [float(cell) if "." in cell else cell for cell in own] == [
            pytest.approx(float(cell), rel=1e-4, abs=1e-5) if "." in cell else cell for cell in wanted]


def test_each_decision_is_made_by_one_of_them(tmp_path):
    """The training above is one in which callbacks have something to decide."""
    ends = {}
    for name, given in GIVEN.items():
        model = mrdl.Sequential([Input(6), Dense(12, "tanh"), Dense(3, "softmax")])
        model.compile(mrdl.optimizers.SGD(0.5, 0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
        done = model.build(seed=1).fit(X, Y, batch_size=16, epochs=EPOCHS, validation_data=(XV, YV), callbacks=given(mrdl.callbacks, tmp_path), verbose=0)
        ends[name] = len(done.epoch), len(set(done.history.get("learning_rate", [])))
    assert len({epochs for epochs, _ in ends.values()}) > 4 and len({rates for _, rates in ends.values()}) > 3, ends


def test_arguments_of_callbacks_are_keras_own():
    for name in mrdl.callbacks.__all__:
        ours, theirs = (inspect.signature(getattr(of, name)).parameters for of in (mrdl.callbacks, keras.callbacks))
        wanted = {arg: p.default for arg, p in theirs.items() if arg != "kwargs" or name == "LambdaCallback"}
        own = {arg: p.default for arg, p in ours.items() if (name, arg) != ("TensorBoard", "hparams")}
        assert own == wanted and list(own) == list(wanted), name
        hooks = {hook for hook in dir(getattr(keras.callbacks, name)) if hook.startswith(("on_", "set_"))}
        assert hooks <= set(dir(getattr(mrdl.callbacks, name))) or name == "CallbackList"


def test_a_callback_made_for_keras_is_called_too():
    class Own(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.losses = [*getattr(self, "losses", []), logs["val_loss"]]
            self.model.stop_training = epoch == 1

    model = mrdl.Sequential([Input(6), Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    own = Own()
    done = model.fit(X, Y, epochs=5, validation_data=(XV, YV), callbacks=[own, keras.callbacks.EarlyStopping(patience=3)], verbose=0)
    assert own.losses == done.history["val_loss"] and len(done.epoch) == 2
