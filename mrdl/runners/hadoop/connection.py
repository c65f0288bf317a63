"""One driver's connection to a cluster: its gateway, its folder on HDFS, its jobs."""
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
from mrdl.runners.site import Target, build, parse_probe, probe_command
from mrdl.storage.base import Storage
from mrdl.storage.schemes import store_at

# what a job's seconds go into: until its master runs, until the first container does, ...
PHASES = ("submit", "master", "map", "reduce", "end")
# maps and reduces: attempts that were launched; follow() adds how many were needed
COUNTED = {"maps": "TOTAL_LAUNCHED_MAPS", "reduces": "TOTAL_LAUNCHED_REDUCES",
           "maps_failed": "NUM_FAILED_MAPS", "reduces_failed": "NUM_FAILED_REDUCES",
           "maps_killed": "NUM_KILLED_MAPS", "reduces_killed": "NUM_KILLED_REDUCES",     # speculation's losers
           "data_local": "DATA_LOCAL_MAPS",
           "map_memory": "MAP_PHYSICAL_MEMORY_BYTES_MAX",      # of the task's JVM and all below it
           "reduce_memory": "REDUCE_PHYSICAL_MEMORY_BYTES_MAX"}
SETTINGS = {
    # one reader of a file is one mapper's shard; reducers wait for the last mapper, so they start when
    # most mappers are done: on a busy cluster they would hold containers that mappers need
    "mapreduce.job.reduce.slowstart.completedmaps": "0.9",
}


def whole_lines(side: str) -> dict[str, str]:
    """Settings for output lines as the task (map | reduce) writes them; else one without a tab gets one
    at its end."""
    kind = "map.output" if side == "map" else "job.output"
    return {f"stream.{side}.output.reader.class":
            "org.apache.hadoop.streaming.io.KeyOnlyTextOutputReader",
            f"mapreduce.{kind}.value.class": "org.apache.hadoop.io.NullWritable"}


def user() -> str:
    """Who we are to HDFS."""
    return os.environ.get("HADOOP_USER_NAME") or getpass.getuser()


def home() -> Storage:
    """The user's folder for what jobs need."""
    return store_at(f"hdfs:///user/{user()}/.mrdl")


class Hadoop:
    """One driver's connection: its gateway, its folder on HDFS, and what lies in it for all jobs."""

    def __init__(self, tmp: str, python: str = "python3", wheels: str | None = None,
                 warned: Callable[[str], None] = lambda text: None,
                 waiting: Callable[[str, float], None] = lambda text, seconds: None):
        self.python, self.wheels, self.warned, self.waiting = python, wheels, warned, waiting
        self.user, self.home = user(), home()
        self.gateway = Gateway(tmp, waiting)
        self.gateway.start()
        self.uploaded: dict[str, str] = {}
        self._site: str | None = None

    def ready(self) -> None:
        """OSError where there is no HDFS, no Hadoop client or no Java."""
        self.home.exists(".")
        self.gateway.ready()

    def upload(self, path: str) -> str:
        """The URL of the file on HDFS, where it is put unless its content lies there already."""
        if "://" in path:
            return path
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else \
                hashlib.sha256(file.read())
        name = f"cache/{content.hexdigest()[:24]}/{basename(path)}"
        if name not in self.uploaded:
            if not self.home.exists(name):
                self.home.put(name, path)
            self.uploaded[name] = self.home.path(name)
        return self.uploaded[name]

    def site(self) -> str:
        """The URL of the archive of mrdl and all it needs, for the nodes' Python."""
        if self._site is None:
            target = self._target()
            try:
                self._site = self.upload(build(target, self.wheels, warned=self.warned))
            except ConfigError as error:
                raise ConfigError(f"{error}; without a network here, build it where there is one: "
                                  "python -m mrdl.archive [PYTHON], see docs/deployment.md") from None
        return self._site

    def _target(self) -> "Target":
        """What the nodes' Python is: asked by a job of one mapper, once for each name of it."""
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
        """One job from its submission to its end; gives some counters, the seconds of each phase, and the
        file that each map read. Raises JobFailed. A job whose id `begun` wants to know outlives us."""
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
                text = f"{', '.join(wrong)} is no number: {text}"
            failure = type(error)(text)
            failure.final = getattr(error, "final", bool(NEVER.search(text)))
            raise failure from None

    def follow(self, job: str, inputs: list[str], maps: int = 1, reducers: int = 0,
               on_task: Callable[[str, int, int], None] | None = None,
               began: float = 0.0, all_at_once: bool = False) -> dict[str, Any]:
        """The rest of a job, as `run`."""
        watch = Watch(self.gateway, job, inputs, {"mapper": maps, "reducer": reducers}, on_task,
                      self.warned, self.waiting, all_at_once)
        try:
            watch.run()
        except BaseException:           # Ctrl-C too: nothing may run on
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
            self.warned(f"{app} was left by a driver that died: killed")

    def adopted(self, note: dict[str, Any]) -> "Adopted | None":
        """The job of a driver that died, if it runs."""
        found = self.gateway.attach(note["job"])
        return Adopted(self, note) if found in ("PREP", "RUNNING") else None

    def holds(self, workers: int, jobconf: dict[str, str]) -> bool:
        """Have the nodes that run room for so many mappers and a job's master, were nothing else there?"""
        return self.gateway.room(jobconf) > workers

    def close(self) -> None:
        self.gateway.close()


def _marks(times: dict[str, list]) -> list[float]:
    """When the first map began, the last one ended, and the last reduce."""
    maps = times["map"] or [(0.0, 0.0)]
    last = max(end for _, end in maps)
    return [min(begin for begin, _ in maps), last,
            max((end for _, end in times["reduce"]), default=last)]


def literal(path: str) -> str:
    """The pattern that Hadoop finds this path by, and no other: an input is a list of patterns to it."""
    return re.sub(r"[*?\[\]{}\\]", r"\\\g<0>", path).replace(",", r"{\,}")


class Adopted:
    """A job that a driver began that died since; has a runner's face."""

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
