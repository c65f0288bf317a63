"""One driver a run: a lease with host, pid, token and heartbeat, by the storage's clock."""
import json
import os
import secrets
import socket
import threading
from contextlib import suppress

from mrdl.run import RunError
from mrdl.storage import Storage

EXPIRES = 30.0                          # seconds without a heartbeat
BEAT = 5.0


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
        return dict(json.loads(store.read(Lease.name)))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def seen(store: Storage, now: float | None = None) -> tuple[dict, float | None]:
    """What the lease says of its holder, and the seconds since that driver's last sign of life; None where it is dead.

    `now`: the storage's clock, where it was asked already (asking writes a file)."""
    found, beat = holder(store), store.modified(Lease.name)
    here = found.get("host") == socket.gethostname()
    dead = here and started(int(found.get("pid", 0))) != found.get("started")
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
        return json.dumps({"host": socket.gethostname(), "pid": os.getpid(),
                           "started": started(os.getpid()), "token": self.token}).encode()

    def acquire(self) -> "Lease":
        """RunError where a living driver has the run."""
        while not self.store.create(self.name, self._mine()):
            found, age = seen(self.store)
            if age is not None:
                raise RunError(
                    f"{self.store.url}: another driver works on it (pid {found.get('pid')} on "
                    f"{found.get('host')}, last seen {age:.0f} s ago); wait for it, or end it")
            self._clear(found.get("token"))
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()
        return self

    def _clear(self, dead: str | None) -> None:
        """Moves the dead lease away; of several who try, one does, and nobody's living lease goes."""
        moved = f"lease-{self.token}.dead"
        if self.store.rename(self.name, moved):
            data = self.store.read(moved)
            if dead is not None and dead.encode() not in data:      # somebody was quicker than we
                self.store.create(self.name, data)
            self.store.remove(moved)

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
