"""Many small files and shards: they share tasks, and the dataset is what a task each makes of them, to the byte."""
import gzip
import os
from pathlib import Path

import numpy as np
import pytest

import mrdl
from mrdl import preparation
from mrdl.cluster import Cluster
from mrdl.storage import Storage


@pytest.fixture
def folder(tmp_path):
    """24 files: with and without carriage returns, packed, empty, with comments and bad records."""
    rng = np.random.default_rng(0)
    for i in range(24):
        end = "\r\n" if i % 3 else "\n"
        lines = ["a,b,label", *(f"{rng.integers(9)},{rng.random():.3f},{rng.integers(3)}" for _ in range(i + 5))]
        lines += ["x,1,2"] * (i % 7 == 1) + ["# no row"] * (i % 5 == 0)
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
    store = Storage(str(out))
    facts = store.read("data.json")
    return (facts, *(store.read(shard.name) for shard in made.shards)), told, tasks


def test_small_files_and_shards_share_tasks_and_give_the_same_bytes(folder, tmp_path, monkeypatch):
    shared, told, tasks = prepared(folder, tmp_path / "shared")
    assert tasks == {"mapper": 1, "reducer": 8}
    assert told == ["planned: 1 map task for 24 files; 15 shards written by 8 reduce tasks"]
    assert prepared(folder, tmp_path / "local", "local")[0] == shared
    monkeypatch.setattr(preparation, "LEAST", 300)      # bytes that are worth a task
    several, told, tasks = prepared(folder, tmp_path / "several")
    assert several == shared and 1 < tasks["mapper"] < 5 and tasks["reducer"] == min(16, int(told[0].split()[-3]))
    monkeypatch.setattr(preparation, "SMALL", 0)        # a task a file, a reducer a shard
    monkeypatch.setattr(preparation, "FEW", 16)
    alone, told, tasks = prepared(folder, tmp_path / "alone")
    assert alone == shared and tasks == {"mapper": 24, "reducer": 16}


def test_a_file_that_is_large_enough_has_mappers_of_its_own_beside_small_ones(folder, tmp_path, monkeypatch):
    shared, *_ = prepared(folder, tmp_path / "shared")
    monkeypatch.setattr(preparation, "SMALL", 250)
    mixed, _, tasks = prepared(folder, tmp_path / "mixed")
    assert mixed == shared and 2 < tasks["mapper"] < 24


def test_ranges_of_many_small_arrays_share_mappers(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for i in range(9):
        np.savez(tmp_path / f"{i}.npz", x=rng.random((5, 3)).astype("f4"), label=rng.integers(0, 3, 5))
    shared, _, tasks = prepared(str(tmp_path / "*.npz"), tmp_path / "shared")
    assert tasks["mapper"] == 1
    monkeypatch.setattr(preparation, "LEAST", 1)
    assert prepared(str(tmp_path / "*.npz"), tmp_path / "two")[::2] == (shared, {"mapper": 3, "reducer": 16})


@pytest.mark.hadoop
def test_small_files_share_mappers_on_hadoop_with_the_same_bytes(folder, tmp_path):
    here, told, tasks = prepared(folder, tmp_path / "here")
    assert tasks["mapper"] == 1
    home = Storage(f"hdfs:///tmp/test-{os.getpid()}-small")
    try:
        for path in Path(folder).iterdir():
            home.put(f"raw/{path.name}", str(path))
        far, told, tasks = prepared(home.path("raw"), home.path("data"), "hadoop")
    finally:
        home.clear("")
    assert far[1:] == here[1:] and tasks["mapper"] <= 2 and tasks["reducer"] == 8
    assert told == ["planned: 1 map task for 24 files; 15 shards written by 8 reduce tasks"]
