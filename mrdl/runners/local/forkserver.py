"""A server process that forks children, which run the tasks.

The server is started by exec and never imports the user's __main__. A child that has finished a task
waits for the next one and keeps its memory, because a short task spends most of its time on new pages
and imports. Children die with the server. The server ends when the driver's end of the socket closes,
and that happens whatever the driver died of."""
import json
import os
import socket
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict

from mrdl import safe_path
from mrdl.runners.environment import MEMORY, ONE_THREAD

START = "from mrdl.runners.local.children import serve; serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])"
LOST = "lost"       # the status of a task whose server died


class ForkServer:
    """The driver's side: `start` begins a task, `wait` returns the tasks that have ended. `preload`: names of modules to
    import before forking, so that children share them; of a package, all modules are imported."""

    def __init__(self, tmp: str, preload: Iterable[str] = ()):
        self.tmp, self.preload = tmp, tuple(preload)
        self.process: subprocess.Popen | None = None
        self.running: set[int] = set()
        self.started = 0
        self._launch()

    def _launch(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs, open(self._log(), "ab") as log:
            self.process = subprocess.Popen(
                safe_path.command(START, str(theirs.fileno()), self.tmp, str(os.getpid()), *self.preload),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs.fileno()],
                # Ctrl-C goes to the driver only
                env={**MEMORY, **safe_path.environment(), **ONE_THREAD}, start_new_session=True)
        self.replies = self.socket.makefile("rb")
        self.ready = False

    def _log(self) -> str:
        return os.path.join(self.tmp, "forkserver.log")

    def start(self, task) -> int:
        """Gives the task to a child, and returns the task's ticket: the number by which `wait` reports it."""
        if self.process is None:
            self._launch()
        self.started += 1
        self.running.add(self.started)
        message = {"ticket": self.started, "path": safe_path.folders(), **asdict(task)}
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass        # the server is dead: wait() reports it
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

    def end(self) -> None:
        """Makes the server and its tasks end; a thread that is in wait() gets them as lost."""
        with suppress(OSError):
            self.socket.sendall(b"stop\n")

    def kill(self) -> None:
        """Ends the server and its tasks; the next start() starts a new server."""
        process, self.process = self.process, None
        self.running.clear()
        if process is None:
            return
        self.end()
        self.replies.close()
        self.socket.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        finally:        # also if the server hangs, or Ctrl-C comes a second time
            process.kill()
            process.wait()
