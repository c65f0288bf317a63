"""Looking after runs: listing, stopping and cleaning them, the hook at the end, counters, metrics.prom."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import pytest
from block_lines import shard
from mrdl.jobs.train import TrainRound
from mrjob.parse import parse_mr_job_stderr
from processes import MODEL, Child, result

from mrdl import ParameterAveraging, Sequential, resume
from mrdl.cli import main
from mrdl.driver import oversight
from mrdl.layers import Dense
from mrdl.report import gauges, history
from mrdl.rounds.record import Failed, facts
from mrdl.runs import stop_request
from mrdl.runs.lease import Lease
from mrdl.runs.run import Run
from mrdl.runs.stop_request import RunStopped
from mrdl.storage.schemes import store_at
from mrdl.worker import answer, counters


@pytest.fixture
def data(tmp_path, made, monkeypatch):
    """A dataset, in an empty folder to stand in with model.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    return made(120, shards=2, hold_out=0.2, dtype="float32")


def mrdl(*words):
    return main([*words, "--batch-size", "8", "-r", "inline", "--workers", "2"] if words[0] == "train" else list(words))


def test_runs_lists_what_is_finished_running_stopped_and_damaged(data, tmp_path, capsys, monkeypatch):
    for name, rounds in (("models/a", "3"), ("models/b", "2"), ("models/c", "1")):
        assert mrdl("train", "model.py", data.url, name, "--rounds", rounds) == 0
    store_at("models/b").remove("finished.json")
    store_at("models/d").write("run.json", b"{")
    (tmp_path / "models" / "no run").mkdir()
    done = Run("models/a").finished()
    capsys.readouterr()
    with Lease(store_at("models/c")):
        store_at("models/c").remove("finished.json")
        assert mrdl("runs", "models", "--json") == 0
        a, b, c, d = json.loads(capsys.readouterr().out)
        assert mrdl("runs", "models") == 0
        lines = capsys.readouterr().out.splitlines()
    assert [run["state"] for run in (a, b, c, d)] == ["finished", "stopped", "running", "damaged"]
    assert [run["rounds"] for run in (a, b, c)] == [3, 2, 1] and "run.json is damaged" in d["reason"]
    assert (a["metric"], a["value"], a["best"]) == ("val_loss", done["metrics"]["val_loss"], done["best"])
    scores = [line["val_loss"] for line in Run("models/b").history() if "val_loss" in line]
    assert (b["metric"], b["value"]) == ("val_loss", min(scores)) and scores[b["best"] - 1] == b["value"]
    assert c["pid"] == os.getpid() and 0 <= a["age"] < 600
    assert re.match(r"RUN +STATE +ROUNDS +METRIC +LAST COMMIT +NOTE$", lines[0]) and f"pid {os.getpid()} on" in lines[3]
    assert [line.split()[:2] for line in lines[1:]] == [["a", "finished"], ["b", "stopped"], ["c", "running"], ["d", "damaged"]]
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert mrdl("runs", "models") == 0 == mrdl("runs", "models/no run")
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) == 60 and len(out.splitlines()) == 5
    assert lines[4].split()[3].startswith("d/run.json")
    assert err == f"{store_at('models/no run').url}: no runs\n"
    assert [run["run"] for run in oversight.runs("models/a")] == [Run("models/a").url]
    assert mrdl("runs", "nowhere") == 2


def test_the_best_of_a_run_follows_the_metric_that_its_patience_watches(data):
    mrdl("train", "model.py", data.url, "run", "--until", "accuracy patience 9, rounds 4")
    store_at("run").remove("finished.json")
    (found,) = oversight.runs("run")
    assert found["metric"] == "accuracy" and found["value"] == max(line["accuracy"] for line in Run("run").history())


def fit(data, run, told=None):
    training = ParameterAveraging(batch_size=4, averaging_frequency=2, rounds=9, runner="inline")
    made = Sequential([Dense(4, "relu"), Dense(3, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    return training.fit(made, data.url, run=run, told=told)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(data):
    def told(event, facts):
        if event == "round" and facts["round"] == 4:
            stop_request.ask(store_at("run"), "of another driver")
        if event == "round" and facts["round"] == 5:
            found = oversight.stop("run")
            assert found["asked"] and not found["ended"] and not found["finished"]
    with pytest.raises(RunStopped, match="stopped after round 5, as .* on .* asked"):
        fit(data, "run", told)
    assert Run("run").rounds() == list(range(6)) and len(Run("run").history()) == 5
    assert not store_at("run").list("stop*") + store_at("run").list("lease*")
    resume("run")
    fit(data, "calm")
    assert result("run") == result("calm")


def test_stop_from_another_process_waits_for_the_driver_and_both_say_so(data, capsys):
    process = Child(
        [sys.executable, "-m", "mrdl", "train", "model.py", data.url, "run", "-r", "inline", "--until", "epochs 99999",
         "--on-finish", 'echo "$MRDL_RUN $MRDL_STATUS: $MRDL_REASON" > said'], stderr=subprocess.PIPE, text=True)
    while not store_at("run").exists("metrics.prom"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    assert gauges_of("run/metrics.prom")["mrdl_running"] == 1
    assert mrdl("stop", "run", "--wait", "60", "--json") == 0
    said, told = capsys.readouterr(), process.communicate(timeout=60)[1]
    found, last = json.loads(said.out), max(Run("run").rounds())
    assert process.returncode == 3 and f"stopped after round {last}, as " in told and "go on with: mrdl resume run" in told
    assert found == {**found, "asked": True, "ended": True, "finished": False, "rounds": last} and last > 0
    assert f"(pid {process.pid} on " in said.err and f"has stopped after round {last}; go on with" in said.err
    assert Path("said").read_text().startswith(f"run stopped: {Run('run').url}: stopped after round {last}")
    assert gauges_of("run/metrics.prom")["mrdl_running"] == 0
    assert mrdl("stop", "run") == 0 and "no driver works on" in capsys.readouterr().err


def test_stop_says_where_a_driver_has_not_ended_in_time(data, capsys):
    mrdl("train", "model.py", data.url, "run", "--rounds", "1")
    with Lease(store_at("run")):
        assert mrdl("stop", "run", "--wait", "0.1") == 1
        assert "was asked to end, but has not after" in capsys.readouterr().err
        assert mrdl("stop", "run") == 0 and "it will when round 2 is committed" in capsys.readouterr().err
    assert mrdl("stop", "nowhere") == 2 and mrdl("stop", "run", "--wait", "-1") == 2


def test_clean_removes_what_dead_drivers_left_and_nothing_else(data, capsys):
    fit(data, "calm")
    with pytest.raises(ZeroDivisionError):
        fit(data, "run", lambda event, facts: event == "round" and facts["round"] == 4 and 1 / 0)
    store = store_at("run")
    before = set(os.listdir("run"))
    left = {".state-000005.safetensors-0123456789abcdef", "retry-000004.safetensors", "unadapted.safetensors",
            "state-000099.safetensors", "lease-12.dead", "stop.json"}
    for name in left:
        store.write(name, b"x" * 10)
    store.write("streaming/round-000005/plan.json", b"{}")
    store.write("resident/driver", b"")
    store.write("my notes.txt", b"mine")
    with Lease(store):
        assert mrdl("clean", "run") == 2 and "a driver works on it" in capsys.readouterr().err
        assert left < set(os.listdir("run"))
    found = oversight.clean("run")              # workers of a resident job may still wait
    assert found["kept"] == [store.path("resident"), store.path("streaming")] and found["bytes"] == 60
    os.utime("run/resident/driver", (1, 1))
    assert mrdl("clean", "run") == 0 and "2 leftovers removed" in capsys.readouterr().err
    assert set(os.listdir("run")) == before | {"my notes.txt"}
    assert mrdl("clean", "run") == 0 and "no leftovers" in capsys.readouterr().err
    resume("run")
    assert result("run") == result("calm")
    assert mrdl("clean", "nowhere") == 2


@pytest.mark.parametrize("words, status, said", [
    ("--rounds 2", 0, "finished: 2 rounds done"),
    ("--until sometimes", 2, "failed: --until 'sometimes' is no rule"),
    ("--learning-rate-of 5", 2, None)])
def test_the_hook_hears_how_a_run_ended(data, words, status, said):
    hook = 'echo "$MRDL_STATUS: $MRDL_REASON"; echo "$MRDL_STATUS: $MRDL_REASON" > said; exit 7'
    done = subprocess.run([sys.executable, "-m", "mrdl", "train", "model.py", data.url, "run", "-r", "inline", "--json",
                           *words.split(), "--on-finish", hook], capture_output=True, text=True, check=False)
    assert done.returncode == status                # the hook's own status changes nothing
    if said is None:                            # no command, no hook
        assert not os.path.exists("said")
        return
    assert Path("said").read_text().startswith(said) and said in done.stderr and "ended with status 7" in done.stderr
    assert not done.stdout or json.loads(done.stdout)["rounds"] == 2


@pytest.mark.parametrize("number, reason", [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGINT, "interrupted (Ctrl-C)")])
def test_the_hook_hears_in_words_of_a_signal(data, number, reason):
    process = Child(
        [sys.executable, "-m", "mrdl", "train", "model.py", data.url, "run", "-r", "inline", "--until", "epochs 99999",
         "--on-finish", 'echo "$MRDL_STATUS: $MRDL_REASON" > said'], stderr=subprocess.PIPE, text=True)
    while not store_at("run").exists("metrics.prom"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number and Path("said").read_text() == f"interrupted: {reason}\n"


def test_an_interrupt_while_a_rounds_files_are_removed_is_not_taken_for_a_failed_job(data, monkeypatch, capsys):
    close, interrupts = os.close, [KeyboardInterrupt]

    def interrupted(descriptor):
        close(descriptor)
        frame = sys._getframe(1)
        if interrupts and frame.f_code.co_filename == shutil.__file__ and frame.f_back.f_back.f_code.co_filename == tempfile.__file__:
            raise interrupts.pop()
    monkeypatch.setattr(os, "close", interrupted)
    assert mrdl("train", "model.py", data.url, "run", "--rounds", "3") == 130
    assert not interrupts and "tried again" not in capsys.readouterr().err


def gauges_of(path):
    """name -> value of the lines of a metrics.prom, whose form is checked."""
    found, types = {}, set()
    for line in Path(path).read_text().splitlines():
        if typed := re.fullmatch(r"# TYPE (\w+) (gauge|counter)", line):
            types.add(typed[1])
        elif not line.startswith("# HELP "):
            name, labels, value = re.fullmatch(r'(\w+)\{(run="(?:[^"\\]|\\.)*"(?:,name="\w+")?)\} ([-+.\w]+)', line).groups()
            assert name in types and f'run={json.dumps(Run("run").url)}' in labels
            found[name + labels.partition(",name=")[2]] = float(value)
    return found


def test_metrics_prom_says_how_a_run_stands(data):
    with pytest.raises(ZeroDivisionError):
        fit(data, "run", lambda event, facts: event == "round" and facts["round"] == 4 and 1 / 0)
    found = gauges_of("run/metrics.prom")
    assert (found["mrdl_running"], found["mrdl_finished"], found["mrdl_round"]) == (0, 0, 4)
    resume("run")
    found, last = gauges_of("run/metrics.prom"), Run("run").history()[-1]
    assert (found["mrdl_running"], found["mrdl_finished"], found["mrdl_round"]) == (0, 1, 9)
    assert found['mrdl_metric"loss"'] == pytest.approx(last["loss"]) and found["mrdl_examples_total"] == last["examples"]
    assert found['mrdl_metric"val_loss"'] == pytest.approx(last["val_loss"]) and time.time() - found[
        "mrdl_written_timestamp_seconds"] < 60


def test_metrics_prom_is_written_seldom_and_never_without_a_run(tmp_path):
    store = store_at(str(tmp_path / "run"))
    kept = gauges.Gauges(store)
    kept.write([{}], "stopped")
    assert not store.is_folder()
    store.write("run.json", b"{}")
    for state, there in (("running", False), ("stopped", True), ("running", False)):
        store.remove("metrics.prom")
        kept.write([{}], state)
        assert store.exists("metrics.prom") == there


def test_a_workers_loss_and_examples_are_counters_of_its_job(given_round):
    state, asked, _ = given_round(score=["d/00001"])
    log = BytesIO()
    job = TrainRound(["--mapper", "--state", state, "--plan", asked])
    job.sandbox(stdin=[line + b"\n" for line in shard()], stdout=BytesIO(), stderr=log).execute()
    found = parse_mr_job_stderr(log.getvalue().splitlines(True))["counters"]["mrdl"]
    ((_, part),) = [(chunk, part) for chunk, part in answer.work(shard(), state, asked) if chunk == "record"]
    assert found == {"examples": 25, "terms": 25, "updates": 4, "milliseconds": found["milliseconds"],
                     "loss_millionths": round(1e6 * part.values["sums"]["loss"][0])}
    assert counters.amounts(facts(Failed("KeyError", "x", "no block", ""))) == {}
    broken = {**part.values, "sums": {"loss": [float("nan"), 25]}}
    assert "loss_millionths" not in counters.amounts(broken) and counters.amounts(broken)["examples"] == 25


def test_attempts_are_told_against_the_tasks_that_were_needed():
    job = {"maps": 3, "maps_needed": 2, "maps_failed": 0, "maps_killed": 1,
           "reduces": 1, "reduces_needed": 1, "reduces_failed": 0, "reduces_killed": 0}
    assert history.attempts([{"job": job}, {}, {"job": job}]) == (
        "maps: 4 needed, 6 attempts launched (0 failed, 2 killed, as the slower of two copies is); "
        "reduces: 2 needed, 2 attempts launched (0 failed, 0 killed, as the slower of two copies is)")
    assert history.attempts([{"job": {"worker_memory": 5}}]) == ""
