"""The same runs on a real Hadoop: HDFS in, YARN rounds, HDFS out. Run inside a cluster: make test-hadoop."""
import json
import signal
import subprocess
import time

import deadly_job
import pytest
from hadoop_runs import far_copy, fit, model, running, table, train, wait_for_round
from processes import result

import mrdl
from mrdl.data import corpus, dataset
from mrdl.driver.scoring import WorkerFailed
from mrdl.layers import Dense, Embedding, GravesLSTM
from mrdl.runners.cluster import Cluster
from mrdl.runners.failures import JobFailed
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop


def shards(url):
    store = store_at(url)
    return [store.read(s.name) for s in dataset.load(url).shards]


def test_prepare_train_evaluate_predict_give_the_same_bits_as_on_one_machine(tmp_path, home, hadoop):
    raw = table(tmp_path / "raw.csv")
    home.put("in/raw.csv", raw)
    options = {"label": "label", "shards": 3, "hold_out": 0.2, "max_bad": 0.1}
    here, there = str(tmp_path / "data"), home.path("data")
    made = mrdl.prepare(raw, here, runner="inline", **options)
    far = mrdl.prepare(home.path("in/raw.csv"), there, runner=hadoop, **options)
    assert shards(there) == shards(here) and far.bad["count"] == made.bad["count"] == 1

    fit(here, str(tmp_path / "inline"), "inline")
    fit(here, str(tmp_path / "local"), "local")
    fit(there, home.path("run"), hadoop)
    assert result(home.path("run")) == result(str(tmp_path / "inline")) == result(
        str(tmp_path / "local"))

    assert mrdl.evaluate(home.path("run"), there, runner=hadoop) == mrdl.evaluate(
        str(tmp_path / "inline"), here, runner="inline")
    assert mrdl.predict(home.path("run"), there, home.path("out"), runner=hadoop) == 300
    mrdl.predict(str(tmp_path / "inline"), here, str(tmp_path / "out"), runner="inline")
    out, place = store_at(home.path("out")), store_at(str(tmp_path / "out"))
    assert out.list() == place.list()
    assert [out.read(n) for n in out.list()] == [place.read(n) for n in place.list()]


def test_fragments_are_trained_as_on_one_machine(tmp_path, home, hadoop, made):
    data, options = made(60, dtype="float32", hold_out=0.2), {"fragments": 2, "rounds": 2, "epochs": None, "validation_freq": 1}
    fit(data.url, str(tmp_path / "near"), "inline", **options)
    fit(far_copy(data, home), home.path("far"), hadoop, **options)         # tasks read their fragments from HDFS
    fit(far_copy(data, home), str(tmp_path / "far"), hadoop, resident="always", **options)     # from copies that are uploaded
    assert result(home.path("far")) == result(str(tmp_path / "far")) == result(str(tmp_path / "near"))


def test_text_is_prepared_trained_and_written_as_on_one_machine(tmp_path, home, hadoop, monkeypatch):
    """Two ranges, two jobs; masks, windows and buckets in plain and in resident rounds."""
    monkeypatch.setattr(corpus, "RANGE", 3000)
    (tmp_path / "raw.txt").write_text("".join(f"{i} naïve café 日本 ends\n" for i in range(200)), encoding="utf-8")
    home.put("in/raw.txt", str(tmp_path / "raw.txt"))
    options = {"format": "text", "sequence_length": 20, "shards": 2, "hold_out": 0.2}
    here, there = str(tmp_path / "data"), home.path("data")
    near = mrdl.prepare(str(tmp_path / "raw.txt"), here, runner="inline", **options)
    far = mrdl.prepare(home.path("in/raw.txt"), there, runner=hadoop, **options)
    assert far.text == near.text and shards(there) == shards(here)

    def trained(data, run, runner, resident):
        network = mrdl.Sequential([Embedding(64, 8, mask_zero=True), GravesLSTM(12, return_sequences=True, dropout=0.1),
                                   Dense(64, "softmax")])
        network.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
        mrdl.ParameterAveraging(workers=2, batch_size=16, averaging_frequency=4, rounds=3, tbptt=8, buckets=[12, 20],
                                runner=runner, resident=resident).fit(network, data, run=run)
    trained(here, str(tmp_path / "inline"), "inline", "never")
    trained(there, home.path("plain"), hadoop, "never")
    trained(there, home.path("resident"), hadoop, "always")
    assert result(home.path("plain")) == result(home.path("resident")) == result(str(tmp_path / "inline"))
    assert mrdl.generate(home.path("plain"), "7 na", 30) == mrdl.generate(str(tmp_path / "inline"), "7 na", 30)


def test_a_local_dataset_and_run_work_too(tmp_path, made, hadoop):
    data = made(60, shards=2, dtype="float32")
    fit(data.url, str(tmp_path / "far"), hadoop, rounds=1, epochs=None)
    fit(data.url, str(tmp_path / "near"), "inline", rounds=1, epochs=None)
    assert result(str(tmp_path / "far")) == result(str(tmp_path / "near"))


def test_a_damaged_shard_is_told_by_shard_and_block(tmp_path, made, hadoop):
    data = made(60, shards=2, dtype="float32")
    shard = data.train()[0].path
    with open(shard, "rb") as file:
        content = file.read()
    with open(shard, "wb") as file:
        file.write(content[:600] + b"AAAA" + content[604:])
    with pytest.raises(WorkerFailed, match=r"block 0 .*checksum.*; prepare the dataset again$"):
        fit(data.url, str(tmp_path / "run"), hadoop)


def test_a_task_that_dies_tells_its_exit_input_and_last_words(tmp_path, hadoop):
    (tmp_path / "input-0").write_text("x\n")
    with pytest.raises(JobFailed) as failure:
        hadoop.run(deadly_job.Deadly, [str(tmp_path / "input-0")])
    text = str(failure.value)
    assert "subprocess failed with code 137" in text and "attempt_" in text
    assert "input-0" in text and text.endswith("these are my last words")


def test_jobs_carry_the_names_and_settings_they_were_given(tmp_path, made):
    data = made(40, shards=2, dtype="float32")
    with Cluster("hadoop", jobconf={"mapreduce.job.queuename": "small",
                                    "mapreduce.map.memory.mb": "300"}) as cluster:
        fit(data.url, str(tmp_path / "run"), cluster, rounds=1, epochs=None)
    listed = subprocess.run(["yarn", "application", "-list", "-appStates", "FINISHED"], text=True,
                            capture_output=True, check=True).stdout
    (line,) = [line for line in listed.splitlines() if f"{tmp_path}/run round 1" in line]
    assert "small" in line and "mrdl " in line


def test_a_queue_that_is_not_there_is_told_in_hadoops_words(tmp_path, made):
    data = made(40, shards=2, dtype="float32")
    with Cluster("hadoop", jobconf={"mapreduce.job.queuename": "nightly"}) as cluster, \
            pytest.raises(OSError, match="unknown queue: nightly") as failure:
        fit(data.url, str(tmp_path / "run"), cluster, rounds=1, epochs=None)
    assert failure.value.final and not str(failure.value).startswith("java.")


@pytest.mark.parametrize("name, value, why", [
    ("mapreduce.map.java.opts", "-Xfoo", "attempt_.*_m_00000._0 .* failed: Unrecognized option: -Xfoo"),
    ("mapreduce.map.memory.mb", "much", 'mapreduce.map.memory.mb=much is not a number.*NumberFormatException: .*"much"')])
def test_a_setting_that_cannot_work_ends_the_job_at_its_first_failure(tmp_path, made, name, value, why):
    data = made(40, shards=2, dtype="float32")
    with Cluster("hadoop", jobconf={name: value}) as cluster, pytest.raises(JobFailed, match=why) as failure:
        fit(data.url, str(tmp_path / "run"), cluster, rounds=1, epochs=None)
    assert failure.value.final and running() == []


def test_ctrl_c_ends_the_application_and_the_same_command_goes_on(tmp_path, made, home):
    data = made(160, shards=2, dtype="float32")
    process = train(tmp_path, data.url, home.path("run"))
    wait_for_round(home.path("run"))
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "go on with: mrdl resume" in told
    assert running() == []
    process = train(tmp_path, data.url, home.path("run"))
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0 and "resumed after round" in told, told
    near = mrdl.ParameterAveraging(workers=2, batch_size=8, averaging_frequency=4, rounds=3,
                                   runner="inline")
    near.fit(model(), data.url, run=str(tmp_path / "near"))
    assert result(home.path("run")) == result(str(tmp_path / "near"))


def test_a_killed_drivers_job_is_ended(tmp_path, made, home):
    data = made(160, shards=2, dtype="float32")
    process = train(tmp_path, data.url, home.path("run"))
    wait_for_round(home.path("run"))
    time.sleep(1.5)
    process.kill()
    process.communicate()
    end = time.monotonic() + 20
    while running():
        assert time.monotonic() < end, "its job runs on"
        time.sleep(0.5)
    process = train(tmp_path, data.url, home.path("run"), "--json")
    out, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert json.loads(out)["rounds"] == 3
