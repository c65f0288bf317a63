"""The same runs on Spark, each job a spark-submit on this machine. Most need Java and pyspark."""
import gzip
import os
from itertools import chain

import deadly_job
import mrjob.bin
import pytest
import sample_jobs
from hadoop_runs import fit, table
from processes import MODEL, result
from raw_data import shard_bytes

import mrdl
from mrdl.cli import main
from mrdl.driver.scoring import WorkerFailed
from mrdl.runners.cluster import Cluster
from mrdl.runners.failures import JobFailed

needs_spark = pytest.mark.hadoop


@pytest.fixture(scope="module")
def spark():
    with Cluster("spark", cores=2) as cluster:
        yield cluster


def parts(output) -> list[list[bytes]]:
    with output:
        return [list(output.lines(part)) for part in range(len(output.parts))]


@needs_spark
def test_prepare_train_evaluate_predict_give_the_same_bits_as_in_one_process(tmp_path, spark):
    raw, near, far = table(tmp_path / "raw.csv"), tmp_path / "near", tmp_path / "far"
    options = {"label": "label", "shards": 3, "hold_out": 0.2, "max_bad": 0.1}
    here = mrdl.prepare(raw, str(near / "data"), runner="inline", **options)
    there = mrdl.prepare(raw, str(far / "data"), runner=spark, **options)
    assert shard_bytes(there) == shard_bytes(here)
    assert there.bad == here.bad and there.bad["samples"][0]["file"] == raw

    fit(here.url, str(near / "run"), "inline", rounds=2, epochs=None)
    fit(there.url, str(far / "run"), spark, rounds=2, epochs=None)
    assert result(str(far / "run")) == result(str(near / "run"))
    assert mrdl.evaluate(str(far / "run"), there.url, runner=spark) == mrdl.evaluate(
        str(near / "run"), here.url, runner="inline")
    for url, place, runner in (here.url, near, "inline"), (there.url, far, spark):
        fit(url, str(place / "cut"), runner, fragments=2, rounds=1, epochs=None)
    assert result(str(far / "cut")) == result(str(near / "cut"))
    mrdl.predict(str(near / "run"), here.url, str(near / "out"), runner="inline")
    assert mrdl.predict(str(far / "run"), there.url, str(far / "out"), runner=spark) == 300
    assert {p.name: p.read_bytes() for p in (far / "out").iterdir()} == {
        p.name: p.read_bytes() for p in (near / "out").iterdir()}


@needs_spark
def test_one_example_and_a_shard_of_none_train_by_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.csv").write_text("a,b,label\n1,2,0\n")
    (tmp_path / "model.py").write_text(MODEL)
    for runner in "inline", "spark":
        assert main(["prepare", "one.csv", f"data-{runner}", "--label", "label", "--shards", "2",
                     "--classes", "3", "-r", runner, "-D", "spark.driver.memory=600m"]) == 0
        assert main(["train", "model.py", f"data-{runner}", f"run-{runner}", "--rounds", "1",
                     "-r", runner, "-D", "spark.master=local[1]"]) == 0
    assert result("run-spark") == result("run-inline")


@needs_spark
@pytest.mark.parametrize("job, reducers", [(sample_jobs.SortedOrder, 7), (sample_jobs.Order, 0)])
def test_lines_of_any_bytes_go_where_hadoop_takes_them(job, reducers, tmp_path, inline, spark,
                                                       monkeypatch):
    monkeypatch.setattr("mrdl.runners.splits.SMALLEST_SPLIT", 100)
    values = b"".join(b"k%d\t\xff\xfe %d \xc3\xa9\x85\xe2\x80\xa8\x00\r\n" % (i % 40, i)
                      for i in range(100))
    (tmp_path / "long").write_bytes(values)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(values[:50]))
    (tmp_path / "empty").write_bytes(b"")
    names = ["long", "packed.gz", "empty"]
    inputs = [*(str(tmp_path / name) for name in names), [str(tmp_path / "packed.gz")] * 2]
    found = parts(spark.run(job, inputs, reducers=reducers, split=True))
    expected = parts(inline.run(job, inputs, reducers=reducers, split=True))
    assert len(found) == reducers or len(found) > 4
    if reducers:
        assert found == expected
    else:           # cut by other rules into as many files
        assert list(chain(*found)) == list(chain(*expected))


@needs_spark
def test_a_worker_that_fails_tells_its_traceback_shard_and_block(tmp_path, made, spark):
    data = made(60, shards=2, dtype="float32")
    shard = data.train()[0].path
    with open(shard, "rb") as file:
        content = file.read()
    with open(shard, "wb") as file:
        file.write(content[:600] + b"AAAA" + content[604:])
    with pytest.raises(WorkerFailed, match=r"block 0 .*checksum.*; prepare the dataset again$"):
        fit(data.url, str(tmp_path / "run"), spark)


@needs_spark
def test_a_task_that_raises_or_dies_tells_its_input_and_last_words(tmp_path, spark):
    (tmp_path / "input-0").write_text("x\n")
    with pytest.raises(JobFailed, match=r"(?s)^reducer 0 of FaultyReducer failed:\n.*"
                                        r"KeyError: 'no such chunk'$"):
        spark.run(sample_jobs.FaultyReducer, [str(tmp_path / "input-0")])
    with pytest.raises(JobFailed, match=r"(?s)^mapper 0 \(input .*input-0\) of Deadly died, "
                                        r"after 4 attempts .*these are my last words$"):
        spark.run(deadly_job.Deadly, [str(tmp_path / "input-0")])
    assert os.listdir(spark.tmp) == []


@pytest.mark.parametrize("missing", ["Spark", "Java"])
def test_no_spark_or_java_is_one_line(missing, tmp_path, monkeypatch, capsys):
    for name in "SPARK_HOME", "JAVA_HOME":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mrjob.bin, "pyspark", None)
    if missing == "Java":
        (tmp_path / "spark-submit").write_text("")
        (tmp_path / "spark-submit").chmod(0o755)
    assert main(["prepare", "in.csv", str(tmp_path / "data"), "-r", "spark"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"no {missing}: " in told and "install" in told
    assert not (tmp_path / "data").exists()
