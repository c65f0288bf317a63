"""docs/dl4j.md: whatever stands on mrdl's side of its tables is there, and defaults are as it says."""
import dataclasses
import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
from math import floor, log, sqrt
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from mrdl.kernels import reference

import mrdl
from mrdl import constraints, initializers, layers, optimizers, regularizers, schedules
from mrdl.config import ConfigError, lookup
from mrdl.initializers import INITIALIZERS
from mrdl.layers.activations import ACTIVATIONS
from mrdl.losses import LOSSES

PAGE = (Path(__file__).parents[2] / "docs" / "dl4j.md").read_text()
MASTER = (Path(__file__).parents[2] / "docs" / "averaging.md").read_text().split("## For users of DL4J and H2O")[1]
EXAMPLE = Path(__file__).parents[2] / "examples" / "char_lstm.py"
OPTIONS = {f.name for f in dataclasses.fields(mrdl.ParameterAveraging)}


def section(title):
    return re.split(r"^## ", PAGE, flags=re.MULTILINE)[[p.split("\n")[0] for p in re.split(
        r"^## ", PAGE, flags=re.MULTILINE)].index(title)]


def ours(title):
    """The code in the right columns of a section's table."""
    rows = re.findall(r"^\|(?!---)[^|]*\|([^|]*)\|$", section(title), re.MULTILINE)[1:]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("title, homes", [
    ("Layers", [layers]), ("Activations", [layers]), ("Updaters", [optimizers]),
    ("Penalties and constraints on weights", [constraints, regularizers])])
def test_every_class_of_the_tables_is_there(title, homes):
    found = [name for code in ours(title) if (name := re.match(r"[A-Z]\w+", code))]
    assert len(found) > (1 if title == "Activations" else 5)
    for name in found:
        assert any(hasattr(home, name.group()) for home in homes), name.group()
    for code in ours(title):
        if re.fullmatch(r"\w+\([\w=., \"]*\)", code) and "layer" not in code and "x" not in code and "rate)" not in code \
                and "(n," not in code:
            eval(code, {k: v for home in homes for k, v in vars(home).items()})


def test_the_activations_are_those_there_are_and_what_the_page_says():
    named = {code for code in ours("Activations") if re.fullmatch(r"[a-z_0-9]+", code)}
    assert named == set(ACTIVATIONS)
    assert layers.Dense(1).activation == "linear" and layers.LSTM(1).activation == "tanh"
    x = np.array([-1.5, -1.0, 0.5, 1.5])
    def y(name, *parameters):
        return reference.ACTIVATIONS[name][0](x, *(parameters or reference.ACTIVATIONS[name][3]))
    np.testing.assert_allclose(y("leaky_relu"), np.where(x > 0, x, 0.2 * x))
    np.testing.assert_allclose(y("leaky_relu", *layers.LeakyReLU(0.01).parameters), np.where(x > 0, x, 0.01 * x))
    np.testing.assert_allclose(y("leaky_relu", *layers.ReLU(threshold=1.0).parameters), np.where(x > 1, x, 0))
    np.testing.assert_allclose(y("hard_sigmoid"), np.clip(x / 6 + 0.5, 0, 1))
    np.testing.assert_allclose(y("gelu"), [v * NormalDist().cdf(v) for v in x])


def test_every_option_of_the_training_master_is_one():
    rows = re.findall(r"^\|(?!---)[^|]*\|[^|]*\|([^|]*)\|$", MASTER, re.MULTILINE)[1:]
    named = {code for row in rows for code in re.findall(r"`([a-z_]+)(?:=[^`]*)?`", row)}
    assert {"workers", "batch_size", "averaging_frequency", "save_updater", "seed", "warm_start"} <= named and len(rows) > 20
    assert named - {"prepare", "fit", "verbose", "told"} <= OPTIONS
    for name, default in re.findall(r"`([a-z_]+)` \((\w+)[):]", " ".join(rows)):
        assert str(next(f.default for f in dataclasses.fields(mrdl.ParameterAveraging) if f.name == name)) == default


def test_every_name_of_the_package_is_there():
    names = set(re.findall(r"`(?:\w+=)?mrdl\.(\w+)", PAGE))
    assert len(names) > 8
    for name in names:
        assert hasattr(mrdl, name)
    assert {"tbptt", "tbptt_backward"} <= OPTIONS


@pytest.mark.parametrize("name, fields", re.findall(r"`([A-Z]\w+)` \(((?:[^()]*\d[^()]*))\)[^|]*\|$", PAGE, re.MULTILINE))
def test_the_defaults_of_updaters_and_layers_are_those_that_the_page_names(name, fields):
    kind = getattr(optimizers, name, None) or getattr(layers, name)
    given = kind(1) if kind is layers.Dense else kind()
    for field, value in re.findall(r"(rho|epsilon|momentum) ([\d.e-]+)", fields):
        assert getattr(given, field) == float(value)
    if kind in optimizers.OPTIMIZERS:
        rate = re.match(r"(?:rate )?([\d.]+)", fields)
        assert given.learning_rate == float(rate.group(1))


VALUES = {"initialValue": 0.1, "gamma": 0.9, "decayRate": 0.5, "step": 7, "maxIter": 30, "power": 2.0, "a": 0.3, "b": 0.2, "c": 0.1,
          "fanIn": 300, "fanOut": 200, "inputs": 128, "units": 60, "mean": 0.5, "std": 0.2, "lower": -0.1, "upper": 0.4, "gain": 2.0,
          "sqrt": sqrt, "floor": floor}


def rows_of(title):
    """(code in the left column, code in the right one) of each row."""
    return [tuple(re.findall(r"`([^`]+)`", side) for side in row)
            for row in re.findall(r"^\|(?!---)([^|]*)\|([^|]*)\|$", section(title), re.MULTILINE)[1:]]


def made(code, *homes):
    return eval(code, VALUES | {k: v for home in homes for k, v in vars(home).items()})


def test_schedules_have_the_rates_of_the_formulas():
    found = [(left[-1], right[0]) for left, right in rows_of("Schedules") if right and "CosineDecay" not in right]
    assert len(found) == 4
    for formula, ours in [*found, tuple(reversed(re.search(
            r"`(PolynomialDecay[^`]*)` is `([^`]*)`", section("Schedules")).groups()))]:
        schedule = made(ours, schedules)
        for i in range(30):
            assert schedule(i) == pytest.approx(eval(formula, VALUES | {"i": i}), rel=1e-12), (ours, i)
    assert all(hasattr(schedules, name) for _, right in rows_of("Schedules")[-1:] for name in right)
    theirs = section("Schedules").split("\n\n")[0]
    assert not {re.match(r"\w+", code).group() for code in re.findall(r"`([^`]+)`", theirs) if "Schedule" in code} & set(vars(schedules))


def spread(draw, kind, shape=(300, 200)):
    """The deviation of what is drawn, or its bound."""
    values = draw(shape, np.random.default_rng(0))
    return values.std() if kind == "normal" else abs(values).max()


def initializer(code):
    return lookup(code, INITIALIZERS, "initializer") if re.fullmatch("[a-z_]+", code) else made(code, initializers)


def test_initial_weights_are_as_wide_as_the_table_says():
    kinds = re.findall(r": (normal|uniform), `([^`]+)` \| `([^`]+)`", section("Initial weights"))
    assert len(kinds) == 11
    for kind, formula, code in kinds:
        assert spread(initializer(code), kind) == pytest.approx(eval(formula, VALUES), rel=0.01), code
    assert layers.Dense(1).kernel_initializer == initializer("glorot_uniform")
    for code, kind, wanted in (("random_normal", "normal", 0.05), ("random_uniform", "uniform", 0.05),
                               ("lecun_uniform", "uniform", sqrt(3 / 300)),
                               ('VarianceScaling(1, "fan_avg", "untruncated_normal")', "normal", sqrt(2 / 500))):
        assert f"`{code}`" in section("Initial weights")
        assert spread(initializer(code), kind) == pytest.approx(wanted, rel=0.01)
    for mode, n in (("fan_in", 300), ("fan_out", 200), ("fan_avg", 250)):
        assert spread(initializer(f'VarianceScaling(0.774, "{mode}")'), "uniform") == pytest.approx(2 / sqrt(n), rel=0.01)
        assert f'`VarianceScaling(0.774, "{mode}")`' in section("Initial weights")
    deviation = sqrt(2 / 500)
    cut, whole = (abs(initializer(code)((300, 200), np.random.default_rng(0))).max() for code in (
        "glorot_normal", 'VarianceScaling(1, "fan_avg", "untruncated_normal")'))
    assert cut < 2 * deviation / 0.8796 < whole
    assert "| `IDENTITY` | `Identity()` |" in section("Initial weights")
    assert (initializer("Identity()")((3, 3), None) == np.eye(3)).all()


def test_distributions_take_the_same_numbers():
    drawn = {code: made(code, initializers)((400, 300), np.random.default_rng(0))
             for left, right in rows_of("Initial weights") if left[0].endswith(")") for code in right}
    normal, uniform, cut, orthogonal = drawn.values()
    assert (normal.mean(), normal.std()) == pytest.approx((0.5, 0.2), rel=0.01)
    assert (uniform.min(), uniform.max()) == pytest.approx((-0.1, 0.4), rel=0.01)
    assert abs(cut - 0.5).max() == pytest.approx(0.4, rel=0.01) and cut.mean() == pytest.approx(0.5, rel=0.01)
    np.testing.assert_allclose(orthogonal.T @ orthogonal, 4 * np.eye(300), atol=1e-9)


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GravesLSTM])
def test_fans_of_recurrent_layers_are_the_sides_of_their_matrices(kind):
    assert kind(1).recurrent_initializer == initializer("orthogonal")
    model = mrdl.Sequential([layers.Input((4, 128)), kind(60, kernel_initializer="glorot_normal",
                                                          recurrent_initializer="glorot_normal")]).build(seed=1)
    for weights, fans in zip(model.get_weights(), ("`inputs` and `4 * units`", "`units` and `4 * units`")):
        assert fans in section("Initial weights").replace("\n", " ")
        sides = [eval(side, VALUES) for side in re.findall("`([^`]+)`", fans)]
        assert weights.shape == tuple(sides) and weights.std() == pytest.approx(sqrt(2 / sum(sides)), rel=0.02)


def test_losses_go_by_these_names():
    small = [code for code in ours("Losses") if re.fullmatch(r"[a-z_0-9]+", code) and code not in ("softmax", "sigmoid")]
    kinds = {type(lookup(name, LOSSES, "loss")) for name in small}
    assert kinds == set(LOSSES)
    for name in ("L1", "L2", "l1", "l2", "wasserstein", "Wasserstein"):
        with pytest.raises(ConfigError):
            lookup(name, LOSSES, "loss")
    assert re.search(r"`L1`, `L2` \| not there.*\n\| `WASSERSTEIN` \| not there", PAGE)
    for name in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        assert lookup(name, LOSSES, "loss").activation == "softmax"
    assert lookup("binary_crossentropy", LOSSES, "loss").activation == "sigmoid"


# DL4J's scores of outputs y and targets t, [n, K], for each example; and whether they are sums over the K outputs
SCORES = {
    "XENT": ("binary_crossentropy", "sigmoid", lambda y, t: -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum(1), True),
    "HINGE": ("hinge", "linear", lambda y, t: np.maximum(0, 1 - (2 * t - 1) * y).sum(1), True),
    "SQUARED_HINGE": ("squared_hinge", "linear", lambda y, t: (np.maximum(0, 1 - (2 * t - 1) * y) ** 2).sum(1), True),
    "POISSON": ("poisson", "softplus", lambda y, t: (y - t * np.log(y)).sum(1), True),
    "L1": ("mae", "linear", lambda y, t: abs(y - t).sum(1), True),
    "L2": ("mse", "linear", lambda y, t: ((y - t) ** 2).sum(1), True),
    "MSE": ("mse", "linear", lambda y, t: ((y - t) ** 2).mean(1), False),
    "MEAN_ABSOLUTE_ERROR": ("mae", "linear", lambda y, t: abs(y - t).mean(1), False),
    "MEAN_ABSOLUTE_PERCENTAGE_ERROR": ("mape", "linear", lambda y, t: 100 * abs((y - t) / t).mean(1), False),
    "MEAN_SQUARED_LOGARITHMIC_ERROR": ("msle", "softplus", lambda y, t: (np.log((1 + y) / (1 + t)) ** 2).mean(1), False),
    "KL_DIVERGENCE": ("kld", "softmax", lambda y, t: (t * np.log(t / y)).sum(1), False),
    "COSINE_PROXIMITY": ("cosine_similarity", "linear", lambda y, t: -(y * t).sum(1) / np.sqrt(
        (y * y).sum(1) * (t * t).sum(1)), False),
    "MCXENT": ("categorical_crossentropy", "softmax", lambda y, t: -(t * np.log(y)).sum(1), False),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_differ_by_the_number_of_outputs_where_the_page_says_so(name):
    loss, activation, score, summed = SCORES[name]
    assert any(f"`{name}`" in row and "sums over the K outputs" in row for row in section("Losses").split("\n")) == summed
    rng, n, K = np.random.default_rng(0), 20, 3
    x, t = rng.standard_normal((n, 4)), rng.random((n, K)) + 0.1
    t = t / t.sum(1, keepdims=True)
    if "HINGE" in name:
        t = (t > 1 / 3) * 1.0               # 0 counts as -1
    model = mrdl.Sequential([layers.Dense(K, activation)], dtype="float64")
    model.compile("sgd", loss)
    y = model.build((4,), seed=1).predict(x)
    assert model.evaluate(x, t, return_dict=True)["loss"] * (K if summed else 1) == pytest.approx(score(y, t).mean(), rel=1e-5)


def test_sums_over_outputs_need_a_rate_times_k_and_a_penalty_over_k():
    """A step of DL4J's SGD on XENT with l2(x), by hand."""
    rng, n, K, rate, l2 = np.random.default_rng(0), 20, 3, 0.01, 0.3
    x, t = rng.standard_normal((n, 4)), (rng.random((n, K)) > 0.5) * 1.0
    penalty = re.search(r"the penalty `(L2\(.*?\))`", PAGE).group(1)
    model = mrdl.Sequential([layers.Dense(K, "sigmoid", use_bias=False, kernel_regularizer=eval(
        penalty, {"L2": regularizers.L2, "x": l2, "K": K}))], dtype="float64")
    model.compile(optimizers.SGD(K * rate), "binary_crossentropy")
    w = model.build((4,), seed=1).get_weights()[0].copy()
    model.fit(x, t, batch_size=n)
    y = 1 / (1 + np.exp(-x @ w))
    np.testing.assert_allclose(model.get_weights()[0], w - rate * (x.T @ (y - t) / n + l2 * w), rtol=1e-9)


def test_states_go_on_between_calls_as_the_page_says(tmp_path):
    """The page's code, and minibatches of windows for a stateful layer, against whole sequences."""
    features, units, outputs, n, T = 3, 5, 2, 4, 6
    inputs = list(np.random.default_rng(0).standard_normal((T, n, 1, features)))
    trained = mrdl.Sequential([layers.Input((T, features)), layers.LSTM(units, return_sequences=True), layers.Dense(outputs)]).build(seed=1)
    whole = trained.predict(np.concatenate(inputs, 1))
    code = re.search(r"```python\n(.*?)```", section("States between calls"), re.DOTALL).group(1)
    given = vars(layers) | {"mrdl": mrdl, "np": np, "features": features, "units": units, "outputs": outputs, "n": n,
                            "trained": trained, "inputs": inputs, "found": []}
    (tmp_path / "page.py").write_text(code.rstrip() + "\n    found.append(y)")
    found = runpy.run_path(str(tmp_path / "page.py"), given)["found"]
    np.testing.assert_allclose(np.stack(found, 1), whole, rtol=1e-5, atol=1e-6)
    stateful = mrdl.Sequential([layers.Input((1, features)), layers.LSTM(units, return_sequences=True, stateful=True), layers.Dense(outputs)])
    stateful.build().set_weights(trained.get_weights())
    first = stateful.predict(np.concatenate(inputs), batch_size=n)
    np.testing.assert_allclose(np.concatenate(np.split(first, T), 1), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(stateful.predict(inputs[0], batch_size=n), first[:n])        # a call begins at 0


# examples/char_lstm.py

@pytest.fixture
def example(monkeypatch):
    """The example with little text and a small model."""
    spec = importlib.util.spec_from_file_location("char_lstm", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "topics", {"a": "The best of times, it was the worst of times. " * 400})
    small = mrdl.Sequential([layers.CategoryEncoding(128, "one_hot"), layers.GravesLSTM(6, return_sequences=True),
                             layers.Dense(128, "softmax")])
    small.compile("adam", "sparse_categorical_crossentropy")
    monkeypatch.setattr(module, "model", small)
    return module


def test_the_example_takes_the_dataset_that_is_there_and_scores_each_round(tmp_path, example, capsys):
    folder, fresh = str(tmp_path / "topics"), example.model.to_json()
    example.main([folder, "0"])
    assert [p.name for p in Path(folder).iterdir()] == ["topics.txt"]
    mrdl.prepare(f"{folder}/topics.txt", f"{folder}/data", format="text", sequence_length=50, hold_out=0.2)
    capsys.readouterr()
    example.main([folder, "2"])
    told = capsys.readouterr().out
    (run,) = Path(folder).glob("run*")
    history = {line["round"]: line for line in map(json.loads, (run / "history.jsonl").read_text().splitlines())}
    scored = {int(r): bits for r, bits in re.findall(r"^round (\d+): ([\d.]+) bits a character$", told, re.MULTILINE)}
    last = re.search(r"^([\d.]+) bits a character after (\d+) rounds\n\nThe ", told, re.MULTILINE)
    scored[int(last.group(2))] = last.group(1)
    assert {r: bits for r, bits in scored.items() if r} == {
        r: f"{line['val_loss'] / log(2):.3f}" for r, line in history.items() if "val_loss" in line} and len(scored) > 2
    example.model = mrdl.model_from_json(fresh)
    example.main([folder, "2"])                 # the run is finished: it is sampled again
    assert capsys.readouterr().out == told[last.start():]


@pytest.mark.parametrize("arguments, status, reason", [
    (["topics", "-1"], 2, "EPOCHS -1: must be 0 or more"), (["topics", "many"], 2, "invalid int value: 'many'"),
    (["file", "1"], 1, "char_lstm: .*file"), (["odd", "1"], 1, "char_lstm: .*odd/data: exists and is not empty")])
def test_what_the_example_cannot_do_is_said_in_one_line(tmp_path, arguments, status, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "odd" / "data").mkdir(parents=True)
    (tmp_path / "odd" / "data" / "letter.txt").write_text("")
    done = subprocess.run([sys.executable, str(EXAMPLE), *arguments], cwd=tmp_path, text=True, capture_output=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(EXAMPLE.parent.parent)})
    assert done.returncode == status and re.search(reason, done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr and len([line for line in done.stderr.splitlines() if "char_lstm" in line]) < 3


def test_the_example_has_the_defaults_that_the_pages_say(example):
    text = (EXAMPLE.parent.parent / "docs" / "text.md").read_text()
    options = example.parser().parse_args([])
    assert f"`python examples/char_lstm.py {options.folder} {options.epochs}`" in text
