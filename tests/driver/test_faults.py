"""Kills, pauses and rivals: whatever happens to drivers and workers, the same bits come out."""
import os
import pty
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from processes import MODEL, Child, children, driver, result, wait_for_round

from mrdl import ParameterAveraging, Sequential
from mrdl.layers import Dense
from mrdl.runs import lease
from mrdl.runs.commits import RunError
from mrdl.runs.lease import Lease
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at


@pytest.fixture
def undisturbed(tmp_path, made):
    data = made(160, shards=3, hold_out=0.2, dtype="float32")
    process = driver(tmp_path, data, tmp_path / "calm")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return data, result(tmp_path / "calm")


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
    run = store_at(str(tmp_path / "run"))
    with Lease(run), pytest.raises(RunError, match="another driver works on it"):
        Lease(run).acquire()
    Lease(run).acquire().release()
    assert not run.exists("lease.json")


def test_a_dead_drivers_lease_on_this_host_is_taken_over_at_once(tmp_path):
    run = store_at(str(tmp_path / "run"))
    code = ("import os, sys; from mrdl.runs.lease import Lease; from mrdl.storage.schemes import store_at; "
            "Lease(store_at(sys.argv[1])).acquire(); os._exit(0)")
    subprocess.run([sys.executable, "-c", code, run.url], check=True)
    assert run.exists("lease.json")
    with Lease(run) as lease:
        lease.check()


def command_line(pid):
    with suppress(OSError), open(f"/proc/{pid}/cmdline") as file:
        return file.read()
    return ""


def gone(pids):
    """Waits until none of the processes is left."""
    until = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def background(monkeypatch, tmp_path, inline):
    """Commands begin as a script's `&` begins them, with SIGINT ignored, and make temporary files in a folder."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield tmp_path / "tmp"
    signal.signal(signal.SIGINT, before)


TAKE = """
import os, sys, time
from mrdl.runs import lease
from mrdl.runs.commits import RunError
from mrdl.storage.schemes import store_at
run = store_at(sys.argv[1])
print(flush=True)
sys.stdin.readline()
try:
    mine = lease.Lease(run).acquire()
    time.sleep(1)
    mine.check()
    print("goes on", flush=True)
    os._exit(0)
except RunError:
    print("stops")
"""


def test_of_drivers_that_find_a_dead_ones_lease_exactly_one_goes_on(tmp_path):
    run = store_at(str(tmp_path / "run"))
    drivers = [Child([sys.executable, "-c", TAKE, run.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for _ in range(6)]
    for process in drivers:
        process.stdout.readline()                # it is ready
    run.write("lease.json", lease.Lease(run)._mine())
    os.utime(tmp_path / "run" / "lease.json", (time.time() - 60,) * 2)
    for process in drivers:
        process.stdin.write("\n")
        process.stdin.flush()
    assert sorted(driver.communicate(timeout=60)[0].strip() for driver in drivers) == ["goes on", *["stops"] * 5]
    assert lease.holder(run)["pid"] in [driver.pid for driver in drivers]


def test_a_driver_whose_lease_was_written_over_sees_it_at_its_next_check(tmp_path):
    run = store_at(str(tmp_path / "run"))
    with Lease(run) as slow, Lease(store_at(str(tmp_path / "other"))) as quick:
        slow.check()
        run.write("lease.json", quick._mine())
        with pytest.raises(lease.LeaseLost):
            slow.check()


def test_a_lease_of_a_time_to_come_is_taken_over_where_nobody_gives_a_sign(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.1)
    run = store_at(str(tmp_path / "run"))
    ahead = (time.time() + 3600,) * 2           # the clock was set back since
    with Lease(run):
        os.utime(tmp_path / "run" / "lease.json", ahead)
        with pytest.raises(RunError, match="another driver works on it .*last seen 0 s ago"):
            Lease(run).acquire()                # whose holder lives
    run.write("lease.json", Lease(run)._mine())
    os.utime(tmp_path / "run" / "lease.json", ahead)
    with Lease(run) as held:
        held.check()


def test_a_lease_with_a_wrong_bit_is_nobodys_and_expires(tmp_path):
    run = store_at(str(tmp_path / "run"))
    with Lease(run):
        path = tmp_path / "run" / "lease.json"
        data = path.read_bytes()
        for place in range(len(data)):
            flipped = bytearray(data)
            flipped[place] ^= 1 << place % 8
            path.write_bytes(flipped)
            with pytest.raises(RunError, match="another driver works on it|lease.json is damaged: wait 30 s") as error:
                Lease(run).acquire()
            assert "\n" not in str(error.value)
        os.utime(path, (time.time() - 60,) * 2)
        with Lease(run) as held:
            held.check()


@pytest.mark.parametrize("resident", ["never", "always"])
def test_ctrl_c_says_how_to_go_on_and_leaves_nothing_running(tmp_path, made, resident):
    stopped_while_training(tmp_path, made, resident, signal.SIGINT)


@pytest.mark.parametrize("resident, number", [("never", signal.SIGTERM), ("always", signal.SIGTERM),
                                              ("always", signal.SIGHUP)])
def test_so_do_the_signals_of_kill_of_a_scheduler_and_of_a_closed_terminal(tmp_path, made, background, resident, number):
    stopped_while_training(tmp_path, made, resident, number)
    assert not list(background.iterdir())


def stopped_while_training(tmp_path, made, resident, number):
    data = made(160, shards=3)
    process = driver(tmp_path, data, tmp_path / "run", "--resident", resident, "--rounds", "9999", "--until", "epochs 9999")
    wait_for_round(tmp_path / "run", 3)
    below = children(process.pid)
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + number and "mrdl resume" in told and "Traceback" not in told
    gone(below)
    assert not (tmp_path / "run" / "lease.json").exists()


def test_sigterm_ends_the_other_commands_too(tmp_path, made, background):
    """Each is hit while it waits for a task: its fork server has been stopped."""
    data = made(60, shards=2, dtype="float32")
    model = Sequential([Dense(3)]).build((5,))
    model.compile("sgd", "mse")
    model.save(str(tmp_path / "model"))
    (tmp_path / "raw.csv").write_text("a,b\n" + "1,2\n" * 9)
    commands = [["prepare", "raw.csv", "made", "--label", "b"], ["evaluate", "model", data.url],
                ["predict", "model", data.url, "out"]]
    processes, below = [], []
    for command in commands:                    # one after the other, or the last one ends before it is looked at
        process = Child([sys.executable, "-m", "mrdl", *command], cwd=tmp_path, text=True, stderr=subprocess.PIPE)
        processes.append(process)
        while not (server := [pid for pid in children(process.pid) if "local.children" in command_line(pid)]):
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(*server, signal.SIGSTOP)
        below += server
    time.sleep(0.5)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        *before, last = process.communicate(timeout=60)[1].splitlines()
        assert last == "mrdl: ended by SIGTERM" and not any(line.startswith(("mrdl: ", "Traceback")) for line in before)
        assert process.returncode == 143
    gone(below)
    assert not list(background.iterdir()) and not (tmp_path / "made").exists() and not (tmp_path / "out").exists()


def test_a_closed_terminal_ends_it_and_is_no_error(tmp_path, made):
    data = made(160, shards=3)
    (tmp_path / "model.py").write_text(MODEL)
    terminal, its = pty.openpty()
    process = Child(
        [sys.executable, "-c", ("import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
                                "os.execv(sys.executable, [sys.executable, '-m', 'mrdl', *sys.argv[1:]])"), "train",
         str(tmp_path / "model.py"), data.url, str(tmp_path / "run"), "--epochs", "9999"],
        stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    while 3 not in Run(tmp_path / "run").rounds():
        os.read(terminal, 1 << 16)              # its live line
    below = children(process.pid)
    os.close(terminal)
    assert process.wait(60) == 128 + signal.SIGHUP
    gone(below)


def test_a_command_that_began_with_its_signals_ignored_goes_on(tmp_path, made):
    """As nohup begins it."""
    data = made(160, shards=3)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = driver(tmp_path, data, tmp_path / "run")
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for_round(tmp_path / "run", 3)
    process.send_signal(signal.SIGHUP)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told


@pytest.mark.parametrize("resident", ["never", "always"])
def test_a_run_that_is_removed_while_it_trains_is_told_as_such(tmp_path, made, resident):
    data = made(160, shards=3)
    process = driver(tmp_path, data, tmp_path / "run", "--resident", resident, "--rounds", "9999", "--until", "epochs 9999")
    wait_for_round(tmp_path / "run", 3)
    (tmp_path / "run").rename(tmp_path / "away")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2, told
    assert told.splitlines()[-1] == f"mrdl: {tmp_path}/run was removed while it was being trained"


def test_training_that_diverges_rolls_back_halves_the_rate_and_ends_with_the_reason(tmp_path, made):
    model, events = Sequential([Dense(3)]), []
    from mrdl.losses import SparseCategoricalCrossentropy
    from mrdl.optimizers import SGD
    model.compile(SGD(1e50), SparseCategoricalCrossentropy(from_logits=True))
    done = ParameterAveraging(workers=2, batch_size=8, rounds=4, retries=2, runner="inline").fit(
        model, made(64).url, run=str(tmp_path / "run"),
        told=lambda event, facts: events.append((event, facts.get("rate_scale"))))
    assert "not finite" in done.reason and done.rounds == 0
    assert [rate for event, rate in events if event == "rollback"] == [0.5, 0.25]
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
