"""Runs whose workers send coded changes."""
import numpy as np
import pytest
from averaged import averaging, network, whole

import mrdl
from mrdl import resume
from mrdl.cli import main
from mrdl.codings import CODINGS
from mrdl.constraints import MaxNorm
from mrdl.driver.exchanges import resident as exchange
from mrdl.layers import BatchNormalization, Dense
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run

NAMES = [kind.__name__.lower() for kind in CODINGS]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_learns_with_fewer_bytes(tmp_path, made, name):
    data = made(200, shards=3).url
    found = [averaging(compress=kind, rounds=6).fit(network(), data, run=str(tmp_path / str(kind))) for kind in (None, name)]
    assert found[1].metrics["loss"] == pytest.approx(found[0].metrics["loss"], rel=0.05)
    lines = [Run(tmp_path / str(kind)).history() for kind in (None, name)]
    size = found[0].model.weights.size
    assert lines[0][0]["bytes"] == 2 * 3 * size * 4         # weights and Adam's state of two workers
    assert lines[1][0]["bytes"] < 0.75 * lines[0][0]["bytes"]


@pytest.mark.parametrize("name, runner, resident, apart", [
    ("int8", "local", "never", None), ("bfloat16", "local", "always", None), ("float16", "local", "always", 0)])
def test_all_runners_and_kinds_of_rounds_give_the_same_bits(tmp_path, made, monkeypatch, name, runner, resident, apart):
    if apart is not None:
        monkeypatch.setattr(exchange, "APART", apart)
    data = made(100, shards=2).url
    averaging(compress=name, rounds=4).fit(network(), data, run=str(tmp_path / "once"))
    averaging(compress=name, rounds=4, runner=runner, resident=resident, cores=2).fit(network(), data, run=str(tmp_path / "run"))
    assert whole(tmp_path / "run") == whole(tmp_path / "once")


def test_a_run_that_dies_goes_on_to_the_same_bits(tmp_path, made):
    data, options = made(100, shards=3).url, {"compress": "int8", "outer": "nesterov", "rounds": 8, "validation_freq": None}
    averaging(**options).fit(network(), data, run=str(tmp_path / "once"))

    def killed(event, facts):
        if event == "round" and facts["round"] == 5:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        averaging(**options).fit(network(), data, run=str(tmp_path / "run"), told=killed)
    resume(str(tmp_path / "run"), "inline")
    assert whole(tmp_path / "run") == whole(tmp_path / "once")
    with pytest.raises(RunError, match="begun with other options .compress .*Int8"):
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
