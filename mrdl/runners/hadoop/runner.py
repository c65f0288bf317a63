"""mrjob's Hadoop runner without its JVMs: file work through the storage door, jobs through the gateway.

Every file goes to HDFS once, under its content's hash, and YARN's node managers keep it from job to job."""
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

from mrdl.runners import sharing
from mrdl.runners.backend import Backend
from mrdl.runners.environment import HUGE_PAGES, ONE_THREAD
from mrdl.runners.hadoop.connection import SETTINGS, Hadoop, literal, whole_lines
from mrdl.runners.hadoop.jars import streaming_jar
from mrdl.runners.mrjob_imports import stand_ins
from mrdl.storage.paths import place
from mrdl.storage.schemes import store_at

with stand_ins():
    from mrjob.hadoop import HadoopJobRunner


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
