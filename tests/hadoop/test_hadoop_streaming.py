"""Hadoop streaming jobs without a driver of ours: a staged round by `hadoop jar`, jobs by themselves. Run inside a cluster."""
import json
import subprocess
import sys
from pathlib import Path

import pytest
from example_jobs import average, digits
from processes import MODEL, result
from raw_rows import HEADER, ROWS, joined, saved, written

import mrdl
from mrdl.cli import main
from mrdl.driver.preparation.prepare import prepare
from mrdl.runners.hadoop.jars import streaming_jar
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop
ROOT = Path(__file__).parents[2]


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


def test_mrdl_score_is_the_mapper_of_a_bare_job_and_gives_the_scores_of_predict(tmp_path, hadoop, home):
    data = prepare(written(tmp_path / "passengers.csv"), str(tmp_path / "data"), "inline", label="survived")
    run = saved(data, tmp_path / "run")
    rows = [[str(i), *ROWS[i % 60][1:5]] for i in range(300)]
    home.put("raw/a.csv", written(tmp_path / "a.csv", rows[:200], HEADER[:5]))
    home.put("raw/b.csv", written(tmp_path / "b.csv", rows[200:], HEADER[:5]))
    command = f"{sys.executable} -P -m mrdl score {run} --columns {','.join(HEADER[:5])} --delimiter , --id id"
    ended = subprocess.run(
        ["hadoop", "jar", streaming_jar(), "-Dmapreduce.job.reduces=0", "-Dmapreduce.job.maps=7",
         "-Dstream.map.output=keyonlytext", "-input", home.path("raw"), "-output", home.path("out"),
         "-mapper", command, "-cmdenv", f"PYTHONPATH={ROOT}"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-5000:]
    found = b"".join(home.read(f"out/{name}") for name in store_at(home.path("out")).list("part-*")).decode().splitlines()
    mrdl.predict(run, home.path("raw"), home.path("scores"), runner=hadoop, ids=["id"])
    parts = store_at(home.path("scores")).list("part-*")
    header, *scores = b"".join(home.read(f"scores/{name}") for name in parts).decode().splitlines()
    assert [line.split(",")[0] for line in scores] == [row[0] for row in rows] and sorted(found) == sorted(scores)
    mrdl.predict(run, [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], str(tmp_path / "near"), runner="inline", ids=["id"])
    assert joined(tmp_path / "near").splitlines() == [header, *scores]
