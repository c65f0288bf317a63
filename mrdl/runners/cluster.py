"""A job class and its inputs in, one part of output per reducer out, whatever the runner."""
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b

from mrdl.config import ConfigError
from mrdl.runners import registry
from mrdl.runners.backend import Backend, arguments
from mrdl.runners.output import Background, Output, output_of
from mrdl.runners.streaming import WHOLE_FILES, Job


class Cluster:
    """Where jobs run, for many rounds.

    Args:
        runner: "inline" (this process), "local" (a process a core), "hadoop" or "spark". "local",
            as it needs nothing else.
        cores: tasks that run at once on this machine. None: one for each core.
        tmp: the folder for temporary files, which go when the cluster is closed. None: the
            system's.
        jobconf: Hadoop's settings of every job (queue, memory, ...), by name. None: those of
            HADOOP_CONF_DIR alone.
        node_python: for "hadoop": the command of the nodes' Python.
        wheels: for "hadoop": a folder with a wheel of mrdl for that Python, where it is another one
            than here. None: mrdl as it is here goes along.

    Raises:
        ConfigError: there is no such runner.
        OSError: it cannot work here; the message says what is missing."""

    def __init__(self, runner: str = "local", cores: int | None = None, tmp: str | None = None,
                 jobconf: dict[str, str] | None = None, node_python: str = "python3",
                 wheels: str | None = None):
        if runner not in registry.RUNNERS:
            raise ConfigError(f"no runner {runner!r}: there are {', '.join(registry.RUNNERS)}")
        self.runner, self.cores, self.jobconf = runner, cores or os.cpu_count() or 1, jobconf or {}
        self.tag: str | None = None             # of the jobs of one run
        self.warned: Callable[[str], None] = lambda text: None
        self.planned: Callable[[str], None] = lambda text: None
        self.waiting: Callable[[str, float], None] = lambda text, seconds: None   # what for, and how long already
        self.node_python, self.wheels = node_python, wheels
        self.tmp = tempfile.mkdtemp(prefix="mrdl-", dir=tmp)
        self.backend: Backend | None = None
        try:
            self.backend = registry.backend(runner)(self)
        except BaseException:
            self.close()
            raise

    def ready(self) -> None:
        """OSError, in one line, where jobs cannot run."""
        self.backend.ready()

    def own(self, url: str, spared: str | None = None) -> None:
        """Jobs are those of the run at `url` from now on; what a driver of it that died left is ended,
        but for one job.

        Args:
            url: the run's directory.
            spared: the id of a job that is left at work. None: none is."""
        self.tag = tag_of(url)
        self.backend.own(self.tag, spared)

    def meeting(self, url: str) -> str:
        """The folder where resident workers of the run at `url` meet their driver.

        Args:
            url: the run's directory."""
        home = self.backend.home(f"resident/{tag_of(url)}")
        return os.path.join(self.tmp, "meeting") if home is None else f"{url}/resident" if url.startswith("hdfs:") else home

    def upload(self, path: str) -> str:
        """What tasks read a file of this machine's by: the URL of a copy, where they are on others.

        Args:
            path: a file of this machine."""
        return self.backend.upload(path)

    def slots(self) -> int:
        """How many tasks run at once, were nothing else there; 0 where nobody knows."""
        return self.backend.slots()

    def holds(self, workers: int) -> bool:
        """Can so many mappers run at once, and stay?

        Args:
            workers: how many mappers."""
        return self.backend.holds(workers)

    def reducers(self, workers: int, chunks: int) -> int:
        """How many reducers merge that many chunks: where one costs a second to start, 4 M values each.

        Args:
            workers: of the round.
            chunks: of its vector."""
        return max(1, min(workers, -(-chunks // 32) if self.backend.jvms else chunks))

    def run(self, job: type[Job], inputs: Iterable[str | list[str]], args: Iterable[str] = (),
            reducers: int = 1, split: bool = False, name: str | None = None,
            settings: dict[str, str] | None = None,
            on_task: Callable[[str, int, int], None] | None = None) -> Output:
        """Runs a job to its end.

        Args:
            job: the job's class.
            inputs: for each mapper a path, or a list of paths that it reads whole, one after
                another.
            args: the job's arguments, as on a command line.
            reducers: how many, 1 or more.
            split: whether plain files may be cut at line ends, into about as many ranges as cores,
                or as Hadoop cuts them. False: a file is one mapper's.
            name: the job's, as Hadoop's pages show it. None: mrjob's.
            settings: Hadoop's, by name, of this job. None: the cluster's alone.
            on_task: called as tasks end: on_task(kind, done, total). None: not called.

        Returns:
            The job's output, one part for each reducer.

        Raises:
            JobFailed: a task failed; inline it is the task's own exception."""
        runner = self._runner(job, inputs, args, reducers, split, name, settings)
        runner.on_task = on_task
        try:
            runner.run()
        except BaseException:
            runner.cleanup()
            raise
        return output_of(runner)

    def begin(self, job: type[Job], inputs: Iterable[str | list[str]], args: Iterable[str] = (),
              reducers: int = 1, name: str | None = None, settings: dict[str, str] | None = None,
              begun: Callable[[dict], None] = lambda note: None) -> Background:
        """Runs a job in the background, all its mappers at once. It outlives a driver that is killed.

        Args:
            job: the job's class.
            inputs: for each mapper a path, or a list of paths.
            args: the job's arguments, as on a command line.
            reducers: how many, 1 or more.
            name: the job's, as Hadoop's pages show it. None: mrjob's.
            settings: Hadoop's, by name, of this job. None: the cluster's alone.
            begun: called with what `adopted` finds the job by."""
        inputs = list(inputs)
        runner = self._runner(job, inputs, args, reducers, False, name, settings, len(inputs))
        runner.begun = begun
        return Background(runner)

    def adopted(self, note: dict) -> Background | None:
        """The job that the note is of, if it still runs.

        Args:
            note: what `begun` was called with."""
        runner = self.backend.adopted(note)
        return runner and Background(runner)

    def command(self, job: type[Job], inputs: Iterable[str | list[str]], args: Iterable[str], reducers: int,
                name: str, output: str) -> list[str]:
        """The command that runs such a job without us, and writes to `output`: `hadoop jar ...` with files
        that lie on HDFS; on this machine the job's own.

        Args:
            job: the job's class.
            inputs: for each mapper a path, or a list of paths.
            args: the job's arguments, as on a command line.
            reducers: how many, 1 or more.
            name: the job's, as Hadoop's pages show it.
            output: the folder that the job is to write."""
        return self.backend.command(self._runner(job, inputs, args, reducers, False, name, None), job, args, output)

    def _runner(self, job: type[Job], inputs: Iterable[str | list[str]], args: Iterable[str],
                reducers: int, split: bool, name: str | None, settings: dict[str, str] | None,
                cores: int = 1):
        """mrjob's runner of a job."""
        groups = [[_existing(path) for path in ([item] if isinstance(item, str) else item)]
                  for item in map(_plain, inputs)]
        settings = {"mapreduce.job.reduces": reducers, "mapreduce.job.name": name,
                    "mapreduce.job.tags": self.tag, **(settings or {}), **self.jobconf}
        if not split:
            settings |= WHOLE_FILES
        launcher = job(["-r", self.runner, *args, *arguments(settings)])
        kwargs = launcher._runner_kwargs()
        kwargs.update(input_paths=[path for group in groups for path in group],
                      num_cores=max(cores, self.cores), check_input_paths=False, local_tmp_dir=self.tmp)
        return self.backend.made(kwargs, groups)

    def close(self) -> None:
        """Ends every process and removes every file of this cluster's."""
        try:
            if self.backend:
                self.backend.close()
        finally:                        # Ctrl-C while they end
            shutil.rmtree(self.tmp, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


@contextmanager
def opened(runner: str | Cluster, cores: int | None = None) -> Iterator[Cluster]:
    """A cluster of the runner of this name, for a while; or the caller's own, which stays open."""
    if isinstance(runner, Cluster):
        yield runner
    else:
        with Cluster(runner, cores) as cluster:
            yield cluster


def tag_of(url: str) -> str:
    """What marks the jobs of the run at `url`."""
    return "mrdl-" + blake2b(url.encode(), digest_size=12).hexdigest()


def _plain(item) -> str | list[str]:
    """An input as a path or a list of them: pathlib's paths too, and file:// URLs."""
    if isinstance(item, (list, tuple)):
        return [_plain(path) for path in item]
    return os.fspath(item).removeprefix("file://")


def _existing(path: str) -> str:
    if "://" in path:               # on HDFS: the job itself says what is missing
        return path
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such input file")
    return os.path.abspath(path)
