"""Resident rounds on a real Hadoop: the bits of plain ones, and what becomes of their job. make test-hadoop."""
import re
import signal
import subprocess

import pytest
from hadoop_runs import far_copy, fit, jobs, running, train, wait_for_round
from processes import result

import mrdl
from mrdl.driver.exchanges import resident
from mrdl.driver.scoring import WorkerFailed
from mrdl.runners.cluster import Cluster
from mrdl.runs.run import Run

pytestmark = pytest.mark.hadoop

RESIDENT = ("--resident", "always")


@pytest.mark.parametrize("shards, apart", [(2, resident.APART), (7, resident.APART), (2, 0)],
                         ids=["shards at home", "7 shards", "workers merge"])
def test_plain_and_resident_rounds_give_the_same_bits(tmp_path, home, made, hadoop, monkeypatch,
                                                      shards, apart):
    monkeypatch.setattr(resident, "APART", apart)
    data = made(300, shards=shards, hold_out=0.2, dtype="float32")
    fit(data.url, str(tmp_path / "near"), "inline")
    fit(far_copy(data, home), home.path("run"), hadoop, resident="always")
    assert result(home.path("run")) == result(str(tmp_path / "near"))
    assert not home.exists("run/resident") and running() == []
    first = Run(home.path("run")).records()[1]
    assert {"wait", "read", "compute", "write"} <= set(first["by_worker"][0])


def test_coded_changes_and_what_was_kept_of_them_give_the_same_bits(tmp_path, home, made, hadoop):
    data = made(200, shards=2, dtype="float32")
    far = far_copy(data, home)
    kept = {"compress": "topk 0.2", "compress_broadcast": "int8", "save_updater": "every 2"}
    fit(data.url, str(tmp_path / "near"), "inline", **kept)
    for resident_ in ("always", "never"):
        fit(far, home.path(resident_), hadoop, **kept, resident=resident_)
        assert result(home.path(resident_)) == result(str(tmp_path / "near"))


def test_a_local_dataset_and_run_work_too(tmp_path, made, hadoop):
    data = made(60, shards=2, dtype="float32")
    fit(data.url, str(tmp_path / "far"), hadoop, resident="always")
    fit(data.url, str(tmp_path / "near"), "inline")
    assert result(str(tmp_path / "far")) == result(str(tmp_path / "near"))


def test_auto_goes_on_with_resident_rounds_after_a_plain_one(home, made, hadoop):
    data = made(120, shards=2, dtype="float32")
    fit(far_copy(data, home), home.path("run"), hadoop, resident="auto")
    names = [job["name"].rpartition(" run")[2] for job in jobs(home.path("run"))]
    assert sorted(name.split(" ", 2)[-1] for name in names) == ["resident", "round 1"], names


def test_a_cluster_that_cannot_hold_all_workers_gets_plain_rounds_and_is_told_of(home, made, monkeypatch):
    """Two nodes of 4 GB: of three mappers of 3 GB, two run at once."""
    data, told = made(120, shards=3, dtype="float32"), []
    monkeypatch.setattr(resident, "COME", 20)
    with Cluster("hadoop", jobconf={"mapreduce.map.memory.mb": "3000"}) as cluster:
        assert cluster.holds(2) is False and cluster.holds(1) is True   # one node has the job's master
        training = mrdl.ParameterAveraging(workers=3, batch_size=8, rounds=1, runner=cluster,
                                           resident="always")
        model = mrdl.Sequential([mrdl.layers.Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        training.fit(model, far_copy(data, home), run=home.path("run"),
                     told=lambda event, facts: event in ("warning", "waiting") and told.append(facts["text"]))
    assert any(re.match(r"application_\w+ in queue root.default: (its master has not begun|YARN has given).*; http://", text)
               for text in told), told
    assert any("of 3 resident workers started within 20 s: continues with plain rounds" in text for text in told)
    assert len(Run(home.path("run")).rounds()) == 2 and running() == []


def test_a_worker_that_fails_tells_its_traceback_shard_and_block(tmp_path, made, hadoop):
    data = made(60, shards=2, dtype="float32")
    with open(data.train()[0].path, "r+b") as file:
        file.seek(600)
        file.write(b"AAAA")
    with pytest.raises(WorkerFailed, match=r"block 0 .*checksum.*; prepare the dataset again$"):
        fit(data.url, str(tmp_path / "run"), hadoop, resident="always")
    assert running() == []


def test_a_killed_driver_that_is_started_again_finds_its_job_and_goes_on(tmp_path, home, made):
    data = made(1600, shards=2, dtype="float32")
    far = far_copy(data, home)
    process = train(tmp_path, far, home.path("run"), *RESIDENT, "--rounds", "60")
    wait_for_round(home.path("run"))
    process.kill()
    process.communicate()
    (job,) = running()
    process = train(tmp_path, far, home.path("run"), *RESIDENT, "--rounds", "60")
    _, told = process.communicate(timeout=180)
    assert process.returncode == 0, told
    assert "of the dead driver is taken over" in told and "resumed after round" in told
    assert [app["id"] for app in jobs(home.path("run"))] == [job] and running() == []
    process = train(tmp_path, data.url, str(tmp_path / "near"), "-r", "inline", "--rounds", "60")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert result(home.path("run")) == result(str(tmp_path / "near"))


def test_sigterm_ends_the_job(tmp_path, home, made):
    data = made(1600, shards=2, dtype="float32")
    process = train(tmp_path, far_copy(data, home), home.path("run"), *RESIDENT, "--rounds", "5000")
    wait_for_round(home.path("run"))
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143 and "ended by SIGTERM; go on with: mrdl resume" in told
    assert running() == [] and not home.exists("run/resident")


def test_a_job_that_an_operator_kills_ends_the_run(tmp_path, home, made):
    data = made(1600, shards=2, dtype="float32")
    process = train(tmp_path, far_copy(data, home), home.path("run"), *RESIDENT, "--rounds", "5000")
    wait_for_round(home.path("run"))
    (job,) = running()
    subprocess.run(["yarn", "application", "-kill", job], check=True, capture_output=True)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert f"killed: Application {job} was killed by user" in told, told
    assert told.endswith(f"go on with: mrdl resume {home.path('run')}\n") and "tried again" not in told
    assert [app["id"] for app in jobs(home.path("run"))] == [job]


def test_a_commit_that_fails_ends_the_run_while_its_workers_begin(home, made, hadoop):
    """The run's quota holds small files, whose block counts for 32 MB twice, and no state of 43 MB."""
    far = far_copy(made(60, shards=2, dtype="float32"), home)
    home.write("run/.made", b"")
    subprocess.run(["hdfs", "dfsadmin", "-setSpaceQuota", "70m", home.path("run")], check=True, capture_output=True)
    model = mrdl.Sequential([mrdl.layers.Dense(1_200_000), mrdl.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    training = mrdl.ParameterAveraging(workers=2, batch_size=8, rounds=2, runner=hadoop, resident="always")
    with pytest.raises(OSError, match=r"quota of .*run is exceeded.*state-000000.safetensors"):
        training.fit(model, far, run=home.path("run"))
    assert running() == [] and not home.exists("run/lease.json")


def test_a_container_that_no_node_can_hold_is_told_in_yarns_words_and_asked_for_once(tmp_path, home, made):
    far = far_copy(made(60, shards=2, dtype="float32"), home)
    process = train(tmp_path, far, home.path("run"), *RESIDENT, "-D", "mapreduce.map.memory.mb=99999")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 1 and "MAP capability is more than the supported max container capability" in told, told
    assert len(jobs(home.path("run"))) == 1
