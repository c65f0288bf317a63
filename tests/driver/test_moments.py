"""Moments that a job pools: Normalization adapted by them, BatchNormalization recalibrated; the same bits everywhere."""
import itertools
import json

import keras
import numpy as np
import pytest
from shards import in_one_fit, rows

import mrdl
from mrdl import ParameterAveraging, cli, evaluate, resume
from mrdl.config import ConfigError
from mrdl.driver import scoring
from mrdl.driver.exchanges.plain import PlainExchange
from mrdl.driver.inference import state_file
from mrdl.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Input,
    Normalization,
    Rescaling,
    Reshape,
)
from mrdl.optimizers import AdamW
from mrdl.runners.cluster import Cluster
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.training import moments

# Keras's own, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def compiled(layers, dtype="float32", optimizer="adam"):
    model = mrdl.Sequential(layers, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def averaging(**options):
    return ParameterAveraging(**{"workers": 2, "batch_size": 8, "averaging_frequency": 3, "rounds": 3,
                                 "runner": "inline", "seed": 3, "keep_rounds": 99, **options})


# -- the merge

@pytest.mark.parametrize("cuts", [[], [0], [1], [5, 5], [20, 21, 60], range(1, 97)])
def test_moments_of_parts_merge_into_those_of_the_whole_even_far_from_zero(cuts):
    x = np.random.default_rng(0).standard_normal((97, 3)) * [1, 10, 1e-3] + [1e6, -3, 0]
    found = moments.Moments()
    for start, stop in itertools.pairwise([0, *cuts, 97]):
        if stop > start:
            padded = np.zeros((3, 112))
            padded[:, :stop - start] = x[start:stop].T
            found = moments.merged(found, moments.moments(padded, 3, stop - start))
    assert found.n == 97
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.m2 / found.n, x.var(0), rtol=1e-9)


def test_a_constant_feature_has_its_own_value_for_a_mean_and_no_variance():
    x = np.full((1000, 2), 0.1, "f4")
    model = mrdl.Sequential([Input(2), Normalization()])
    model.adapt(x)
    mean, variance, count = model.get_weights()
    assert (mean == x[0]).all() and not variance.any() and count == 1000
    assert not model.predict(x).any()


# -- adapt

def stored(tmp_path, x, shards=3):
    """A dataset of these examples."""
    np.savez(tmp_path / "raw.npz", x=x, y=(np.arange(len(x)) % 3).astype("i4"))
    return mrdl.prepare(str(tmp_path / "raw.npz"), str(tmp_path / "data"), shards=shards, runner="inline")


@pytest.mark.parametrize("shape, axis", [((5,), -1), ((5,), None), ((4, 3), -1), ((4, 3), (1, 2)), ((4, 3, 2), 3),
                                         ((4, 3, 2), (-2, -1)), ((4, 3, 2), None)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_adapt_finds_what_that_of_keras_finds_on_arrays_and_by_the_job(tmp_path, shape, axis, dtype):
    x = np.random.default_rng(0).gamma(2, 20, (700, *shape)).astype(dtype)
    theirs = keras.Sequential([keras.Input(shape), keras.layers.Normalization(axis=axis)])
    theirs.layers[0].adapt(x.astype("f8"))
    one, two = (mrdl.Sequential([Input(shape), Normalization(axis)]) for _ in range(2))
    one.adapt(x)
    mrdl.adapt(two, stored(tmp_path, x).url, runner="inline")
    for model in (one, two):
        for mine, wanted in zip(model.get_weights()[:2], theirs.get_weights()[:2], strict=True):
            assert mine.shape == wanted.shape
            np.testing.assert_allclose(mine, wanted, rtol=1e-6)
        np.testing.assert_allclose(model.predict(x), theirs(x.astype("f4")), rtol=1e-4, atol=1e-4)
        assert model.get_weights()[2] == x.size // mine.size
    again = mrdl.model_from_json(theirs.to_json())
    again.set_weights(theirs.get_weights())         # Keras leaves the count at 0
    assert moments.unadapted(again) == [] != moments.unadapted(mrdl.Sequential([Input(shape), Normalization(axis)]))


def branches():
    """Normalization of two inputs, one behind a Rescaling and a Reshape, and of what a layer makes of both."""
    a, b = Input((4,)), Input((3, 2))
    x = Normalization(name="of_a")(Reshape((2, 2))(Rescaling(0.5, 3.0)(a)))
    y = Normalization(None, name="of_b")(b)
    z = Dense(5, "relu", name="both")(Add()([Dense(3, name="left")(a), Dense(3, name="right")(Flatten()(b))]))
    z = Normalization(name="of_both")(z)
    model = mrdl.Model([a, b], Dense(3, "softmax")(Concatenate()([Flatten()(x), Flatten()(y), z])))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model.build(seed=1)


def test_every_normalization_of_a_graph_sees_what_reaches_it(tmp_path):
    a, b = np.random.default_rng(0).standard_normal((2, 300, 6)).astype("f4")
    a, b = a[:, :4] * 3 + 1, b.reshape(-1, 3, 2) - 2
    one, two = branches(), branches()
    one.adapt([a, b])
    mrdl.adapt(two, stored(tmp_path, np.hstack([a, b.reshape(300, -1)])).url, runner="inline")
    for model in (one, two):
        w = {f"{step.name}/{weight.name}": weight.to_keras(view).astype("f8") for step, weight, view in model._views()}
        flat = b.reshape(300, -1).astype("f8")
        hidden = np.maximum((a @ w["left/kernel"] + flat @ w["right/kernel"]) @ w["both/kernel"], 0)
        for name, x in (("of_a", (0.5 * a.astype("f8") + 3).reshape(-1, 2)), ("of_b", flat.ravel()), ("of_both", hidden)):
            np.testing.assert_allclose(w[f"{name}/mean"], x.mean(0), rtol=2e-6, atol=1e-6)
            np.testing.assert_allclose(w[f"{name}/variance"], x.var(0), rtol=2e-6)
            assert w[f"{name}/count"] == len(x)


def normalized(dtype="float32", optimizer="adam"):
    return compiled([Normalization(), Dense(6, "relu", kernel_regularizer="l2"), Dropout(0.3), Normalization(
        mean=0.5, variance=2.0), Dense(3, "softmax")], dtype, optimizer)


def test_a_run_adapts_its_model_by_itself_and_says_so_in_a_line(tmp_path, made):
    data, events = made(90, shards=3, dtype="float32"), []
    auto = averaging().fit(normalized(), data.url, run=str(tmp_path / "auto"),
                           told=lambda event, facts: events.append((event, facts.get("text"))))
    model = normalized()
    model.build(data.shape, seed=3)
    mrdl.adapt(model, data.url, runner="inline")
    asked = averaging().fit(model, data.url, run=str(tmp_path / "asked"))
    assert auto.model.weights.tobytes() == asked.model.weights.tobytes()
    assert [text for event, text in events if event == "note" and "adapted" in text] == ["adapted Normalization to 90 examples"]
    x = np.concatenate([rows(s)["x"] for s in data.train()]).astype("f8")
    np.testing.assert_allclose(auto.model.get_weights()[0], x.mean(0), rtol=1e-6)
    assert not (tmp_path / "auto" / "unadapted.safetensors").exists()


def test_an_adapted_model_is_left_as_it_is_by_runs_and_fits(tmp_path, made):
    data, model = made(90), normalized().build((5,))
    model.set_weights([np.full(5, 2.0), np.full(5, 3.0), 0, *model.get_weights()[3:]])
    result = averaging().fit(model, data.url, run=str(tmp_path / "run"))
    model.fit(np.ones((4, 5)), np.arange(4) % 3)
    for found in (result.model, model):
        assert (found.get_weights()[0] == 2).all() and (found.get_weights()[1] == 3).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("runner, resident", [("inline", "never"), ("local", "always")])
def test_rounds_leave_what_was_adapted_as_it_is_to_the_bit(tmp_path, made, dtype, runner, resident):
    data = made(101, shards=3)
    averaging(workers=3, runner=runner, resident=resident, cores=3, averaging_frequency=1, rounds=4).fit(
        normalized(dtype, AdamW(0.1, weight_decay=0.5)), data.url, run=str(tmp_path / "run"))
    run = Run(tmp_path / "run")
    first, *others = (run.state(r).weights for r in run.rounds())
    assert len(others) == 4 and first[10] == 101
    for weights in others:
        assert weights[:11].tobytes() == first[:11].tobytes() and (weights[11:] != first[11:]).any()


def test_one_worker_is_one_uninterrupted_fit_bit_for_bit_adapting_included(tmp_path, made):
    data, twin = made(75, shards=1, dtype="float32"), normalized()
    result = averaging(workers=1, rounds=None, epochs=2).fit(normalized(), data.url, run=str(tmp_path / "run"))
    in_one_fit(twin, data)
    assert twin.weights.tobytes() == result.model.weights.tobytes()


@pytest.mark.parametrize("n, shards", [(1, 1), (3, 6)])
def test_empty_shards_and_a_single_example_are_seen_as_they_are(tmp_path, made, n, shards):
    data = made(n, shards=shards)
    assert min(s.n for s in data.train()) == (0 if shards > 1 else 1)
    model = compiled([Input(5), Normalization(), Dense(4), BatchNormalization(), Dense(3, "softmax")], "float64")
    result = averaging(recalibrate=True).fit(model, data.url, run=str(tmp_path / "run"))
    x = np.concatenate([rows(s)["x"] for s in data.train() if s.n])
    mean, variance, count, kernel, bias, _, _, moving_mean, moving_variance, *_ = result.model.get_weights()
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(variance, x.var(0), rtol=1e-9, atol=1e-12)
    assert count == n
    y = (x - mean) / np.maximum(np.sqrt(variance), 1e-7) @ kernel + bias
    np.testing.assert_allclose(moving_mean, y.mean(0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(moving_variance, y.var(0), rtol=1e-6, atol=1e-9)


# -- recalibrate

def network(dtype="float32"):
    return compiled([Input(5), GaussianNoise(0.3), Dense(6, "tanh"), BatchNormalization(momentum=0.5), Dropout(0.4),
                     Dense(4, "relu"), Reshape((2, 2)), BatchNormalization(scale=False), Flatten(),
                     Dense(3, "softmax")], dtype)


def over_all(weights, shards, b, epsilon=1e-3):
    """The moments of what reaches both layers, of all examples at once, in float64."""
    k1, b1, gamma, beta, _, _, k2, b2, *_ = (w.astype("f8") for w in weights)
    one, two = [], []
    for x in shards:
        for start in range(0, len(x), b):
            h = np.tanh(x[start:start + b].astype("f8") @ k1 + b1)
            one.append(h)
            h = (h - h.mean(0)) / np.sqrt(h.var(0) + epsilon) * gamma + beta
            two.append(np.maximum(h @ k2 + b2, 0).reshape(-1, 2))
    return [f(np.concatenate(seen)) for seen in (one, two) for f in (lambda a: a.mean(0), lambda a: a.var(0))]


def test_a_batch_larger_than_all_shards_recalibrates_by_whole_shards(tmp_path, made):
    data = made(60, shards=2, dtype="float64")
    found = [averaging(recalibrate=True, batch_size=size).fit(
        network("float64"), data.url, run=str(tmp_path / str(size))).model.weights.tobytes()
        for size in (max(s.n for s in data.train()), 1 << 40)]
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("workers, shards", [(1, 1), (1, 3), (2, 2), (2, 7), (3, 4), (4, 4), (4, 9)])
def test_recalibrated_moments_are_those_of_one_machine_over_all_examples(tmp_path, made, workers, shards, dtype):
    data, run = made(163, shards=shards, dtype=dtype, hold_out=0.2), str(tmp_path / "run")
    result = averaging(workers=workers, recalibrate=True, until="val_loss patience 2").fit(
        network(dtype), data.url, run=run)
    found = result.model.get_weights()
    wanted = over_all(found, [rows(s)["x"] for s in data.train() if s.n], 8)
    kept = Run(run).state(result.best).weights
    model = network(dtype).build()
    model.weights[:] = kept
    before = model.get_weights()
    for i, w in zip((4, 5, 9, 10), wanted, strict=True):
        np.testing.assert_allclose(found[i], w, rtol=1e-6, atol=1e-6)
        assert abs(before[i] - w).max() > 1e-3
        before[i] = found[i]
    assert all((a == b).all() for a, b in zip(before, found))
    scored = evaluate(run, data.url, part="validation", runner="inline")
    assert scored == {k[4:]: v for k, v in result.metrics.items() if k.startswith("val_")}
    assert {p.name for p in (tmp_path / "run").glob("*.safetensors")} == {
        "model.safetensors", "optimizer.safetensors", *(f"state-{r:06d}.safetensors" for r in range(result.rounds + 1))}


def test_the_same_bits_on_every_runner_and_for_any_number_of_mappers(tmp_path, made):
    data, model = made(131, shards=7, dtype="float32"), network().build(seed=1)
    shards, found = [(data, s) for s in data.train() if s.n], set()
    for runner, workers in [("inline", 1), ("inline", 3), ("inline", 9), ("local", 2), ("local", 7)]:
        with Cluster(runner, cores=2) as cluster, state_file(model, cluster) as state:
            got = scoring.described(PlainExchange(cluster), "test", state, model, shards, workers, 8, model.moments())
            found.add(b"".join(m.mean.tobytes() + m.m2.tobytes() for m in got))
    assert len(found) == 1 and [m.n for m in got] == [131, 262]


@pytest.mark.parametrize("runner, resident", [("local", "never"), ("local", "always")])
def test_runs_that_adapt_and_recalibrate_have_the_same_bits_on_every_runner(tmp_path, made, runner, resident):
    data, bits = made(90, shards=2, hold_out=0.2, dtype="float32"), []
    for where, how in (("inline", "never"), (runner, resident)):
        model = compiled([Normalization(), *network().layers[1:]])
        averaging(runner=where, resident=how, recalibrate=True, cores=2).fit(
            model, data.url, run=str(tmp_path / where))
        bits.append((model.weights.tobytes(), Run(tmp_path / where).finished()["metrics"]))
    assert bits[0] == bits[1]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["adapted", "recalibrated"])
def test_a_run_that_dies_while_it_adapts_or_recalibrates_comes_to_the_same_bits(tmp_path, made, moment):
    data = made(90, shards=3, hold_out=0.2, dtype="float32")

    def model():
        return compiled([Normalization(), *network().layers[1:]])

    def die(event, facts):
        if event == "note" and facts["text"].startswith(moment):
            raise Killed

    averaging(recalibrate=True).fit(model(), data.url, run=str(tmp_path / "calm"))
    with pytest.raises(Killed):
        averaging(recalibrate=True).fit(model(), data.url, run=str(tmp_path / "run"), told=die)
    result = resume(str(tmp_path / "run"), "inline")
    calm, run = Run(tmp_path / "calm"), Run(tmp_path / "run")
    assert run.store.read("model.safetensors") == calm.store.read("model.safetensors")
    assert run.finished() == calm.finished() and result.metrics == calm.finished()["metrics"]
    assert (run.state(0).vector == calm.state(0).vector).all()


MODEL = """
import mrdl
from mrdl.layers import BatchNormalization, Dense, Normalization
model = mrdl.Sequential([Normalization(), Dense(6), BatchNormalization(), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
"""


def test_the_command_line_adapts_and_recalibrates_and_says_so(tmp_path, made, capsys):
    (tmp_path / "model.py").write_text(MODEL)
    data, run = made(60, dtype="float32"), str(tmp_path / "run")
    command = ["train", str(tmp_path / "model.py"), data.url, run, "-r", "inline", "--rounds", "2"]
    assert cli.main([*command, "--recalibrate"]) == 0
    told = capsys.readouterr().err
    assert "adapted Normalization to 60 examples\n" in told
    assert "recalibrated BatchNormalization over 60 examples\n" in told
    assert Run(run).options()["options"]["recalibrate"] is True
    found = mrdl.load_model(run).get_weights()
    x = np.concatenate([rows(s)["x"] for s in data.train()]).astype("f8")
    x = (x - x.mean(0)) / x.std(0) @ found[3] + found[4]
    np.testing.assert_allclose(found[7], x.mean(0), rtol=1e-5, atol=1e-6)
    (tmp_path / "model.py").write_text(MODEL.replace("BatchNormalization(),", ""))
    assert cli.main([*command[:3], run + "2", *command[4:], "--recalibrate"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "the model has no BatchNormalization" in told


def test_describe_tells_each_feature_of_the_rows_to_train_on(tmp_path, capsys):
    x = np.random.default_rng(0).integers(0, 9, (50, 2)) * [1, 1000] + [0, 2 ** 24]
    (tmp_path / "raw.csv").write_text("a,label,b\n" + "".join(f"{a},{i % 3},{b}\n" for i, (a, b) in enumerate(x)))
    assert cli.main(["prepare", str(tmp_path / "raw.csv"), str(tmp_path / "data"), "--label", "label", "-r", "inline",
                     "--dtype", "float64"]) == 0
    found = mrdl.describe(str(tmp_path / "data"), runner="inline")
    assert [(row["feature"], row["n"], row["min"], row["max"]) for row in found] == [
        (name, 50, *ends) for name, *ends in zip("ab", x.min(0), x.max(0))]
    np.testing.assert_allclose([(row["mean"], row["std"]) for row in found], np.stack([x.mean(0), x.std(0)], 1), rtol=1e-12)
    capsys.readouterr()
    assert cli.main(["describe", str(tmp_path / "data"), "-r", "inline"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["feature", "n", "mean", "std", "min", "max"] and len(lines) == 3
    assert lines[1].split()[:2] == ["a", "50"]
    assert cli.main(["describe", str(tmp_path / "data"), "-r", "inline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


# -- what is refused

def chained():
    a = Input(5)
    model = mrdl.Model(a, Dense(3, "softmax")(Normalization(name="second")(Dense(4)(Normalization(name="first")(a)))))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_normalization_that_takes_what_another_gives_is_refused_until_that_one_is_adapted(tmp_path, made):
    data, x = made(60), np.random.default_rng(0).random((9, 5))
    for call in (lambda m: averaging().fit(m, data.url, run=str(tmp_path / "run")), lambda m: m.adapt(x),
                 lambda m: mrdl.adapt(m, data.url, runner="inline"), lambda m: m.fit(x, np.zeros(9))):
        with pytest.raises(ConfigError, match="second depends on first, which is not adapted either: give") as error:
            call(chained())
        assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
    model = chained().build()
    weights = model.get_weights()
    model.set_weights([w + 1 if w.shape == (5,) else w for w in weights])
    averaging().fit(model, data.url, run=str(tmp_path / "run"))
    assert model.get_weights()[7] == 60


@pytest.mark.parametrize("make, reason", [
    (lambda: Normalization(mean=1.0), "give both mean and variance"), (lambda: Normalization(axis="x"), "whole numbers"),
    (lambda: Normalization(mean=[1, 2], variance=1), "must have the same shape"),
    (lambda: Normalization(mean="a", variance=1), "mean='a' must be numbers"),
    (lambda: Normalization(mean=0, variance=-1), "not below 0"),
    (lambda: Normalization(mean=np.nan, variance=1), "must be finite"),
    (lambda: mrdl.Sequential([Input(3), Normalization(mean=[1, 2], variance=[1, 2])]), "do not fit the shape"),
    (lambda: mrdl.Sequential([Input((4, 3)), Normalization(1)]), "axis=1 of"),
    (lambda: mrdl.Sequential([Input(()), Normalization()]), "axis=-1 of"),
    (lambda: mrdl.Sequential([Input(3), Normalization()]).adapt(np.ones((0, 3))), "x has no rows to adapt"),
    (lambda: mrdl.Sequential([Input(3), Normalization()]).adapt(np.ones((2, 4))), "examples of shape"),
    (lambda: mrdl.Sequential([Input(3), Normalization()]).adapt(np.full((2, 3), np.inf)), "infinite or NaN values"),
    (lambda: mrdl.Sequential([Input(3), Dense(2)]).adapt(np.ones((2, 3))), "no Normalization layer to adapt"),
])
def test_what_cannot_be_is_said_in_one_line(make, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        make()
    assert "\n" not in str(error.value)


def test_recalibrating_a_model_without_batch_normalization_is_refused_before_anything_is_written(tmp_path, made):
    with pytest.raises(RunError, match="recalibrate: the model has no BatchNormalization"):
        averaging(recalibrate=True).fit(normalized(), made(60).url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_older_adaptation_is_replaced_and_data_that_do_not_fit_are_refused(tmp_path, made):
    data, model = made(60, shards=2), mrdl.Sequential([Normalization()])
    mrdl.adapt(model, data.url, runner="inline")
    bits = model.weights.tobytes()
    model.adapt(np.ones((4, 5)))
    assert model.weights.tobytes() != bits
    mrdl.adapt(model, data.url, runner="inline")
    assert model.weights.tobytes() == bits
    for layers, reason in (([Input(4), Normalization()], "examples of shape"), ([Dense(3)], "no Normalization")):
        with pytest.raises(ConfigError, match=reason):
            mrdl.adapt(mrdl.Sequential(layers), data.url, runner="inline")
