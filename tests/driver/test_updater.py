"""What training leaves beside the weights, and how it goes on: from fit to fit, through files, from run to run."""
import json
import re
import shutil

import numpy as np
import pytest
from averaged import averaging, died, network, whole
from models import arrays, bits, classifier

import mrdl
from mrdl import resume
from mrdl.cli import main
from mrdl.config import ConfigError
from mrdl.layers import Dense
from mrdl.losses import SparseCategoricalCrossentropy
from mrdl.optimizers import SGD, Adafactor, Adam, RMSprop
from mrdl.runs.commits import RunError
from mrdl.runs.extension import behind
from mrdl.runs.run import Run
from mrdl.runs.stopping import RuleError
from mrdl.schedules import PiecewiseConstantDecay
from mrdl.storage.local import Local


def test_epochs_one_by_one_are_those_of_one_fit_and_draw_on():
    x, y = arrays()
    once, loop, repeated = classifier(), classifier(), classifier()
    once.fit(x, y, epochs=3, batch_size=16)
    losses = [loop.fit(x, y, batch_size=16).history["loss"][0] for _ in range(3)]
    assert bits(loop) == bits(once) and loop.epochs == once.epochs == 3
    for _ in range(3):                                  # the order and dropout of the first epoch again and again
        repeated.epochs = 0
        repeated.fit(x, y, batch_size=16)
    assert bits(repeated) != bits(once) and len(set(losses)) == 3


def test_an_epoch_that_is_interrupted_leaves_a_count_that_fits_the_weights(monkeypatch):
    model = classifier()

    def interrupted(printed, done, logs):
        if done == 2:
            raise KeyboardInterrupt
    monkeypatch.setattr("mrdl.training.epochs.Epochs.step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*arrays(), batch_size=16)
    assert (model.iterations, model.epochs) == (2, 0) and model.slots.any()


# -- through files

@pytest.mark.parametrize("optimizer, dtype", [
    (Adam(PiecewiseConstantDecay((5,), (0.01, 0.001)), amsgrad=True), "float32"), (SGD(0.1), "float32"),
    (SGD(0.1, momentum=0.9), "float64"), (Adafactor(0.1, gradient_accumulation_steps=4), "float32")],
                         ids=["amsgrad", "sgd", "momentum", "gathered"])
def test_a_model_that_was_saved_trains_on_as_if_it_had_not_been(tmp_path, optimizer, dtype):
    x, y = arrays()
    once, saved = classifier(optimizer, dtype), classifier(optimizer, dtype)
    once.rate_scale = saved.rate_scale = 0.5            # as rounds that were not finite leave it
    once.fit(x, y, epochs=3, batch_size=16)
    saved.fit(x, y, batch_size=16)
    saved.save(tmp_path / "model")
    again = mrdl.load_model(str(tmp_path / "model"))
    again.fit(x, y, epochs=3, initial_epoch=1, batch_size=16)
    assert bits(again) == bits(once)
    assert (again.iterations, again.epochs, again.rate_scale) == (12, 3, 0.5)


def test_weights_alone_begin_with_a_fresh_updater(tmp_path):
    x, y = arrays()
    model = classifier()
    model.fit(x, y)
    model.save(tmp_path / "model")
    (tmp_path / "model" / "optimizer.safetensors").unlink()
    again = mrdl.load_model(str(tmp_path / "model"))
    assert again.weights.tobytes() == model.weights.tobytes() and again.slots is None and again.iterations == 0
    model.compile("adam", "sparse_categorical_crossentropy")
    assert model.slots is None and model.iterations == 0 and model.epochs == 1
    model.fit(x, y)
    again.fit(x, y, epochs=2, initial_epoch=1)
    assert bits(again) == bits(model)
    classifier().build().save(tmp_path / "model")       # over one that was trained
    assert mrdl.load_model(str(tmp_path / "model")).iterations == 0


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


@pytest.mark.parametrize("damage, reason", [
    (lambda data, other: b"", "no safetensors file"), (lambda data, other: data[:-1], "no safetensors file"),
    (lambda data, other: b"\xff" * 8 + data[8:], "no safetensors file"),
    (lambda data, other: flipped(data, len(data) - 2), "is damaged"),
    (lambda data, other: data.replace(b'iterations', b'iterationz'), "is damaged: .*hash"),
    (lambda data, other: data.replace(b"mrdl", b"ours"), "is damaged: .*mrdl"),
    (lambda data, other: other("adam", seed=1), "is not the state of this model's updater"),
    (lambda data, other: other("sgd"), "does not belong to this model"),
    (lambda data, other: other(Adam(amsgrad=True)), "does not belong to this model")])
def test_a_damaged_or_foreign_state_of_an_updater_is_refused_in_one_line(tmp_path, damage, reason):
    def saved(optimizer, seed=0):
        model = classifier(optimizer)
        model.fit(*arrays(), seed=seed)
        model.save(tmp_path / "model")
        (tmp_path / "model" / "saved.json").unlink()        # whose hash would tell first
        return (tmp_path / "model" / "optimizer.safetensors").read_bytes()
    other = {key: saved(*key) for key in ((Adam(amsgrad=True), 0), ("sgd", 0), ("adam", 1))}
    data = damage(saved("adam"), lambda optimizer, seed=0: other[optimizer, seed])
    (tmp_path / "model" / "optimizer.safetensors").write_bytes(data)
    with pytest.raises(ConfigError, match=reason) as error:
        mrdl.load_model(str(tmp_path / "model"))
    assert "\n" not in str(error.value) and str(error.value).endswith("remove it, and training begins with a fresh updater")
    assert mrdl.load_model(str(tmp_path / "model"), updater=False).iterations == 0


def test_the_state_of_another_updater_with_as_many_slots_is_refused(tmp_path):
    model = classifier(RMSprop())
    model.fit(*arrays())
    model.save(tmp_path / "model")
    (tmp_path / "model" / "saved.json").unlink()
    spec = (tmp_path / "model" / "model.json").read_text()
    (tmp_path / "model" / "model.json").write_text(spec.replace("RMSprop", "Adagrad").replace(
        '"rho": 0.9', '"initial_accumulator_value": 0.1'))
    with pytest.raises(ConfigError, match="is not the state of this model's updater"):
        mrdl.load_model(str(tmp_path / "model"))


# -- from run to run

def test_a_second_run_takes_over_updater_and_epochs_of_the_first(tmp_path, made):
    data, model, notes = made(100, shards=3).url, network(), []
    once = averaging(epochs=2).fit(network(), data, run=str(tmp_path / "once"))
    averaging(epochs=1).fit(model, data, run=str(tmp_path / "first"))
    loaded = mrdl.load_model(str(tmp_path / "first"))
    assert bits(loaded) == bits(model) and loaded.iterations == model.iterations > 0 and loaded.epochs == 1
    for one, run in ((model, "second"), (loaded, "third")):
        averaging(epochs=1).fit(one, data, run=str(tmp_path / run), told=lambda event, facts: notes.append(facts.get("text")))
        assert bits(one) == bits(once.model) and one.epochs == 2
    assert [note for note in notes if note and "continues" in note] == [
        f"continues with Adam's state after {n} updates, at the learning rate 0.001; to reset it: --fresh-updater (in Python: compile)"
        for n in [json.loads((tmp_path / "second" / "run.json").read_text())["updater"]["iterations"]] * 2]

    def killed(event, facts):
        if event == "round" and facts["round"]:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        averaging(epochs=1).fit(mrdl.load_model(str(tmp_path / "first")), data, run=str(tmp_path / "fourth"), told=killed)
    with pytest.raises(RunError, match="other options .the updater's state"):
        fresh = mrdl.load_model(str(tmp_path / "first"))
        fresh.fresh_updater()
        averaging(epochs=1).fit(fresh, data, run=str(tmp_path / "fourth"))
    resume(str(tmp_path / "fourth"), "inline")
    assert whole(tmp_path / "fourth") == whole(tmp_path / "third")


def test_the_moving_average_is_averaged_and_takes_the_weights_place_when_a_run_ends(tmp_path, made):
    data, optimizer = made(60, shards=2).url, Adam(0.05, use_ema=True, ema_momentum=0.8)
    one, model = (averaging(workers=workers, rounds=4).fit(network(optimizer=optimizer), data, run=str(tmp_path / f"{workers}")).model for workers in (1, 2))
    state = Run(tmp_path / "2").state(4)
    assert (model.weights == state.slots[2]).all() and (model.weights != state.weights).any() and (one.weights != model.weights).any()
    died(network(optimizer=optimizer), data, tmp_path / "again", 2, rounds=4)
    assert whole(tmp_path / "again") == whole(tmp_path / "2")
    for options, reason in (({"save_updater": False}, "use_ema needs the optimizer's state averaged"), ({"compress": "int8"}, "use_ema needs")):
        with pytest.raises(ConfigError, match=reason):
            averaging(**options).fit(network(optimizer=optimizer), data, run=str(tmp_path / "no"))
    with pytest.raises(ConfigError, match="Adam: gradient_accumulation_steps is for fit; in rounds take a batch_size so many times as large"):
        averaging().fit(network(optimizer=Adam(gradient_accumulation_steps=2)), data, run=str(tmp_path / "no"))
    found = averaging(rounds=2).fit(network(optimizer=Adafactor(0.1)), data, run=str(tmp_path / "factored")).model
    assert (found.slots[0] == Run(tmp_path / "factored").state(2).slots[0]).all() and found.slots.any()


def test_rounds_that_begin_with_a_fresh_updater_take_none_over(tmp_path, made):
    data, model = made(100).url, network()
    averaging(rounds=2, save_updater=False).fit(model, data, run=str(tmp_path / "first"))
    assert model.iterations == 0 and not model.slots.any()
    averaging(rounds=2).fit(model, data, run=str(tmp_path / "second"))
    averaging(rounds=1, save_updater=False).fit(model, data, run=str(tmp_path / "third"))
    assert not Run(tmp_path / "third").state(0).slots.any() and Run(tmp_path / "third").state(0).iterations == 0


@pytest.mark.parametrize("again", ["fit", "resume"])
def test_a_run_that_is_extended_is_one_that_was_longer_from_the_start(tmp_path, made, again, pictures):
    data, run = made(60, shards=3, hold_out=0.2).url, tmp_path / "run"
    averaging(epochs=3, validation_freq=2).fit(network(), data, run=str(tmp_path / "once"))
    for epochs in (1, 3):
        if again == "fit" or epochs == 1:
            done = averaging(epochs=epochs, validation_freq=2).fit(network(), data, run=str(run))
        else:
            done = resume(str(run), "inline", epochs=epochs)
        assert done.reason.startswith(f"{epochs} epoch") and (run / "history.png").exists()
    assert whole(run) == whole(tmp_path / "once")
    before = (run / "finished.json").read_bytes()
    assert resume(str(run), "inline").reason == "3 epochs done"
    assert averaging(epochs=3, validation_freq=2).fit(network(), data, run=str(run)).rounds == done.rounds
    assert (run / "finished.json").read_bytes() == before


@pytest.mark.parametrize("name", ["finished.json", "run.json", "optimizer.safetensors"])
def test_an_extension_that_dies_at_any_write_goes_on_to_the_same_bits(tmp_path, made, monkeypatch, name):
    data, run = made(60).url, tmp_path / "run"
    averaging(rounds=5).fit(network(), data, run=str(tmp_path / "once"))
    averaging(rounds=3).fit(network(), data, run=str(run))

    def dies(method):
        def work(store, file, *more):
            if file == name:
                raise SystemExit("killed")
            return method(store, file, *more)
        return work
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        for method in ("write", "create", "remove"):
            patch.setattr(Local, method, dies(getattr(Local, method)))
        resume(str(run), "inline", rounds=5)
    (run / "lease.json").unlink(missing_ok=True)
    resume(str(run), "inline", **({} if name not in ("finished.json", "run.json") else {"rounds": 5}))
    assert whole(run) == whole(tmp_path / "once")


def test_a_run_that_cannot_be_extended_stays_finished(tmp_path, made, monkeypatch):
    data, run = made(60).url, tmp_path / "run"
    averaging(rounds=1).fit(network(), data, run=str(run))
    before = {name: (run / name).read_bytes() for name in ("finished.json", "run.json")}
    monkeypatch.setattr("mrdl.driver.loop.profile", lambda: "mrdl 0.0.1, fused multiply-add")
    for more in ({"rounds": 2}, {"until": "f1 >= 1"}):
        with pytest.raises((RunError, RuleError)):
            resume(str(run), "inline", **more)
    assert before == {name: (run / name).read_bytes() for name in before}


@pytest.mark.parametrize("more, reason", [
    ({"rounds": 3}, "has done 6 rounds: rounds must be 6 or more, not 3"),
    ({"until": "rounds 9, epochs 1"}, "has done 2 epochs: epochs must be 2 or more, not 1"),
    ({"learning_rate": 0.5}, "has no rounds left to train at another learning rate: .*, such as --rounds 12"),
    ({"learning_rate": 0.5, "rounds": 6}, "has no rounds left to train")])
def test_what_a_run_has_gone_beyond_is_refused_and_nothing_rewritten(tmp_path, made, more, reason):
    data, run = made(60, shards=2).url, tmp_path / "run"
    options = {"averaging_frequency": 2, "workers": 2}
    averaging(epochs=2, **options).fit(network(), data, run=str(run))
    assert len(Run(run).history()) == 6
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(RunError, match=reason):
        resume(str(run), "inline", **more)
    if "learning_rate" not in more:
        with pytest.raises(RunError, match=reason):
            averaging(**more, **options).fit(network(), data, run=str(run))
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_run_that_has_not_ended_ends_where_it_is(tmp_path, made):
    data, run = made(60).url, str(tmp_path / "run")

    def killed(event, facts):
        if event == "round" and facts["round"] == 3:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        averaging(rounds=9).fit(network(), data, run=run, told=killed)
    with pytest.raises(RunError, match="has done 3 rounds"):
        resume(run, "inline", rounds=2)
    assert resume(run, "inline", rounds=3).reason == "3 rounds done"


def test_the_model_of_a_run_that_has_gone_on_is_said_to_be_older(tmp_path, made, capsys):
    data, run = made(60).url, tmp_path / "run"
    averaging(rounds=2).fit(network(), data, run=str(run))
    last = 2

    def killed(event, facts):
        if event == "task" and last == 2 or event == "round" and facts["round"] == last:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        resume(str(run), "inline", rounds=6, told=killed)
    assert behind(Run(run)) is None and (run / "ended.json").exists()       # nothing was committed yet
    last = 4
    with pytest.raises(KeyboardInterrupt):
        resume(str(run), "inline", rounds=6, told=killed)

    def said():
        capsys.readouterr()
        assert main(["evaluate", str(run), data, "-r", "inline"]) == 0
        return capsys.readouterr().err
    goes_on = f"; the run has since gone on to round 4; to finish it: mrdl resume {run}\n"
    assert f"{run}: the model is that of round 2{goes_on}" in said()
    assert main(["predict", str(run), data, str(tmp_path / "out"), "-r", "inline"]) == 0
    assert main(["train", str(run), data, str(tmp_path / "new"), "-r", "inline", "--rounds", "1"]) == 0
    assert capsys.readouterr().err.count(f"that of round 2{goes_on}") == 2
    mrdl.load_model(str(tmp_path / "new")).save(run)    # as an end that dies leaves it
    assert f"{run}: the model is that of an earlier end{goes_on}" in said()
    resume(str(run), "inline")
    assert "the model is that" not in said() and not (run / "ended.json").exists()


def test_a_finished_run_whose_updater_is_gone_is_damaged(tmp_path, made):
    data, run = made(60).url, tmp_path / "run"
    averaging(rounds=2).fit(network(), data, run=str(run))
    before = whole(run)
    (run / "optimizer.safetensors").unlink()
    with pytest.raises(RunError, match=r"optimizer.safetensors is gone: restore it .*, or remove finished.json") as error:
        mrdl.load_model(str(run))
    assert "\n" not in str(error.value) and mrdl.load_model(str(run), updater=False).iterations == 0
    (run / "finished.json").unlink()
    resume(str(run), "inline")
    assert whole(run) == before


def test_after_the_best_was_restored_a_run_goes_on_from_its_last_state(tmp_path, made):
    data, run = made(100, hold_out=0.3).url, Run(tmp_path / "run")
    options = {"validation_freq": 1, "keep_rounds": 2}
    done = averaging(until="val_loss patience 1, rounds 30", **options).fit(network(optimizer=Adam(0.3)), data, run=run.url)
    best, model = run.state(done.best), mrdl.load_model(run.url)
    assert done.best < done.rounds
    assert bits(model) == best.vector.tobytes() and model.iterations == best.iterations
    resume(run.url, "inline", rounds=done.rounds + 2)
    averaging(rounds=done.rounds + 2, **options).fit(network(optimizer=Adam(0.3)), data, run=str(tmp_path / "once"))
    assert whole(run.url) == whole(tmp_path / "once")


def test_the_best_is_chosen_among_states_that_are_still_there_and_that_is_said(tmp_path, made, capsys):
    data, run = made(100).url, str(tmp_path / "run")
    averaging(rounds=6, keep_rounds=1).fit(network(optimizer=SGD(0.0)), data, run=run)
    history = Run(run).history()
    assert all("loss" in line for line in history)
    done = resume(run, "inline", until="loss patience 2 delta 0.9, rounds 9")
    better = Run(run).finished()["better"]
    assert done.best >= 6 and Run(run).state(done.best)
    assert history[better - 1]["loss"] < done.metrics["loss"] and better < 6
    capsys.readouterr()
    assert main(["resume", run]) == 0
    assert (f"the model is that of round {done.best} of {done.rounds}, the best by loss of those whose states were kept "
            f"(round {better} was better)\n") in capsys.readouterr().err


def test_another_learning_rate_holds_from_its_round_on_whatever_dies(tmp_path, made):
    data, run = made(100).url, tmp_path / "run"
    averaging(rounds=3).fit(network(), data, run=str(run))
    shutil.copytree(run, tmp_path / "calm")
    resume(str(tmp_path / "calm"), "inline", rounds=6, learning_rate=0.05)

    def killed(event, facts):
        if event == "round" and facts["round"] == 5:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        resume(str(run), "inline", rounds=6, learning_rate=0.05, told=killed)
    averaging(rounds=6).fit(network(), data, run=str(run))      # the command that began it
    assert whole(run) == whole(tmp_path / "calm")
    history = Run(run).history()
    assert [line.get("learning_rate") for line in history] == [None] * 3 + [0.05] * 3
    assert mrdl.load_model(str(run)).optimizer == Adam(0.05)
    model = mrdl.load_model(str(run))
    averaging(rounds=3).fit(network(optimizer=Adam(0.05)), data, run=str(tmp_path / "other"))
    assert bits(mrdl.load_model(str(tmp_path / "other"))) != bits(model)
    for rate in (-1.0, 0, float("nan")):
        with pytest.raises(ValueError, match="learning_rate must be above 0"):
            resume(str(run), "inline", rounds=7, learning_rate=rate)
    assert resume(str(run), "inline", rounds=6, learning_rate=0.05).rounds == 6         # the same again does nothing


def test_a_run_that_diverged_goes_on_at_a_lower_rate(tmp_path, made):
    model, run = mrdl.Sequential([Dense(3)]), str(tmp_path / "run")
    model.compile(SGD(1e50), SparseCategoricalCrossentropy(from_logits=True))
    assert "not finite" in averaging(rounds=2, retries=1).fit(model, made(60).url, run=run).reason
    assert resume(run, "inline", learning_rate=0.1).reason == "2 rounds done"
    assert Run(run).finished()["finite"]


def test_a_learning_rate_that_is_asked_for_is_no_share_of_it(tmp_path, made):
    data, run = made(100).url, Run(tmp_path / "run")
    model = network(optimizer=SGD(0.1))
    model.build((5,))
    model.rate_scale, model.epochs = 0.25, 1            # as roll-backs leave it
    averaging(rounds=2).fit(model, data, run=run.url)
    assert model.rate_scale == 0.25 and [line["rate_scale"] for line in run.history()] == [0.25] * 2
    resume(run.url, "inline", rounds=4, learning_rate=0.025)
    assert [line["rate_scale"] for line in run.history()] == [0.25] * 2 + [1.0] * 2
    again = network(optimizer=SGD(0.1))
    again.build((5,))
    again.rate_scale, again.epochs = 0.25, 1
    averaging(rounds=4).fit(again, data, run=str(tmp_path / "once"))
    np.testing.assert_array_equal(mrdl.load_model(run.url).weights, again.weights)


def test_the_command_line_extends_and_takes_over_and_says_so(tmp_path, made, capsys):
    data = made(60).url
    (tmp_path / "net.py").write_text(
        "import mrdl\nfrom mrdl.layers import Dense\nmodel = mrdl.Sequential([Dense(3, 'softmax')])\n"
        "model.compile('adam', 'sparse_categorical_crossentropy')\n")

    def run(*words):
        status = main([*map(str, words), "-r", "inline"])
        return status, capsys.readouterr().err
    net, first, second = tmp_path / "net.py", tmp_path / "first", tmp_path / "second"
    assert run("train", net, data, first, "--epochs", 1)[0] == 0
    assert run("resume", first, "--epochs", 2, "--learning-rate", 0.01)[0] == 0
    assert Run(first).finished()["reason"] == "2 epochs done"
    status, told = run("train", first, data, second, "--epochs", 1)
    assert status == 0 and re.search(r"continues with Adam's state after \d+ updates, at the learning rate 0.01; to reset it: --fresh-updater", told)
    status, told = run("train", first, data, tmp_path / "third", "--epochs", 1, "--fresh-updater")
    assert status == 0 and f"{first}: training begins with its weights and a new optimizer state" in told
    status, told = run("resume", first, "--rounds", 0)
    assert (status, told) == (2, "mrdl: rounds must be 1 or more, not 0\n")


def test_a_model_that_is_not_compiled_has_no_updater_to_save(tmp_path):
    mrdl.Sequential([Dense(2)]).build(3).save(tmp_path / "model")
    assert not (tmp_path / "model" / "optimizer.safetensors").exists()
