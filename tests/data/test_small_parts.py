"""Many small files and shards: they share tasks, and the dataset is what a task each makes of them, to the byte."""
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from mrdl.jobs.predict import Predict

import mrdl
from mrdl.driver import inference
from mrdl.driver.exchanges import plain
from mrdl.driver.preparation import planning
from mrdl.layers import Dense
from mrdl.models import saving
from mrdl.rounds import plan
from mrdl.rounds.merged import RoundError
from mrdl.runners import sharing
from mrdl.runners.cluster import Cluster
from mrdl.runners.output import Output
from mrdl.storage.schemes import store_at


@pytest.fixture
def folder(tmp_path):
    """24 files: with and without carriage returns, packed, empty, with comments and bad records."""
    rng = np.random.default_rng(0)
    for i in range(24):
        end = "\r\n" if i % 3 else "\n"
        lines = ["a,b,label", *(f"{rng.integers(9)},{rng.random():.3f},{rng.integers(3)}" for _ in range(i + 5))]
        lines += ["1,2"] * (i % 7 == 1) + ["# no row"] * (i % 5 == 0)
        data = end.join([*lines, ""]).encode()
        path = tmp_path / "raw" / f"part {i:02d} ü.csv{'.gz' * (i % 4 == 0)}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(data, mtime=0) if i % 4 == 0 else data if i != 5 else b"")
    return str(path.parent)


def prepared(raw, out, runner="inline", **options):
    """The dataset's bytes, what is said, and how many tasks made it."""
    told, tasks = [], {}
    with Cluster(runner, cores=2) as cluster:
        made = mrdl.prepare(raw, str(out), runner=cluster, label="label", hold_out=0.2, max_bad=0.5, shards=12, said=told.append,
                            on_task=lambda kind, done, total: tasks.update({kind: total}), **options)
    store = store_at(str(out))
    facts = store.read("data.json")
    return (facts, *(store.read(shard.name) for shard in made.shards)), told, tasks


def test_small_files_and_shards_share_tasks_and_give_the_same_bytes(folder, tmp_path, monkeypatch):
    shared, told, tasks = prepared(folder, tmp_path / "shared")
    assert tasks == {"mapper": 1, "reducer": 8}
    assert told == ["a: numeric", "b: numeric", "label: label, 3 classes: 0, 1, 2",
                    "planned: 1 map task for 24 files; 15 shards written by 8 reduce tasks"]
    assert prepared(folder, tmp_path / "local", "local")[0] == shared
    monkeypatch.setattr(sharing, "LEAST", 300)      # bytes that are worth a task
    several, told, tasks = prepared(folder, tmp_path / "several")
    assert several == shared and 1 < tasks["mapper"] < 5 and tasks["reducer"] == min(16, int(told[-1].split()[-3]))
    monkeypatch.setattr(sharing, "SMALL", 0)        # a task a file, a reducer a shard
    monkeypatch.setattr(planning, "FEW", 16)
    alone, told, tasks = prepared(folder, tmp_path / "alone")
    assert alone == shared and tasks == {"mapper": 24, "reducer": 16}


def test_a_file_that_is_large_enough_has_mappers_of_its_own_beside_small_ones(folder, tmp_path, monkeypatch):
    shared, *_ = prepared(folder, tmp_path / "shared")
    monkeypatch.setattr(sharing, "SMALL", 250)
    mixed, _, tasks = prepared(folder, tmp_path / "mixed")
    assert mixed == shared and 2 < tasks["mapper"] < 24


def test_ranges_of_many_small_arrays_share_mappers(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for i in range(9):
        np.savez(tmp_path / f"{i}.npz", x=rng.random((5, 3)).astype("f4"), label=rng.integers(0, 3, 5))
    shared, _, tasks = prepared(str(tmp_path / "*.npz"), tmp_path / "shared")
    assert tasks["mapper"] == 1
    monkeypatch.setattr(sharing, "LEAST", 1)
    assert prepared(str(tmp_path / "*.npz"), tmp_path / "two")[::2] == (shared, {"mapper": 3, "reducer": 16})


@pytest.fixture
def model(tmp_path):
    """A saved model for rows of 5 numbers."""
    made = mrdl.Sequential([Dense(4, "tanh"), Dense(3, "softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    made.build((5,)).save(str(tmp_path / "model"))
    return str(tmp_path / "model")


def predicted(model, data, out, runner="inline"):
    """Each part's bytes, the number of mappers, and what is said."""
    told, tasks = [], []
    with Cluster(runner, cores=2) as cluster:
        cluster.planned = told.append
        inference.predict(model, data, str(out), runner=cluster, on_task=lambda kind, done, total: tasks.append(total))
    store = store_at(str(out))
    return {name: store.read(name) for name in store.list()}, tasks, told


def test_small_shards_share_mappers_of_predict_and_each_has_its_file(made, model, tmp_path, monkeypatch):
    data = made(300, shards=9, hold_out=0.3, dtype="float32")
    monkeypatch.setattr(sharing, "SMALL", 0)
    alone, tasks, told = predicted(model, data.url, tmp_path / "alone")
    assert len(tasks) == len(data.shards) == len(alone) - 1 and told == []
    monkeypatch.setattr(sharing, "SMALL", 4 << 20)
    shared, tasks, told = predicted(model, data.url, tmp_path / "shared")
    assert shared == alone and tasks == [1] and told == [f"planned: 1 map task for {len(data.shards)} shards"]
    monkeypatch.setattr(sharing, "LEAST", 5000)
    large = sorted(s.n for s in data.shards)[-2]        # it and the largest have mappers of their own
    monkeypatch.setattr(sharing, "SMALL", large * os.path.getsize(max(data.shards, key=lambda s: s.n).path) / max(
        s.n for s in data.shards))
    mixed, tasks, told = predicted(model, data.url, tmp_path / "mixed", "local")
    assert mixed == alone and 4 <= len(tasks) < len(data.shards)


def test_shards_whose_outputs_are_many_have_mappers_of_their_own(made, model, tmp_path, monkeypatch):
    data = made(300, shards=4, dtype="float32")
    monkeypatch.setattr(inference, "VALUE", 1 << 20)
    assert len(predicted(model, data.url, tmp_path / "out")[1]) == 4


@pytest.mark.parametrize("lines, problem", [(4, "2 predictions of 3: examples were lost"), (6, "more predictions than 3")])
def test_predictions_that_do_not_add_up_are_refused(tmp_path, lines, problem):
    (tmp_path / "part").write_bytes(b"1,2\n" * lines)
    output = Output([str(tmp_path / "part")], lambda: None, {})
    with pytest.raises(RoundError, match=problem):
        inference._taken(output, 0, [("a", 2), ("b", 3)], store_at(str(tmp_path / "out")))


def test_a_mapper_reads_the_files_that_its_input_names(made, model, tmp_path):
    """What Hadoop's mappers get, on this machine."""
    data = made(60, shards=3, dtype="float32")
    alone, *_ = predicted(model, data.url, tmp_path / "out")
    names = tmp_path / f"{sharing.SHARED}0"
    sharing.write(str(names), [s.path for s in data.shards])
    loaded = saving.load_model(model)
    asked = plan.Plan(loaded.to_json(), 0, 0, 0, None, 1, 0, [])
    with Cluster("inline") as cluster, inference.state_file(loaded, cluster) as state, \
            plain.plan_file(asked, cluster) as path, \
            cluster.run(Predict, [str(names)], ["--state", state, "--plan", path]) as output:
        assert [line + b"\n" for line in output.lines(0)] == b"".join(
            alone[f"part-{i:05d}"] for i in range(3)).splitlines(keepends=True)


@pytest.mark.hadoop
def test_small_shards_share_mappers_on_hadoop_with_the_same_results(made, model, tmp_path):
    data, home, told, tasks = made(300, shards=9, hold_out=0.3, dtype="float32"), store_at(
        f"hdfs:///tmp/test-{os.getpid()}-shards"), [], []
    planned = [f"planned: 1 map task for {len(data.shards)} shards"]
    here, *_ = predicted(model, data.url, tmp_path / "here")
    scores = inference.evaluate(model, data.url, runner="inline")
    try:
        for name in store_at(data.url).list():
            home.put(f"data/{name}", store_at(data.url).path(name))
        assert predicted(model, home.path("data"), home.path("out"), "hadoop") == (here, [1], planned)
        with Cluster("hadoop") as cluster:
            cluster.planned = told.append
            assert inference.evaluate(model, home.path("data"), runner=cluster,
                                      on_task=lambda *task: tasks.append(task)) == scores
    finally:
        home.clear("")
    assert tasks == [("mapper", 1, 1)] and told == planned


@pytest.mark.hadoop
def test_small_files_share_mappers_on_hadoop_with_the_same_bytes(folder, tmp_path):
    here, told, tasks = prepared(folder, tmp_path / "here")
    assert tasks["mapper"] == 1
    home = store_at(f"hdfs:///tmp/test-{os.getpid()}-small")
    try:
        for path in Path(folder).iterdir():
            home.put(f"raw/{path.name}", str(path))
        far, told, tasks = prepared(home.path("raw"), home.path("data"), "hadoop")
    finally:
        home.clear("")
    assert far[1:] == here[1:] and tasks["mapper"] == 1 and tasks["reducer"] == 8
    assert told[-1] == "planned: 1 map task for 24 files; 15 shards written by 8 reduce tasks"
