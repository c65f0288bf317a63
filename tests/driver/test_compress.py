"""Runs whose workers send coded changes."""
import numpy as np
import pytest
from averaged import averaging, died, network, same_there, whole
from by_hand import changes
from safetensors.numpy import save

import mrdl
from mrdl import codings
from mrdl.cli import main
from mrdl.codings import Int8, Threshold, TopK
from mrdl.config import ConfigError, serialize
from mrdl.constraints import MaxNorm
from mrdl.driver.exchanges import resident as exchange
from mrdl.layers import BatchNormalization, Dense
from mrdl.rounds.plan import Plan
from mrdl.rounds.state import State, StateError
from mrdl.runners.backend import Backend
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.storage.sealed import digest
from mrdl.worker.change import Change
from mrdl.worker.slot import Slot


def test_a_run_learns_with_fewer_bytes(tmp_path, made):
    data, found = made(200, shards=3).url, {}
    for name in (None, "float16", "bfloat16", "int8", "topk 0.2"):
        done = averaging(compress=name, rounds=6).fit(network(), data, run=str(tmp_path / str(name)))
        found[name] = done.metrics["loss"], Run(tmp_path / str(name)).history()[0]["bytes"]
    plain, sent = found.pop(None)
    assert sent == 2 * 3 * done.model.weights.size * 4      # two workers' weights and Adam's state
    for name, (loss, fewer) in found.items():
        assert loss == pytest.approx(plain, rel=0.3 if name == "topk 0.2" else 0.02) and fewer < 0.75 * sent, name


@pytest.mark.parametrize("name, runner, resident, apart", [
    ("topk 0.1", "local", "never", None), ("topk 0.1 bits 32 decay 1", "local", "always", None), ("int8", "local", "always", 0),
    ("threshold 0.01 least 0.1 most 0.5", "local", "always", None)])
def test_all_runners_and_kinds_of_rounds_give_the_same_bits(tmp_path, made, monkeypatch, name, runner, resident, apart):
    if apart is not None:
        monkeypatch.setattr(exchange, "APART", apart)
    assert same_there(made(100, shards=2).url, tmp_path, runner, resident, compress=name, rounds=4)


@pytest.mark.parametrize("name", ["int8", "topk 0.1"])
def test_a_run_that_dies_goes_on_to_the_same_bits(tmp_path, made, name):
    data, options = made(100, shards=3).url, {"compress": name, "outer": "nesterov", "rounds": 8, "validation_freq": None}
    averaging(**options).fit(network(), data, run=str(tmp_path / "once"))
    died(network(), data, tmp_path / "run", 5, **options)
    assert whole(tmp_path / "run") == whole(tmp_path / "once")
    with pytest.raises(RunError, match="begun with other options .compress "):
        averaging(**options | {"compress": None}).fit(network(), data, run=str(tmp_path / "run"))


def test_moving_statistics_are_exact(tmp_path, made):
    data, models = made(100, shards=2).url, []
    for name in (None, "bfloat16"):
        model = mrdl.Sequential([BatchNormalization(), Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        averaging(compress=name, rounds=1, averaging_frequency=1).fit(model, data, run=str(tmp_path / str(name)))
        models.append({w.name: model.weights[start:start + w.size].copy() for _, w, start in model.places()})
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(models[1][name], models[0][name], rtol=1e-6)
    assert not np.array_equal(models[1]["kernel"], models[0]["kernel"])


def test_constraints_hold_after_the_round(tmp_path, made):
    model = mrdl.Sequential([Dense(3, "softmax", kernel_constraint=MaxNorm(0.05))])
    model.compile("sgd", "sparse_categorical_crossentropy")
    done = averaging(compress="int8", rounds=3).fit(model, made(100, shards=2).url, run=str(tmp_path / "run"))
    norms = np.linalg.norm(done.model.get_weights()[0], axis=0)
    assert (norms < 0.050001).all() and (norms > 0.0499).any()


def test_weights_that_are_not_finite_are_rolled_back(tmp_path, made):
    done = averaging(compress="float16", rounds=3, retries=1).fit(network(optimizer=mrdl.optimizers.SGD(1e30)), made(60).url, run=str(tmp_path / "run"))
    assert "not finite" in done.reason and done.rounds == 0


def test_the_command_line_takes_a_coding_and_shows_it(tmp_path, made, capsys):
    data, run = made(60, shards=2).url, str(tmp_path / "run")
    (tmp_path / "net.py").write_text(
        "import mrdl\nfrom mrdl.layers import Dense\nmodel = mrdl.Sequential([Dense(3, 'softmax')])\n"
        "model.compile('adam', 'sparse_categorical_crossentropy')\n")
    assert main(["train", str(tmp_path / "net.py"), data, run, "-r", "inline", "--rounds", "1", "--compress", "int8"]) == 0
    assert Run(run).options()["options"]["compress"]["class_name"] == "Int8"
    assert main(["show", run]) == 0
    out = capsys.readouterr().out
    assert "changes in int8" in out and "MB a round" in out
    assert main(["train", str(tmp_path / "net.py"), data, str(tmp_path / "no"), "--compress", "int7"]) == 2
    assert "mrdl: unknown coding 'int7'; there are none, Float16" in capsys.readouterr().err


# -- residuals

@pytest.mark.parametrize("kind", [TopK(0.1, decay=1.0), TopK(0.02, 32, 1.0), Threshold(0.5), Threshold(0.5, 0.1, 1.0)], ids=str)
def test_what_was_sent_and_the_residual_are_exactly_what_changed(tmp_path, kind, monkeypatch):
    # changes are of few bits, and so are levels: no sum is rounded
    monkeypatch.setattr(codings, "_levels", lambda sizes: (np.array([[0.25, 1.5]] * len(sizes)), sizes > 1))
    found, residual = changes(kind, tmp_path)
    changed, sent = (sum(part[i] for part in found) for i in (0, 1))
    assert residual.any() and (changed != sent).any()
    assert (sent + residual).tobytes() == changed.tobytes()


@pytest.mark.parametrize("dtype, close", [("f4", 1e-6), ("f8", 1e-14)])
def test_so_they_are_but_for_rounding_with_any_numbers(tmp_path, dtype, close):
    found, residual = changes(TopK(0.05, decay=1.0), tmp_path, 12, dtype, lambda rng, size: rng.standard_normal(size))
    changed, sent = (sum(part[i] for part in found) for i in (0, 1))
    np.testing.assert_allclose(sent + residual, changed, atol=20 * close)
    assert residual.dtype == dtype


def test_a_residual_decays_and_codings_without_feedback_keep_none(tmp_path):
    for decay in (0.5, 0.0):
        found, residual = changes(TopK(0.02, 32, decay), tmp_path, 2)
        (first, sent), (second, later) = found
        kept = decay * (first - sent) + second
        np.testing.assert_array_equal(residual, np.where(later != 0, 0, kept))
    assert changes(Int8(), tmp_path, 1)[1] is None


def test_all_values_as_they_are_and_one_minibatch_are_plain_averaging(tmp_path, made):
    data, found = made(120, shards=3, dtype="float64").url, []
    for name in (None, "topk 1 bits 32"):
        model = network(optimizer="sgd", dtype="float64")
        done = averaging(compress=name, workers=3, averaging_frequency=1, rounds=5).fit(model, data, run=str(tmp_path / str(name)))
        found.append(done.model.weights)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-13, atol=1e-15)


def test_each_commit_names_its_residuals_and_others_are_removed(tmp_path, made):
    run = Run(tmp_path / "run")
    notes = []
    averaging(compress="topk 0.1", workers=2, averaging_frequency=2, rounds=9).fit(
        network(), made(100, shards=3).url, run=run.url, told=lambda event, facts: event == "note" and notes.append(facts["text"]))
    assert any("most of what workers send is Adam's state" in text for text in notes)
    commits = run.commits()
    assert "kept" not in commits[0] and {*commits[-1]["kept"]} == {"0", "1"}
    assert any(int(name[5:11]) < commit["round"] for commit in commits[2:] for name, _ in commit["kept"].values())    # shards differ
    assert sorted(run.store.list("slot-*")) == sorted(name for name, _ in commits[-1]["kept"].values())


@pytest.mark.parametrize("data, reason", [
    (b"", "is damaged"), (save({"residual": np.zeros(3)}), r"residual is float64 \[3\], not float64 \[4\]")],
    ids=["empty", "short"])
def test_a_residual_of_another_form_is_refused(tmp_path, data, reason):
    (tmp_path / "file").write_bytes(data)
    model = mrdl.Sequential([Dense(4, use_bias=False)])
    model.build((1,))
    asked = Plan("", 1, 0, 0, None, 8, 0, [], {}, compress=serialize(TopK()), folder=str(tmp_path), kept={"0": ["file", digest(data)]})
    with pytest.raises(StateError, match=reason):
        Change(asked, State(np.zeros(4), 4), model, Slot(asked, 0), 0)


def test_a_run_where_workers_cannot_keep_residuals_is_refused(tmp_path, made, monkeypatch):
    monkeypatch.setattr(Backend, "home", lambda self, name: f"hdfs:///user/me/.mrdl/{name}")
    with pytest.raises(ConfigError, match="workers keep what topk share 0.08 .* must be an hdfs:// URL"):
        averaging(compress="topk", rounds=1).fit(network(), made(60).url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
