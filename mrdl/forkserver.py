"""Tasks in, exit statuses out: a warm process of our own that forks one child per task.

It is started by exec and never imports the user's __main__. Its children die with it, and it dies
with the driver: the driver's end of the socket closes, whatever the driver died of."""
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict

from mrdl.streaming import Job
from mrdl.task import Task, perform

# one core a task is the cluster's business; a BLAS that starts threads would break the fork
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# vectors of megabytes come and go in each task: in pages of 4 KB, a fifth of a round is page faults
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
START = ("import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
         "from mrdl.forkserver import serve; serve(int(sys.argv[1]), sys.argv[2])")
LOST = "lost"       # the status of a task whose server died
_LIBC = ctypes.CDLL(None)


class ForkServer:
    """The driver's side: `start` a task, `wait` for the tasks that ended."""

    def __init__(self, tmp: str):
        self.tmp = tmp
        self.process: subprocess.Popen | None = None
        self.running: set[int] = set()
        self.started = 0
        self._launch()

    def _launch(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs, open(self._log(), "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START, str(theirs.fileno()), self.tmp,
                 json.dumps(_import_path())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs.fileno()],
                env={**HUGE_PAGES, **os.environ, **ONE_THREAD}, start_new_session=True)   # Ctrl-C is ours alone
        self.replies = self.socket.makefile("rb")
        self.ready = False

    def _log(self) -> str:
        return os.path.join(self.tmp, "forkserver.log")

    def start(self, task) -> int:
        """Forks a child for the task and gives its ticket."""
        if self.process is None:
            self._launch()
        self.started += 1
        self.running.add(self.started)
        message = {"ticket": self.started, "path": _import_path(), **asdict(task)}
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass        # the server is dead: wait() tells
        return self.started

    def wait(self) -> list[tuple[int, int | str]]:
        """Blocks until a task ends: (ticket, status) pairs, status as in Popen.returncode."""
        reply = self._reply()
        if reply == b"ready\n":
            self.ready = True
            reply = self._reply()
        if reply.endswith(b"\n"):
            ticket, status = json.loads(reply)
            self.running.discard(ticket)
            return [(ticket, status)]
        failed = not self.ready
        lost = sorted(self.running)
        self.kill()
        if failed:
            with open(self._log(), errors="replace") as log:
                raise RuntimeError("the fork server did not start:\n" + log.read()[-4000:])
        return [(ticket, LOST) for ticket in lost]

    def _reply(self) -> bytes:
        try:
            return self.replies.readline()
        except ConnectionError:
            return b""

    def kill(self) -> None:
        """Ends the server and its tasks; the next start() begins anew."""
        process, self.process = self.process, None
        self.running.clear()
        if process is None:
            return
        try:
            self.socket.sendall(b"stop\n")
        except OSError:
            pass
        self.replies.close()
        self.socket.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        finally:        # a server that is stopped, or a second Ctrl-C
            process.kill()
            process.wait()


def _import_path() -> list[str]:
    """sys.path for other working directories than ours."""
    return [os.path.abspath(folder) for folder in sys.path]


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent dies; elsewhere the server does it."""
    if sys.platform == "linux":
        _LIBC.prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG


def serve(descriptor: int, tmp: str) -> None:
    """The server's side: runs until the driver says stop or is gone; then tidies up after it."""
    driver = os.getppid()
    _preload()
    wake, wakened = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wakened, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
    gc.freeze()         # the children share what is here: no collection touches it
    children: dict[int, int] = {}       # pid -> ticket
    lines, begun = [], b""
    with socket.socket(fileno=descriptor) as link:
        try:
            link.sendall(b"ready\n")
            # the timeout is for a driver whose own children keep its socket open
            while b"stop" not in lines and os.getppid() == driver:
                ready, _, _ = select.select([link, wake], [], [], 1.0)
                if wake in ready:
                    os.read(wake, 4096)
                    for result in _reap(children):
                        link.sendall(json.dumps(result).encode() + b"\n")
                if link in ready:
                    if not (data := link.recv(1 << 16)):
                        break
                    *lines, begun = (begun + data).split(b"\n")
                    for line in lines:
                        if line == b"stop":
                            break
                        task = json.loads(line)
                        children[_fork(task, link, wake, wakened)] = task["ticket"]
        except ConnectionError:
            pass        # the driver is gone
        for pid in children:
            os.killpg(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)
    if b"stop" not in lines:
        shutil.rmtree(tmp, ignore_errors=True)


def _preload() -> None:
    """Imports what tasks need. A module that fails here fails again, and is reported, in a task."""
    Job([])     # makes what all jobs share
    with suppress(Exception):
        importlib.import_module("mrdl.kernels")
        for module in pkgutil.iter_modules(importlib.import_module("mrdl.jobs").__path__):
            importlib.import_module("mrdl.jobs." + module.name)


def _reap(children: dict[int, int]) -> Iterator[tuple[int, int]]:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)      # its sort
        yield children.pop(pid), os.waitstatus_to_exitcode(status)


def _fork(message: dict, link: socket.socket, *descriptors: int) -> int:
    server = os.getpid()
    pid = os.fork()
    if pid:
        with suppress(ProcessLookupError):
            os.setpgid(pid, pid)    # both sides do it: the group is there whoever is first
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        die_with_parent()
        if os.getppid() != server:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        link.close()
        for descriptor in descriptors:
            os.close(descriptor)
        log = os.open(os.path.join(message["folder"], "stderr"),
                      os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
        os.dup2(log, 1)     # stray prints must not reach the task's output
        os.dup2(log, 2)
        os.close(log)
        _run(message)
        status = 0
    finally:
        if sys.exc_info()[0]:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(message: dict) -> None:
    sys.path[:] = message.pop("path")
    del message["ticket"]
    task = Task(**message)
    perform(task, load(*task.job))


def load(module: str, name: str, path: str) -> type:
    """The job class: by the module's name where that gives this file, else from the file."""
    found = None
    if module != "__main__":
        try:
            found = importlib.import_module(module)
        except ImportError:
            pass        # a test or a script outside sys.path
    if found is None or not os.path.samefile(found.__file__, path):
        # under another name than __main__, so that a script's main part does not run
        alias = "__job_main__" if module == "__main__" else module
        spec = importlib.util.spec_from_file_location(alias, path)
        found = sys.modules[alias] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    return found
