"""mrjob runners that need no Java. They write one output file per reducer (or mapper).

They behave like Hadoop where mrjob's own runners do not: inputs are read in place and not copied, and
are split into byte ranges; `mapreduce.job.reduces` and the partitioner are respected; a killed task is
run again."""
import errno
import os
import secrets
import shutil
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from os.path import getsize, join

from mrdl.config import need
from mrdl.runners.backend import Backend
from mrdl.runners.environment import ONE_THREAD, PRELOAD
from mrdl.runners.failures import JobFailed, unmask
from mrdl.runners.local.forkserver import LOST, ForkServer
from mrdl.runners.local.task import Task, perform
from mrdl.runners.mrjob_imports import stand_ins
from mrdl.runners.splits import LARGEST_SPLIT, Split, cut

with stand_ins():
    from mrjob.inline import InlineMRJobRunner
    from mrjob.util import save_current_environment, save_cwd, save_sys_path

ATTEMPTS = 4                    # the default of mapreduce.map.maxattempts
SORT_MEMORY = 64 << 20          # bytes; larger inputs of reducers are sorted on disk, by GNU sort


class InlineRunner(InlineMRJobRunner):
    """Runs tasks one after the other in this process; an exception in a task reaches the caller unchanged."""
    alias = "inline"
    groups: list[list[str]] | None = None       # the paths of each mapper; None: one mapper per input
    on_task: Callable[[str, int, int], None] | None = None
    server: ForkServer | None = None
    sort_memory = SORT_MEMORY

    @classmethod
    @cache                      # not once a job: mrjob asks for the user's name, and ignores whatever interrupts that
    def _default_opts(cls) -> dict:
        return {**super()._default_opts(), "cleanup_on_failure": ["ALL"]}

    def get_hadoop_version(self) -> str:
        return "3.3"            # decides how mrjob names the variables in a task's environment

    def _make_unique_job_key(self, label=None, owner=None) -> str:
        return f"mrdl-{os.getpid()}-{secrets.token_hex(4)}"

    def _check_step(self, step: dict, step_num: int) -> None:
        super()._check_step(step, step_num)
        if step.get("input_manifest") or not step.get("mapper"):
            raise NotImplementedError(f"the {self.alias} runner needs a mapper that reads lines in each step")

    def _run_streaming_step(self, step: dict, step_num: int) -> None:
        output = self._output_dir_for_step(step_num)
        os.makedirs(output)     # as in Hadoop, the folder must not exist
        reducers = int(self._jobconf_for_step(step_num).get("mapreduce.job.reduces", 1))
        if not step.get("reducer"):
            reducers = 0
        folders = self._run_tasks([
            self._task("mapper", step_num, number, split, reducers or 1)
            for number, split in enumerate(self._splits(step_num))])
        if reducers:
            inputs = [[path for folder in folders if os.path.exists(
                path := join(folder, f"part-{number:05d}"))] for number in range(reducers)]
            folders = self._run_tasks([self._task("reducer", step_num, number, paths, 1)
                                       for number, paths in enumerate(inputs)])
        for number, folder in enumerate(folders):
            shutil.move(join(folder, "part-00000"), join(output, f"part-{number:05d}"))

    def _cleanup_local_tmp(self) -> None:
        folder, self._local_tmp_dir = self._local_tmp_dir, None
        try:
            if folder:
                shutil.rmtree(folder)
        except OSError as error:            # which mrjob would ignore, whatever it hides
            unmask(error)

    def parts(self) -> list[str]:
        folder = self.get_output_dir()
        return [join(folder, name) for name in sorted(os.listdir(folder))]

    def _splits(self, step_num: int) -> list[Split]:
        groups = self.groups if step_num == 0 else None
        if groups is None:
            found = [os.path.abspath(path) for path in self._input_paths_for_step(step_num)]
            groups = [[path] for path in found if os.path.basename(path)[0] not in "._"]
        least = int(self._jobconf_for_step(step_num).get(
            "mapreduce.input.fileinputformat.split.minsize", 0))
        return cut(groups, self._num_cores(), least, LARGEST_SPLIT, getsize)

    def _task(self, kind: str, step_num: int, number: int, inputs: list, reducers: int) -> Task:
        split = None
        if kind == "mapper":
            path, start, stop = inputs[0]
            split = {"file": path, "start": start, "length": (stop or getsize(path)) - start}
        job = self._mrjob_cls
        files = self._working_dir_mgr.name_to_path("file")
        folder = self._task_dir(kind, step_num, number)
        os.makedirs(folder)
        return Task(job=[job.__module__, job.__qualname__, os.path.abspath(self._script_path)],
                    kind=kind, number=number, args=self._args_for_task(step_num, kind),
                    inputs=inputs, folder=folder,
                    files={name: _existing(path) for name, path in files.items()},
                    env={**self._env_for_task(kind, step_num, number, split), **ONE_THREAD},
                    reducers=reducers, sort_values=bool(self._sort_values),
                    sort_memory=self.sort_memory)

    def _run_tasks(self, tasks: list[Task]) -> list[str]:
        """Runs the tasks; returns the output folder of each."""
        for done, task in enumerate(tasks, 1):
            with save_current_environment(), save_cwd(), save_sys_path():
                perform(task, self._mrjob_cls)
            self._tell(task, done, len(tasks))
        return [task.output for task in tasks]

    def _tell(self, task: Task, done: int, total: int) -> None:
        if self.on_task:
            self.on_task(task.kind, done, total)


class LocalRunner(InlineRunner):
    """Runs tasks in children of a fork server, as many at once as there are cores."""
    alias = "local"
    cancelled = False

    def cancel(self) -> None:
        """Ends the tasks. Called by a thread other than the one in _run_tasks."""
        self.cancelled = True
        self.server.end()

    def _run(self) -> None:
        if self.server:
            super()._run()
            return
        self.server = ForkServer(self._get_local_tmp_dir(), PRELOAD)
        try:
            super()._run()
        finally:
            self.server.kill()

    def _run_tasks(self, tasks: list[Task]) -> list[str]:
        waiting, running, outputs = deque(tasks), {}, {}
        try:
            while waiting or running:
                while waiting and len(running) < self._num_cores():
                    task = waiting.popleft()
                    running[self.server.start(task)] = task
                for ticket, status in self.server.wait():
                    task = running.pop(ticket)
                    if status == 0:
                        outputs[task.number] = task.output
                        self._tell(task, len(outputs), len(tasks))
                    else:
                        waiting.appendleft(self._next_attempt(task, status))
        except BaseException:       # Ctrl-C too: no task may keep running
            self.server.kill()
            raise
        return [outputs[number] for number in range(len(tasks))]

    def _next_attempt(self, task: Task, status: int | str) -> Task:
        """The next attempt of a task that was killed. Raises JobFailed if the task raised an exception, as it would again."""
        if self.cancelled:
            raise JobFailed(f"{task} of {task.job[1]} was cancelled")
        if status != LOST and status > 0:
            words = _last_words(task.log)
            if f"OSError: [Errno {errno.ENOSPC}]" in words.rpartition("\n")[2]:    # a full disk is not the job's fault
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            gap = "\n" if "\n" in words else " "
            raise JobFailed(f"{task} of {task.job[1]} failed:{gap}{words}")
        if task.attempt + 1 == ATTEMPTS:
            by = "died with the fork server" if status == LOST else (
                f"was killed by {signal.Signals(-status).name}")
            raise JobFailed(f"{task} of {task.job[1]} {by}, after {ATTEMPTS} attempts "
                            f"(out of memory?)\n{_last_words(task.log)}")
        shutil.rmtree(task.output, ignore_errors=True)
        name = "mapreduce_task_attempt_id"
        stem = task.env[name].rpartition("_")[0]
        return replace(task, attempt=task.attempt + 1,
                       env={**task.env, name: f"{stem}_{task.attempt + 1}"})


def _existing(path: str) -> str:
    """The absolute path of a file; FileNotFoundError, with its name, if there is none."""
    path = os.path.abspath(_here(path.removeprefix("file://")))
    os.stat(path)
    return path


def _here(path: str) -> str:
    """The path; ConfigError if it is a URL."""
    need("://" not in path, f"{path}: -r inline and -r local read only this machine's files: use "
         "-r hadoop or -r spark, or copy the folder here first (hdfs dfs -get)")
    return path


def _last_words(log: str) -> str:
    """The end of a task's stderr, without the lines for Hadoop (counters and status)."""
    try:
        with open(log, errors="replace") as file:
            lines = [line for line in file if not line.startswith("reporter:")]
    except FileNotFoundError:
        return ""
    return "".join(lines[-40:]).rstrip()


class Inline(Backend):
    """Runs tasks in this process."""
    kind = InlineRunner
    server: ForkServer | None = None

    def check(self, paths):
        for path in paths:
            _here(path)

    def made(self, options, groups):
        self.check(path for group in groups for path in group)
        runner = self.kind(**options)
        runner.groups, runner.server = groups, self.server
        return runner


class Local(Inline):
    """Runs tasks in children of one server process, which serves all jobs."""
    kind = LocalRunner
    stays = True

    def __init__(self, cluster):
        super().__init__(cluster)
        # started early: it imports modules while the driver prepares its first job
        self.server = ForkServer(cluster.tmp, PRELOAD)

    def holds(self, workers):
        return workers <= self.cluster.cores

    def close(self):
        self.server.kill()
