"""mrjob's Hadoop runner without its JVMs: file work through the storage door, jobs through the gateway.

Every file goes to HDFS once, under its content's hash, and YARN's node managers keep it from job to job."""
import getpass
import hashlib
import itertools
import os
import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from posixpath import basename, join
from typing import Any
from urllib.parse import quote

from mrdl import archive, sharing
from mrdl.backend import Backend
from mrdl.config import ConfigError
from mrdl.environment import HUGE_PAGES, ONE_THREAD
from mrdl.failures import JobFailed
from mrdl.gateway import Gateway, GatewayError
from mrdl.hadoop_jars import streaming_jar
from mrdl.mrjob_imports import stand_ins
from mrdl.paths import place
from mrdl.schemes import store_at
from mrdl.storage import Storage
from mrdl.watch import NEVER, Watch

with stand_ins():
    from mrjob.hadoop import HadoopJobRunner

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
                self._site = self.upload(archive.build(target, self.wheels, warned=self.warned))
            except ConfigError as error:
                raise ConfigError(f"{error}; without a network here, build it where there is one: "
                                  "python -m mrdl.archive [PYTHON], see docs/deployment.md") from None
        return self._site

    def _target(self) -> "archive.Target":
        """What the nodes' Python is: asked by a job of one mapper, once for each name of it."""
        name = f"nodes/{re.sub('[^A-Za-z0-9._-]', '_', self.python)}.json"
        if not self.home.exists(name):
            self.home.write(name, self._probed())
        return archive.parse_probe(self.home.read(name).decode())

    def _probed(self) -> bytes:
        folder = f"jobs/probe-{secrets.token_hex(8)}"
        self.home.write(f"{folder}/input", b"probe\n")
        mapper, script = archive.probe_command(self.python)
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


class HadoopRunner(HadoopJobRunner):
    """A job's one step, on YARN. `hadoop` is the driver's connection; without one it makes its own."""
    hadoop: Hadoop | None = None
    groups: list[list[str]] | None = None       # a mapper's paths; None: each input by itself
    on_task: Callable[[str, int, int], None] | None = None
    begun: Callable[[dict[str, Any]], None] | None = None   # is told what `Adopted` takes
    job: str | None = None
    cancelled = False

    @classmethod
    def _default_opts(cls) -> dict:
        return {**super()._default_opts(), "cleanup_on_failure": ["ALL"], "bootstrap_mrjob": False,
                "check_input_paths": False}

    def get_hadoop_version(self) -> str:
        return "3.3"            # the names of the settings; asking would start a JVM

    def _make_unique_job_key(self, label=None, owner=None) -> str:
        tag = self._opts["jobconf"].get("mapreduce.job.tags") or "mrdl"     # by which `mrdl clean` finds a run's
        return f"{tag}-{os.getpid()}-{secrets.token_hex(4)}"

    def _run(self) -> None:
        own, self.hadoop = self.hadoop is None, self.hadoop or Hadoop(
            self._get_local_tmp_dir(), " ".join(self._python_bin()))
        self._create_setup_wrapper_scripts()
        key = basename(self._hadoop_tmp_dir)
        default = join(self._hadoop_tmp_dir, "output")
        self._hadoop_tmp_dir = self.hadoop.home.path(f"jobs/{key}")
        if self._output_dir == default:         # else it was asked for, as by --output-dir
            self._output_dir = f"{self._hadoop_tmp_dir}/output"
        try:
            for step in range(self._num_steps()):
                self._run_step(step)
        finally:
            if own:
                self.hadoop.close()

    def _default_python_bin(self, local: bool = False) -> list[str]:
        return shlex.split(self.hadoop.python) if self.hadoop else super()._default_python_bin(local)

    def _dest_in_wd_mirror(self, path: str, name: str) -> str:
        return quote(self.hadoop.upload(path), safe="/:@")      # of a URI: # and , have a meaning beside it

    def _step_input_uris(self, step_num: int) -> list[str]:
        return super()._step_input_uris(step_num) if step_num else [literal(url) for url in self._inputs]

    @cached_property
    def _inputs(self) -> list[str]:
        """What each mapper reads: a file, or one that names several."""
        found = []
        for number, group in enumerate(self.groups or [[path] for path in self._get_input_paths()]):
            found.append(group[0])
            if len(group) > 1:
                found[-1] = join(self._get_local_tmp_dir(), f"{sharing.SHARED}{number:06d}")
                sharing.write(found[-1], map(self.hadoop.upload, group))
        return [*map(self.hadoop.upload, found)]

    def _cleanup_hadoop_tmp(self) -> None:
        if self.hadoop:
            with suppress(OSError):
                self.hadoop.home.clear(f"jobs/{basename(self._hadoop_tmp_dir)}")

    def _streaming(self, step: int) -> tuple[dict[str, str], list[str]]:
        """mrjob's arguments of the streaming jar, told apart: the settings, and the rest."""
        settings, rest = dict(SETTINGS), []
        arguments = iter(self._hadoop_streaming_jar_args(step))
        files, archives = [], [f"{self.hadoop.site()}#site"]
        # tasks may be processes of YARN's user, and are ours to HDFS
        environment = {**ONE_THREAD, **HUGE_PAGES, "PYTHONPATH": "site",
                       "HADOOP_USER_NAME": self.hadoop.user}
        for argument in arguments:
            if argument == "-D":
                name, _, settings_value = next(arguments).partition("=")
                settings[name] = settings_value
            elif argument == "-files":
                files += next(arguments).split(",")
            elif argument == "-archives":
                archives += next(arguments).split(",")
            else:
                rest.append(argument)
        if "-reducer" not in rest:
            settings["mapreduce.job.reduces"] = "0"
        settings |= whole_lines("map" if settings.get("mapreduce.job.reduces") == "0" else "reduce")
        settings |= {"tmpfiles": ",".join(files), "tmparchives": ",".join(archives)}
        for name, value in environment.items():
            rest += ["-cmdenv", f"{name}={value}"]
        return {name: value for name, value in settings.items() if value or name not in
                ("tmpfiles", "tmparchives")}, rest

    def command(self, output: str) -> list[str]:
        """The job as a command of the hadoop client's; all that it needs lies on HDFS."""
        self._create_setup_wrapper_scripts()
        self._output_dir = output
        settings, streaming = self._streaming(0)
        generic = [("-files", settings.pop("tmpfiles", "")), ("-archives", settings.pop("tmparchives", ""))]
        return ["hadoop", "jar", streaming_jar(), *(f"-D{name}={value}" for name, value in settings.items()),
                *(word for option in generic if option[1] for word in option), *streaming]

    def _run_step(self, step: int) -> None:
        settings, streaming = self._streaming(step)
        self.report = self.hadoop.run(
            settings, streaming, len(self._inputs),
            int(settings.get("mapreduce.job.reduces", 1)), self.on_task,
            self._begun if self.begun else None)

    def _begun(self, job: str) -> None:
        self.job = job
        if self.cancelled:
            self.hadoop.gateway.kill(job)
        self.begun({"job": job, "output": self._output_dir, "folder": self._hadoop_tmp_dir})

    def cancel(self) -> None:
        """Ends the job, or has it ended once it has begun; called by another thread."""
        self.cancelled = True
        if self.job:
            with suppress(OSError):
                self.hadoop.gateway.kill(self.job)

    def cat_output(self) -> Iterator[bytes]:
        """As mrjob's, without a JVM a file: the lines of each part, and nothing between two."""
        for part in self.parts():
            store, name = place(part)
            with store.open(name) as file:
                yield from file
            yield b""

    def parts(self) -> list[str]:
        """The URLs of what the job wrote, in the order of its reducers; without any, of its inputs.

        Hadoop numbers maps by the size of their splits."""
        store = store_at(self.get_output_dir())
        parts = [store.path(name) for name in store.list("part-*")]
        if "reducer" in self._get_step(self._num_steps() - 1):
            return parts
        read, order = ([re.sub("^hdfs:(//[^/]*)?", "", url) for url in urls]     # of one host, by any of its names
                       for urls in (self.report["inputs"], self._inputs))
        return [part for _, part in sorted(zip(map(order.index, read), parts, strict=True))]


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


class OnHadoop(Backend):
    """Jobs on YARN, over one connection."""
    kind = HadoopRunner
    jvms = True
    stays = True

    def __init__(self, cluster):
        super().__init__(cluster)
        self.hadoop = Hadoop(cluster.tmp, cluster.node_python, cluster.wheels, lambda text: cluster.warned(text),
                             lambda text, seconds: cluster.waiting(text, seconds))

    def ready(self):
        self.hadoop.ready()

    def own(self, tag, spared):
        self.hadoop.kill_tagged(tag, spared)

    def home(self, name):
        return self.hadoop.home.path(name)

    def upload(self, path):
        return self.hadoop.upload(path)

    def slots(self):
        return self.hadoop.gateway.room(self.cluster.jobconf)

    def holds(self, workers):
        return self.hadoop.holds(workers, self.cluster.jobconf)

    def made(self, options, groups):
        runner = self.kind(**{name: value for name, value in options.items() if name not in ("num_cores", "mrjob_cls")})
        runner.hadoop, runner.groups = self.hadoop, groups
        return runner

    def adopted(self, note):
        return self.hadoop.adopted(note)

    def command(self, runner, job, args, output):
        """`hadoop jar ...`, with files that lie on HDFS."""
        return runner.command(output)

    def close(self):
        self.hadoop.close()
