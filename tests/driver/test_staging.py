"""Rounds as jobs that others run: what is staged, what is committed, what is refused; jobs by themselves."""
import json
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from example_jobs import average, digits
from mrdl.jobs.train import TrainRound
from processes import MODEL, result

from mrdl.cli import main
from mrdl.cli.streaming import _shown
from mrdl.driver.preparation.refer import refer
from mrdl.rounds.partial import PartialProtocol
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at


@pytest.fixture
def data(tmp_path, made, monkeypatch):
    """A dataset, in an empty folder to stand in with model.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    return made(120, shards=3, hold_out=0.2, dtype="float32")


def train(data, run, *more, model="model.py", rule="rounds 4"):
    return main(["train", model, data.url, run, "-r", "inline", "--batch-size", "8", "--averaging-frequency", "3",
                 "--until", rule, "--json", *more])


def streaming(run, *more):
    return main(["streaming", run, "--json", *more])


def perform(staged):
    """Runs the command as a job in this process, without mrjob's log, which would go where stderr is now."""
    TrainRound(["--quiet", *staged["command"][3:]]).run_job()


def done(capsys):
    """Runs the command that was printed; gives what was printed."""
    facts = json.loads(capsys.readouterr().out)
    perform(facts)
    return facts


def test_raw_splits_are_staged_too(data, capsys, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,y\n" + "".join(f"{i * i},{i % 5}.5,{i % 3}\n" for i in range(60)))
    splits = refer(str(tmp_path / "rows.csv"), "splits", "inline", label="y")
    assert train(splits, "calm", rule="rounds 2") == 0
    calm = json.loads(capsys.readouterr().out)
    assert train(splits, "run", "--streaming", rule="rounds 2") == 0
    for _ in range(2):
        done(capsys)
        assert streaming("run", "--commit") == 0
        capsys.readouterr()
        streaming("run")
    assert Run("run").finished()["metrics"] == calm["metrics"]
    assert result("run") == result("calm")


def test_auto_measures_nothing_of_rounds_that_others_run(data, capsys):
    assert train(data, "run", "--streaming", "--averaging-frequency", "auto", "--batch-size", "2") == 0
    done(capsys)
    assert streaming("run", "--commit") == 0
    entry = Run("run").records()[-1]
    assert entry["averaging_frequency"] == 16 and "round_cost" not in entry


@pytest.mark.parametrize("rule, more", [("rounds 4", ["--compress-broadcast", "int8"]), ("val_loss patience 1 delta 0.3, rounds 9", [])])
def test_a_run_whose_rounds_others_run_has_the_bits_of_any_other(data, capsys, rule, more):
    assert train(data, "calm", *more, rule=rule) == 0
    calm = json.loads(capsys.readouterr().out)
    assert train(data, "run", "--streaming", *more, rule=rule) == 0
    for r in range(1, 10):
        facts = done(capsys)
        assert facts["round"] == r and facts["command"][:3] == [sys.executable, "-m", "mrdl.jobs.train"]
        assert streaming("run", "--commit") == 0
        facts = json.loads(capsys.readouterr().out)
        if facts["finished"]:
            break
        assert facts["round"] == r and streaming("run") == 0
    assert facts["finished"] == calm and result("run") == result("calm")
    assert not store_at("run").list("streaming/*") and streaming("run") == 0
    assert json.loads(capsys.readouterr().out)["finished"] == calm


def test_the_printed_command_is_a_shells_and_alone_on_stdout(data, capsys):
    assert main(["train", "model.py", data.url, "run's", "-r", "inline", "--rounds", "1", "--streaming"]) == 0
    out, err = capsys.readouterr()
    name = "run's"
    assert f"round 1 is staged: run the command, then: mrdl streaming {shlex.quote(name)} --commit" in err
    assert subprocess.run(["sh", "-c", out], capture_output=True, check=False).returncode == 0
    assert main(["streaming", "run's", "--commit"]) == 0 and Run("run's").finished()["rounds"] == 1
    assert _shown(["a", "-b", "c d", "-e"]) == "a \\\n    -b 'c d' \\\n    -e"


def refused(capsys, why, *words, status=2):
    before = sorted(Path("run").rglob("*"))
    assert streaming("run", *words) == status
    err = capsys.readouterr().err
    assert why in err and "Traceback" not in err
    assert sorted(Path("run").rglob("*")) == before and not store_at("run").exists("lease.json")


def test_what_is_not_this_rounds_whole_output_is_refused(data, capsys):
    train(data, "other", "--seed", "1", "--streaming")
    other = done(capsys)["output"]
    train(data, "run", "--streaming")
    staged = json.loads(capsys.readouterr().out)
    refused(capsys, "has no output of a finished job", "--commit")
    refused(capsys, f"round 1 of this or another run; {Run('run').url} waits for its round 1", "--commit", other)
    perform(staged)
    refused(capsys, "exists: commit it with mrdl streaming")
    shutil.copytree(staged["output"], "kept")
    part = Path("kept/part-00000")
    whole = part.read_bytes().splitlines(True)
    assert len(whole) == 3                          # a chunk, and the records of two workers
    for lines, why, status in ((whole[1:], "0 were averaged", 1), (whole[:-1], "workers reported", 1),
                               ([whole[0][:-40], *whole[1:]], "damaged partial line", 2),
                               ([b"000009.x" + whole[0][whole[0].index(b"\t"):], *whole[1:]], "does not belong to this round", 1)):
        part.write_bytes(b"".join(lines))
        refused(capsys, why, "--commit", "kept", status=status)
    part.write_bytes(b"".join(whole))
    Path("kept/_temporary").mkdir()
    refused(capsys, "has not ended, or has failed", "--commit", "kept")
    Path("kept/_temporary").rmdir()
    assert streaming("run", "--commit", "kept") == 0 and Run("run").rounds() == [0, 1]
    capsys.readouterr()
    refused(capsys, "is the output of round 1", "--commit", "kept")     # a second time
    assert main(["train", "model.py", data.url, "sp", "-r", "spark", "--rounds", "1", "--streaming"]) == 2
    assert "-r hadoop, local or inline" in capsys.readouterr().err


def test_a_round_of_which_a_worker_failed_is_not_committed(data, capsys):
    train(data, "run", "--streaming")
    staged = json.loads(capsys.readouterr().out)
    shard = Path(next(word for word in staged["command"] if word.startswith(data.url)))
    good = shard.read_bytes()
    shard.write_bytes(good[:600] + b"AAAA" + good[604:])
    perform(staged)
    assert streaming("run", "--commit") == 1
    assert "the checksum of its arrays does not fit" in (err := capsys.readouterr().err) and "shard" in err and Run("run").rounds() == [0]
    shard.write_bytes(good)


WILD = """
import mrdl, mrdl.losses, mrdl.optimizers
from mrdl.layers import Dense
model = mrdl.Sequential([Dense(3)])
model.compile(mrdl.optimizers.SGD(RATE), mrdl.losses.SparseCategoricalCrossentropy(from_logits=True))
"""


@pytest.mark.parametrize("rate, tries, status", [("1e39", 3, 0), ("1e50", 4, 1)])    # above 3.4e38 it is infinite in float32
def test_a_round_that_is_not_finite_is_staged_again_at_half_the_rate_as_the_driver_tries_it(data, capsys, rate, tries, status):
    Path("wild.py").write_text(WILD.replace("RATE", rate))
    options = ["--batch-size", "64", "--averaging-frequency", "1", "--workers", "1"]
    assert train(data, "calm", *options, model="wild.py", rule="rounds 1") == status
    capsys.readouterr()
    assert train(data, "run", "--streaming", *options, model="wild.py", rule="rounds 1") == 0
    seen = []
    for _ in range(tries - 1):
        with np.errstate(all="ignore"):
            seen.append(done(capsys)["output"])
        assert streaming("run", "--commit") == 0
        out, err = capsys.readouterr()
        assert json.loads(out) == {"run": Run("run").url, "round": 1, "finished": None, "finite": False}
        assert "the weights of round 1 are not finite, so it is not committed; stage it again at half the learning rate with: mrdl streaming run" in err
        refused(capsys, "is the output of round 1", "--commit", seen[-1])
        assert Run("run").rounds() == [0] and streaming("run") == 0
    with np.errstate(all="ignore"):
        seen.append(done(capsys)["output"])
    assert streaming("run", "--commit") == status
    assert len(set(seen)) == tries and result("run") == result("calm")
    assert Run("run").finished()["reason"] == Run("calm").finished()["reason"]
    assert not store_at("run").list("streaming/*") and not store_at("run").list("retry-*")


@pytest.mark.parametrize("job, options", [("train", "--state, --plan"), ("evaluate", "--state, --plan"),
                                          ("predict", "--state, --plan"), ("describe", "--state, --plan"),
                                          ("prepare", "--plan"), ("vocabulary", "--plan"), ("resident", "--meeting")])
def test_a_job_by_itself_says_on_the_terminal_what_it_lacks(job, options, capsys, monkeypatch):
    module = import_module(f"mrdl.jobs.{job}")
    (cls,) = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    for runner in ("inline", "hadoop", "spark"):
        monkeypatch.setattr(sys, "argv", [f"{job}.py", "-r", runner, "x"])
        with pytest.raises(SystemExit) as left:
            cls.run()
        assert left.value.code == 2 and f"the following arguments are required: {options}" in capsys.readouterr().err


def test_a_job_of_the_users_own_averages_alike_on_every_runner(tmp_path):
    files = digits(tmp_path)
    (tmp_path / "first").write_bytes(average("inline", *files))
    assert average("local", *files) == (tmp_path / "first").read_bytes()
    second = average("local", "--weights", str(tmp_path / "first"), *files)
    alone = []
    for file in files:
        (tmp_path / "alone").write_bytes(average("inline", file))
        alone.append(PartialProtocol().read((tmp_path / "alone").read_bytes()[:-1])[1])
    _, mean = PartialProtocol().read((tmp_path / "first").read_bytes()[:-1])
    assert (mean.worker, mean.n) == (2, 65) and [part.n for part in alone] == [40, 25]
    np.testing.assert_allclose(mean.values, (40. * alone[0].values + 25. * alone[1].values) / 65, rtol=1e-5, atol=1e-7)
    assert PartialProtocol().read(second[:-1])[1].values.tobytes() != mean.values.tobytes()
