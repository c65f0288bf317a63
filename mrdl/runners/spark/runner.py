"""mrjob's Spark runner, but with mrdl's tasks (mrdl.runners.spark.tasks). Each job is one spark-submit."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict

from mrdl import safe_path
from mrdl.config import ConfigError, need
from mrdl.runners import probe, site
from mrdl.runners.backend import Backend
from mrdl.runners.environment import MEMORY, ONE_THREAD
from mrdl.runners.failures import JobFailed
from mrdl.runners.mrjob_imports import stand_ins
from mrdl.runners.spark.tasks import SparkJob
from mrdl.runners.splits import cut
from mrdl.storage.partitions import within
from mrdl.storage.paths import size
from mrdl.storage.schemes import store_at

with stand_ins():
    from mrjob.spark.runner import SparkMRJobRunner

MOST = 128 << 20        # bytes of a split, at most: the size of an HDFS block
RETRIED = 4             # attempts of a task, as on a cluster
# settings if all of Spark runs on this machine. Its JVM lives for seconds, of which the optimizing JIT would take half
HERE = {"spark.ui.enabled": "false", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"}
NAMES = {"mapreduce.job.name": "spark.app.name", "mapreduce.job.tags": "spark.yarn.tags"}
SCRIPT = """from mrdl.runners.spark.tasks import SparkJob
from mrdl.runners.splits import cut
SparkJob(**{}).run()
"""
OF_TASKS = re.compile(r"(Starting|Running|Finished) .*\btask ")
DONE = re.compile(r"Finished task \S+ in stage (\d+)\.\d+ .*\((\d+)/(\d+)\)")
FAILED = re.compile(r"\w+ \d+ (?:\(input [^\n]*\) )?of \w+ failed:\nTraceback .*?"
                    r"(?=\s+(?:SQLSTATE: \w+\s+)?\tat )", re.DOTALL)
LOST = re.compile(r"failed (\d+) times, most recent failure: Lost task (\d+)\.\d+ in stage (\d+)\.\d+ "
                  r"\(TID \d+\) \(.*?\): (.*)")


class SparkRunner(SparkMRJobRunner):
    """Runs a job's single step on Spark."""
    groups: list[list[str]] | None = None       # the paths of each mapper; None: one mapper per input
    on_task: Callable[[str, int, int], None] | None = None
    cores = os.cpu_count() or 1                 # of this machine
    node_python: str | None = None
    wheels: str | None = None
    packages: tuple[str, ...] = ()              # that tasks need beside mrdl's own

    @classmethod
    def _default_opts(cls) -> dict:
        return {**super()._default_opts(), "cleanup_on_failure": ["ALL"], "bootstrap_mrjob": False,
                "check_input_paths": False}

    def __init__(self, **options):
        super().__init__(**options)
        self._upload_mgr = None         # spark-submit itself distributes the files
        self.said: deque[str] = deque(maxlen=1000)
        self.words: deque[str] = deque(maxlen=20)       # what tasks wrote to stderr, if they run on this machine

    # ---- where it runs

    def get_spark_submit_bin(self) -> list[str]:
        command = super().get_spark_submit_bin()
        need(shutil.which(command[0]), "no Spark: pip install pyspark, or set SPARK_HOME")
        java = os.environ.get("JAVA_HOME")
        need(shutil.which(os.path.join(java, "bin", "java") if java else "java"),
             "no Java: install a JDK or JRE, and set JAVA_HOME")
        return command

    def _spark_master(self) -> str:
        return (self._opts["jobconf"].get("spark.master") or self._opts["spark_master"]
                or f"local[{self.cores},{RETRIED}]")

    def _spark_deploy_mode(self) -> str:
        return self._opts["jobconf"].get("spark.submit.deployMode") or super()._spark_deploy_mode()

    def _here(self) -> bool:
        return self._spark_master().startswith("local")

    def _spark_executors_have_own_wd(self) -> bool:
        return True             # else tasks start in Spark's folder of files

    def _pick_spark_tmp_dir(self) -> str:
        if self._here() and not self._opts["spark_tmp_dir"]:
            return os.path.join(self._get_local_tmp_dir(), "spark")
        return super()._pick_spark_tmp_dir()

    def _default_python_bin(self, local: bool = False) -> list[str]:
        return [sys.executable]

    def _task_python_bin(self) -> list[str]:
        return (self._opts["task_python_bin"] or not self._here() and self.node_python
                and [self.node_python] or self._python_bin())

    # ---- what spark-submit is given

    def _jobconf_for_step(self, step_num: int) -> dict[str, str]:
        """The settings under Spark's names. Hadoop's settings get the prefix spark.hadoop., for the parts of Hadoop that
        Spark uses."""
        given = {NAMES.get(name, name): value
                 for name, value in super()._jobconf_for_step(step_num).items()}
        settings = {name if name.startswith("spark.") else "spark.hadoop." + name: value
                    for name, value in given.items()}
        here = {**HERE, "spark.local.dir": self._get_local_tmp_dir()} if self._here() else {}
        return here | settings

    def _cmdenv(self) -> dict[str, str]:
        path = {} if self._here() else {"PYTHONPATH": ":".join(["site", *self.packages])}
        return {**ONE_THREAD, **MEMORY, **path, **super()._cmdenv()}

    def _spark_upload_args(self) -> list[str]:
        return super()._spark_upload_args() + (
            [] if self._here() else ["--archives", ",".join(f"{path}#{name}" for name, path in self._archives().items())])

    def _file_arg_hash_paths(self, named_paths=None, always_use_hash: bool = True) -> Iterator[str]:
        """Like mrjob's, but files of this machine are given as links, because # , ? and * in their own paths would have a
        meaning."""
        folder = tempfile.mkdtemp(dir=self._get_local_tmp_dir())
        for name, path in sorted(self._working_dir_mgr.name_to_path("file").items()):
            place = self._dest_in_wd_mirror(path, name) or path
            if "://" in place:
                yield place if os.path.basename(place) == name else f"{place}#{name}"
            else:
                os.symlink(os.path.abspath(place), os.path.join(folder, name))
                yield f"file://{folder}/{name}"         # a URL, because of a plain path Spark would follow the link

    def _archives(self) -> dict[str, str]:
        """The archive of mrdl and its packages, for the nodes, and those of other packages; built for the driver's Python,
        whose version PySpark requires there."""
        said = subprocess.run([sys.executable, probe.__file__], input="", check=True,
                              capture_output=True, text=True, env=safe_path.environment())
        target = site.parse_probe(said.stdout)
        return {"site": site.build(target, self.wheels),
                **{name: site.build_package(target, name, self.wheels) for name in self.packages}}

    def _spark_script_path(self, step_num: int) -> str:
        """Writes the script to submit. It contains the whole description of the job, so it can run on any machine."""
        jobconf = self._opts["jobconf"]
        groups = self.groups or [[path] for path in self._get_input_paths()]
        least = int(jobconf.get("mapreduce.input.fileinputformat.split.minsize", 0))
        self.job = SparkJob(
            job=f"{self._job_script_module_name()}.{self._mrjob_cls.__name__}",
            args=self._mr_job_extra_args(), output=self._output_dir,
            splits=cut([[*map(self._there, group)] for group in groups], self.cores, least, MOST,
                       size),
            reducers=int(jobconf.get("mapreduce.job.reduces", 1))
            if "reducer" in self._get_step(step_num) else 0,
            sort_values=bool(self._sort_values))
        path = os.path.join(self._get_local_tmp_dir(), "job.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(SCRIPT.format(asdict(self.job)))
        return path

    def _there(self, path: str) -> str:
        """A path that tasks can read; if they run on other machines, the path of a copy."""
        if "://" in path:
            return path
        path = os.path.abspath(path)            # absolute, because the job runs in another folder
        if "://" not in self._spark_tmp_dir:
            return path
        store = store_at(self._spark_tmp_dir)
        # keeps the file's name, which decides where `prepare` puts rows
        name = f"input/{len(store.list('input/*')):06d}/{within(path)}"
        store.put(name, path)
        return store.path(name)

    def _spark_script_args(self, step_num: int, last_step_num: int | None = None) -> list[str]:
        return []

    # ---- a job, from its start to its end

    def _check_step(self, step: dict, step_num: int) -> None:
        super()._check_step(step, step_num)
        if step_num or not step.get("mapper"):
            raise NotImplementedError("the spark runner needs a job of one step, which has a mapper")

    def _run_step_on_spark(self, step: dict, step_num: int, last_step_num=None) -> None:
        arguments = self._args_for_spark_step(step_num)
        address = {"SPARK_LOCAL_IP": "127.0.0.1"} if self._here() else {}
        if self._here():        # Spark starts tasks by python -m, which imports modules from the current folder
            arguments = ["sh", "-c", 'cd "$0" && exec "$@"', self._get_local_tmp_dir(), *arguments]
        environment = {**address, **safe_path.environment(), **self._spark_cmdenv(step_num)}
        status, _ = self._run_spark_submit(arguments, environment, self._heard)
        if status:
            raise JobFailed(self._why())

    def _heard(self, record: dict) -> None:
        """Handles a record of Spark's log. Lines that do not look like a record belong to the record before them."""
        message = record["message"]
        self.said.append(message)
        first, *more = message.splitlines() or [""]
        if OF_TASKS.match(first):
            self.words.extend(line for line in more
                              if not line.startswith(("reporter:", "Caused by: ", "\t")))
        if self.on_task and (done := DONE.match(message)):
            self.on_task("reducer" if int(done[1]) else "mapper", int(done[2]), int(done[3]))

    def _why(self) -> str:
        """The error for the user: the task that failed, and its traceback."""
        said = "\n".join(self.said)
        if found := FAILED.search(said):
            return found[0]
        if found := LOST.search(said):
            task = self.job.named(int(found[2]), int(found[3]) == 0)
            return "\n".join([f"{task} died, after {found[1]} attempts (out of memory?): {found[4].split(' Consider ')[0]}",
                              *self.words])
        lines = [line for line in said.splitlines() if line.strip() and line[0] != "\t"]
        return "\n".join(["spark-submit failed:", *lines[-10:]])

    def parts(self) -> list[str]:
        store = store_at(self._output_dir)
        return [store.path(name) for name in store.list("part-*")]

    def _cleanup_hadoop_tmp(self) -> None:
        with suppress(OSError):
            store_at(self._spark_tmp_dir).clear("")


class OnSpark(Backend):
    """Runs jobs by spark-submit."""
    kind = SparkRunner

    def __init__(self, cluster):
        super().__init__(cluster)
        with tempfile.TemporaryDirectory(dir=cluster.tmp) as folder:    # mrjob wants a folder for each runner
            SparkRunner(local_tmp_dir=folder).get_spark_submit_bin()    # raises ConfigError if there is no Spark

    def slots(self):
        return 0

    def made(self, options, groups):
        cluster, runner = self.cluster, self.kind(**{name: value for name, value in options.items() if name != "num_cores"})
        runner.groups, runner.cores = groups, cluster.cores
        runner.node_python, runner.wheels, runner.warned = cluster.node_python, cluster.wheels, cluster.warned
        return runner

    def command(self, runner, job, args, output):
        raise ConfigError("rounds on Spark cannot be staged: use -r hadoop, local or inline")
