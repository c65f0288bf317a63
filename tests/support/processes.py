"""Drivers in processes of their own, which tests kill, and what is left of them."""
import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import ClassVar

from mrdl.runs.run import Run


class Child(subprocess.Popen):
    """A process that ends with its test at the latest, even if the test fails: it would disturb the next ones, and so would
    its open pipes, of which Python warns during a later test."""
    begun: ClassVar[list["Child"]] = []

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.begun.append(self)

    def end(self) -> None:
        if self.poll() is None:
            self.terminate()            # so that a driver ends its jobs
            with suppress(subprocess.TimeoutExpired):
                self.wait(30)
            self.kill()
        super().__exit__(None, None, None)      # closes its pipes

    def __exit__(self, failed, *more):
        if failed:                      # else it is waited for, as Popen does
            self.end()
        super().__exit__(failed, *more)


def cut_off(call, steps: int, methods) -> None:
    """Runs the call in a process of its own, which ends as by a power cut at the call after `steps` calls of the methods.

    `methods`: (class, name of the method)."""
    left = iter(range(steps))

    def limited(step):
        def limit(*args):
            if next(left, None) is None:
                os._exit(9)
            return step(*args)
        return limit
    if not (child := os.fork()):
        try:
            for owner, name in methods:
                setattr(owner, name, limited(getattr(owner, name)))
            call()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] >> 8 == 9


ROUNDS = 24
MODEL = """
import mrdl
from mrdl.layers import Dense, Dropout
model = mrdl.Sequential([Dense(16, "relu"), Dropout(0.2), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
"""


def driver(tmp_path, data, run, *more):
    """The process of a `mrdl train` of ROUNDS rounds on the local runner. `more`: words of its command line."""
    (tmp_path / "model.py").write_text(MODEL)
    return Child(
        [sys.executable, "-m", "mrdl", "train", str(tmp_path / "model.py"), data.url, str(run),
         "-r", "local", "--workers", "2", "--batch-size", "8", "--averaging-frequency", "4",
         "--rounds", str(ROUNDS), "--resident", "never", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(run):
    """What a run made, without times, so that two runs can be compared: its history, the last state's hash, the model.

    (Each round's loss and change, in the history, tell its state from others.)"""
    run, lines = Run(run), []
    for line in run.history():
        lines.append({k: v for k, v in line.items() if k not in ("elapsed", "seconds", "job")})
    return lines, run.commits()[-1]["sha256"], run.store.read("model.safetensors")


def children(pid):
    """The pids of all processes that one has started, and theirs, by /proc."""
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


def wait_for_round(run, r):
    until = time.monotonic() + 60
    while r not in Run(run).rounds():
        assert time.monotonic() < until
        time.sleep(0.01)
