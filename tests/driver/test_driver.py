"""The driver's policy: scoring inside rounds, stop rules, what is kept, what is refused."""
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from averaged import averaging, network
from shards import rows

from mrdl import ParameterAveraging, Sequential, evaluate, load_model, metrics, resume
from mrdl.config import ConfigError
from mrdl.data import blocks, dataset
from mrdl.driver import fits
from mrdl.driver.exchanges.plain import PlainExchange
from mrdl.driver.loop import Driver
from mrdl.driver.options import Options
from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.scoring import WorkerFailed, failed
from mrdl.layers import BatchNormalization, Dense, Flatten, Input, Normalization, Rescaling
from mrdl.rounds.merged import RoundError
from mrdl.rounds.record import Scored
from mrdl.runners.cluster import Cluster
from mrdl.runs import stopping
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.storage.sealed import seal, unsealed
from mrdl.training.scoring import Scorer


def binary(units):
    model = Sequential([Dense(units, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    return model


def test_shards_on_hdfs_are_refused_on_this_machine_before_the_run_begins(tmp_path, made, monkeypatch):
    data = made(60)
    moved = replace(data, shards=[replace(s, path=f"hdfs://nowhere/{s.name}") for s in data.shards])
    monkeypatch.setattr(dataset, "load", lambda url: moved)
    with pytest.raises(ConfigError, match="hdfs://nowhere/part-00000: .* use -r hadoop"):
        averaging(rounds=1).fit(network(), data.url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_above_64_workers_there_are_more_reducers_up_to_one_for_each_chunk(inline, monkeypatch):
    """On Hadoop, where each costs a JVM: of 763 chunks of 100 million values, and of 8."""
    monkeypatch.setattr(inline.backend, "jvms", True, raising=False)
    exchange = PlainExchange(inline)
    assert [exchange.reducers(workers, 10 ** 8) for workers in (4, 64, 127, 128, 1000, 10_000)] == [4, 24, 24, 48, 358, 763]
    assert [exchange.reducers(workers, 1 << 20) for workers in (64, 1000)] == [1, 4]


def test_scores_and_stopping_equal_those_of_a_driver_that_scores_each_state_by_itself(tmp_path, made):
    data, patience = made(200, shards=3, hold_out=0.25, dtype="float32"), 3
    averaging(rounds=40, keep_rounds=99, validation_freq=1).fit(network(), data.url,
                                                                run=str(tmp_path / "long"))
    long, model, scores = Run(tmp_path / "long"), network(), []
    model.input_shape = data.shape
    for r in long.rounds()[1:]:
        sums: metrics.Sums = {}
        for shard in data.validation():
            scorer = Scorer(model, long.state(r).weights)
            scorer.add(rows(shard))
            metrics.add(sums, scorer.sums)
        scores.append(metrics.values(sums, model.named_metrics())["loss"])
    assert scores == [line["val_loss"] for line in long.history()]

    best, waited, stop = math.inf, 0, None      # Keras's EarlyStopping over these losses
    for r, loss in enumerate(scores, 1):
        waited += 1
        if loss < best - 0.001 * abs(best) or r == 1:
            best, waited = loss, 0
        if waited >= patience:
            stop = r
            break
    done = averaging(until=f"val_loss patience {patience}, rounds 40", validation_freq=1).fit(
        network(), data.url, run=str(tmp_path / "short"))
    stop = stop or 40
    assert done.rounds == stop
    assert done.best == 1 + int(np.argmin(scores[:stop]))
    assert done.model.weights.tobytes() == long.state(done.best).weights.tobytes()
    assert done.metrics["val_loss"] == min(scores[:stop])


@pytest.mark.parametrize("freq", [2, 5])
def test_states_between_two_scorings_have_no_score_and_the_last_has_one(tmp_path, made, freq):
    data = made(200, shards=3, hold_out=0.25)
    averaging(rounds=7, validation_freq=freq).fit(network(), data.url, run=str(tmp_path / "run"))
    scored = [line["round"] for line in Run(tmp_path / "run").history() if "val_loss" in line]
    assert scored == sorted({*range(freq, 7, freq), 7})


def test_evaluate_gives_the_score_that_the_run_gave(tmp_path, made):
    data, other = made(200, hold_out=0.25), made(50, shards=3, name="other", seed=9)
    done = averaging(rounds=4).fit(network(), data.url, run=str(tmp_path / "a"))
    found = evaluate(str(tmp_path / "a"), data.url, part="validation", runner="inline")
    assert found == {k.removeprefix("val_"): v for k, v in done.metrics.items() if k[:4] == "val_"}
    done = averaging(rounds=4).fit(network(), data.url, other.url, run=str(tmp_path / "b"))
    found = evaluate(str(tmp_path / "b"), other.url, runner="inline")
    assert found == {k.removeprefix("val_"): v for k, v in done.metrics.items() if k[:4] == "val_"}


HISTORY = [{"round": r, "epochs": r // 2, "progress": r / 2, "elapsed": 10.0 * r, "loss": 1 / (r + 1),
            "val_loss": v, "accuracy": r / 10, "change": 0.1 / (r + 1)}
           for r, v in enumerate([1.0, 0.9, 0.8, 0.8, 0.81, 0.79995, 0.7, math.nan, 0.71])]


@pytest.mark.parametrize("rule, stop", [
    ("rounds 4", 4), ("epochs 3", 6), ("time 35s", 4), ("time 1m", 6), ("change < 0.025", 4),
    ("accuracy >= 0.55", 6), ("val_loss <= 0.75", 6), ("val_loss patience 3", 5),
    ("val_loss patience 3 delta 0", 8 + 1), ("val_loss patience 2", 4),
    ("rounds 7, val_loss patience 2", 4), ("rounds 3 or epochs 1", 2)])
def test_each_rule_stops_where_its_text_says(rule, stop):
    rules = stopping.parse(rule)
    stopped = [r for r in range(1, len(HISTORY)) if any(x.reason(HISTORY, r) for x in rules)]
    assert (stopped or [len(HISTORY)])[0] == stop


@pytest.mark.parametrize("text", ["", "rounds", "rounds -1", "val_loss patience", "sometimes",
                                  "accuracy > 0.5", "time 5", "rounds 3,", "accuracy >= 1.2.3",
                                  "rounds " + "9" * 400, f"time {10 ** 400}s"])
def test_a_text_that_is_no_rule_is_refused_with_the_grammar(text):
    with pytest.raises(stopping.RuleError, match="no rule|not a number"):
        stopping.parse(text)


def test_the_best_state_is_the_earliest_of_equals_and_never_nan():
    by_loss, = stopping.parse("val_loss patience 1", {"accuracy"})
    by_accuracy, = stopping.parse("val_accuracy patience 1", {"accuracy"})
    assert by_loss.best(HISTORY, 8) == 6
    assert by_loss.best(HISTORY, 3) == 2
    assert by_accuracy.best([{"val_accuracy": v} for v in (0.1, 0.9, math.nan, 0.9, 0.8)], 4) == 1
    assert by_loss.best([{"val_loss": math.nan}, {"val_loss": math.nan}], 1) == 0


def test_a_finished_run_holds_the_model_its_history_and_a_picture_and_few_states(tmp_path, made, pictures):
    averaging(rounds=9).fit(network(), made(100, hold_out=0.2).url, run=str(tmp_path / "run"))
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert {"run.json", "model.json", "model.safetensors", "history.jsonl", "finished.json",
            "history.png"} <= names and "lease.json" not in names
    assert sorted(n for n in names if n.startswith("state")) == [
        f"state-{r:06d}.safetensors" for r in (7, 8, 9)]
    assert (tmp_path / "run" / "history.png").read_bytes()[:4] == b"\x89PNG"
    history = [json.loads(x) for x in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [line["round"] for line in history] == list(range(1, 10))
    assert all({"loss", "accuracy", "examples", "seconds"} <= set(line) for line in history)


def test_the_same_command_on_a_finished_run_gives_its_result_again(tmp_path, made):
    data = made(100)
    first = averaging(rounds=3).fit(network(), data.url, run=str(tmp_path / "run"))
    again = averaging(rounds=3).fit(network(), data.url, run=str(tmp_path / "run"))
    later = resume(str(tmp_path / "run"), "inline")
    assert first.metrics == again.metrics == later.metrics and first.history == again.history
    assert first.model.weights.tobytes() == later.model.weights.tobytes()


def test_a_run_begun_with_other_options_or_data_is_refused(tmp_path, made):
    data, run = made(100), str(tmp_path / "run")
    averaging(rounds=3).fit(network(), data.url, run=run)
    with pytest.raises(RunError, match=r"other options \(batch_size 8, now 9; save_updater True, now False\)"):
        averaging(rounds=3, batch_size=9, save_updater=False).fit(network(), data.url, run=run)
    with pytest.raises(RunError, match=r"other options \(data\)"):
        averaging(rounds=3).fit(network(), made(100, name="b").url, run=run)
    with pytest.raises(RunError, match=r"other options \(the model: has its file changed\?\)"):
        averaging(rounds=3).fit(network(optimizer="sgd"), data.url, run=run)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(RunError, match="is no run .*mine.txt"):
        averaging(rounds=3).fit(network(), data.url, run=str(tmp_path / "full"))
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]


def cut(path):
    """The file without its last line."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("damage, reason", [
    (lambda run: cut(run / "commits-000002.jsonl"), "a commit is missing; there are 3 up to 3"),
    (lambda run: (run / "commits-000002.jsonl").unlink(), "a commit is missing; there are 1 up to 3"),
    (lambda run: (run / "commit-000003.json").write_text("{"), "damaged"),
    (lambda run: (run / "state-000003.safetensors").write_bytes(b"x"), "hash is not the commit's"),
    (lambda run: (run / "state-000003.safetensors").unlink(), "state of round 3 is gone"),
    (lambda run: (run / "run.json").write_text("[]"), "run.json is damaged"),
    (lambda run: (run / "run.json").unlink(), "no run here")])
def test_a_damaged_run_is_not_resumed_and_the_reason_is_said(tmp_path, made, damage, reason):
    averaging(rounds=3).fit(network(), made(100).url, run=str(tmp_path / "run"))
    (tmp_path / "run" / "finished.json").unlink()
    damage(tmp_path / "run")
    with pytest.raises(RunError, match=reason) as error:
        resume(str(tmp_path / "run"), "inline")
    assert "run.json" in str(error.value) or str(error.value).endswith(
        f"restore the file from a copy, or begin another run with the model that is there: mrdl train {tmp_path / 'run'} "
        "DATA NEWRUN")
    if "NEWRUN" in str(error.value):
        load_model(str(tmp_path / "run"))
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(RunError, match="begin the run anew in another directory|no run here"):
        resume(str(tmp_path / "run"), "inline")


def test_the_model_of_a_run_whose_newest_commit_is_damaged_is_not_offered(tmp_path, made):
    run = tmp_path / "run"
    averaging(rounds=3).fit(network(), made(60).url, run=str(run))
    (run / "commit-000003.json").write_text("{")
    with pytest.raises(RunError, match="restore the file from a copy, or begin the run anew in another directory"):
        resume(str(run), "inline")


@pytest.mark.parametrize("until", ["", " ", "rounds 0", "epochs 0", "time 0s", "time 0.0h", "rounds 3, loss patience 0"])
def test_a_rule_that_lets_nothing_run_is_refused(tmp_path, made, until):
    with pytest.raises(stopping.RuleError, match="is no rule|must be more than 0"):
        averaging(until=until).fit(network(), made(60).url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model, reason", [
    (lambda: network(2), "distinguishes 2 classes, but the labels .* go from 0 to 2"),
    (lambda: Sequential([Input((7,)), Dense(3)]), "takes examples of shape \\(7,\\), but .*; give its Input this shape"),
    (lambda: Sequential([Input((5, 1)), Flatten(), Dense(3)]), "takes examples of shape \\(5, 1\\), but .*; a Reshape layer can"),
    (lambda: Sequential([Dense(3, "softmax")]), "not compiled"),
    (lambda: binary(1), "BinaryCrossentropy takes targets from 0 to 1, not 2")])
def test_a_spec_that_does_not_fit_the_data_is_refused_before_the_first_job(tmp_path, made, model,
                                                                           reason):
    model = model()
    if model.loss is None and model.input_shape:
        model.compile("sgd", "mse")
    with pytest.raises(ConfigError, match=reason):
        averaging(rounds=1).fit(model, made(100).url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options, reason", [
    ({"workers": 0}, "workers must be 1"), ({"batch_size": 0}, "batch_size must be 1"),
    ({"averaging_frequency": 0}, "averaging_frequency must be 1"), ({"seed": -1}, "seed must be"),
    ({"until": "precision >= 1"}, "no metric precision"),
    ({"until": "val_loss patience 2"}, "needs held-out data"),
    ({"class_weight": {3: 1}}, "no class 3; there are 0 to 2"), ({"class_weight": {"cat": 1}}, "class_weight"), ({"class_weight": {0: -1}}, "class_weight"),
    ({"runner": "mesos"}, "no runner 'mesos'")])
def test_bad_options_are_refused_with_what_to_do(tmp_path, made, options, reason):
    with pytest.raises(ValueError, match=reason):
        averaging(**options).fit(network(), made(100).url, run=str(tmp_path / "run"))


def test_a_validation_set_that_does_not_fit_is_refused_before_the_first_job(tmp_path, made, inline):
    np.savez(tmp_path / "raw.npz", x=np.ones((20, 5)), y=np.arange(20))
    other = prepare([str(tmp_path / "raw.npz")], str(tmp_path / "other"), inline)
    with pytest.raises(ConfigError, match="distinguishes 3 classes, but the labels of .*other go from 0 to 19"):
        averaging(rounds=1).fit(network(), made(100).url, other.url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_rows_of_targets_beyond_what_the_loss_is_for_are_refused_by_the_worker_that_meets_them(tmp_path, inline):
    np.savez(tmp_path / "raw.npz", x=np.ones((20, 5)), y=np.arange(40.0).reshape(20, 2))
    data = prepare([str(tmp_path / "raw.npz")], str(tmp_path / "data"), inline)
    with pytest.raises(WorkerFailed, match="BinaryCrossentropy takes targets from 0 to 1, not "):
        averaging(rounds=1).fit(binary(2), data.url, run=str(tmp_path / "run"))


def test_the_change_of_a_round_is_that_of_what_is_trained(tmp_path, made):
    model, run = Sequential([Rescaling(1e3), Normalization(), Dense(4), BatchNormalization(), Dense(3, "softmax")]), Run(
        tmp_path / "run")
    model.compile("adam", "sparse_categorical_crossentropy")
    averaging(until="change < 0.001, rounds 3").fit(model, made(100).url, run=run.url)
    fixed = np.concatenate([np.full(w.size, w.trainable) for _, w, _ in model.places()])
    before, after = (run.state(r).weights[fixed].astype("f8") for r in (2, 3))
    assert run.history()[2]["change"] == pytest.approx(np.linalg.norm(after - before) / np.linalg.norm(before), rel=1e-5)
    whole = [np.linalg.norm(run.state(r).weights.astype("f8")) for r in (2, 3)]
    assert whole[0] > 1e3 * np.linalg.norm(before)      # of which it was a share before


def test_a_job_that_fails_for_what_passes_is_tried_again(tmp_path, made):
    """A shard's file is away in the first try, and back in the second."""
    data = made(100)
    away, events = tmp_path / "away", []
    calm = averaging(rounds=2).fit(network(), data.url, run=str(tmp_path / "calm"))

    def told(event, facts):
        events.append((event, facts.get("text", "")))
        if event == "warning":
            away.rename(data.shards[0].path)

    os.rename(data.shards[0].path, away)
    model = network()
    model.input_shape = data.shape
    model.build()
    run = Run(str(tmp_path / "run"))
    run.begin(Run(tmp_path / "calm").options())
    with Cluster("inline") as cluster:
        Driver(run, averaging(rounds=2).options(), model, data, [], PlainExchange(cluster), told).train()
    assert next(text for event, text in events if event == "warning").startswith("round 1 failed")
    assert model.weights.tobytes() == calm.model.weights.tobytes()


def test_examples_that_are_lost_from_a_shard_stop_the_run(tmp_path, made):
    data = made(100)
    lines = Path(data.shards[0].path).read_bytes().splitlines(keepends=True)
    block = blocks.unpack(lines[-1].rstrip())
    arrays = {k: a[:-1] for k, a in block.arrays().items()}
    last = blocks.pack(arrays, dataset=block.dataset, shard=block.shard, index=block.index,
                       role=block.role, before=block.before)
    Path(data.shards[0].path).write_bytes(b"".join([*lines[:-1], last, b"\n"]))
    with pytest.raises(RoundError, match=r"data/part-00000, line 1\): .* does not match data.json: .*; prepare the dataset again$"):
        averaging(rounds=2).fit(network(), data.url, run=str(tmp_path / "run"))
    facts = unsealed(Path(data.url, "data.json").read_bytes())
    facts["shards"][0]["seal"] = blocks.unpack(last).seal
    del facts["seal"]
    Path(data.url, "data.json").write_text(json.dumps(seal(facts)))
    with pytest.raises(RoundError, match="examples were lost"):
        averaging(rounds=2).fit(network(), data.url, run=str(tmp_path / "forged"))
    assert Run(tmp_path / "run").rounds() == Run(tmp_path / "forged").rounds() == [0]


def test_workers_of_another_numeric_profile_are_refused():
    with pytest.raises(RoundError, match="results would not be bit-identical"):
        failed([Scored("d/00000", 1, {}, {}, "mrdl 0.0, separate multiply-add", {})])


def test_a_run_is_not_resumed_under_another_numeric_profile(tmp_path, made, monkeypatch):
    averaging(rounds=2).fit(network(), made(100).url, run=str(tmp_path / "run"))
    (tmp_path / "run" / "finished.json").unlink()
    monkeypatch.setattr("mrdl.driver.loop.profile", lambda: "mrdl 9.9, fused multiply-add")
    with pytest.raises(RunError, match="was begun with mrdl .* cannot be resumed here"):
        resume(str(tmp_path / "run"), "inline")


@pytest.mark.parametrize("frequency, warned", [(1, True), (4, False)])
def test_a_round_that_reads_far_more_than_it_trains_is_warned_of(tmp_path, made, frequency, warned):
    events = []
    averaging(rounds=2, averaging_frequency=frequency).fit(
        network(), made(100).url, run=str(tmp_path / "run"),
        told=lambda event, facts: events.append((event, facts.get("text", ""))))
    assert any("make the shards smaller" in text for event, text in events) is warned


def test_scoring_costs_at_most_a_fifth_of_training_unless_asked_otherwise(tmp_path, made):
    data = made(400, shards=4, hold_out=0.5)
    averaging(rounds=50, averaging_frequency=1).fit(network(), data.url, run=str(tmp_path / "run"))
    history = Run(tmp_path / "run").history()
    held = sum(s.n for s in data.validation())
    inside = [line for line in history[:-1] if "val_loss" in line]
    assert held / 3 * len(inside) <= 0.2 * sum(line["trained"] for line in history)
    assert inside


def test_options_know_what_they_are():
    assert Options().check() == Options()


def test_a_model_is_rebuilt_once_and_run_json_read_once_before_the_driver_begins(tmp_path, made, monkeypatch):
    data, run, seen = made(60, shards=2, hold_out=0.5), str(tmp_path / "run"), []

    def counted(owner, name):
        call = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, **k: seen.append(name) or call(*a, **k))
    for owner, name in ((sys.modules[ParameterAveraging.__module__], "model_from_json"), (fits, "model_from_json"), (Run, "options"), (Driver, "train")):
        counted(owner, name)
    assert len(data.validation()) > 1
    ParameterAveraging(rounds=1, runner="inline").fit(network(), data.url, run=run, verbose=0)
    assert seen[:seen.index("train")] == ["model_from_json", "options"]
    seen.clear()
    resume(run, "inline", rounds=2, verbose=0)
    assert seen[:seen.index("train")] == ["options", "model_from_json"]


def test_a_cluster_tells_nobody_of_a_run_that_has_ended(tmp_path, made):
    heard = []
    with Cluster("inline") as cluster:
        before = cluster.warned, cluster.waiting
        averaging(rounds=1, runner=cluster).fit(network(), made().url, run=str(tmp_path / "run"),
                                                told=lambda event, facts: heard.append(event))
        assert (cluster.warned, cluster.waiting) == before and "round" in heard
