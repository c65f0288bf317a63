"""A JVM, in a process of its own, that submits streaming jobs to YARN and reports their events.

`hadoop jar` starts a JVM for each job, which takes about a second. The gateway starts one JVM for all rounds,
which also fetches states, diagnostics and logs. When the driver dies, it kills the driver's jobs, and ends."""
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
from mrdl.storage.hdfs.common import no_room

START = "from mrdl.runners.hadoop.jvm import serve; serve(int(sys.argv[1]))"
SILENT = 20.0                   # seconds without an answer before the user is told; the log of a task may take LOG_WAIT


class Gateway:
    """The driver's side: each method is one question to the JVM; the first one starts it. If no answer comes,
    `waiting(text, seconds)` is called, because Hadoop's client may try to reach its servers for a long time."""

    def __init__(self, tmp: str, waiting: Callable[[str, float], None] = lambda text, seconds: None):
        self.waiting = waiting
        self.process: subprocess.Popen | None = None
        self.lock = threading.Lock()        # a job in the background is followed by another thread
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
            raise no_room(found["error"]) or GatewayError(found["error"])
        return found["value"]

    def _answer(self) -> bytes:
        began, say, link = time.monotonic(), SILENT, select.poll()
        link.register(self.socket, select.POLLIN)
        while not link.poll(1000):
            waited = time.monotonic() - began
            if waited >= say:
                self.waiting("YARN does not answer: is its ResourceManager running? mrdl keeps trying for as long as "
                             "yarn.resourcemanager.connect.max-wait.ms says", waited)
                say = 3 * waited
        return self.replies.readline()

    def start(self) -> None:
        """Starts the JVM without waiting for it."""
        if self.process is None:
            self._launch()

    def ready(self) -> None:
        """Raises GatewayError if this machine cannot submit jobs."""
        self._ask("version")

    def submit(self, settings: dict[str, str], streaming: list[str],
               stays: bool = False) -> tuple[str, list[str]]:
        """Submits a job; returns its id, and the file that each of its maps reads.

        `settings`: as with -D; `streaming`: the arguments of the streaming jar; `stays`: the job is not killed
        when the driver dies."""
        return self._ask("submit", settings=settings, streaming=streaming, stays=stays)

    def attach(self, job: str) -> str | None:
        """The state of a job that another driver submitted; None if YARN no longer knows it."""
        return self._ask("attach", job=job)

    def room(self, settings: dict[str, str]) -> int:
        """How many mappers the live nodes could run at once if nothing else ran."""
        return self._ask("room", settings=settings)

    def poll(self, job: str) -> dict[str, Any]:
        """{state, map, reduce: progress, events: [those since the last poll], ...}; see _Jobs.poll."""
        return self._ask("poll", job=job)

    def report(self, job: str) -> dict[str, Any]:
        """The counters of a job that has ended, and the times of its tasks."""
        return self._ask("report", job=job)

    def diagnostics(self, job: str, attempt: str) -> str:
        return self._ask("diagnostics", job=job, attempt=attempt)

    def application(self, job: str) -> dict[str, Any]:
        """What YARN says of a job: {id, state, queue, containers: how many it has, url, diagnostics}."""
        return self._ask("application", job=job)

    def stderr(self, job: str, attempt: str, patience: float = LOG_WAIT) -> str:
        """The end of an attempt's stderr; "" if no log is found within `patience` seconds."""
        return self._ask("stderr", job=job, attempt=attempt, patience=patience)

    def kill(self, job: str) -> None:
        self._ask("kill", job=job)

    def kill_tagged(self, tag: str, spared: str | None = None) -> list[str]:
        """Kills all applications with this tag (a dead driver left them), except that of the job `spared`;
        returns their ids."""
        return self._ask("kill_tagged", tag=tag, spared=spared)

    def close(self) -> None:
        """Ends the JVM, and kills jobs that still run."""
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
