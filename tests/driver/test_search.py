"""Searches: against one machine and against runs alone, on several runners, stopped anywhere, with configurations that fail."""
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from averaged import whole
from command_line import mrdl as command
from processes import cut_off
from shards import rows

import mrdl
from mrdl import ParameterAveraging, Search, seeds
from mrdl.config import ConfigError
from mrdl.data.dataset import load
from mrdl.driver.exchanges.pooled import Pool
from mrdl.driver.search import resume
from mrdl.layers import Dense, Dropout
from mrdl.optimizers import Adam
from mrdl.report.searched import ranked, so_far
from mrdl.runners.failures import JobFailed
from mrdl.runs import searches
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.training.learner import Learner


def model(units=4, learning_rate=0.01, dropout=0.2, dtype="float32"):
    made = mrdl.Sequential([Dense(units, "relu"), Dropout(dropout), Dense(3, "softmax")], dtype=dtype)
    made.compile(Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def searching(space, strategy="grid", configurations=None, hop=False, **options):
    return Search(space, strategy, configurations, hop=hop,
                  training=ParameterAveraging(**{"workers": 1, "batch_size": 8, "runner": "inline", **options}))


def bits(url):
    """All that a search decided and made: the files of its rungs, which have the hashes of models."""
    place = searches.Search(url)
    return [place.store.read(name) for name in sorted(place.store.list("rung-*"))]


HALVING = {"units": "4,6", "learning_rate": "log:1e-3..0.3"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, inline):
    """(data, directory) of a search that was not disturbed."""
    folder = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    np.savez(folder / "raw.npz", x=rng.standard_normal((60, 5)) + np.eye(3, 5)[y] * 1.5, y=y.astype("i4"))
    data = mrdl.prepare([str(folder / "raw.npz")], str(folder / "data"), inline, shards=2, hold_out=0.2)
    searching(HALVING, "halving", 4, hop=True, epochs=3).fit(model, data.url, run=str(folder / "s"), verbose=0)
    return data, folder / "s"


@pytest.fixture
def halved(tmp_path, undisturbed):
    """(data, directory) of a copy that a test may change."""
    return undisturbed[0], shutil.copytree(undisturbed[1], str(tmp_path / "s"))


@pytest.mark.parametrize("hop", [True, False])
def test_models_that_go_from_shard_to_shard_are_trained_as_on_one_machine(tmp_path, made, hop):
    """Bit for bit, by a job for each hop or one for all: with Adam, dropout and an uneven last minibatch, over two epochs."""
    data = load(made(101, shards=3).url)
    searching({"units": [4, 6, 5, 7]}, hop=hop, epochs=2, seed=5, keep_rounds=9).fit(model, data.url, run=str(tmp_path / "s"), verbose=0)
    shards = data.train()
    for number, units in enumerate([4, 6, 5, 7], 1):
        first = Run(tmp_path / f"s/c{number:04d}").state(0)
        weights, slots = first.weights.copy(), first.slots.copy()
        alone, updates = mrdl.model_from_json(Run(tmp_path / f"s/c{number:04d}").options()["spec"]), 0
        assert alone.layers[0].units == units
        learner = Learner(alone, weights, slots, batch_size=8)
        for epoch in range(2):
            order = seeds.permutation(3, 5, "groups", epoch)
            for step in range(3):
                shard = shards[order[(number - 1 + step) % 3]]
                arrays = rows(shard)
                index = seeds.permutation(shard.n, 5, "rows", epoch, shard.index, 0)
                for batch in range(-(-shard.n // 8)):
                    learner.step(arrays, index[batch * 8:batch * 8 + 8], seeds.key(5, "dropout", epoch, shard.index), batch)
                    updates += 1
        last = Run(tmp_path / f"s/c{number:04d}").state(6 if hop else 1)
        assert (last.weights.tobytes(), last.slots.tobytes(), last.iterations) == (weights.tobytes(), slots.tobytes(), updates)


def test_averaged_configurations_are_the_runs_that_they_would_be_alone(tmp_path, made):
    data = made(80, shards=2, hold_out=0.2)
    options = {"workers": 2, "averaging_frequency": 2, "epochs": 2, "outer": "nesterov learning_rate 0.7 momentum 0.9",
               "compress_broadcast": "bfloat16"}
    found = searching({"units": "4", "batch_size": "8,16"}, **options).fit(
        model, data.url, run=str(tmp_path / "s"), verbose=0)
    assert len(found.table) == 2
    for row in found.table:
        own, batch = model(row["values"]["units"]), row["values"]["batch_size"]
        ParameterAveraging(**options, batch_size=batch, retries=0, runner="inline").fit(own, data.url, run=str(tmp_path / f"alone-{row['run']}"), verbose=0)
        assert whole(tmp_path / "s" / row["run"]) == whole(tmp_path / f"alone-{row['run']}")
    assert [row["metrics"]["val_loss"] for row in found.table] == sorted(row["metrics"]["val_loss"] for row in found.table)


def test_the_outer_updater_is_chosen_once_for_all_rungs(tmp_path, made):
    """Although the first rung has too few rounds for one."""
    searching({"units": [4, 6]}, "halving", workers=2, rounds=9, outer="auto", averaging_frequency=9).fit(
        lambda units: model(units, 0.001), made(60, shards=2).url, run=str(tmp_path / "s"), verbose=0)
    outer = [Run(tmp_path / f"s/c000{number}").options()["options"]["outer"] for number in (1, 2)]
    assert outer[0] == outer[1] and outer[0]["class_name"] == "Adagrad"


def test_a_round_of_all_is_one_job_and_every_runner_gives_the_same_bits(tmp_path, halved, local):
    data, run = halved
    jobs = []
    searching(HALVING, "halving", 4, hop=True, epochs=3, runner=local).fit(
        model, data.url, run=str(tmp_path / "local"), told=lambda event, facts: jobs.append((event, facts)))
    assert bits(str(tmp_path / "local")) == bits(run)
    shared = [facts["configurations"] for event, facts in jobs if event == "job"]
    # two shards: two hops an epoch, and a job that scores; then one configuration trains on
    assert shared == [4, 4, 4, 1, 1, 1, 1, 1]
    assert [facts["configurations"] for event, facts in jobs if event == "rung"] == [4, 1]


def test_a_rung_is_one_job(tmp_path, halved):
    """To the same models as by hops; a shard that is needed again in a later epoch is read once."""
    data, run = halved
    jobs = []
    searching(HALVING, "halving", 4, epochs=3).fit(model, data.url, run=str(tmp_path / "straight"), told=lambda event, facts: jobs.append((event, facts)))
    assert [facts["configurations"] for event, facts in jobs if event == "job"] == [4, 1]
    places = [searches.Search(str(tmp_path / "straight")), searches.Search(run)]
    models, epochs = ([[[own[key] for own in rung] for rung in place.rungs()] for place in places] for key in ("model", "epochs"))
    assert models[0] == models[1] and epochs[0] == epochs[1] == [[1.0] * 4, [3.0]]
    winner = ranked(places[0].asked(), places[0].rungs())[0]["run"]
    mrdl.resume(f"{tmp_path}/straight/{winner}", "inline", until="val_loss patience 9, epochs 5", verbose=0)
    assert [line["epoch"] for line in Run(tmp_path / "straight" / winner).history()] == [1, 3, 4, 5]       # each epoch is scored


def test_the_winner_is_an_ordinary_run(tmp_path, halved, capsys):
    data, run = halved
    rungs, asked = searches.Search(run).rungs(), searches.Search(run).asked()
    best = ranked(asked, rungs)[0]
    winner = f"{run}/{best['run']}"
    assert best["state"] == "trained" and best["epochs"] == 3
    assert command(capsys, "evaluate", winner, data.url, "--part", "validation")[0] == 0
    assert mrdl.load_model(winner).iterations == Run(winner).state(6).iterations
    mrdl.resume(winner, "inline", epochs=4, verbose=0)
    again = command(capsys, "train", winner, data.url, str(tmp_path / "more"), "--epochs", "1")
    assert again[0] == 0, again[2]


@pytest.mark.parametrize("steps", [3, 12, 15])      # in the first rung, at its commit, in the second
def test_a_search_that_is_cut_off_goes_on_to_the_same_bits(tmp_path, halved, steps):
    """As by a power cut, at some commit of a run or a rung; what was committed is not trained again."""
    data, run = halved
    broken = str(tmp_path / "broken")

    def search():
        return searching(HALVING, "halving", 4, hop=True, epochs=3).fit(model, data.url, run=broken, verbose=0)
    cut_off(search, steps, [(Run, "commit"), (searches.Search, "commit")])
    asked, rungs = searches.Search(broken).asked(), searches.Search(broken).rungs()
    going = [row for row in ranked(asked, rungs, so_far(searches.Search(broken), asked, rungs)) if row["state"] == "training"]
    assert len(going) == {0: 4, 1: 1}[len(rungs)] and (steps == 3 or all(row["examples"] > 0 for row in going))
    before = {path: path.stat().st_mtime_ns for path in Path(broken).rglob("commit-*.json")}
    resume(broken, verbose=0) if steps % 2 else search()
    assert bits(broken) == bits(run)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.exists())


def test_configurations_that_fail_are_rows_with_their_reason(tmp_path, made, capsys):
    data = made(60, shards=2)
    (tmp_path / "model.py").write_text(
        "import mrdl\nfrom mrdl.layers import Dense\nfrom mrdl.optimizers import SGD\n"
        "def model(units=4, rate=0.1, outputs=3):\n"
        "    m = mrdl.Sequential([Dense(units, 'relu'), Dense(outputs, 'softmax')])\n"
        "    m.compile(SGD(rate), 'sparse_categorical_crossentropy')\n    return m\n")
    words = ["search", str(tmp_path / "model.py"), data.url, str(tmp_path / "s"), "--set", "units=4,0", "--set", "rate=0.1,1e30", "--set", "outputs=3,2",
             "--strategy", "grid", "--epochs", "1"]
    status, out, told = command(capsys, *words)
    assert status == 0, told
    lines = out.splitlines()
    assert lines[1].split()[:7] == ["RUN", "units", "rate", "outputs", "RUNG", "EPOCHS", "EXAMPLES"]
    assert lines[2].split()[:4] == ["c0001", "4", "0.1", "3"] and lines[2].split()[-1] == "trained" and "the best: " in lines[-1]
    reasons = {line.split()[0]: line.partition("failed: ")[2] for line in lines if "failed: " in line}
    assert set(reasons) == {f"c{number:04d}" for number in range(2, 9)}
    assert "line 5: Dense: units=0 must be above 0" in reasons["c0005"]
    assert "not finite" in reasons["c0003"] and "class" in reasons["c0002"]
    shown = json.loads(command(capsys, "show", str(tmp_path / "s"), "--json")[1])
    assert shown["table"][0]["run"] == "c0001" and len(shown["table"]) == 8
    assert command(capsys, *words)[:2] == (status, out)        # nothing is left to do
    assert command(capsys, "resume", str(tmp_path / "s"))[:2] == (status, out)
    assert command(capsys, *words[:-1], "2")[0] == 2
    assert "goes on as it was begun" in command(capsys, "resume", str(tmp_path / "s"), "--epochs", "2")[2]


def test_a_configuration_that_kills_its_tasks_does_not_end_the_others(tmp_path, made, monkeypatch):
    """As if its mappers had too little memory: the job of all fails, then each has its own."""
    data, job = made(60, shards=2), Pool._job
    asked = []

    def limited(self, requests):
        asked.append([request.name for request in requests])
        if any(request.name == "c0002" for request in requests):
            raise JobFailed("mapper 1 was killed by SIGKILL")
        return job(self, requests)
    monkeypatch.setattr(Pool, "_job", limited)
    found = searching({"units": "4,5,6"}, hop=True, epochs=1).fit(model, data.url, run=str(tmp_path / "s"), verbose=0)
    assert [row["state"] for row in found.table] == ["trained", "trained", "failed"] and "SIGKILL" in found.table[2]["reason"]
    assert asked[:4] == [["c0001", "c0002", "c0003"], ["c0001"], ["c0002"], ["c0003"]] and asked[4] == ["c0001", "c0003"]


def test_a_cluster_that_runs_no_job_ends_the_search_which_can_be_resumed(tmp_path, made, monkeypatch):
    data = made(60, shards=2)

    def dead(self, requests):
        raise JobFailed("no cluster")
    with monkeypatch.context() as patch, pytest.raises(JobFailed, match="no cluster"):
        patch.setattr(Pool, "_job", dead)
        searching({"units": "4,5,6,7"}, epochs=1).fit(model, data.url, run=str(tmp_path / "s"), verbose=0)
    assert searches.Search(str(tmp_path / "s")).rungs() == []
    assert {row["state"] for row in resume(str(tmp_path / "s"), verbose=0).table} == {"trained"}


def test_what_makes_no_sense_is_refused_before_anything_is_written(tmp_path, made):
    data, run = made(40, shards=2), str(tmp_path / "s")
    for change, reason in (({"strategy": "best"}, "must be one of grid"), ({"factor": 1}, "2 or more"), ({"metric": "val_loss"}, "there is no metric"),
                           ({"configurations": 3}, "a grid has every combination"), ({"space": {"width": "1"}}, "no hyperparameter"),
                           ({"strategy": "hyperband"}, "only 2"), ({"strategy": "random", "configurations": 0}, "1 or more"),
                           ({"space": {"units": "0"}}, "no configuration has a model: Dense: units=0"),
                           ({"training": ParameterAveraging(workers=1, averaging_frequency="auto")}, "does not depend on the clock"),
                           ({"space": {"dtype": "float32,float64"}}, "one dtype"),
                           ({"space": {"outer": "mean,auto"}}, "cannot be auto"),
                           ({"training": mrdl.FragmentTraining(fragments=2)}, "fragments")):
        given = {"space": {"units": "4,5"}, "strategy": "grid", "training": ParameterAveraging(workers=1, runner="inline"), **change}
        with pytest.raises(ConfigError, match=reason):
            Search(**given).fit(model, data.url, run=run, verbose=0)
    assert not os.path.exists(run)


def test_another_search_in_the_same_directory_is_refused(tmp_path, halved):
    data, run = halved
    with pytest.raises(RunError, match="the values that are tried"):
        searching(HALVING, "halving", 5, hop=True, epochs=3).fit(model, data.url, run=run, verbose=0)
    with pytest.raises(RunError, match="model of configuration 1: has its file changed"):
        searching(HALVING, "halving", 4, hop=True, epochs=3).fit(lambda units, learning_rate: model(units, learning_rate, 0.3), data.url, run=run, verbose=0)
    place = searches.Search(run)
    rung = json.loads(place.store.read("rung-000.json"))
    rung["found"][0]["metrics"]["val_loss"] = 0.0
    place.store.write("rung-000.json", json.dumps(rung).encode())
    with pytest.raises(RunError, match="rung-000.json is damaged: its hash does not fit"):
        place.rungs()
    os.remove(f"{run}/rung-000.json")
    with pytest.raises(RunError, match="rung-000.json is gone"):
        place.rungs()
