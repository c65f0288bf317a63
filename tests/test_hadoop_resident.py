"""Resident rounds on a real Hadoop: the bits of plain ones, and what becomes of their job. make test-hadoop."""
import signal

import pytest
from test_faults import result
from test_hadoop import fit, hadoop, home, running, train, wait_for_round
from test_hadoop_faults import jobs

import mrdl
from mrdl import resident_exchange
from mrdl.cluster import Cluster
from mrdl.driver import WorkerFailed
from mrdl.run import Run
from mrdl.storage import Storage

pytestmark = pytest.mark.hadoop
__all__ = ["hadoop", "home"]            # fixtures

RESIDENT = ("--resident", "always")


def far_copy(data, home):
    """The dataset on HDFS."""
    for name in Storage(data.url).list():
        home.put(f"data/{name}", Storage(data.url).path(name))
    return home.path("data")


@pytest.mark.parametrize("shards, apart", [(2, resident_exchange.APART), (7, resident_exchange.APART), (2, 0)],
                         ids=["shards at home", "7 shards", "workers merge"])
def test_plain_and_resident_rounds_give_the_same_bits(tmp_path, home, made, hadoop, monkeypatch,
                                                      shards, apart):
    monkeypatch.setattr(resident_exchange, "APART", apart)
    data = made(300, shards=shards, hold_out=0.2, dtype="float32")
    fit(data.url, str(tmp_path / "near"), "inline")
    fit(far_copy(data, home), home.path("run"), hadoop, resident="always")
    assert result(home.path("run")) == result(str(tmp_path / "near"))
    assert not home.exists("run/resident") and running() == []
    first = Run(home.path("run")).records()[1]
    assert {"wait", "read", "compute", "write"} <= set(first["by_worker"][0])


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


def test_a_cluster_that_cannot_hold_all_workers_gets_plain_rounds(home, made, monkeypatch):
    """Two nodes of 4 GB: of three mappers of 3 GB, two run at once."""
    data, told = made(120, shards=3, dtype="float32"), []
    monkeypatch.setattr(resident_exchange, "COME", 20)
    with Cluster("hadoop", jobconf={"mapreduce.map.memory.mb": "3000"}) as cluster:
        assert cluster.holds(2) is False and cluster.holds(1) is True   # one node has the job's master
        training = mrdl.ParameterAveraging(workers=3, batch_size=8, rounds=1, runner=cluster,
                                           resident="always")
        model = mrdl.Sequential([mrdl.layers.Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        training.fit(model, far_copy(data, home), run=home.path("run"),
                     told=lambda event, facts: event == "warning" and told.append(facts["text"]))
    assert any("of 3 workers came within 20 s: goes on with plain rounds" in text for text in told)
    assert len(Run(home.path("run")).rounds()) == 2 and running() == []


def test_a_worker_that_fails_tells_its_traceback_shard_and_block(tmp_path, made, hadoop):
    data = made(60, shards=2, dtype="float32")
    with open(data.train()[0].path, "r+b") as file:
        file.seek(600)
        file.write(b"AAAA")
    with pytest.raises(WorkerFailed, match=r"(?s)BlockError.*checksum.*Traceback"):
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
    assert "of the driver that died goes on" in told and "resumed after round" in told
    assert [app["id"] for app in jobs(home.path("run"))] == [job] and running() == []
    process = train(tmp_path, data.url, str(tmp_path / "near"), "-r", "inline", "--rounds", "60")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert result(home.path("run")) == result(str(tmp_path / "near"))


def test_ctrl_c_ends_the_job(tmp_path, home, made):
    data = made(1600, shards=2, dtype="float32")
    process = train(tmp_path, far_copy(data, home), home.path("run"), *RESIDENT, "--rounds", "5000")
    wait_for_round(home.path("run"))
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "go on with: mrdl resume" in told
    assert running() == [] and not home.exists("run/resident")
