"""Machines and daemons die while a run goes on; the same bits come out. Inside a cluster: make test-faults.

Each line of the matrix, for plain and for resident rounds, and some for fragments: the run, a fault while its second round
works, proof that the fault hit, and the result of an undisturbed run on this machine. MRDL_FAULTS=4:HASH runs four
lines, chosen by the hash."""
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hadoop_runs import asked, jobs
from processes import Child, result

import mrdl
from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop

CLUSTER = str(Path(__file__).parents[2] / "hadoop-conf" / "cluster")
ROWS = 160_000
# and the averaging frequency; fragments: in plain rounds
ROUNDS = {"plain": (4, 600), "resident": (24, 600), "many": (300, 60), "fragments": (4, 600)}
MODEL = """
import mrdl
from mrdl.layers import Dense, Dropout
model = mrdl.Sequential([Dense(512, "relu"), Dropout(0.2), Dense(256, "relu"), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rows enough that a worker of a round works for a second or two; on this machine and on HDFS."""
    folder = tmp_path_factory.mktemp("faults")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, ROWS)
    x = (rng.standard_normal((ROWS, 5)) + np.eye(3, 5)[y]).astype("f4")
    np.savez(folder / "raw.npz", x=x, y=y.astype("i4"))
    mrdl.prepare(str(folder / "raw.npz"), str(folder / "data"), shards=2, runner="inline")
    far = store_at(f"hdfs:///tmp/faults-{os.getpid()}")
    near = store_at(str(folder / "data"))
    (folder / "model.py").write_text(MODEL)
    try:
        for name in near.list():
            far.put(f"data/{name}", near.path(name))
        yield folder, far
    finally:
        far.clear("")


@pytest.fixture(scope="module")
def undisturbed(data):
    """undisturbed(kind) -> the result of an undisturbed run of as many rounds."""
    folder, _ = data

    @cache
    def calm(kind):
        process = train(folder / "model.py", str(folder / "data"), str(folder / f"calm-{kind}"), "inline")
        _, told = process.communicate(timeout=600)
        assert process.returncode == 0, told
        return result(str(folder / f"calm-{kind}"))
    return calm


def train(model, data, run, runner="hadoop"):
    kind = next(kind for kind in ROUNDS if kind in os.path.basename(run))
    rounds, frequency = ROUNDS[kind]
    return Child(
        [sys.executable, "-m", "mrdl", "train", str(model), data, run, "-r", runner, "--workers", "2",
         "--batch-size", "64", "--averaging-frequency", str(frequency), "--rounds", str(rounds),
         "--resident", "never" if kind in ("plain", "fragments") or runner != "hadoop" else "always",
         *["--fragments", "2"] * (kind == "fragments")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cluster(*command):
    return subprocess.run([CLUSTER, *command], check=True, stdout=subprocess.DEVNULL)


def processes(run, *words):
    """{id: job} of the processes of the run's jobs whose command lines hold all the words."""
    ids, found = {job["id"] for job in jobs(run)}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            job = ids.intersection((folder / "cwd").readlink().parts)       # a container's folder
            if job and all(word in line for word in words):
                found[int(folder.name)] = job.pop()
    return found


def wait_for(condition, what, seconds=180):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: it did not happen"
        time.sleep(0.02)
    return found


def kill(run, *words):
    """SIGKILLs the run's first process with these words, once there is one."""
    def hit():
        for pid in processes(run, *words):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return pid
        return None
    return wait_for(hit, f"a process of {words}")


def lived_through(run, moment, ends=("SUCCEEDED",)):
    """Did a job of the run begin before the moment, and end after it in one of these ways?"""
    return any(job["startedTime"] < moment * 1000 < job["finishedTime"]
               and job["finalStatus"] in ends for job in jobs(run))


# -- what is hit while the second round works; each gives what proves it, asked when the run is over

def mapper(run):
    kill(run, "--mapper")
    return lambda told: re.search(r"attempt_\w+_m_\d+_\d .*failed", told)


def reducer(run):
    kill(run, "--reducer")
    return lambda told: re.search(r"attempt_\w+_r_\d+_\d failed", told)


def master(run):
    job, *_ = wait_for(lambda: processes(run, "--mapper"), "a mapper").values()     # that of a job before lives on
    kill(run, "MRAppMaster", job)
    return lambda told: 2 in [len(asked(f"apps/{job['id']}/appattempts")["appAttempts"]["appAttempt"])
                              for job in jobs(run)]


def machine(run):
    """The job of that moment may fail: YARN can start its next master on the lost node again, before it misses the node."""
    moment = lose("node1", run)
    def proof(told):
        lost = wait_for(lambda: asked("nodes?states=LOST")["nodes"], "the loss of a node")
        return lost and (lived_through(run, moment)
                         or lived_through(run, moment, ["FAILED"]) and "failed and is tried again" in told)
    return proof


def lose(name, run):
    """Kills it while mappers work; gives the moment."""
    wait_for(lambda: processes(run, "--mapper"), "a mapper")
    cluster("kill", name)
    return time.time()


def datanode(run):
    moment = lose("datanode2", run)
    return lambda told: lived_through(run, moment)


def restarted(name):
    def fault(run):
        moment = lose(name, run)
        time.sleep(1)
        cluster("start", name)
        return lambda told: lived_through(run, moment)
    return once(fault, name, name)


def once(fault, victim=None, name=None):
    """A run that is hit once, and ends by itself; the victim is started again whatever happens."""
    def line(folder, far, run):
        process = train(folder / "model.py", far.path("data"), run)
        try:
            wait_for(lambda: store_at(run).exists("commit-000001.json"), "the first round")
            proof = fault(run)
            _, told = process.communicate(timeout=300)
            assert process.returncode == 0, told
            assert proof(told), told
        finally:
            if victim:
                cluster("start", victim)
    line.__name__ = name or fault.__name__
    return line


def driver(folder, far, run):
    """Ten SIGKILLs at random moments; the same command goes on each time."""
    rng, kills = random.Random(11), 0
    while True:
        process = train(folder / "model.py", far.path("data"), run)
        if kills == 10:
            _, told = process.communicate(timeout=300)
            assert process.returncode == 0, told
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(2, 12))
        if process.poll() is not None:          # it ended before: begin anew, so that ten do hit
            _, told = process.communicate()
            assert process.returncode == 0, told
            store_at(run).clear("")
            continue
        process.kill()
        process.communicate()
        kills += 1


def kills(folder, far, run):
    """20 SIGKILLs of workers and of the driver at random moments of one run; sooner where it is near its end."""
    rng, victims = random.Random(12), ["worker"] * 13 + ["driver"] * 7
    rng.shuffle(victims)
    process = train(folder / "model.py", far.path("data"), run)
    try:
        for number, victim in enumerate(victims, 1):
            moment, last = time.monotonic() + rng.uniform(1, 5), number * ROUNDS["many"][0] // 25
            while time.monotonic() < moment and not store_at(run).exists(f"commit-{last:06d}.json"):
                time.sleep(0.1)
            if victim == "worker":
                kill(run, "--mapper")
                continue
            assert process.poll() is None, "the run ended before all had died"
            process.kill()
            process.communicate()
            process = train(folder / "model.py", far.path("data"), run)
        assert not store_at(run).exists("finished.json"), "the run ended before all had died"
        print(len(store_at(run).list("commit-*")), "rounds stood when the last had died")
        _, told = process.communicate(timeout=600)
        assert process.returncode == 0, told
    finally:
        if process.returncode is None:          # what it said tells why
            process.kill()
            print(*process.communicate())


@contextmanager
def filled(folder, far):
    """HDFS is full within the block, and has room again after it."""
    filler = str(folder / "filler")
    with open(filler, "wb") as file:
        file.truncate(4 << 20)

    def room():     # DataNodes remove blocks some seconds after their file
        with suppress(OSError):
            far.put("filler/again", filler)
            return True
    try:
        with pytest.raises(OSError):
            for number in range(10_000):
                far.put(f"filler/{number}", filler)
        yield
    finally:
        far.clear("filler")
        wait_for(room, "room on HDFS")
        far.clear("filler")


def full(folder, far, run):
    """HDFS is full: the driver stops and says so; when there is room again, the same command goes on.

    Which write fails first is a matter of chance, and the last line is the same for all: the driver's, of a state or a
    question or as it submits a job; that of a plain round's reducer, whose JVM fails at its end or while Python still writes
    to it; that of a resident worker's own file. test_watch.py and test_hadoop_cluster.py test each of them."""
    process = train(folder / "model.py", far.path("data"), run)
    wait_for(lambda: store_at(run).exists("commit-000001.json"), "the first round")
    with filled(folder, far):
        _, told = process.communicate(timeout=300)
    *_, last = told.splitlines()
    print(last)
    assert process.returncode == 2 and "Traceback" not in told, told
    assert re.match(r"mrdl: hdfs:///\S*: is HDFS full\? (File /\S+ could only be written to 0 of|All datanodes) ", last), told
    process = train(folder / "model.py", far.path("data"), run)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told


LINES = [*map(once, [mapper, reducer, master]), once(machine, "node1"), once(datanode, "datanode2"),
         restarted("resourcemanager"), restarted("namenode"), driver, full]


def chosen(lines):
    """All, or as many as MRDL_FAULTS says, in an order that its hash decides."""
    count, _, seed = os.environ.get("MRDL_FAULTS", "").partition(":")
    if not count:
        return lines
    return sorted(lines, key=lambda f: hashlib.sha256((seed + f).encode()).digest())[:int(count)]


@pytest.mark.parametrize("name", chosen([f"{kind}-{line.__name__}" for kind in ("plain", "resident")
                                         for line in LINES] + ["many-kills", "fragments-mapper", "fragments-reducer", "fragments-driver"]))
def test_the_same_bits_come_out(name, data, undisturbed):
    folder, far = data
    run, began = far.path(f"run-{name}"), time.monotonic()
    next(line for line in [*LINES, kills] if line.__name__ == name.partition("-")[2])(folder, far, run)
    assert result(run) == undisturbed(name.partition("-")[0])
    rounds = [entry["seconds"]["round"] for entry in Run(run).history()][:6]
    print(f"\n{name}: {time.monotonic() - began:.1f} s in all; the rounds "
          + ", ".join(f"{seconds:.1f}" for seconds in rounds) + " s")
