"""Hadoop streaming jobs without a driver of ours: a staged round by `hadoop jar`, jobs by themselves. Run inside a cluster."""
import json
import subprocess
import sys

import pytest
from example_jobs import average, digits
from processes import MODEL, result

from mrdl.cli import main
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop


def test_a_staged_round_runs_by_hadoop_jar_and_by_the_jobs_own_command_with_the_same_bits(tmp_path, made, home, capsys):
    data = made(120, shards=2, dtype="float32")
    (tmp_path / "model.py").write_text(MODEL)

    def train(run, runner, *more):
        assert main(["train", str(tmp_path / "model.py"), data.url, run, "-r", runner, "--batch-size", "8", "--rounds", "1",
                     "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)
    staged = train(home.path("run"), "hadoop", "--streaming", "-D", "mapreduce.job.queuename=small")
    command = staged["command"]
    assert command[:2] == ["hadoop", "jar"] and command[2].endswith(".jar") and "-Dmapreduce.job.queuename=small" in command
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-5000:]
    counters = dict(line.strip().split("=") for line in ended.stderr.partition("\tmrdl\n")[2].splitlines()[:5])
    assert counters["examples"] == counters["terms"] == "120" and int(counters["loss_millionths"]) > 0

    by_itself = subprocess.run(
        [sys.executable, "-m", "mrdl.jobs.train", "-q", "-r", "hadoop", "--state", home.path("run/state-000000.safetensors"),
         "--plan", home.path("run/streaming/plan-000001.json"), "--output-dir", home.path("out"),
         *(shard.path for shard in data.train())], capture_output=True, check=False)
    assert by_itself.returncode == 0, by_itself.stderr.decode()[-5000:]
    chunks = [[line for line in text.splitlines() if not line.startswith(b"record")]
              for text in (home.read("out/part-00000"), store_at(staged["output"]).read("part-00000"))]
    assert chunks[0] == chunks[1] != []

    assert main(["streaming", home.path("run"), "--commit", home.path("out")]) == 0
    train(str(tmp_path / "near"), "inline")
    assert result(home.path("run")) == result(str(tmp_path / "near"))
    home.write("run/.x-0123456789abcdef", b"")
    capsys.readouterr()
    assert main(["clean", home.path("run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == [home.path("run/.x-0123456789abcdef")]
    assert main(["runs", home.url, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["run"], found["state"], found["rounds"]) == (home.path("run"), "finished", 1)


def test_a_job_of_the_users_own_runs_on_hadoop_with_the_same_bits(tmp_path):
    files = digits(tmp_path)
    assert average("hadoop", *files) == average("inline", *files)
