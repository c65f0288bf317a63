"""The job class on mrjob's own runners and on any Python; how keys are spread over reducers."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sample_jobs
from mrjob.inline import InlineMRJobRunner
from mrjob.local import LocalMRJobRunner
from processes import Child

from mrdl.runners.local.runner import InlineRunner, LocalRunner
from mrdl.runners.mrjob_imports import _LooseVersion
from mrdl.runners.partitioning import partition, spread

ROOT = Path(__file__).parents[2]


def test_partition_is_that_of_hadoop():
    # worked out by hand from Text.hashCode and KeyFieldBasedPartitioner.hashCode
    assert partition(b"ab", 1000) == (31 * (31 * 1 + 97) + 98) % 1000
    assert partition(b"ab", 1000, sort_values=True) == (31 * 97 + 98) % 1000
    assert partition(b"", 7) == 1
    assert partition(b"", 7, sort_values=True) == 0


def test_partition_takes_bytes_as_signed_and_overflows_as_java_does():
    assert partition(b"\xff", 1000, sort_values=True) == (-1 & 0x7FFFFFFF) % 1000
    code = 0
    for byte in b"a long key that overflows an int":
        code = (31 * code + byte + 2**31) % 2**32 - 2**31       # a Java int
    assert partition(b"a long key that overflows an int", 997, True) == (code & 0x7FFFFFFF) % 997


@pytest.mark.parametrize("sort_values,most", [(False, 128), (True, 512)])
def test_spread_gives_each_reducer_its_key_for_any_number_of_reducers(sort_values, most):
    for reducers in range(1, most + 1):
        keys = spread([f"{i:06d}" for i in range(reducers)], reducers, sort_values)
        assert [partition(key.encode(), reducers, sort_values) for key in keys] == list(
            range(reducers))


def test_spread_takes_the_shortest_and_smallest_suffix():
    letters = "0123456789abcdefghijklmnopqrstuvwxyz"
    for key, reducer in zip(spread(["x"] * 60, 50), list(range(50)) + list(range(10))):
        stem, suffix = key.split(".")
        assert stem == "x"
        tries = [*letters, *(a + b for a in letters for b in letters)]
        assert suffix == next(t for t in tries if partition(f"x.{t}".encode(), 50) == reducer)


def test_names_wrap_around_the_reducers():
    assert [partition(key.encode(), 3) for key in spread(list("abcdefg"), 3)] == [
        0, 1, 2, 0, 1, 2, 0]


def test_loose_version_orders_as_mrjob_needs():
    versions = ["3.3.6", "0.20", "2.10", "1.0", "0.23.1", "2.7.1"]
    assert sorted(versions, key=_LooseVersion) == [
        "0.20", "0.23.1", "1.0", "2.7.1", "2.10", "3.3.6"]
    assert _LooseVersion("2.0") == _LooseVersion("2.0")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")       # mrjob's utcnow()
@pytest.mark.parametrize("runner", [InlineMRJobRunner, LocalMRJobRunner, InlineRunner, LocalRunner])
def test_a_job_runs_on_the_runners_of_mrjob_and_on_ours(runner, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = tmp_path / "text"
    text.write_text("a b a\nb a\n")
    job = sample_jobs.WordCount(["-r", runner.alias, "--times", "2", "--no-conf", str(text)])
    kwargs = job._runner_kwargs()
    if runner is LocalMRJobRunner:
        del kwargs["mrjob_cls"]
    with runner(**kwargs) as started:
        started.run()
        assert sorted(job.parse_output(started.cat_output())) == [("a", 6), ("b", 4)]


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_a_job_runs_from_its_own_command_line(runner, tmp_path):
    (tmp_path / "text").write_text("a b a\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/sample_jobs.py"), "-r", runner, "text", "-q", "--no-conf"],
        check=True, cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (done.stdout, done.stderr) == ('"a"\t2\n"b"\t1\n', "")


def test_a_driver_hears_nothing_of_mrjobs_missing_configuration(tmp_path):
    (tmp_path / "text").write_text("a b a\n")
    code = ("from mrdl.runners.cluster import Cluster; from sample_jobs import WordCount\n"
            "with Cluster('inline') as cluster: cluster.run(WordCount, ['text']).close()")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, cwd=tmp_path, capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/support'}"})
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("lines, variables, code, status", [
    (10_000, {"mapreduce_task_attempt_id": "attempt_1_2_m_000000_0"}, "", 0),
    (1, {"mapreduce_task_attempt_id": "attempt_1_2_m_000000_0"}, "", 0),      # it is written at the end
    (10_000, {}, "", 1),
    (1, {"mapreduce_task_attempt_id": "attempt_1_2_m_000000_0"}, "raise BrokenPipeError('of its own')", 1)])
def test_a_task_of_hadoop_whose_jvm_stopped_to_read_leaves_it_to_that_to_fail(lines, variables, code, status):
    """For that says why, and not `subprocess failed with code 1`."""
    job = f"from sample_jobs import Order\nclass Job(Order):\n    def mapper_final(self):\n        {code or 'return iter(())'}\nJob.run()"
    own = {name: value for name, value in os.environ.items() if not name.startswith("mapreduce_")}     # jobs in this process leave some
    process = Child([sys.executable, "-c", job, "--mapper", "--step-num", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, env={**own, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/support'}", **variables})
    if not code:
        process.stdout.close()
    told = process.communicate(b"a\tline that is not short\n" * lines, timeout=60)[1].decode()
    assert process.returncode == status and (told == "") == (status == 0) == ("BrokenPipeError" not in told), told
