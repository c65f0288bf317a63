"""A driver's connection to a cluster: its gateway, its folder on HDFS, its jobs."""
import getpass
import hashlib
import itertools
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from posixpath import basename
from typing import Any

from mrdl.config import ConfigError
from mrdl.runners.failures import JobFailed
from mrdl.runners.hadoop.gateway import Gateway
from mrdl.runners.hadoop.jvm import GatewayError
from mrdl.runners.hadoop.watch import NEVER, Watch
from mrdl.runners.site import Target, build, build_package, parse_probe, probe_command
from mrdl.storage.base import Storage
from mrdl.storage.partitions import within
from mrdl.storage.schemes import store_at

# the phases of a job: until its master runs, until its first container runs, ...
PHASES = ("submit", "master", "map", "reduce", "end")
# maps and reduces: the attempts that were launched; follow() adds the number that was needed
COUNTED = {"maps": "TOTAL_LAUNCHED_MAPS", "reduces": "TOTAL_LAUNCHED_REDUCES",
           "maps_failed": "NUM_FAILED_MAPS", "reduces_failed": "NUM_FAILED_REDUCES",
           "maps_killed": "NUM_KILLED_MAPS", "reduces_killed": "NUM_KILLED_REDUCES",     # speculative copies that lost
           "data_local": "DATA_LOCAL_MAPS",
           "map_memory": "MAP_PHYSICAL_MEMORY_BYTES_MAX",      # of the task's JVM and all its child processes
           "reduce_memory": "REDUCE_PHYSICAL_MEMORY_BYTES_MAX"}
SETTINGS = {
    # reducers can do nothing before the last mapper ends; on a busy cluster, starting them early would
    # take containers that mappers need
    "mapreduce.job.reduce.slowstart.completedmaps": "0.9",
}


def whole_lines(side: str) -> dict[str, str]:
    """Settings that leave the output lines of a task ("map" or "reduce") unchanged; without them, Hadoop adds a
    tab to each line that has none."""
    kind = "map.output" if side == "map" else "job.output"
    return {f"stream.{side}.output.reader.class":
            "org.apache.hadoop.streaming.io.KeyOnlyTextOutputReader",
            f"mapreduce.{kind}.value.class": "org.apache.hadoop.io.NullWritable"}


def user() -> str:
    """The user's name on HDFS."""
    return os.environ.get("HADOOP_USER_NAME") or getpass.getuser()


def home() -> Storage:
    """The user's folder on HDFS for the files that jobs need."""
    return store_at(f"hdfs:///user/{user()}/.mrdl")


class Hadoop:
    """A driver's connection: its gateway, its folder on HDFS, and the files in it that all jobs use."""

    def __init__(self, tmp: str, python: str = "python3", wheels: str | None = None,
                 warned: Callable[[str], None] = lambda text: None,
                 waiting: Callable[[str, float], None] = lambda text, seconds: None):
        self.python, self.wheels, self.warned, self.waiting = python, wheels, warned, waiting
        self.user, self.home = user(), home()
        self.gateway = Gateway(tmp, waiting)
        self.gateway.start()
        self.uploaded: dict[str, str] = {}
        self._archives: dict[str, str] = {}

    def ready(self) -> None:
        """Raises OSError if there is no HDFS, no Hadoop client or no Java."""
        self.home.exists(".")
        self.gateway.ready()

    def upload(self, path: str) -> str:
        """Puts the file on HDFS, unless a file with the same content is there already; returns its URL."""
        if "://" in path:
            return path
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else \
                hashlib.sha256(file.read())
        name = f"cache/{content.hexdigest()[:24]}/{within(path)}"
        if name not in self.uploaded:
            if not self.home.exists(name):
                self.home.put(name, path)
            self.uploaded[name] = self.home.path(name)
        return self.uploaded[name]

    def archive(self, package: str = "site") -> str:
        """The URL of the archive of mrdl and its packages, built for the nodes' Python; or of that of another package."""
        if package not in self._archives:
            target = self._target()
            try:
                self._archives[package] = self.upload(build(target, self.wheels, warned=self.warned) if package == "site" else
                                                      build_package(target, package, self.wheels))
            except ConfigError as error:
                raise ConfigError(f"{error}; without a network here, build it where there is one: "
                                  "python -m mrdl.archive [PYTHON], see docs/deployment.md") from None
        return self._archives[package]

    def _target(self) -> "Target":
        """The nodes' Python. A job of one mapper finds it out, once for each value of --node-python."""
        name = f"nodes/{re.sub('[^A-Za-z0-9._-]', '_', self.python)}.json"
        if not self.home.exists(name):
            self.home.write(name, self._probed())
        return parse_probe(self.home.read(name).decode())

    def _probed(self) -> bytes:
        folder = f"jobs/probe-{secrets.token_hex(8)}"
        self.home.write(f"{folder}/input", b"probe\n")
        mapper, script = probe_command(self.python)
        try:
            self.run({**SETTINGS, "mapreduce.job.reduces": "0", "mapreduce.job.name": "mrdl probe",
                      "tmpfiles": self.upload(script) + "#" + basename(script)},
                     ["-input", self.home.path(f"{folder}/input"),
                      "-output", self.home.path(f"{folder}/output"), "-mapper", mapper])
            lines = [line for part in self.home.list(f"{folder}/output/part-*")
                     for line in self.home.read(part).splitlines() if line.strip()]
        except JobFailed as error:
            if "Cannot run program" not in str(error):
                raise JobFailed(f"the job that asks the nodes what their {self.python} is failed: {error}") from None
            raise ConfigError(f"the nodes do not run {self.python}: install Python 3.10 or newer on "
                              f"them, or name it with --node-python\n{error}") from None
        finally:
            self.home.clear(folder)
        return lines[0]

    def run(self, settings: dict[str, str], streaming: list[str], maps: int = 1, reducers: int = 0,
            on_task: Callable[[str, int, int], None] | None = None,
            begun: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Submits a job and waits for its end; returns some counters, the seconds of each phase, and the file
        that each map read. Raises JobFailed. If `begun` is given, it is called with the job's id, and the
        job survives the driver."""
        began = time.time()
        try:
            job, inputs = self.gateway.submit(settings, streaming, stays=begun is not None)
            if begun:
                begun(job)
            return self.follow(job, inputs, maps, reducers, on_task, began, begun is not None)
        except (JobFailed, GatewayError) as error:
            text = str(error)
            if wrong := [f"-D {name}={value}" for name, value in settings.items()
                         if "NumberFormat" in text and f'"{value}"' in text]:
                text = f"{', '.join(wrong)} is not a number: {text}"
            failure = type(error)(text)
            failure.final = getattr(error, "final", bool(NEVER.search(text)))
            raise failure from None

    def follow(self, job: str, inputs: list[str], maps: int = 1, reducers: int = 0,
               on_task: Callable[[str, int, int], None] | None = None,
               began: float = 0.0, all_at_once: bool = False) -> dict[str, Any]:
        """Waits for the end of a submitted job; returns the same as `run`."""
        watch = Watch(self.gateway, job, inputs, {"mapper": maps, "reducer": reducers}, on_task,
                      self.warned, self.waiting, all_at_once)
        try:
            watch.run()
        except BaseException:           # Ctrl-C too: the job must not keep running
            with suppress(Exception):
                self.gateway.kill(job)
            raise
        report = self.gateway.report(job)
        marks = [began, report["started"], *_marks(report["times"]), time.time()]
        job = {name: report["counters"].get(counter, 0) for name, counter in COUNTED.items()}
        job |= {f"{kind}s_needed": len(times) for kind, times in report["times"].items()}
        return {"job": job, "inputs": inputs, "seconds": {
            phase: round(max(0.0, after - before), 3)
            for phase, (before, after) in zip(PHASES, itertools.pairwise(marks))}}

    def kill_tagged(self, tag: str, spared: str | None = None) -> None:
        for app in self.gateway.kill_tagged(tag, spared):
            self.warned(f"killed {app}, which a driver that died left behind")

    def adopted(self, note: dict[str, Any]) -> "Adopted | None":
        """The job of a dead driver; None if it no longer runs."""
        found = self.gateway.attach(note["job"])
        return Adopted(self, note) if found in ("PREP", "RUNNING") else None

    def holds(self, workers: int, jobconf: dict[str, str]) -> bool:
        """If nothing else ran, would the live nodes have room for this many mappers and a job's master?"""
        return self.gateway.room(jobconf) > workers

    def close(self) -> None:
        self.gateway.close()


def _marks(times: dict[str, list]) -> list[float]:
    """The times when the first map began, the last map ended, and the last reduce ended."""
    maps = times["map"] or [(0.0, 0.0)]
    last = max(end for _, end in maps)
    return [min(begin for begin, _ in maps), last,
            max((end for _, end in times["reduce"]), default=last)]


def literal(path: str) -> str:
    """A pattern that matches only this path: Hadoop takes inputs as a list of glob patterns."""
    return re.sub(r"[*?\[\]{}\\]", r"\\\g<0>", path).replace(",", r"{\,}")


class Adopted:
    """A job that was started by a driver that has died; it has the methods of a runner."""

    def __init__(self, hadoop: Hadoop, note: dict[str, Any]):
        self.hadoop, self.note = hadoop, note

    def run(self) -> None:
        self.report = self.hadoop.follow(self.note["job"], [])

    def parts(self) -> list[str]:
        store = store_at(self.note["output"])
        return [store.path(name) for name in store.list("part-*")]

    def cancel(self) -> None:
        with suppress(OSError):
            self.hadoop.gateway.kill(self.note["job"])

    def cleanup(self) -> None:
        with suppress(OSError):
            store_at(self.note["folder"]).clear("")
