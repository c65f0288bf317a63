"""Outer updaters: each rule against a plain loop and a quadratic's closed form, and runs with them."""
import json

import numpy as np
import pytest
from averaged import averaging, died, network, whole

import mrdl
from mrdl import optimizers, outer, resume
from mrdl.cli import main
from mrdl.config import ConfigError, serialize
from mrdl.constraints import MaxNorm
from mrdl.data import dataset
from mrdl.driver import automatic
from mrdl.layers import BatchNormalization, Dense
from mrdl.outer import OUTER, Adagrad, Adam, Elastic, Momentum, Nesterov, SlowMo, Yogi, updater
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.schedules import CosineDecay

RATES = [0.1, 0.1, 0.05, 0.0, 0.05, 0.05]       # of the workers, round by round


def plain(rule, w, changes):
    """The weights after each round: one loop for each rule, as the papers have it."""
    c, found, name = rule, [], type(rule).__name__
    v = m = 0.0
    for d, rate in zip(changes, RATES):
        if name == "Momentum":
            v = c.momentum * v + d
            w = w + c.learning_rate * v
        elif name == "SlowMo":
            if rate:
                v = c.momentum * v + d / rate
                w = w + c.learning_rate * rate * v
            else:
                w = w + d
        elif name == "Nesterov":                # as PyTorch's SGD, whose gradient is -d
            v = c.momentum * v - d
            w = w - c.learning_rate * (-d + c.momentum * v)
        elif name in ("Elastic", "Confidence"):
            w = w + c.learning_rate * d
        elif name == "Adagrad":
            v = v + d ** 2
            w = w + c.learning_rate * d / (v ** 0.5 + c.epsilon)
        else:
            m = c.beta_1 * m + (1 - c.beta_1) * d
            v = c.beta_2 * v + (1 - c.beta_2) * d ** 2 if name == "Adam" else v - (1 - c.beta_2) * d ** 2 * np.sign(v - d ** 2)
            w = w + c.learning_rate * m / (v ** 0.5 + c.epsilon)
        found.append(w)
    return found


@pytest.mark.parametrize("dtype, close", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("kind", OUTER)
def test_each_rule_is_its_plain_loop(kind, dtype, close, monkeypatch):
    monkeypatch.setattr(outer, "CHUNK", 3)      # chunks change nothing
    rule, rng = kind().resolved(4), np.random.default_rng(0)
    w, changes = rng.normal(size=8), rng.normal(size=(len(RATES), 8)) * 0.1
    found, slots = w.astype(dtype), np.zeros((rule.slots, 8), dtype)
    for change, rate, wanted in zip(changes, RATES, plain(rule, w, changes), strict=True):
        mean = (found + change).astype(dtype)
        rule.apply(found, mean, slots, rate)
        np.testing.assert_allclose(mean, wanted, rtol=close, atol=close)
        found = mean


@pytest.mark.parametrize("rule", [Nesterov(1.0, 0.0), Momentum(1.0, 0.0), SlowMo(1.0, 0.0), Elastic(pull=0.5).among(2)])
def test_without_momentum_and_at_rate_1_they_are_the_mean(rule):
    rng = np.random.default_rng(1)
    before, mean = rng.normal(size=(2, 1000)).astype("f4")
    found = mean.copy()
    rule.apply(before, found, np.zeros((1, 1000), "f4"), 0.5)
    np.testing.assert_array_max_ulp(found, mean, 1 if isinstance(rule, SlowMo) else 0)


@pytest.mark.parametrize("kind", OUTER)
def test_a_rule_is_what_its_text_and_its_dict_say(kind):
    rule = kind().resolved(3)
    assert updater(str(rule)) == updater(serialize(rule)) == updater(rule) == rule


def test_settings_that_make_rules_alike_do():
    rng = np.random.default_rng(2)
    before, changes = rng.normal(size=50), rng.normal(size=(5, 50))

    def run(rule, scale=1.0):
        w, slots = before, np.zeros((rule.slots, 50))
        for change in changes:
            mean = w + change * scale
            rule.apply(w, mean, slots, 0.1)
            w = mean
        return w - before
    np.testing.assert_allclose(run(SlowMo(0.9, 0.6)), run(Momentum(0.9, 0.6)))      # at a constant rate
    np.testing.assert_allclose(run(Adam(1e9, epsilon=1e9)), run(Momentum(0.1, 0.9)), rtol=1e-6)
    np.testing.assert_allclose(run(Adagrad(1e9, 1e9)), changes.sum(axis=0), rtol=1e-6)
    assert Momentum().resolved(8) == Momentum(momentum=0.875) and Momentum().resolved(100) == Momentum(momentum=0.9)
    assert Momentum().resolved(1).momentum == 0 and Momentum(momentum=0.3).resolved(8).momentum == 0.3
    first = Adam(0.01, epsilon=1e-12)
    mean = changes[0].copy()
    first.apply(np.zeros(50), mean, np.zeros((2, 50)), 0.1)
    np.testing.assert_allclose(mean, 0.01 * np.sign(changes[0]), rtol=1e-5)         # 0.1 d / sqrt(0.01 d^2): all alike
    slow, fast, small = np.full((2, 1), 1.0), np.full((2, 1), 1.0), np.full(1, 0.01)
    Yogi().step(small, slow, 0.1), Adam().step(small, fast, 0.1)
    assert slow[1] > fast[1]


# -- quadratics f_i = (w - a_i)' A_i (w - a_i) / 2: H full gradient steps move w by Q_i (a_i - w), Q_i = I - (I - rate A_i)^H

SHARES, CENTRES = np.array([0.2, 0.5, 0.3]), np.array([[1.0, -2.0], [0.5, 3.0], [-4.0, 1.0]])


def quadratic(matrices, rule, rounds, steps, rate=0.1):
    """The weights after each round, from 0; workers really take their steps."""
    w, slots, found = np.zeros(2), np.zeros((rule.slots if rule else 0, 2)), []
    for _ in range(rounds):
        mean = np.zeros(2)
        for share, a, matrix in zip(SHARES, CENTRES, matrices):
            own = w.copy()
            for _ in range(steps):
                own -= rate * matrix @ (own - a)
            mean += share * own
        if rule:
            rule.apply(w, mean, slots, rate)
        w = mean
        found.append(w)
    return found


MATRICES = [np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([[1.0, 0.0], [0.0, 3.0]]), np.array([[0.5, -0.2], [-0.2, 2.0]])]


@pytest.mark.parametrize("rule", [None, Momentum(1.0, 0.5), SlowMo(1.0, 0.5), Nesterov(0.7, 0.5), Adam(0.1, epsilon=1.0),
                                  Yogi(0.1, epsilon=1.0), Adagrad(1.0, epsilon=1.0)], ids=str)
@pytest.mark.parametrize("steps", [1, 7])
def test_every_rule_ends_where_local_steps_must(rule, steps):
    rounds = 3000 // steps
    q = [np.eye(2) - np.linalg.matrix_power(np.eye(2) - 0.1 * m, steps) for m in MATRICES]
    wanted = np.linalg.solve(sum(p * m for p, m in zip(SHARES, q)), sum(p * m @ a for p, m, a in zip(SHARES, q, CENTRES)))
    np.testing.assert_allclose(quadratic(MATRICES, rule, rounds, steps)[-1], wanted, atol=1e-6)
    alike = [MATRICES[0]] * 3                   # the bias is gone
    np.testing.assert_allclose(quadratic(alike, rule, rounds, steps)[-1], SHARES @ CENTRES, atol=1e-6)
    least = np.linalg.norm(SHARES @ CENTRES)    # the first step goes down: the sign is right
    assert np.linalg.norm(quadratic(alike, rule, 1, steps)[0] - SHARES @ CENTRES) < least


@pytest.mark.parametrize("steps", [1, 7])
def test_momentum_contracts_as_its_characteristic_polynomial_says(steps):
    matrices, eta, momentum = [np.diag([0.4, 0.4])] * 3, 0.8, 0.6
    gain = 1 - (1 - 0.1 * 0.4) ** steps         # the eigenvalue of Q
    wanted = max(abs(np.roots([1, -(1 + momentum - eta * gain), momentum])))
    gone = [np.linalg.norm(w - SHARES @ CENTRES) for w in quadratic(matrices, Momentum(eta, momentum), 120, steps)]
    assert (gone[100] / gone[40]) ** (1 / 60) == pytest.approx(wanted, rel=0.03)


# -- runs

@pytest.mark.parametrize("rule", ["nesterov", "adam epsilon 0.01", SlowMo(momentum=0.3)], ids=str)
def test_a_run_that_dies_goes_on_with_its_outer_state_to_the_same_bits(tmp_path, made, rule):
    data, options = made(100, shards=3).url, {"outer": rule, "rounds": 8, "validation_freq": None}
    averaging(**options).fit(network(), data, run=str(tmp_path / "once"))
    died(network(), data, tmp_path / "run", 5, **options)
    assert whole(tmp_path / "run") == whole(tmp_path / "once")
    last = [Run(tmp_path / name).state(8) for name in ("run", "once")]
    assert last[0].outer.tobytes() == last[1].outer.tobytes() and last[0].outer.any()
    averaging(**options | {"outer": None}).fit(network(), data, run=str(tmp_path / "mean"))
    assert whole(tmp_path / "mean") != whole(tmp_path / "once")
    kept = sorted(path.name for path in (tmp_path / "run").glob("outer-*"))
    assert kept == [f"outer-{r:06d}.safetensors" for r in (6, 7, 8)]        # keep_rounds
    with pytest.raises(RunError, match="begun with other options .outer "):
        averaging(**options | {"outer": None}).fit(network(), data, run=str(tmp_path / "run"))


@pytest.mark.parametrize("runner, resident", [("inline", "never"), ("local", "never"), ("local", "always")])
def test_all_runners_and_kinds_of_rounds_give_the_same_bits(tmp_path, made, runner, resident):
    data = made(100, shards=2).url
    averaging(outer="nesterov", rounds=4, workers=2).fit(network(), data, run=str(tmp_path / "once"))
    averaging(outer=Nesterov(), rounds=4, workers=2, runner=runner, resident=resident, cores=2).fit(
        network(), data, run=str(tmp_path / "run"))
    assert whole(tmp_path / "run") == whole(tmp_path / "once")


def test_at_rate_1_without_momentum_a_run_is_plain_averaging(tmp_path, made):
    data = made(100, shards=3).url
    for name, rule in (("mean", "mean"), ("none", None), ("rule", "nesterov learning_rate=1, momentum=0")):
        averaging(outer=rule, rounds=4).fit(network(), data, run=str(tmp_path / name))
    assert whole(tmp_path / "rule") == whole(tmp_path / "none") == whole(tmp_path / "mean")
    assert not list((tmp_path / "none").glob("outer-*"))


def test_one_worker_may_have_an_outer_step_too(tmp_path, made):
    data = made(100, shards=2).url
    found = [averaging(outer=rule, rounds=6, workers=1).fit(network(), data, run=str(tmp_path / str(rule)))
             for rule in (None, "nesterov")]
    assert found[0].model.weights.tobytes() != found[1].model.weights.tobytes()
    assert found[1].metrics["loss"] < found[0].metrics["loss"]


def test_moving_means_are_averaged_and_constraints_hold_after_the_step(tmp_path, made):
    data, models = made(100, shards=2).url, []
    for rule in (None, "momentum learning_rate 50 momentum 0.5"):
        model = mrdl.Sequential([BatchNormalization(), Dense(3, "softmax", kernel_constraint=MaxNorm(0.7))])
        model.compile("sgd", "sparse_categorical_crossentropy")
        averaging(outer=rule, rounds=1).fit(model, data, run=str(tmp_path / str(rule)))
        models.append({w.name: model.weights[start:start + w.size].copy() for _, w, start in model.places()}
                      | {"norms": np.linalg.norm(model.get_weights()[-2], axis=0)})
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_array_equal(models[0][name], models[1][name])
    assert not np.array_equal(models[0]["kernel"], models[1]["kernel"])
    assert (models[1]["norms"] < 0.7001).all() and (models[1]["norms"] > 0.69).any()


def test_steps_that_are_not_finite_are_rolled_back(tmp_path, made):
    done = averaging(outer=Momentum(1e50, 0.9), rounds=3, retries=1).fit(network(), made(60).url, run=str(tmp_path / "run"))
    assert "not finite" in done.reason and done.rounds == 0
    assert np.isfinite(done.model.weights).all()


@pytest.mark.parametrize("damage, reason", [
    (lambda path: path.unlink(), "the state of round 3 is gone; outer-000003.safetensors"),
    (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "outer-000003.safetensors is damaged: its hash is not the commit's")])
def test_a_damaged_outer_state_is_refused_in_one_line(tmp_path, made, damage, reason):
    data, run = made(60).url, tmp_path / "run"
    averaging(outer="nesterov", rounds=3).fit(network(), data, run=str(run))
    damage(run / "outer-000003.safetensors")
    with pytest.raises(RunError, match=reason) as error:
        resume(str(run), "inline", rounds=4)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data, reason", [
    (b"", "is not a state"), (b"\xff" * 40, "is not a state"),
    ("wrong", r"float32 \[1, 4\] for 3 weights"), ("flat", r"float32 \[3\] for 3 weights"), ("name", "is not a state")])
def test_an_outer_state_of_another_form_is_refused(data, reason):
    from safetensors.numpy import save

    from mrdl.rounds.state import State, StateError
    if isinstance(data, str):
        shape = {"wrong": (1, 4), "flat": (3,), "name": (1, 3)}[data]
        data = save({"other" if data == "name" else "outer": np.zeros(shape, "f4")})
    with pytest.raises(StateError, match=reason):
        State(np.zeros(3, "f4"), 3).take_outer(data, "outer-000001.safetensors")


def test_options_of_a_run_that_knew_no_outer_updater_are_read(tmp_path, made):
    from mrdl.driver.options import Options
    averaging(rounds=1).fit(network(), made(60).url, run=str(tmp_path / "run"))
    facts = json.loads((tmp_path / "run" / "run.json").read_text())["options"]
    del facts["outer"]
    assert Options.read(facts).outer is None


@pytest.mark.parametrize("value, reason", [
    ("nestrov", "unknown outer updater 'nestrov' .did you mean Nesterov"), ("nesterov momentum", "is no list of settings"),
    ("mean 3", "is no list of settings"), ("nesterov momentum x", "'x' must be a finite number"), ("nesterov momentum nan", "must be a finite"),
    ("nesterov rate 3", "rate=3 is not supported"), (3, "unknown outer updater"),
    ({"class_name": "SGD"}, "unknown outer updater 'SGD'"), ("adam epsilon 0", "epsilon must be above 0"),
    ("elastic pull 0", "pull must be above 0 and at most 1"), ("elastic pull 1.5", "at most 1"),
    ("momentum momentum 1", "momentum must be at least 0 and below 1"), ("yogi learning_rate 0", "learning_rate must be above 0")])
def test_what_is_no_outer_updater_is_refused(value, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        updater(value)
    assert "\n" not in str(error.value)


def test_the_command_line_takes_a_rule_with_settings(tmp_path, made, capsys):
    data = made(60).url
    (tmp_path / "net.py").write_text(
        "import mrdl\nfrom mrdl.layers import Dense\nmodel = mrdl.Sequential([Dense(3, 'softmax')])\n"
        "model.compile('adam', 'sparse_categorical_crossentropy')\n")

    def run(rule, name):
        return main(["train", str(tmp_path / "net.py"), data, str(tmp_path / name), "-r", "inline", "--rounds", "2", "--outer", rule])
    assert run("nesterov learning_rate 0.5", "run") == 0
    assert Run(tmp_path / "run").options()["options"]["outer"]["config"] == {"learning_rate": 0.5, "momentum": 0.9}
    assert run("momentum", "other") == 0
    assert Run(tmp_path / "other").options()["options"]["outer"]["config"] == {"learning_rate": 1.0, "momentum": 0.5}
    capsys.readouterr()
    assert run("nesterov momentum 2", "third") == 2
    assert capsys.readouterr().err == "mrdl: outer Nesterov: momentum must be at least 0 and below 1\n" and not (tmp_path / "third").exists()
    assert main(["show", str(tmp_path / "run")]) == 0
    assert ", outer nesterov learning_rate 0.5 momentum 0.9" in capsys.readouterr().out


# -- auto

def test_auto_chooses_once_says_so_and_the_run_keeps_it(tmp_path, made, capsys):
    data, run = made(100, shards=3).url, str(tmp_path / "run")
    options = {"outer": "auto", "rounds": 8}
    died(network(optimizer="sgd"), data, run, 5, **options)
    averaging(outer="nesterov learning_rate 1 momentum 0.9", rounds=8).fit(network(optimizer="sgd"), data, run=str(tmp_path / "named"))
    assert whole(run) == whole(tmp_path / "named")
    capsys.readouterr()
    averaging(outer="auto", rounds=9).fit(network(optimizer="sgd"), data, run=run)
    said = capsys.readouterr().out
    assert "outer auto: nesterov learning_rate 1.0 momentum 0.9, as the run was begun" in said
    told = []
    averaging(outer=" Auto", rounds=automatic.FEW - 1).fit(network(), data, run=str(tmp_path / "few"), told=lambda *event: told.append(event))
    assert ("note", {"text": f"outer auto: mean, for Adam in 2 workers and at most {automatic.FEW - 1} rounds of 3 minibatches"}) in told
    assert Run(tmp_path / "few").options()["options"]["outer"] is None


@pytest.mark.parametrize("inner, length, wanted", [
    (optimizers.SGD(0.1, 0.9), 5, Nesterov(1.0, 0.9)), (optimizers.Adam(0.001), 5, Adagrad(0.025)),
    (optimizers.RMSprop(0.001), 20, Nesterov(1.0, 0.6)), (optimizers.Adam(0.01), 5, None), (optimizers.Adam(0.01), 20, None),
    (optimizers.Adam(CosineDecay(0.01, 100)), 5, Nesterov(1.0, 0.6)), (optimizers.Muon(0.001), 5, Nesterov(1.0, 0.6))])
def test_auto_goes_by_the_inner_updater_and_the_lengths_of_rounds(inner, length, wanted):
    assert automatic.suitable(inner, 2, automatic.FEW, length) == wanted
    assert automatic.suitable(inner, 1, 1000, length) is None and automatic.suitable(inner, 2, automatic.FEW - 1, length) is None


@pytest.mark.parametrize("options, wanted", [
    ({"until": "rounds 7, epochs 2"}, (7, 3)), ({"epochs": 3}, (30, 3)), ({"until": "val_loss patience 2"}, (1000, 3)),
    ({"epochs": 1, "averaging_frequency": None}, (2, 13)), ({"epochs": 1, "averaging_frequency": "auto"}, (2, 13)),
    ({"epochs": 1, "averaging_frequency": "3, 5 from 2"}, (10, 3)), ({"epochs": 1, "averaging_frequency": "qsr 0.1"}, (2, 13)),
    ({"epochs": 1, "averaging_frequency": "post-local 1"}, (26, 1))])
def test_the_rounds_to_come_are_those_of_the_rules(made, options, wanted):
    data = dataset.load(made(400, shards=4).url)
    assert automatic.rounds_to_come(averaging(**options).options(), data) == wanted


def test_auto_is_the_mean_where_fragments_are_trained(tmp_path, made):
    told = []
    mrdl.FragmentTraining(fragments=2, outer="auto", rounds=9, batch_size=8, runner="inline").fit(
        network(), made(60).url, run=str(tmp_path / "run"), told=lambda *event: told.append(event))
    assert ("note", {"text": "outer auto: mean, as fragments are trained"}) in told
