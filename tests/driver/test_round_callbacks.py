"""Callbacks in rounds: when they are called, what they decide, and that a run that is interrupted comes to the same bits."""
import json

import numpy as np
import pytest
from averaged import averaging, network, whole

import mrdl
from mrdl import callbacks as c
from mrdl.config import ConfigError
from mrdl.optimizers import SGD
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.schedules import ExponentialDecay


class Notes(c.Callback):
    """Notes what is called."""

    def __init__(self):
        super().__init__()
        self.calls, self.rates = [], []

    def on_train_begin(self, logs=None):
        self.calls.append("train")

    def on_train_end(self, logs=None):
        self.calls.append(f"end {sorted(logs)}")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")

    def on_round_end(self, round, logs=None):
        self.calls.append(f"round {round}")
        self.rates.append(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} {sorted(logs)}")


class Averaged(c.Callback):
    """A user's own: keeps a running mean of the weights, and sets the model to it now and then."""

    def __init__(self):
        super().__init__()
        self.mean, self.seen = None, {"epochs": 0}

    def on_round_end(self, round, logs=None):
        weights = self.model.weights
        self.mean = weights.copy() if self.mean is None else 0.5 * self.mean + np.asarray(0.5, weights.dtype) * weights

    def on_epoch_end(self, epoch, logs=None):
        self.seen["epochs"] += 1
        if self.seen["epochs"] % 2 == 0:
            self.model.weights[:] = self.mean


def given(folder):
    return [c.EarlyStopping("val_loss", mode="max", patience=3, restore_best_weights=True), c.ReduceLROnPlateau("loss", min_delta=0.02, patience=1, factor=0.5),
            c.LearningRateScheduler(lambda epoch, rate: rate * 0.9), Averaged(), c.CSVLogger(folder / "log.csv"), c.History()]


def fit(data, folder, callbacks, told=None, **options):
    return averaging(**{"epochs": 8, "averaging_frequency": 1, **options}).fit(
        network(), data.url, run=str(folder / "run"), callbacks=callbacks, told=told, verbose=0)


def test_callbacks_are_called_by_the_driver_and_change_no_bits(tmp_path, made):
    data, notes = made(50, shards=3, hold_out=0.25), Notes()
    averaging(epochs=2, averaging_frequency=1).fit(network(), data.url, run=str(tmp_path / "alone"), verbose=0)
    done = fit(data, tmp_path, [notes], epochs=2)
    logs = ["accuracy", "loss", "val_accuracy", "val_loss"]
    rounds = done.rounds // 2
    assert notes.calls == ["train", *[call for epoch in (0, 1) for call in (
        f"epoch {epoch}", *(f"round {epoch * rounds + n + 1}" for n in range(rounds)), f"epoch {epoch} {logs}")], f"end {logs}"]
    alone, run = Run(tmp_path / "alone"), Run(tmp_path / "run")
    assert run.state(done.rounds).vector.tobytes() == alone.state(done.rounds).vector.tobytes()
    lines = [{k: v for k, v in line.items() if k not in ("elapsed", "seconds", "learning_rate") and k[:4] != "val_"} for line in run.history()]
    assert lines == [{k: v for k, v in line.items() if k not in ("elapsed", "seconds") and k[:4] != "val_"} for line in alone.history()]
    ends = [line for line in run.history() if line["round"] % rounds == 0]
    assert all("val_loss" in line for line in ends) and ends[-1]["val_loss"] == alone.history()[-1]["val_loss"]


def test_the_logs_of_an_epoch_are_those_of_all_its_examples(tmp_path, made):
    """In one round an epoch they are the round's, so with more rounds they must be the mean of theirs, by examples."""
    data, history = made(50, shards=2, hold_out=0.2), c.History()
    fit(data, tmp_path, history, epochs=2)
    lines = Run(tmp_path / "run").history()
    for epoch, loss in enumerate(history.history["loss"]):
        own = [line for line in lines if line["progress"] > epoch and line["progress"] <= epoch + 1]
        assert len(own) > 1 and loss == pytest.approx(sum(line["loss"] * line["trained"] for line in own) / sum(line["trained"] for line in own))
    assert history.epoch == [0, 1] and [value for line in lines if line["epochs"] and (value := line.get("val_loss"))][-1] == history.history["val_loss"][-1]


@pytest.mark.parametrize("options", [{}, {"runner": "local", "resident": "always", "cores": 2}, {"averaging_frequency": None, "outer": "nesterov"}],
                         ids=["plain", "resident", "outer"])
def test_a_run_that_is_interrupted_decides_the_same(tmp_path, made, options):
    """In the middle of an epoch, at its end, and where a callback has stopped it; resident rounds as plain ones."""
    data = made(40, shards=2, hold_out=0.25, dtype="float32")
    (tmp_path / "once").mkdir()
    once = fit(data, tmp_path / "once", given(tmp_path / "once"), **{k: v for k, v in options.items() if k not in ("runner", "resident")})
    at = [3, once.rounds] if "resident" in options else [1, 2, 3, once.rounds]

    class Killed(Exception):
        pass

    def told(event, facts):
        if event == "round" and facts["round"] in at:
            at.remove(facts["round"])
            raise Killed
    for _ in [*at]:
        with pytest.raises(Killed):
            fit(data, tmp_path, given(tmp_path), told, **options)
    done = fit(data, tmp_path, given(tmp_path), **options)
    assert whole(tmp_path / "run") == whole(tmp_path / "once/run") and not at
    assert (done.reason, done.rounds, done.metrics) == (once.reason, once.rounds, once.metrics)
    assert (tmp_path / "log.csv").read_text() == (tmp_path / "once/log.csv").read_text()
    rates = [line["learning_rate"] for line in Run(tmp_path / "run").history()]
    assert len(set(rates)) > 2 and done.reason == "EarlyStopping stopped training after epoch 4"
    assert len(list((tmp_path / "run").glob("callbacks-*"))) == 1


def test_one_worker_decides_as_fit_does(tmp_path, made):
    """And straight rounds, which go through several epochs, end with each epoch where there are callbacks."""
    data, logs = made(60, shards=2, hold_out=0.25, dtype="float32"), []
    for name, options in (("a", {"straight": True, "averaging_frequency": None}), ("b", {"averaging_frequency": None})):
        history = c.History()
        done = averaging(workers=1, epochs=5, **options).fit(network(), data.url, run=str(tmp_path / name), verbose=0, callbacks=[
            c.ReduceLROnPlateau(patience=1, min_delta=0.01), c.EarlyStopping(mode="max", patience=3, restore_best_weights=True), history])
        logs.append((done.reason, done.model.weights.tobytes(), history.history, done.metrics))
    (reason, weights, history, values), other = logs
    assert (reason, weights) == other[:2] and values["val_loss"] == other[3]["val_loss"]
    assert all(own == pytest.approx(other[2][name]) for name, own in history.items())
    assert reason == "EarlyStopping stopped training after epoch 4" and history["val_loss"][3] < history["val_loss"][0]
    assert done.metrics["val_loss"] == pytest.approx(history["val_loss"][0]) == mrdl.evaluate(str(tmp_path / "a"), data.url, part="validation", runner="inline")["loss"]


def test_rates_reach_the_workers(tmp_path, made):
    data = made(60, shards=2, dtype="float32")
    averaging(epochs=2, save_updater=False).fit(network(optimizer=SGD(0.1)), data.url, run=str(tmp_path / "a"), verbose=0, callbacks=[
        c.LearningRateScheduler(lambda epoch, rate: 0.1 if epoch == 0 else 0.0)])
    run = Run(tmp_path / "a")
    by_epoch = {line["epoch"]: line["change"] for line in run.history()}
    assert by_epoch[1] > 0 and by_epoch[2] == 0
    saved = mrdl.load_model(str(tmp_path / "a"))
    assert saved.optimizer == SGD(0.0)


def test_a_run_that_was_begun_with_callbacks_wants_them_again(tmp_path, made):
    data = made(60, shards=2, dtype="float32")

    def told(event, facts):
        if event == "round" and facts["round"] == 3:
            raise KeyboardInterrupt
    model = network(optimizer=SGD(0.1))
    model.build((5,))
    first = model.weights.copy()

    def begin(callbacks, told=None):
        return averaging(epochs=4).fit(model, data.url, run=str(tmp_path / "run"), told=told, verbose=0, callbacks=callbacks)
    with pytest.raises(KeyboardInterrupt):
        begin([c.LearningRateScheduler(lambda epoch, rate: rate / 2)], told)
    assert (model.weights == first).all() and model.optimizer.learning_rate == 0.1 and not model.iterations
    with pytest.raises(RunError, match=r"was begun with callbacks \(LearningRateScheduler\): give them again, in Python: mrdl.resume"):
        mrdl.resume(str(tmp_path / "run"), verbose=0)
    with pytest.raises(RunError, match=r"was begun with callbacks \(LearningRateScheduler\), not with these \(EarlyStopping\)"):
        begin([c.EarlyStopping("loss")])
    rate = Run(tmp_path / "run").records(1)[0]["callbacks"]["learning_rate"]
    mrdl.resume(str(tmp_path / "run"), callbacks=[], verbose=0)         # what they decided stays
    assert {line.get("learning_rate", rate) for line in Run(tmp_path / "run").history()[3:]} == {rate}
    assert json.loads((tmp_path / "run/model.json").read_text())["compile_config"]["optimizer"]["config"]["learning_rate"] == rate < 0.1


def test_a_run_that_a_callback_ended_goes_on_where_more_is_asked_for(tmp_path, made):
    data = made(20, shards=2, dtype="float32")
    done = fit(data, tmp_path, c.LambdaCallback(on_epoch_end=lambda epoch, logs: None), epochs=1)
    assert done.reason == "1 epoch done"

    class Stop(c.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch in (1, 3)
    done = mrdl.resume(str(tmp_path / "run"), callbacks=[], epochs=2, verbose=0)
    done = mrdl.resume(str(tmp_path / "run"), callbacks=Stop(), epochs=9, verbose=0)
    assert done.reason == "Stop stopped training after epoch 4"
    assert mrdl.resume(str(tmp_path / "run"), callbacks=Stop(), epochs=9, verbose=0).rounds == done.rounds
    again = mrdl.resume(str(tmp_path / "run"), callbacks=Stop(), epochs=6, verbose=0)
    assert again.reason == "6 epochs done" and mrdl.resume(str(tmp_path / "run"), verbose=0, learning_rate=0.5, callbacks=[], epochs=7).rounds > again.rounds
    assert Run(tmp_path / "run").history()[-1]["learning_rate"] == 0.5


def test_tensorboard_shows_rounds_and_epochs(tmp_path, made):
    reader = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_multiplexer").EventMultiplexer()
    done = fit(made(40, shards=2, hold_out=0.25), tmp_path, c.TensorBoard(tmp_path / "logs", histogram_freq=1, update_freq="batch"), epochs=2)
    reader.AddRunsFromDirectory(str(tmp_path / "logs")).Reload()
    steps = {tag: [event.step for event in reader.Tensors(run, tag)] for run, tag in (
        ("train", "epoch_loss"), ("train", "round_loss"), ("train", "dense/kernel/update"), ("validation", "epoch_loss"))}
    assert steps == {"epoch_loss": [0, 1], "round_loss": [*range(1, done.rounds + 1)], "dense/kernel/update": [0, 1]} and done.rounds > 2


@pytest.mark.parametrize("callback, reason", [
    (lambda: c.EarlyStopping("val_los"), "EarlyStopping: there is no 'val_los'; there are loss, accuracy"),
    (lambda: c.ModelCheckpoint("x", save_freq=5), "ModelCheckpoint: save_freq=5 counts minibatches, which rounds train elsewhere; take save_freq=\"epoch\""),
    (lambda: c.LearningRateScheduler(lambda epoch, rate: rate), "has the schedule ExponentialDecay"),
    (lambda: c.LambdaCallback(on_epoch_begin=lambda epoch, logs: None), None)])
def test_what_callbacks_cannot_do_in_rounds_is_refused(tmp_path, made, callback, reason):
    def run():
        averaging(epochs=1).fit(network(optimizer=SGD(ExponentialDecay(0.1, 10, 0.5))), made(60, shards=2).url, run=str(tmp_path / "run"), verbose=0,
                                callbacks=callback())
    if reason is None:
        return run()
    with pytest.raises(ConfigError, match=reason):
        run()


def test_users_are_told_what_is_not_called(tmp_path, made):
    class Own(c.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise AssertionError
    told = []
    averaging(rounds=1).fit(network(), made(60, shards=2).url, run=str(tmp_path / "run"), callbacks=[
        Own(), c.LambdaCallback(on_train_batch_begin=print), c.TerminateOnNaN(), c.BackupAndRestore(tmp_path / "no")],
        told=lambda event, facts: event == "warning" and told.append(facts["text"].split(",")[0]))
    assert told == ["Own.on_train_batch_end is not called in rounds", "LambdaCallback.on_train_batch_begin is not called in rounds"]
    assert not (tmp_path / "no").exists()


def test_what_callbacks_keep_is_checked(tmp_path, made):
    data = made(60, shards=2, dtype="float32")

    def told(event, facts):
        if event == "round" and facts["round"] == 2:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        averaging(epochs=4).fit(network(), data.url, run=str(tmp_path / "run"), callbacks=Averaged(), told=told)
    path, = (tmp_path / "run").glob("callbacks-*")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunError, match=r"callbacks-.* is damaged, which has what callbacks keep; go on without them: callbacks=\[\]"):
        mrdl.resume(str(tmp_path / "run"), callbacks=Averaged(), verbose=0)
    path.unlink()
    with pytest.raises(RunError, match="is gone, which has what callbacks keep"):
        mrdl.resume(str(tmp_path / "run"), callbacks=Averaged(), verbose=0)
