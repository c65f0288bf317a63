"""Callbacks in fit, evaluate and predict: when they are called, what they decide, and what is refused."""
import csv
import sys

import numpy as np
import pytest
from models import arrays, bits, classifier

import mrdl
from mrdl import callbacks as c
from mrdl.config import ConfigError
from mrdl.optimizers import SGD, Adam, Muon
from mrdl.schedules import ExponentialDecay

HELD = arrays(40, 1)


class Calls(c.Callback):
    """Notes what is called, with the names in the logs."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        return (lambda *args: self.calls.append((name, *(sorted(a) if isinstance(a, dict) else a for a in args)))) if name.startswith("on_") else found


class Scale(c.Callback):
    """Keeps what logs say, and does one thing at the end of an epoch."""

    def __init__(self, do):
        super().__init__()
        self.do = do

    def on_epoch_end(self, epoch, logs=None):
        self.do(self.model, epoch, logs)


def test_callbacks_are_called_as_by_keras_and_change_no_bits():
    x, y = arrays(40)
    seen, alone, model = Calls(), classifier(), classifier()
    alone.fit(x, y, epochs=2, batch_size=32, validation_data=HELD)
    history = model.fit(x, y, epochs=2, batch_size=32, validation_data=HELD, callbacks=[[seen], c.ProgbarLogger()])
    assert bits(model) == bits(alone) and history.history == alone.history.history
    assert seen.model is model and seen.params == {"verbose": "auto", "epochs": 2, "steps": 2} and model.history is history
    logs = ["accuracy", "loss"]
    tests = [("on_test_begin", []), ("on_test_batch_begin", 0, []), ("on_test_batch_end", 0, logs), ("on_test_end", logs)]
    batches = [call for n in (0, 1) for call in (("on_train_batch_begin", n, []), ("on_train_batch_end", n, logs))]
    full = [*logs, "val_accuracy", "val_loss"]
    assert seen.calls == [("on_train_begin", []), *[call for epoch in (0, 1) for call in (
        ("on_epoch_begin", epoch, []), *batches, *tests, ("on_epoch_end", epoch, full))], ("on_train_end", full)]
    seen = Calls()
    scores, outputs = model.evaluate(x, y, batch_size=16, callbacks=seen, return_dict=True), model.predict(x, batch_size=32, callbacks=[seen])
    assert [call[0] for call in seen.calls] == ["on_test_begin", *["on_test_batch_begin", "on_test_batch_end"] * 3, "on_test_end",
                                                "on_predict_begin", *["on_predict_batch_begin", "on_predict_batch_end"] * 2, "on_predict_end"]
    assert scores == pytest.approx(model.evaluate(x, y, return_dict=True)) and (outputs == model.predict(x)).all()


def test_logs_of_a_minibatch_are_those_of_the_epoch_so_far():
    x, y = arrays(40)
    losses, got = [], {}
    history = classifier().fit(x, y, batch_size=16, callbacks=c.LambdaCallback(on_epoch_begin=lambda epoch, logs: logs.clear(),
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]), on_epoch_end=lambda epoch, logs: got.update(logs)))
    assert len(losses) == 3 and losses[-1] == got["loss"] == history.history["loss"][0] != losses[0]
    outputs = []
    model = classifier()
    whole = model.predict(x, batch_size=16, callbacks=c.LambdaCallback(on_predict_batch_end=lambda batch, logs: outputs.append(logs["outputs"])))
    assert (np.concatenate(outputs) == whole).all() and len(outputs) == 3


def test_a_callback_stops_training_after_a_minibatch_or_an_epoch():
    x, y = arrays(40)

    def stop(model):
        model.stop_training = True
    model = classifier()
    done = model.fit(x, y, epochs=5, batch_size=16, callbacks=Scale(lambda model, epoch, logs: epoch == 1 and stop(model)))
    assert done.epoch == [0, 1] and model.iterations == 6
    assert model.fit(x, y, epochs=2, batch_size=16).epoch == [0, 1]         # the next fit begins without the stop
    model = classifier()
    done = model.fit(x, y, epochs=5, batch_size=16, validation_data=HELD, callbacks=c.LambdaCallback(
        on_train_batch_end=lambda batch, logs: stop(model)))
    assert done.epoch == [0] and model.iterations == 1 and "val_loss" in done.history


@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9), Adam(0.01), Muon(0.01)], ids=repr)
def test_a_learning_rate_that_is_set_holds_from_the_next_update_on(optimizer):
    x, y = arrays(40)
    model, other = classifier(optimizer), classifier(type(optimizer).from_config(optimizer.get_config()))
    model.fit(x, y, epochs=2, batch_size=16, callbacks=c.LearningRateScheduler(lambda epoch, rate: rate / (epoch + 1)))
    other.fit(x, y, batch_size=16)
    other.optimizer.learning_rate = other.optimizer.learning_rate / 2
    assert bits(model) != bits(other)
    other.fit(x, y, epochs=2, initial_epoch=1, batch_size=16)
    assert bits(model) == bits(other) and model.history.history["learning_rate"] == [2 * other.optimizer.learning_rate, other.optimizer.learning_rate]
    again = mrdl.model_from_json(model.to_json())
    assert again.optimizer == model.optimizer and again.optimizer.learning_rate == optimizer.learning_rate


def test_weights_that_a_callback_loads_are_trained_on():
    x, y = arrays(40)
    first, other, model = classifier(), classifier(), classifier()
    model.build(seed=0)
    data = model.to_safetensors()
    model.fit(x, y, epochs=3, batch_size=16, callbacks=Scale(lambda model, epoch, logs: epoch == 0 and model.load_weights(data)))
    other.build(seed=0)
    other.fit(x, y, batch_size=16)
    other.load_weights(data)
    other.fit(x, y, epochs=3, initial_epoch=1, batch_size=16)
    first.fit(x, y, epochs=3, batch_size=16)
    assert bits(model) == bits(other) != bits(first)


def test_what_is_interrupted_goes_on_to_the_same_bits(tmp_path):
    x, y = arrays(40)

    class Broken(c.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def trained(**given):
        model = classifier(Adam(0.01))
        model.fit(x, y, epochs=4, batch_size=16, callbacks=[
            c.BackupAndRestore(tmp_path / "backup", double_checkpoint=True), c.LearningRateScheduler(lambda epoch, rate: rate / 2),
            *given.values()])
        return model
    whole = trained()
    assert not (tmp_path / "backup").exists()
    with pytest.raises(KeyboardInterrupt):
        trained(broken=Broken())
    saved = sorted((tmp_path / "backup").iterdir())
    assert [path.name for path in saved] == ["latest.safetensors", "previous.safetensors"]
    data = saved[0].read_bytes()
    model = trained()
    assert bits(model) == bits(whole) and model.history.epoch == [3]
    assert model.optimizer == whole.optimizer and (model.slots == whole.slots).all()
    saved[0].parent.mkdir()
    saved[0].write_bytes(data[:-1] + b"?")
    with pytest.raises(ConfigError, match="latest.safetensors is damaged: .*; remove it to begin anew"):
        trained()
    saved[1].write_bytes(data)                          # the one before it is taken
    assert trained().history.epoch == [3]
    saved[0].parent.mkdir()
    saved[0].write_bytes(data)
    with pytest.raises(ConfigError, match="is of another model"):
        classifier(SGD(0.1)).fit(x, y, callbacks=c.BackupAndRestore(tmp_path / "backup"))


def test_a_backup_within_an_epoch_and_one_that_stays(tmp_path):
    x, y = arrays(40)
    model, again = classifier(), classifier()
    model.fit(x, y, epochs=2, batch_size=16, callbacks=c.BackupAndRestore(tmp_path, save_freq=4, delete_checkpoint=False))
    history = again.fit(x, y, epochs=2, batch_size=16, callbacks=c.BackupAndRestore(tmp_path, save_freq=4, delete_checkpoint=False))
    assert history.epoch == [1] and again.iterations == 4 + 3       # the epoch that was interrupted begins anew


def test_checkpoints_are_models_and_only_better_ones_take_their_place(tmp_path):
    x, y = arrays(40)
    values, kept = iter([3.0, 2.0, 2.5, 1.0]), []

    def note(model, epoch, logs):
        logs["val_loss"] = next(values)
    model = classifier(Adam(0.01))
    model.fit(x, y, epochs=4, batch_size=16, callbacks=[
        Scale(note), c.ModelCheckpoint(tmp_path / "all-{epoch:02d}-{val_loss:.1f}"),
        c.ModelCheckpoint(tmp_path / "best", save_best_only=True, initial_value_threshold=2.5),
        Scale(lambda model, epoch, logs: kept.append(mrdl.load_model(str(tmp_path / "best")).epochs if epoch else None)),
        c.ModelCheckpoint(str(tmp_path / "batch-{epoch}-{batch}"), save_freq=5)])
    assert kept == [None, 2, 2, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *[f"all-0{n}-{v}" for n, v in ((1, 3.0), (2, 2.0), (3, 2.5), (4, 1.0))], "batch-2-2", "batch-4-1", "best"]
    loaded = mrdl.load_model(str(tmp_path / "best"))
    assert bits(loaded) == bits(model) and (loaded.slots == model.slots).all()


def test_csv_has_a_line_for_each_epoch(tmp_path):
    x, y = arrays(40)
    path = tmp_path / "log.csv"
    log = c.CSVLogger(path, separator=";")
    history = classifier().fit(x, y, epochs=2, callbacks=log).history
    head, *rows = csv.reader(path.read_text().splitlines(), delimiter=";")
    assert head == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert [[float(row[2]), row[4]] for row in rows] == [[loss, "NA"] for loss in history["loss"]]
    classifier().fit(x, y, epochs=1, callbacks=c.CSVLogger(str(path), ";", append=True))
    assert len(path.read_text().splitlines()) == 4
    classifier().fit(x, y, epochs=1, callbacks=log)     # not appended
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("error", [False, True])
def test_a_loss_that_is_not_finite_ends_training(error):
    x, y = arrays(40)
    model = classifier(SGD(1e30), loss="categorical_crossentropy")
    if error:
        with pytest.raises(RuntimeError, match="Batch 1: the loss is"):
            model.fit(x * 1e30, np.eye(3)[y], epochs=3, batch_size=16, callbacks=c.TerminateOnNaN(raise_error=True))
    else:
        model.fit(x * 1e30, np.eye(3)[y], epochs=3, batch_size=16, callbacks=c.TerminateOnNaN())
    assert model.iterations == 2


@pytest.mark.parametrize("given, reason", [
    (lambda: c.EarlyStopping("val_loss"), "EarlyStopping: there is no 'val_loss'; there are loss, accuracy, and val_... with validation data"),
    (lambda: c.EarlyStopping("acc"), "EarlyStopping: there is no 'acc'; there are loss, accuracy$"),
    (lambda: c.ReduceLROnPlateau("los"), "ReduceLROnPlateau: there is no 'los'; there are loss, accuracy, learning_rate$"),
    (lambda: c.ModelCheckpoint("x", "acc", save_best_only=True), "ModelCheckpoint: there is no 'acc'; there are"),
    (lambda: c.ModelCheckpoint("x-{acc}"), "filepath='x-{acc}' cannot be filled in: 'acc'; there are epoch, loss, accuracy"),
    (lambda: [Scale(lambda model, epoch, logs: logs.update(size=epoch)), c.EarlyStopping("size")],
     "is a higher size better, or a lower one"),
    (lambda: c.LearningRateScheduler(lambda epoch, rate: "fast"), "schedule gave 'fast', which is no float"),
    (lambda: c.EarlyStopping, r"EarlyStopping is a class; give an object: EarlyStopping\(\)"),
    (lambda: [print], "is no callback; derive its class from mrdl.callbacks.Callback"),
    (lambda: c.EarlyStopping(mode="least"), "mode='least' must be one of auto, min, max"),
    (lambda: c.ReduceLROnPlateau(factor=1.0), "factor=1.0 must be below 1"),
    (lambda: c.ModelCheckpoint("x", save_freq=0), 'save_freq=0 must be "epoch", or a number of minibatches'),
    (lambda: c.ModelCheckpoint("x.h5", save_weights_only=True), "must end with .weights.h5"),
    (lambda: c.BackupAndRestore(""), "backup_dir is empty"),
    (lambda: c.CSVLogger("hdfs://a/b.csv"), "must be a path on this machine"),
    (lambda: c.LambdaCallback(on_epoch=print), "'on_epoch'. is called nowhere"),
], ids=range(16))
def test_what_no_callback_can_do_is_refused_with_the_reason(given, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = arrays(16)
    with pytest.raises(ConfigError, match=reason) as error:
        classifier(metrics=["accuracy"]).fit(x, y, callbacks=given())
    assert "\n" not in str(error.value)


def test_a_rate_is_checked_and_a_schedule_stays_the_optimizers():
    model = classifier(SGD(ExponentialDecay(0.1, 10, 0.5), 0.9))
    for callback in (c.LearningRateScheduler(lambda epoch, rate: rate), c.ReduceLROnPlateau("loss")):
        with pytest.raises(ConfigError, match="has the schedule ExponentialDecay: give the optimizer a number"):
            model.fit(*arrays(16), callbacks=callback)
    model.optimizer.learning_rate = np.float32(0.5)
    assert type(model.optimizer.learning_rate) is float
    for rate, reason in ((-1, "must be 0 or more"), (float("nan"), "must be a finite number"), ("fast", "must be a finite number")):
        with pytest.raises(ConfigError, match=f"SGD: learning_rate.*{reason}"):
            model.optimizer.learning_rate = rate
    with pytest.raises(ConfigError, match="SGD: momentum cannot be set, only learning_rate"):
        model.optimizer.momentum = 0.5


def read_back(folder):
    """What TensorBoard's own reader finds in a folder: run -> its accumulator."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_multiplexer").EventMultiplexer()
    reader.AddRunsFromDirectory(str(folder)).Reload()
    return reader


def scalars(reader, run, tag):
    return [(event.step, float(event.tensor_proto.float_val[0] if event.tensor_proto.float_val else
                               np.frombuffer(event.tensor_proto.tensor_content, "f4")[0])) for event in reader.Tensors(run, tag)]


def test_tensorboard_reads_scalars_histograms_and_hyperparameters(tmp_path):
    x, y = arrays(40)
    kept, model = [], classifier(SGD(0.1, 0.9))
    history = model.fit(x, y, epochs=3, batch_size=16, validation_data=HELD, callbacks=[
        Scale(lambda model, epoch, logs: kept.append(model.get_weights())), c.LearningRateScheduler(lambda epoch, rate: rate / 2),
        c.TensorBoard(tmp_path, histogram_freq=2, update_freq=2, write_steps_per_second=True, hparams={"units": 16, "kind": "small"})]).history
    reader = read_back(tmp_path)
    assert set(reader.Runs()) == {".", "train", "validation"}
    for run, names in (("train", ("loss", "accuracy", "learning_rate")), ("validation", ("loss", "accuracy"))):
        for name in names:
            values = history[("val_" if run == "validation" else "") + name]
            assert scalars(reader, run, f"epoch_{name}") == [(n, pytest.approx(value)) for n, value in enumerate(values)]
    assert [value for _, value in scalars(reader, "train", "epoch_learning_rate")] == pytest.approx([0.05, 0.025, 0.0125])
    assert [step for step, _ in scalars(reader, "train", "batch_loss")] == [2, 4, 6, 8]
    assert scalars(reader, "validation", "evaluation_loss_vs_iterations") == [
        (3 * (n + 1), pytest.approx(value)) for n, value in enumerate(history["val_loss"])]
    assert all(value > 0 for _, value in scalars(reader, "train", "epoch_steps_per_second"))

    def buckets(tag):
        return {event.step: np.frombuffer(event.tensor_proto.tensor_content, "f8").reshape(30, 3) for event in reader.Tensors("train", tag)}
    for tag, wanted in (("dense/kernel/histogram", {0: kept[0][0], 2: kept[2][0]}), ("dense_1/bias/update", {2: kept[2][3] - kept[0][3]})):
        found = buckets(tag)
        assert set(found) == {0, 2}
        for step, values in wanted.items():
            counts, edges = np.histogram(values, 30)
            assert (found[step][:, 2] == counts).all()
            np.testing.assert_allclose(found[step][:, 0], edges[:-1], rtol=1e-5, atol=1e-7)
    from tensorboard.plugins.hparams import metadata
    found = metadata.parse_session_start_info_plugin_data(reader.SummaryMetadata(".", metadata.SESSION_START_INFO_TAG).plugin_data.content).hparams
    assert {name: value.number_value or value.string_value for name, value in found.items() if name in ("units", "kind", "optimizer", "learning_rate", "momentum")} == {
        "units": 16, "kind": "small", "optimizer": "SGD", "learning_rate": 0.1, "momentum": 0.9}


def test_what_tensorboard_cannot_do_is_refused(tmp_path, monkeypatch):
    for given, reason in (({"write_images": True}, "write_images=True is not supported"), ({"update_freq": 0}, "must be \"epoch\", \"batch\", or a number"),
                          ({"log_dir": "hdfs://a/b"}, "must be a path on this machine"), ({"hparams": {"a": [1]}}, r"\['a'\] must be numbers, texts")):
        with pytest.raises(ConfigError, match=f"TensorBoard: .*{reason}"):
            c.TensorBoard(**given)
    monkeypatch.setitem(sys.modules, "mrdl.callbacks.events", None)
    with pytest.raises(ConfigError, match=r"needs the package tensorboard: pip install 'mrdl\[tensorboard\]'"):
        c.TensorBoard(tmp_path)


def test_checkpoints_are_files_of_keras_where_their_names_say_so(tmp_path):
    pytest.importorskip("h5py")
    x, y = arrays(40)
    model = classifier(Adam(0.01))
    model.fit(x, y, epochs=2, batch_size=16, callbacks=[c.ModelCheckpoint(tmp_path / "new/m-{epoch}.keras"), c.ModelCheckpoint(
        str(tmp_path / "w.weights.h5"), "loss", save_best_only=True, save_weights_only=True)])
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["m-1.keras", "m-2.keras", "w.weights.h5"]
    other = classifier(Adam(0.01))
    other.build((6,)).load_weights(str(tmp_path / "w.weights.h5"))
    assert bits(mrdl.load_model(str(tmp_path / "new/m-2.keras"))) == bits(model) == bits(other)
