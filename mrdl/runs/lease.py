"""One driver a run: a lease with host, pid, token and heartbeat, by the storage's clock."""
import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress

from mrdl.runs.commits import RunError
from mrdl.storage.base import Storage
from mrdl.storage.sealed import Hash, check, seal, unsealed

EXPIRES = 30.0                          # seconds without a heartbeat
BEAT = 5.0
SETTLED = 0.5                           # seconds from a look at a dead lease to the new one in its place
HOLDER = {"host": str, "pid": int, "started": str | None, "token": str, "seal": Hash}   # what the file holds


class LeaseLost(RunError):
    """Another driver has taken the run over; this one must not write to it any more."""


def started(pid: int) -> str | None:
    """When a process of this host was started (pids come back); None if it is dead."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def holder(store: Storage) -> dict:
    """What the lease says of the driver that holds it; nothing where there is none, or a damaged one."""
    try:
        found = unsealed(store.read(Lease.name))
        check(found, HOLDER, Lease.name)
    except (FileNotFoundError, ValueError):
        return {}
    return found


def seen(store: Storage, now: float | None = None) -> tuple[dict, float | None]:
    """What the lease says of its holder, and the seconds since that driver's last sign of life; None where it is dead.

    `now`: the storage's clock, where it was asked already (asking writes a file)."""
    found, beat = holder(store), store.modified(Lease.name)
    here = found.get("host") == socket.gethostname()
    dead = here and started(found["pid"]) != found["started"]
    if beat is None or dead:
        return found, None
    age = (store.now() if now is None else now) - beat
    return found, age if age < EXPIRES else None


class Lease:
    """Held from `acquire` to `release`; `check` before every commit."""

    name = "lease.json"

    def __init__(self, store: Storage):
        self.store, self.token = store, secrets.token_hex(16)
        self.beat: float | None = None          # when the file was written, as we last saw it to be ours
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None

    def _mine(self) -> bytes:
        return json.dumps(seal({"host": socket.gethostname(), "pid": os.getpid(),
                                "started": started(os.getpid()), "token": self.token})).encode()

    def acquire(self) -> "Lease":
        """RunError where a living driver has the run.

        A dead driver's lease is written over, so there is one at any time. Where several do so the last one has it; the
        others see that here, or, where one of them was held up, at the next `check`."""
        waited = False
        while not self.store.create(self.name, self._mine()):
            found, age = seen(self.store)
            if age is not None and age < -BEAT and not waited:
                time.sleep(2 * BEAT)            # the clock was set back: a driver that lives has given a sign by then
                waited = True
                continue
            if age is not None and not (waited and age < -BEAT):
                raise RunError(self._taken(found, age))
            if self.store.exists(self.name) and holder(self.store) == found:     # else somebody was quicker
                self.store.write(self.name, self._mine())
                time.sleep(SETTLED)             # until whoever saw the dead one too has written
                if holder(self.store).get("token") == self.token:
                    break
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()
        return self

    def _taken(self, found: dict, age: float) -> str:
        if not found:
            return (f"{self.store.path(self.name)} is damaged: wait {EXPIRES:.0f} s, in which a living driver would "
                    "rewrite it, and try again")
        return (f"{self.store.url}: another driver works on it (pid {found['pid']} on {found['host']}, last seen "
                f"{max(0, age):.0f} s ago); wait for it, or end it")

    def _beat(self) -> None:
        while not self.stop.wait(BEAT):
            with suppress(OSError):             # a storage that is away for a moment; `check` will say so
                if holder(self.store).get("token") != self.token:
                    return                      # lost: `check` will say so
                self.store.touch(self.name)

    def check(self) -> None:
        """LeaseLost where another driver has taken over while this one slept; RunError where the run is gone."""
        written = self.store.modified(self.name)
        if written is not None and written == self.beat:    # a rival's would be of another time
            return
        if holder(self.store).get("token") != self.token:
            if written is None and not self.store.exists("run.json"):
                raise RunError(f"{self.store.url} was removed while it was being trained")
            raise LeaseLost(f"{self.store.url}: another driver has taken this run over; "
                            "this one stops")
        self.beat = written

    def release(self) -> None:
        self.stop.set()
        if self.thread:
            self.thread.join()
        with suppress(OSError):                 # it expires
            if holder(self.store).get("token") == self.token:
                self.store.remove(self.name)

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *_) -> None:
        self.release()
