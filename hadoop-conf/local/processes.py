"""Processes by name: which pid one has, whether it still lives, how all of a kind are killed."""
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from local.places import DAEMONS, HOME, NODES, RUN


def status(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; None if the process is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields


def started(pid: int) -> str | None:
    """When a process was started, in a form that no other process ever has: pids come back."""
    fields = status(pid)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return fields and f"{boot} {fields[19]}"


def running(name: str) -> int | None:
    """The pid of a daemon or holder; None if it does not run, whatever its file says."""
    try:
        pid, _, stamp = (RUN / f"{name}.pid").read_text().strip().partition(" ")
        return int(pid) if started(int(pid)) == stamp else None
    except (OSError, ValueError):
        return None


def record(name: str, pid: int) -> None:
    (RUN / f"{name}.pid").write_text(f"{pid} {started(pid)}\n")


def namespace(pid: int | str, kind: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return None


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def kill_all(found: Callable[[], Iterable[int]]) -> int:
    """SIGKILL to what `found` lists, until it lists nothing (a process may fork while it is being
    killed) and all of it is gone. How many there were."""
    killed: dict[int, str] = {}
    while living := {pid: when for pid in {*found(), *killed} if (when := started(pid))
                     and killed.get(pid, when) == when}:
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed.update(living)
        time.sleep(0.02)
    return len(killed)


def of_cluster() -> list[int]:
    """Every process in the cluster's network namespace, but for this one and its parents.

    The namespace is that of a recorded process which lives; where none does, of what has the
    cluster's folder in its environment."""
    seeds = [pid for name in (*DAEMONS, *NODES, "network") if (pid := running(name))]
    if not seeds:
        mine = namespace("self", "net")
        seeds = [pid for pid in pids() if marked(pid) and namespace(pid, "net") != mine]
    nets = {namespace(pid, "net") for pid in seeds} - {None}
    above = parents()
    return [pid for pid in pids() if namespace(pid, "net") in nets and pid not in above]


def marked(pid: int) -> bool:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"MRDL_HADOOP={HOME}".encode() in variables


def of_node(name: str) -> list[int]:
    """Every process on a node, but for the one that holds it."""
    holder = running(name)
    mine = holder and namespace(holder, "mnt")
    return [pid for pid in pids() if mine and pid != holder and namespace(pid, "mnt") == mine]


def parents() -> set[int]:
    """This process and those above it."""
    pid, chain = os.getpid(), set()
    while pid > 1 and (fields := status(pid)):
        chain.add(pid)
        pid = int(fields[1])
    return chain
