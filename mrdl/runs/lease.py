"""The lease, by which only one driver works on a run: a file with host, pid and token, and a heartbeat."""
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

EXPIRES = 30.0                          # seconds without a heartbeat after which a lease is free
BEAT = 5.0
SETTLED = 0.5                           # seconds to wait after replacing a dead lease, until all rivals have written theirs
HOLDER = {"host": str, "pid": int, "started": str | None, "token": str, "seal": Hash}   # the content of the file


class LeaseLost(RunError):
    """Another driver has taken the run over; this one must not write to it any more."""


def started(pid: int) -> str | None:
    """When a process on this host was started (pids are reused); None if it is dead."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def holder(store: Storage) -> dict:
    """The content of the lease; empty if there is none, or if it is damaged."""
    try:
        found = unsealed(store.read(Lease.name))
        check(found, HOLDER, Lease.name)
    except (FileNotFoundError, ValueError):
        return {}
    return found


def seen(store: Storage, now: float | None = None) -> tuple[dict, float | None]:
    """The content of the lease, and the seconds since its driver's last heartbeat; None instead if the driver is dead.

    `now`: the time by the storage's clock, if it is known already (finding it out writes a file)."""
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
        self.beat: float | None = None          # the time of the file when this driver last wrote it
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None

    def _mine(self) -> bytes:
        return json.dumps(seal({"host": socket.gethostname(), "pid": os.getpid(),
                                "started": started(os.getpid()), "token": self.token})).encode()

    def acquire(self) -> "Lease":
        """Takes the lease; RunError if a living driver has it.

        A dead driver's lease is overwritten, so the file always exists. If several drivers do so at the same time, the
        last one has the lease; the others notice it here, or, if one of them was delayed, at the next `check`."""
        waited = False
        while not self.store.create(self.name, self._mine()):
            found, age = seen(self.store)
            if age is not None and age < -BEAT and not waited:
                time.sleep(2 * BEAT)            # the clock was set back; a living driver gives a heartbeat in this time
                waited = True
                continue
            if age is not None and not (waited and age < -BEAT):
                raise RunError(self._taken(found, age))
            if self.store.exists(self.name) and holder(self.store) == found:     # else another driver was faster
                self.store.write(self.name, self._mine())
                time.sleep(SETTLED)             # until all others that saw the dead lease have written theirs
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
            with suppress(OSError):             # if storage fails for a moment, `check` reports it
                if holder(self.store).get("token") != self.token:
                    return                      # the lease is lost: `check` reports it
                self.store.touch(self.name)

    def check(self) -> None:
        """Raises LeaseLost if another driver has taken over (this one may have been suspended); RunError if the run's folder
        was removed."""
        written = self.store.modified(self.name)
        if written is not None and written == self.beat:    # another driver's lease would have another time
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
        with suppress(OSError):                 # if that fails, the lease expires
            if holder(self.store).get("token") == self.token:
                self.store.remove(self.name)

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *_) -> None:
        self.release()
