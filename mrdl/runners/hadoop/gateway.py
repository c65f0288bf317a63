"""Streaming jobs in, their events out: a resident JVM that submits to YARN, in a process of its own.

`hadoop jar` starts a JVM for each job, about a second; this one starts one for all rounds, and asks for
states, diagnostics and logs without another. It dies with the driver, and kills the driver's jobs first."""
import json
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mrdl import safe_path
from mrdl.runners.hadoop.jvm import LOG_WAIT, GatewayError

START = "from mrdl.runners.hadoop.jvm import serve; serve(int(sys.argv[1]))"
SILENT = 20.0                   # seconds without an answer until it is said; the log of a task may take LOG_WAIT


class Gateway:
    """The driver's side: each method is one question to the JVM. Started at the first one. `waiting(text, seconds)` is
    called where no answer comes: Hadoop's client tries to reach its servers for as long as its settings say."""

    def __init__(self, tmp: str, waiting: Callable[[str, float], None] = lambda text, seconds: None):
        self.waiting = waiting
        self.process: subprocess.Popen | None = None
        self.lock = threading.Lock()        # a job in the background is followed by a thread of its own
        self.log = os.path.join(tmp, "gateway.log")

    def _launch(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs, open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                safe_path.command(START, str(theirs.fileno())), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, pass_fds=[theirs.fileno()], env=safe_path.environment(), start_new_session=True)
        self.replies = self.socket.makefile("rb")

    def _ask(self, what: str, **facts) -> Any:
        with self.lock:
            if self.process is None:
                self._launch()
            try:
                self.socket.sendall(json.dumps({"do": what, **facts}).encode() + b"\n")
                answer = self._answer()
            except OSError:
                answer = b""
        if not answer.endswith(b"\n"):
            self.close()
            with open(self.log, errors="replace") as log:
                last = log.read()[-2000:].strip()
            raise GatewayError(f"the JVM that submits jobs died:\n{last}")
        found = json.loads(answer)
        if "error" in found:
            raise GatewayError(found["error"])
        return found["value"]

    def _answer(self) -> bytes:
        began, say, link = time.monotonic(), SILENT, select.poll()
        link.register(self.socket, select.POLLIN)
        while not link.poll(1000):
            waited = time.monotonic() - began
            if waited >= say:
                self.waiting("YARN does not answer: is its ResourceManager there? It is tried for as long as "
                             "yarn.resourcemanager.connect.max-wait.ms says", waited)
                say = 3 * waited
        return self.replies.readline()

    def start(self) -> None:
        """Begins to start the JVM; nobody waits for it."""
        if self.process is None:
            self._launch()

    def ready(self) -> None:
        """GatewayError where jobs cannot be submitted from here."""
        self._ask("version")

    def submit(self, settings: dict[str, str], streaming: list[str],
               stays: bool = False) -> tuple[str, list[str]]:
        """The id of a job that was begun, and the file that each of its maps reads.

        `settings` as -D, `streaming` as the arguments of the streaming jar; `stays`: it is not killed
        where the driver dies."""
        return self._ask("submit", settings=settings, streaming=streaming, stays=stays)

    def attach(self, job: str) -> str | None:
        """The state of a job that another driver submitted; None where it is not known any more."""
        return self._ask("attach", job=job)

    def room(self, settings: dict[str, str]) -> int:
        """How many mappers the nodes that run can hold at once, were nothing else there."""
        return self._ask("room", settings=settings)

    def poll(self, job: str) -> dict[str, Any]:
        """{state, map, reduce: progress, events: [those since the last poll], ...}; see _Jobs.poll."""
        return self._ask("poll", job=job)

    def report(self, job: str) -> dict[str, Any]:
        """Counters of a job that has ended, and the times of its tasks."""
        return self._ask("report", job=job)

    def diagnostics(self, job: str, attempt: str) -> str:
        return self._ask("diagnostics", job=job, attempt=attempt)

    def application(self, job: str) -> dict[str, Any]:
        """What YARN says of a job: {id, state, queue, containers: how many it has, url, diagnostics}."""
        return self._ask("application", job=job)

    def stderr(self, job: str, attempt: str, patience: float = LOG_WAIT) -> str:
        """The end of what an attempt wrote to stderr; "" where no log is found within `patience` seconds."""
        return self._ask("stderr", job=job, attempt=attempt, patience=patience)

    def kill(self, job: str) -> None:
        self._ask("kill", job=job)

    def kill_tagged(self, tag: str, spared: str | None = None) -> list[str]:
        """Kills the applications that carry the tag, those of a driver that died, but for the one of a
        job; gives their ids."""
        return self._ask("kill_tagged", tag=tag, spared=spared)

    def close(self) -> None:
        """Ends the JVM; jobs that run are killed."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(OSError):
            self.replies.close()
            self.socket.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
