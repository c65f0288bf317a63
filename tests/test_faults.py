"""Kills, pauses and rivals: whatever happens to drivers and workers, the same bits come out."""
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from mrdl import ParameterAveraging, Sequential
from mrdl.layers import Dense
from mrdl.lease import Lease
from mrdl.run import Run, RunError
from mrdl.storage import Storage

ROUNDS = 24
MODEL = """
import mrdl
from mrdl.layers import Dense, Dropout
model = mrdl.Sequential([Dense(16, "relu"), Dropout(0.2), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
"""


def driver(tmp_path, data, run, *more):
    """The command that trains; in a process of its own."""
    (tmp_path / "model.py").write_text(MODEL)
    return subprocess.Popen(
        [sys.executable, "-m", "mrdl", "train", str(tmp_path / "model.py"), data.url, str(run),
         "-r", "local", "--workers", "2", "--batch-size", "8", "--averaging-frequency", "4",
         "--rounds", str(ROUNDS), "--resident", "never", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(run):
    """All that a run made but for the times: hashes of the states, scores, the model."""
    run, lines = Run(run), []
    for line in run.history():
        lines.append({k: v for k, v in line.items() if k not in ("elapsed", "seconds", "job")})
    commits = [commit["sha256"] for commit in run.commits()]
    return lines, commits, run.store.read("model.safetensors")


@pytest.fixture
def undisturbed(tmp_path, made):
    data = made(160, shards=3, hold_out=0.2, dtype="float32")
    process = driver(tmp_path, data, tmp_path / "calm")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return data, result(tmp_path / "calm")


def children(pid):
    """All processes below one, from /proc."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                parents[int(name)] = int(file.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found, new = set(), {pid}
    while new:
        found |= new
        new = {p for p, parent in parents.items() if parent in found} - found
    return found - {pid}


def test_20_kills_of_the_driver_at_random_moments_change_no_bit(tmp_path, undisturbed):
    data, calm = undisturbed
    rng, kills, began = random.Random(7), 0, time.monotonic()
    while kills < 20:
        process = driver(tmp_path, data, tmp_path / "run")
        time.sleep(rng.uniform(0.4, 1.6))
        assert process.poll() is None or Run(tmp_path / "run").finished(), process.stderr.read()
        if process.poll() is not None:          # it got to the end: once more from the beginning
            process.communicate()
            assert result(tmp_path / "run") == calm
            os.rename(tmp_path / "run", tmp_path / f"run-{kills}-{time.monotonic() - began}")
            continue
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    process = driver(tmp_path, data, tmp_path / "run")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert result(tmp_path / "run") == calm


def test_20_kills_of_workers_change_no_bit(tmp_path, undisturbed):
    data, calm = undisturbed
    rng, kills, runs = random.Random(8), 0, 0
    while kills < 20:                           # a quick machine ends a run before it had them all
        run, runs = tmp_path / f"run-{runs}", runs + 1
        process = driver(tmp_path, data, run)
        while process.poll() is None and kills < 20:
            below = children(process.pid)
            tasks = [p for p in below if children(p) == set()]      # the server has children at work
            if len(below) > 1:
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(tasks), signal.SIGKILL)
                    kills += 1
                time.sleep(rng.uniform(0.02, 0.15))
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
        assert result(run) == calm


def wait_for_round(run, r):
    until = time.monotonic() + 60
    while r not in Run(run).rounds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_driver_that_slept_and_was_overtaken_does_not_commit(tmp_path, undisturbed):
    data, calm = undisturbed
    run = tmp_path / "run"
    first = driver(tmp_path, data, run)
    wait_for_round(run, 5)
    first.send_signal(signal.SIGSTOP)
    lease = run / "lease.json"
    os.utime(lease, (time.time() - 60,) * 2)                    # no heartbeat for a minute
    second = driver(tmp_path, data, run)
    _, told = second.communicate(timeout=120)
    assert second.returncode == 0, told
    commits = {p.name: p.stat().st_mtime_ns for p in run.glob("commit-*")}
    first.send_signal(signal.SIGCONT)
    _, told = first.communicate(timeout=60)
    assert first.returncode == 2 and "another driver" in told
    assert {p.name: p.stat().st_mtime_ns for p in run.glob("commit-*")} == commits
    assert result(run) == calm and Run(run).finished() and not lease.exists()


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path, made):
    run = Storage(str(tmp_path / "run"))
    with Lease(run), pytest.raises(RunError, match="another driver works on it"):
        Lease(run).acquire()
    Lease(run).acquire().release()
    assert not run.exists("lease.json")


def test_a_dead_drivers_lease_on_this_host_is_taken_over_at_once(tmp_path):
    run = Storage(str(tmp_path / "run"))
    code = ("import os, sys; from mrdl.lease import Lease; from mrdl.storage import Storage; "
            "Lease(Storage(sys.argv[1])).acquire(); os._exit(0)")
    subprocess.run([sys.executable, "-c", code, run.url], check=True)
    assert run.exists("lease.json")
    with Lease(run) as lease:
        lease.check()


@pytest.mark.parametrize("resident", ["never", "always"])
def test_ctrl_c_says_how_to_go_on_and_leaves_nothing_running(tmp_path, made, resident):
    data = made(160, shards=3)
    process = driver(tmp_path, data, tmp_path / "run", "--resident", resident, "--until", "epochs 9999")
    wait_for_round(tmp_path / "run", 3)
    below = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130 and "mrdl resume" in told and "Traceback" not in told
    until = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in below):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not (tmp_path / "run" / "lease.json").exists()


def test_training_that_diverges_rolls_back_halves_the_rate_and_ends_with_the_reason(tmp_path, made):
    model, events = Sequential([Dense(3)]), []
    from mrdl.losses import SparseCategoricalCrossentropy
    from mrdl.optimizers import SGD
    model.compile(SGD(1e50), SparseCategoricalCrossentropy(from_logits=True))
    done = ParameterAveraging(workers=2, batch_size=8, rounds=4, retries=2, runner="inline").fit(
        model, made(64).url, run=str(tmp_path / "run"),
        told=lambda event, facts: events.append((event, facts.get("rate_scale"))))
    assert "not finite" in done.reason and done.rounds == 0
    assert [rate for event, rate in events if event == "rollback"] == [0.5, 0.25, 0.125]
    assert Run(tmp_path / "run").finished()["finite"] is False


def test_a_rate_that_is_halved_stays_halved_and_training_goes_on(tmp_path, made):
    from mrdl.losses import SparseCategoricalCrossentropy
    from mrdl.optimizers import SGD
    model = Sequential([Dense(3)])
    # a rate above 3.4e38 is infinite in float32
    model.compile(SGD(1e39), SparseCategoricalCrossentropy(from_logits=True))
    done = ParameterAveraging(workers=1, batch_size=64, averaging_frequency=1, rounds=1, retries=9,
                              runner="inline").fit(
        model, made(64, shards=1, dtype="float32").url, run=str(tmp_path / "run"))
    record = Run(tmp_path / "run").records()[1]
    assert done.rounds == 1 and record["rollbacks"] == 2
    assert Run(tmp_path / "run").state(1).rate_scale == 0.25
