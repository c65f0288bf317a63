"""The fork server and its children: they run tasks, and report exit statuses."""
import ctypes
import gc
import importlib.util
import json
import os
import pkgutil
import resource
import select
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress

from mrdl.runners.local.task import Task, perform, told
from mrdl.runners.streaming import Job

MOST_KEPT = 1024        # MB; a child whose memory was ever larger gets no further task
_LIBC = ctypes.CDLL(None)


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent dies; on other systems the server kills it."""
    if sys.platform == "linux":
        _LIBC.prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG


class Child:
    """One child as the server sees it. A child runs one task at a time."""

    def __init__(self, server: "Server"):
        self.link, theirs = socket.socketpair()
        self.ticket: int | None = None          # of the current task
        driver = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _child(driver, theirs, [self.link, *server.sockets()])
        theirs.close()
        with suppress(ProcessLookupError):
            os.setpgid(self.pid, self.pid)  # parent and child both call it, so the group exists whichever runs first

    def fileno(self) -> int:
        return self.link.fileno()

    def done(self) -> bool:
        """Has the child finished its task successfully? Called when its socket is readable, also because it was closed."""
        with suppress(ConnectionError):
            return bool(self.link.recv(1))
        return False

    def give(self, ticket: int, line: bytes) -> None:
        self.ticket = ticket
        with suppress(OSError):     # the child is dead: _reap() reports it
            self.link.sendall(line + b"\n")

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)     # the whole group, with a `sort` that the task started


class Server:
    """The process between the driver and the children."""

    def __init__(self, link: socket.socket):
        self.link = link
        self.children: list[Child] = []
        self.wake, wakened = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wakened, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)

    def sockets(self) -> list:
        return [self.link, *(child.link for child in self.children)]

    def run(self, driver: int) -> bool:
        """Serves until the driver says stop (returns True) or is gone (False)."""
        begun = b""
        self.link.sendall(b"ready\n")
        # the timeout is for a driver whose own children keep its socket open
        while os.getppid() == driver:
            ready, _, _ = select.select([self.link, self.wake, *self.children], [], [], 1.0)
            for child in self.children:
                if child in ready and child.done():
                    self._tell(child, 0)
            if self.wake in ready:
                os.read(self.wake, 4096)
                self._reap()
            if self.link in ready:
                if not (data := self.link.recv(1 << 16)):
                    return False
                *lines, begun = (begun + data).split(b"\n")
                for line in lines:
                    if line == b"stop":
                        return True
                    self._start(line)
        return False

    def _start(self, line: bytes) -> None:
        child = next((c for c in self.children if c.ticket is None), None)
        if child is None:
            child = Child(self)
            self.children.append(child)
        child.give(json.loads(line)["ticket"], line)

    def _tell(self, child: Child, status: int) -> None:
        ticket, child.ticket = child.ticket, None
        if ticket is not None:
            self.link.sendall(json.dumps((ticket, status)).encode() + b"\n")

    def _reap(self) -> None:
        for child in list(self.children):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.kill()
                child.link.close()
                self.children.remove(child)
                self._tell(child, os.waitstatus_to_exitcode(status))

    def close(self) -> None:
        for child in self.children:
            child.kill()
        for child in self.children:
            os.waitpid(child.pid, 0)


def serve(descriptor: int, tmp: str, driver: int, preload: list[str]) -> None:
    """Runs the server until the driver says stop or is gone. If the driver died, removes its temporary folder."""
    _preload(preload)
    gc.freeze()         # so that garbage collection does not write to (and copy) pages that the children share
    stopped = False
    with socket.socket(fileno=descriptor) as link:
        server = Server(link)
        try:
            stopped = server.run(driver)
        except ConnectionError:
            pass        # the driver is gone
        server.close()
    if not stopped and _ended(driver):
        shutil.rmtree(tmp, ignore_errors=True)


def _ended(driver: int) -> bool:
    """Is the driver dead? Waits a second at most: its socket closes shortly before its children get another parent."""
    for _ in range(100):
        if os.getppid() != driver:
            return True
        time.sleep(0.01)
    return False


def _preload(names: list[str]) -> None:
    """Imports the modules that tasks need. Errors are ignored here: the import fails again in a task, which reports it."""
    Job([])     # fills the cache of options that all jobs share
    with suppress(Exception):
        for name in names:
            for module in pkgutil.iter_modules(getattr(importlib.import_module(name), "__path__", [])):
                importlib.import_module(f"{name}.{module.name}")


def _child(server: int, link: socket.socket, others: list[socket.socket]) -> None:
    """Runs in the child: one task after another, until one fails or has used too much memory. Never returns."""
    status = 1
    try:
        os.setpgid(0, 0)
        die_with_parent()
        if os.getppid() != server:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in others:
            other.close()
        environment, lines = dict(os.environ), link.makefile("rb")
        for line in lines:
            os.environ.clear()
            os.environ.update(environment)
            _perform(json.loads(line))
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10 > MOST_KEPT:
                break
            link.sendall(b".")
        status = 0
    finally:
        if error := sys.exc_info()[1]:
            sys.stderr.write(told(error))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _perform(message: dict) -> None:
    log = os.open(os.path.join(message["folder"], "stderr"),
                  os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    os.dup2(log, 1)     # stray prints must not reach the task's output
    os.dup2(log, 2)
    os.close(log)
    sys.path[:] = message.pop("path")
    del message["ticket"]
    task = Task(**message)
    perform(task, load(*task.job))
    sys.stdout.flush()
    sys.stderr.flush()


def load(module: str, name: str, path: str) -> type:
    """The job class: imported by its module's name if that gives the file `path`, else loaded from the file."""
    found = None
    if module != "__main__":
        try:
            found = importlib.import_module(module)
        except ImportError:
            pass        # a test or a script outside sys.path
    if found is None or not os.path.samefile(found.__file__, path):
        # not under the name __main__, or the script's main part would run
        alias = "__job_main__" if module == "__main__" else module
        spec = importlib.util.spec_from_file_location(alias, path)
        found = sys.modules[alias] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    return found
