"""Follows a job on YARN to its end: reports tasks that end, what the job waits for, and why it failed."""
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mrdl.runners.failures import JobFailed
from mrdl.runners.hadoop.jvm import GatewayError
from mrdl.storage.hdfs.common import no_room

POLL = 0.1                      # seconds between two requests for a job's state
FIRST = 5.0                     # seconds without any progress before the user is told what the job waits for
# failures that every attempt would repeat: a wrong setting or command, a missing permission, a full quota
NEVER = re.compile(
    r"NumberFormatException|IllegalArgumentException|InvalidResourceRequest|unknown queue|cannot submit applications|"
    r"AccessControlException|PermissionError|quota of \S+ is exceeded|Could not create the Java Virtual Machine|"
    r"Unrecognized .*option|Cannot run program")
# lines of YARN's diagnostics that say only that something failed, not why
EMPTY = re.compile(r"(at|\.\.\.) |Task failed task_|Job failed as tasks failed|Job received Kill|$")


class Watch:
    """Follows a job to its end. `gateway` (mrdl.runners.hadoop.gateway) answers questions about it; `inputs`: what each map
    reads; `total`: the number of tasks of each kind; `all_at_once`: the job needs containers for all its mappers at the
    same time, so the user is told if some are missing.

    Events go to `on_task(kind, done, total)`, `warned(text)` and `waiting(text, seconds)`."""

    def __init__(self, gateway, job: str, inputs: list[str], total: dict[str, int],
                 on_task: Callable[[str, int, int], None] | None, warned: Callable[[str], None],
                 waiting: Callable[[str, float], None], all_at_once: bool = False):
        self.gateway, self.job, self.inputs, self.total = gateway, job, inputs, total
        self.on_task, self.warned, self.waiting, self.all_at_once = on_task, warned, waiting, all_at_once
        self.done: dict[str, set[str]] = {"mapper": set(), "reducer": set()}
        self.failed: list[tuple[str, str]] = []         # (attempt, reason)
        self.at: tuple = ()                             # the job's progress when it was last seen to change
        self.since = self.next = 0.0                    # when it changed; when to tell the user that nothing changes

    def run(self) -> None:
        """Waits for the job's end; raises JobFailed if it did not succeed, an OSError if that is because HDFS is full."""
        try:
            self._follow()
        except GatewayError:
            for _, why in self.failed:          # YARN knows nothing of a job whose history found no room on HDFS
                if full := no_room(why):
                    raise full from None
            raise

    def _follow(self) -> None:
        while True:
            state = self.gateway.poll(self.job)
            for attempt, is_map, status in state["events"]:
                self._told(attempt, "mapper" if is_map else "reducer", status)
            if state["state"] == "SUCCEEDED":
                return
            if state["state"] in ("FAILED", "KILLED"):
                raise self._failure(state)
            self._waits(state)
            time.sleep(POLL)

    # -- its tasks

    def _told(self, attempt: str, kind: str, status: str) -> None:
        task, done = attempt.rpartition("_")[0], self.done[kind]
        if status == "SUCCEEDED":
            done.add(task)
            if self.on_task:
                self.on_task(kind, len(done), max(self.total[kind], len(done)))
            return
        done.discard(task)              # a machine was lost with the task's output, or the attempt failed
        if status in ("FAILED", "TIPFAILED"):
            why = self.gateway.diagnostics(self.job, attempt)
            self.failed.append((attempt, why))
            what = f"{self._named(attempt)} failed: {headline(why)}"
            if NEVER.search(what):
                raise _failed(f"job {self.job} was killed, because other attempts "
                             f"would fail in the same way: {what}", final=True)
            self.warned(what)

    def _named(self, attempt: str) -> str:
        """The attempt's id, and for a mapper its input."""
        _, _, _, kind, number, _ = attempt.split("_")
        known = kind == "m" and int(number) < len(self.inputs)      # unknown for an adopted job
        return attempt + (f" (input {self.inputs[int(number)]})" if known else "")

    # -- its end

    def _failure(self, state: dict[str, Any]) -> JobFailed | OSError:
        """The error for the user: YARN's reason; or the attempt that failed last, with its exit and the end of its log."""
        name, killed = f"job {self.job} {state['state'].lower()}", state["state"] == "KILLED"
        if self.failed and not killed:
            attempt, why = self.failed[-1]
            said = self.gateway.stderr(self.job, attempt)
            return _failed(f"{name}: {self._named(attempt)}: {headline(why, said)}", said)
        why = reason(self._application().get("diagnostics") or state["failure"])
        # final: a user who kills a job wants no other attempt, and a job that its own master killed can never run
        return _failed(f"{name}: {why}", final=killed or bool(NEVER.search(why)))

    def _application(self) -> dict[str, Any]:
        with suppress(OSError):         # YARN no longer knows the job, or is down
            return self.gateway.application(self.job)
        return {}

    # -- what it waits for

    def _waits(self, state: dict[str, Any]) -> None:
        """If nothing happens, tells the user what the job waits for: after FIRST seconds, then at growing intervals."""
        now, at = time.monotonic(), (state["state"], state["map"], state["reduce"])
        if state["events"] or at != self.at:
            self.at, self.since, self.next = at, now, now + FIRST
        elif now >= self.next:
            self.next = now + 2 * (now - self.since)
            app = self._application()
            if app and (what := self._lacks(app)):
                self.waiting(f"{app['id']} in queue {app['queue']}: {what}; {app['url']}", now - self.since)

    def _lacks(self, app: dict[str, Any]) -> str | None:
        """What the application lacks; None if it has what it needs."""
        if app["state"] in ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED"):
            why = reason(app["diagnostics"].partition("Details :")[0])
            return f"its master has not begun: {why}"
        left = self.total["mapper"] - len(self.done["mapper"])
        needed = max(1, left) if self.all_at_once else 1
        running = app["containers"] - 1         # all but its master's
        if 0 <= running < needed:
            return f"YARN has given {running} of the {needed} containers that it needs at once" if running else \
                "YARN has given no container to its tasks yet"
        return None


def _failed(text: str, said: str = "", final: bool = False) -> JobFailed | OSError:
    if full := no_room(text):
        return full
    failure = JobFailed("\n".join(filter(None, [text, said.rstrip()])))
    failure.final = final
    return failure


def reason(diagnostics: str) -> str:
    """YARN's diagnostics in one line, without stack traces."""
    lines = dict.fromkeys(line.strip() for line in diagnostics.splitlines())
    return " ".join(line for line in lines if not EMPTY.match(line)) or "YARN gives no reason"


def headline(why: str, said: str = "") -> str:
    """What happened to an attempt, in one line: that HDFS is full, if so; the exception of the worker's Python if its
    stderr has one; what the JVM printed if it did not start; else YARN's diagnostics."""
    lines = [line for line in why.splitlines() if line.strip()] or ["no reason was given"]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    first = next(filter(NEVER.search, causes), causes[-1]) if causes else lines[0]
    frames = said.rpartition("Traceback (most recent call last):\n")[2] if "Traceback" in said else ""
    own = next((line for line in frames.splitlines() if re.match(r"[\w.]+(:|$)", line)), None)
    if full := no_room(own or why):
        return full.strerror
    if own:
        return f"{own} ({first})"
    words = why.partition("bytes of stderr :")[2].strip() if "container-launch" in first else ""
    return words.split("\n")[0] or first
