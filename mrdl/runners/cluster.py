"""Runs a job class on its inputs, and returns one output part per reducer, on any runner."""
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
        runner: "inline" (this process), "local" (one process per core), "hadoop" or "spark".
            The default is "local", because it needs no other software.
        cores: tasks that run at once on this machine. None: one per core.
        tmp: the folder for temporary files, which are removed when the cluster is closed. None:
            the system's folder.
        jobconf: Hadoop settings for every job (queue, memory, ...), by name. None: only the
            settings in HADOOP_CONF_DIR.
        node_python: for "hadoop": the command that starts Python on the nodes.
        wheels: for "hadoop": a folder with a wheel of mrdl for the nodes' Python, if its version
            differs from the driver's. None: the nodes get the mrdl that runs here.

    Raises:
        ConfigError: there is no such runner.
        OSError: the runner cannot work here; the message says what is missing."""

    def __init__(self, runner: str = "local", cores: int | None = None, tmp: str | None = None,
                 jobconf: dict[str, str] | None = None, node_python: str = "python3",
                 wheels: str | None = None):
        if runner not in registry.RUNNERS:
            raise ConfigError(f"there is no runner {runner!r}; choose one of {', '.join(registry.RUNNERS)}")
        self.runner, self.cores, self.jobconf = runner, cores or os.cpu_count() or 1, jobconf or {}
        self.tag: str | None = None             # marks the jobs of one run
        self.packages: tuple[str, ...] = ()     # that all tasks need beside those that they always have
        self.warned: Callable[[str], None] = lambda text: None
        self.planned: Callable[[str], None] = lambda text: None
        self.waiting: Callable[[str, float], None] = lambda text, seconds: None   # the reason, and how long so far
        self.node_python, self.wheels = node_python, wheels
        self.tmp = tempfile.mkdtemp(prefix="mrdl-", dir=tmp)
        self.backend: Backend | None = None
        try:
            self.backend = registry.backend(runner)(self)
        except BaseException:
            self.close()
            raise

    def ready(self) -> None:
        """Raises OSError with a one-line message if jobs cannot run."""
        self.backend.ready()

    @contextmanager
    def telling(self, warned: Callable[[str], None], waiting: Callable[[str, float], None]) -> Iterator[None]:
        """Meanwhile, what is to be said goes to these functions.

        Args:
            warned: called with a warning.
            waiting: called with what is waited for, and for how many seconds so far."""
        before = self.warned, self.waiting
        self.warned, self.waiting = warned, waiting
        try:
            yield
        finally:
            self.warned, self.waiting = before

    def own(self, url: str, spared: str | None = None) -> None:
        """From now on, jobs of this cluster belong to the run at `url`. Jobs that a dead driver of this
        run left behind are killed, except one.

        Args:
            url: the run's directory.
            spared: the id of a job that keeps running. None: all are killed."""
        self.tag = tag_of(url)
        self.backend.own(self.tag, spared)

    def meeting(self, url: str) -> str:
        """The folder where resident workers of the run at `url` meet their driver.

        Args:
            url: the run's directory."""
        home = self.backend.home(f"resident/{tag_of(url)}")
        return os.path.join(self.tmp, "meeting") if home is None else f"{url}/resident" if url.startswith("hdfs:") else home

    def upload(self, path: str) -> str:
        """Makes a file of this machine available to tasks: if they run on other machines, uploads a copy.

        Args:
            path: a file of this machine.

        Returns:
            The path or URL by which tasks read the file."""
        return self.backend.upload(path)

    def slots(self) -> int:
        """How many tasks can run at once if nothing else runs; 0 if that is unknown."""
        return self.backend.slots()

    def holds(self, workers: int) -> bool:
        """Can this many mappers run at once, and stay for many rounds?

        Args:
            workers: the number of mappers."""
        return self.backend.holds(workers)

    def reducers(self, workers: int, chunks: int) -> int:
        """How many reducers should merge this many chunks. If starting a reducer costs a second (a JVM), each
        merges about 4 M values.

        Args:
            workers: the number of workers in the round.
            chunks: the number of chunks of the vector."""
        return max(1, min(workers, -(-chunks // 32) if self.backend.jvms else chunks))

    def run(self, job: type[Job], inputs: Iterable[str | list[str]], args: Iterable[str] = (),
            reducers: int = 1, split: bool = False, name: str | None = None,
            settings: dict[str, str] | None = None, packages: Iterable[str] = (),
            on_task: Callable[[str, int, int], None] | None = None) -> Output:
        """Runs a job and waits for its end.

        Args:
            job: the job's class.
            inputs: for each mapper a path, or a list of paths that it reads one after another,
                each of them whole.
            args: the job's arguments, as on a command line.
            reducers: the number of reducers, at least 1.
            split: whether several mappers may share an uncompressed file: it is cut at line ends,
                into about as many ranges as there are cores, or as Hadoop cuts it. False: one
                mapper reads the whole file.
            name: the job's name in Hadoop's web pages. None: mrjob chooses one.
            settings: Hadoop settings for this job, by name. None: only the cluster's.
            packages: Python packages that its tasks need, beside those that all tasks have.
            on_task: called when a task ends: on_task(kind, done, total). None: not called.

        Returns:
            The job's output, one part for each reducer.

        Raises:
            JobFailed: a task failed. (The inline runner raises the task's own exception.)"""
        runner = self._runner(job, inputs, args, reducers, split, name, settings)
        runner.on_task, runner.packages = on_task, tuple(dict.fromkeys([*runner.packages, *packages]))
        try:
            runner.run()
        except BaseException:
            runner.cleanup()
            raise
        return output_of(runner)

    def begin(self, job: type[Job], inputs: Iterable[str | list[str]], args: Iterable[str] = (),
              reducers: int = 1, name: str | None = None, settings: dict[str, str] | None = None,
              begun: Callable[[dict], None] = lambda note: None) -> Background:
        """Starts a job in the background, with all its mappers at once. The job survives the driver's death.

        Args:
            job: the job's class.
            inputs: for each mapper a path, or a list of paths.
            args: the job's arguments, as on a command line.
            reducers: the number of reducers, at least 1.
            name: the job's name in Hadoop's web pages. None: mrjob chooses one.
            settings: Hadoop settings for this job, by name. None: only the cluster's.
            begun: called with a note by which `adopted` can find the job again."""
        inputs = list(inputs)
        runner = self._runner(job, inputs, args, reducers, False, name, settings, len(inputs))
        runner.begun = begun
        return Background(runner)

    def adopted(self, note: dict) -> Background | None:
        """The job that the note describes; None if it no longer runs.

        Args:
            note: what `begun` was called with."""
        runner = self.backend.adopted(note)
        return runner and Background(runner)

    def command(self, job: type[Job], inputs: Iterable[str | list[str]], args: Iterable[str], reducers: int,
                name: str, output: str) -> list[str]:
        """The command that runs such a job without mrdl's driver: for "hadoop" `hadoop jar ...`, whose files
        have been put on HDFS; for runners on this machine `python -m mrdl.jobs...`.

        Args:
            job: the job's class.
            inputs: for each mapper a path, or a list of paths.
            args: the job's arguments, as on a command line.
            reducers: the number of reducers, at least 1.
            name: the job's name in Hadoop's web pages.
            output: the folder that the job writes to."""
        return self.backend.command(self._runner(job, inputs, args, reducers, False, name, None), job, args, output)

    def _runner(self, job: type[Job], inputs: Iterable[str | list[str]], args: Iterable[str],
                reducers: int, split: bool, name: str | None, settings: dict[str, str] | None,
                cores: int = 1):
        """An mrjob runner for a job."""
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
        runner = self.backend.made(kwargs, groups)
        runner.packages = self.packages
        return runner

    def close(self) -> None:
        """Ends all processes of this cluster and removes all its files."""
        try:
            if self.backend:
                self.backend.close()
        finally:                        # also if Ctrl-C comes while they end
            shutil.rmtree(self.tmp, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


@contextmanager
def opened(runner: str | Cluster, cores: int | None = None) -> Iterator[Cluster]:
    """Yields a cluster with the named runner, which is closed afterwards; or the caller's own cluster, which stays open."""
    if isinstance(runner, Cluster):
        yield runner
    else:
        with Cluster(runner, cores) as cluster:
            yield cluster


def tag_of(url: str) -> str:
    """The tag that marks the jobs of the run at `url`."""
    return "mrdl-" + blake2b(url.encode(), digest_size=12).hexdigest()


def _plain(item) -> str | list[str]:
    """An input as a string, or a list of strings; accepts pathlib paths and file:// URLs."""
    if isinstance(item, (list, tuple)):
        return [_plain(path) for path in item]
    return os.fspath(item).removeprefix("file://")


def _existing(path: str) -> str:
    if "://" in path:               # on HDFS: the job itself reports a missing file
        return path
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such input file")
    return os.path.abspath(path)
