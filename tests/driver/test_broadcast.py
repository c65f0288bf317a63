"""Runs whose workers are given a coded state."""
import json

import numpy as np
import pytest
from averaged import averaging, died, network, same_there, whole
from by_hand import by_hand, run_of

import mrdl
from mrdl.cli import main
from mrdl.driver.exchanges import resident
from mrdl.layers import BatchNormalization, Dense
from mrdl.optimizers import SGD, Adam
from mrdl.rounds.meeting import Meeting
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run


def half(places, rows):
    """The rows of a state as float16: each weight with a scale of its own, the updater's as bfloat16 that is cut off."""
    found = np.zeros_like(rows)
    for _, weight, start in places:
        part = rows[0, start:start + weight.size]
        if part.any():
            scale = 2.0 ** (np.floor(np.log2(abs(part).max())) - 14)
            found[0, start:start + weight.size] = (part / scale).astype("f2").astype(float) * scale
    low = rows[1:].astype("f4")
    low = np.where(abs(low.astype(float)) > abs(rows[1:]), np.nextafter(low, np.float32(0)), low)
    found[1:] = (np.ascontiguousarray(low).view("u4") & 0xFFFF0000).view("f4")
    return found


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01)], ids=["sgd", "adam"])
def test_workers_train_from_the_coded_state_and_the_exact_one_gets_the_mean_change(tmp_path, made, optimizer):
    data, model, exact = made(75, shards=2), network(optimizer=optimizer, dtype="float64"), []
    n = [8, 8]

    def begun(rows):
        exact[:] = [rows]
        return half(model.places(), rows)

    def merged(r, given, vectors):
        exact.append(exact[-1] + sum(size * (after - before) for size, before, after in zip(n, given, vectors)) / sum(n))
        return [half(model.places(), exact[-1])] * len(given)
    by_hand(data, model, 3, merged, begun)
    _, run = run_of(tmp_path, data, network(optimizer=optimizer, dtype="float64"), rounds=3, workers=2, compress_broadcast="float16")
    for r, rows in enumerate(exact):
        np.testing.assert_allclose(run.state(r).vector, rows.reshape(-1), rtol=1e-12, atol=1e-15)


MIXED = {"compress_broadcast": "int8", "compress": "topk 0.2", "outer": "nesterov", "save_updater": "every 2"}


@pytest.mark.parametrize("runner, kind, shared, options", [
    ("local", "never", True, {"compress_broadcast": "int8"}), ("local", "always", True, {"compress_broadcast": "int8"}),
    ("local", "always", False, {"compress_broadcast": "int8"}), ("local", "always", False, MIXED)],
    ids=["plain", "shared memory", "files", "with all else"])
def test_all_runners_and_kinds_of_rounds_give_the_same_bits_and_score_the_exact_state(tmp_path, made, monkeypatch, runner, kind, shared, options):
    monkeypatch.setattr(resident, "SHARED", shared)
    data, given = made(130, shards=2, hold_out=0.2, dtype="float32").url, []
    give = Meeting.give
    monkeypatch.setattr(Meeting, "give", lambda self, *what: given.append(what) or give(self, *what))
    assert same_there(data, tmp_path, runner, kind, rounds=4, validation_freq=2, **options)
    assert len(given) == (4 if kind == "always" and not shared else 0)
    averaging(rounds=2, **options).fit(network(), data, run=str(tmp_path / "short"))
    long, short = (Run(tmp_path / name).history()[1]["val_loss"] for name in ("run", "short"))
    assert long == short                        # scored by round 3's workers, and by a job of its own
    assert not Run(tmp_path / "run").store.list("coded-*")


def test_where_workers_cannot_read_the_run_they_are_brought_what_they_score_alone(tmp_path, made, monkeypatch):
    monkeypatch.setattr(resident, "SHARED", 0)
    monkeypatch.setattr(Meeting, "sees", lambda self, path: "state-" not in path and "data" in path)
    brought, bring = [], Meeting.bring
    monkeypatch.setattr(Meeting, "bring", lambda self, r, path: brought.append(r) or bring(self, r, path))
    data = made(130, shards=2, hold_out=0.2, dtype="float32").url
    assert same_there(data, tmp_path, "local", "always", rounds=5, validation_freq=3, compress_broadcast="bfloat16")
    assert brought == [3, 5] or brought == [3, 0]


def test_a_run_that_dies_goes_on_to_the_same_bits(tmp_path, made):
    data, options = made(100, shards=3).url, MIXED | {"rounds": 8, "validation_freq": None}
    averaging(**options).fit(network(), data, run=str(tmp_path / "once"))
    died(network(), data, tmp_path / "run", 5, **options)
    assert whole(tmp_path / "run") == whole(tmp_path / "once")
    with pytest.raises(RunError, match="begun with other options .compress_broadcast "):
        averaging(**options | {"compress_broadcast": None}).fit(network(), data, run=str(tmp_path / "run"))


def test_changes_too_small_for_the_coded_weights_add_up_and_bytes_are_fewer(tmp_path, made):
    data, found, sizes = made(200, shards=2).url, {}, {}
    for name in ("none", "float16", "bfloat16", "int8"):
        model = network(optimizer=SGD(1e-4)).build((5,), seed=1)
        before = model.weights.copy()
        run = Run(tmp_path / name)
        averaging(compress_broadcast=name, rounds=20, averaging_frequency=1).fit(model, data, run=run.url)
        found[name], sizes[name] = model.weights - before, run.history()[-1]["broadcast"]
    exact = found.pop("none")
    assert sizes.pop("none") == exact.nbytes
    for name, change in found.items():          # rounded to the nearest or at random, no coded weight would move so
        assert np.linalg.norm(change - exact) < 0.02 * np.linalg.norm(exact), name
    assert all(size < exact.nbytes for size in sizes.values())


def test_moving_statistics_and_frozen_layers_are_exact_and_rounds_are_rolled_back(tmp_path, made):
    data, models = made(100, shards=2).url, []
    for name in (None, "bfloat16"):
        model = mrdl.Sequential([BatchNormalization(), Dense(4, "relu", trainable=False), Dense(3, "softmax")]).build((5,), seed=2)
        model.compile("sgd", "sparse_categorical_crossentropy")
        (kernel,) = [w.view(model.weights[start:start + w.size]).tobytes() for _, w, start in model.places() if w.frozen and w.name == "kernel"]
        averaging(compress_broadcast=name, rounds=1, averaging_frequency=1).fit(model, data, run=str(tmp_path / str(name)))
        assert [w.view(model.weights[start:start + w.size]).tobytes() for _, w, start in model.places() if w.frozen and w.name == "kernel"] == [kernel]
        models.append({w.name: model.weights[start:start + w.size].copy() for _, w, start in model.places()})
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(models[1][name], models[0][name], rtol=1e-6)
    assert not np.array_equal(models[1]["kernel"], models[0]["kernel"])
    done = averaging(compress_broadcast="float16", rounds=3, retries=1).fit(network(optimizer=SGD(1e30)), data, run=str(tmp_path / "run"))
    assert "not finite" in done.reason and done.rounds == 0


@pytest.mark.parametrize("options, reason", [
    ({"compress_broadcast": "topk"}, "compress_broadcast: topk leaves most values out, .* take float16, bfloat16 or int8"),
    ({"compress_broadcast": "int8", "fragments": 2}, "fragments: compress_broadcast cannot be used"),
    ({"compress_broadcast": "int8", "outer": "confidence"}, "outer confidence .* without compress or compress_broadcast"),
    ({"compress_broadcast": "int8", "straight": True, "workers": 1, "averaging_frequency": None}, "straight: .* compress_broadcast")])
def test_what_it_does_not_go_with_is_refused(options, reason):
    with pytest.raises(RunError, match=reason):
        averaging(**options).options()


def test_the_command_line_takes_a_coding_and_shows_it(tmp_path, made, capsys):
    data, run = made(60, shards=2).url, str(tmp_path / "run")
    (tmp_path / "net.py").write_text(
        "import mrdl\nfrom mrdl.layers import Dense\nmodel = mrdl.Sequential([Dense(3, 'softmax')])\n"
        "model.compile('adam', 'sparse_categorical_crossentropy')\n")
    assert main(["train", str(tmp_path / "net.py"), data, run, "-r", "inline", "--rounds", "1", "--compress-broadcast", "float16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(["show", run]) == 0
    assert "broadcast in float16" in (out := capsys.readouterr().out) and "and was given 0.000 MB" in out
