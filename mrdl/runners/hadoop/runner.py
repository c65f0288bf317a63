"""mrjob's Hadoop runner, but it starts no JVMs: files go through mrdl.storage, jobs through the gateway.

Each file is uploaded to HDFS once, named by the hash of its content, and YARN's NodeManagers cache it for later jobs."""
import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from posixpath import basename, join
from typing import Any
from urllib.parse import quote

from mrdl.config import need
from mrdl.runners import sharing
from mrdl.runners.backend import Backend
from mrdl.runners.environment import MEMORY, ONE_THREAD
from mrdl.runners.hadoop.connection import SETTINGS, Hadoop, literal, whole_lines
from mrdl.runners.hadoop.jars import streaming_jar
from mrdl.runners.mrjob_imports import stand_ins
from mrdl.storage.packing import suffix
from mrdl.storage.paths import place
from mrdl.storage.schemes import store_at

with stand_ins():
    from mrjob.hadoop import HadoopJobRunner


class HadoopRunner(HadoopJobRunner):
    """Runs a job's single step on YARN. `hadoop` is the driver's connection; if it is None, the runner opens one."""
    hadoop: Hadoop | None = None
    groups: list[list[str]] | None = None       # the paths of each mapper; None: one mapper per input
    on_task: Callable[[str, int, int], None] | None = None
    begun: Callable[[dict[str, Any]], None] | None = None   # called with the note that `Adopted` needs
    job: str | None = None
    cancelled = False
    packages: tuple[str, ...] = ()              # that tasks need beside mrdl's own

    @classmethod
    def _default_opts(cls) -> dict:
        return {**super()._default_opts(), "cleanup_on_failure": ["ALL"], "bootstrap_mrjob": False,
                "check_input_paths": False}

    def get_hadoop_version(self) -> str:
        return "3.3"            # decides how mrjob names settings; asking Hadoop would start a JVM

    def _make_unique_job_key(self, label=None, owner=None) -> str:
        tag = self._opts["jobconf"].get("mapreduce.job.tags") or "mrdl"     # `mrdl clean` finds a run's folders by it
        return f"{tag}-{os.getpid()}-{secrets.token_hex(4)}"

    def _run(self) -> None:
        own, self.hadoop = self.hadoop is None, self.hadoop or Hadoop(
            self._get_local_tmp_dir(), " ".join(self._python_bin()))
        self._create_setup_wrapper_scripts()
        key = basename(self._hadoop_tmp_dir)
        default = join(self._hadoop_tmp_dir, "output")
        self._hadoop_tmp_dir = self.hadoop.home.path(f"jobs/{key}")
        if self._output_dir == default:         # else the caller gave one, as with --output-dir
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
        return quote(self.hadoop.upload(path), safe="/:@")      # quoted, because # and , have a meaning in this list of URIs

    def _step_input_uris(self, step_num: int) -> list[str]:
        return super()._step_input_uris(step_num) if step_num else [literal(url) for url in self._inputs]

    @cached_property
    def _inputs(self) -> list[str]:
        """What each mapper reads: a file, or a file that lists several files."""
        found = []
        for number, group in enumerate(self.groups or [[path] for path in self._get_input_paths()]):
            found.append(group[0])
            if len(group) > 1 or suffix(group[0]):      # Hadoop unpacks some, cuts .bz2, and hands on others as they are
                found[-1] = join(self._get_local_tmp_dir(), f"{sharing.SHARED}{number:06d}")
                sharing.write(found[-1], map(self.hadoop.upload, group))
        return [*map(self.hadoop.upload, found)]

    def _cleanup_hadoop_tmp(self) -> None:
        if self.hadoop:
            with suppress(OSError):
                self.hadoop.home.clear(f"jobs/{basename(self._hadoop_tmp_dir)}")

    def _streaming(self, step: int) -> tuple[dict[str, str], list[str]]:
        """mrjob's arguments for the streaming jar, in two parts: the settings, and the rest."""
        settings, rest = dict(SETTINGS), []
        arguments = iter(self._hadoop_streaming_jar_args(step))
        names = ["site", *self.packages]
        files, archives = [], [f"{self.hadoop.archive(name)}#{name}" for name in names]
        # tasks may run as YARN's user; on HDFS they must act as the submitting user
        environment = {**ONE_THREAD, **MEMORY, "PYTHONPATH": ":".join(names),
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
        """The job as a command for the hadoop client; all its files are on HDFS."""
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
        """Kills the job; if it has not been submitted yet, it is killed right after. Called by another thread."""
        self.cancelled = True
        if self.job:
            with suppress(OSError):
                self.hadoop.gateway.kill(self.job)

    def cat_output(self) -> Iterator[bytes]:
        """Like mrjob's, but without a JVM per file: the lines of all parts, with nothing between the parts."""
        for part in self.parts():
            store, name = place(part)
            with store.open(name) as file:
                yield from file
            yield b""

    def parts(self) -> list[str]:
        """The URLs of the job's output files, in the order of its reducers; without reducers, in the order of its inputs
        (Hadoop numbers maps by the size of their splits)."""
        store = store_at(self.get_output_dir())
        parts = [store.path(name) for name in store.list("part-*")]
        if "reducer" in self._get_step(self._num_steps() - 1):
            return parts
        # without the host, which may be written in several ways
        read, order = ([re.sub("^hdfs:(//[^/]*)?", "", url) for url in urls]
                       for urls in (self.report["inputs"], self._inputs))
        return [part for _, part in sorted(zip(map(order.index, read), parts, strict=True))]


class OnHadoop(Backend):
    """Runs jobs on YARN, over one connection."""
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

    def reads(self, paths):
        for path in paths:
            need("://" in path, f"{path}: tasks read raw files where they lie, so with -r hadoop these must be on HDFS: "
                 "hdfs dfs -put FILE hdfs:///raw/, or prepare a dataset")

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
        """A `hadoop jar ...` command, whose files are on HDFS."""
        return runner.command(output)

    def close(self):
        self.hadoop.close()
