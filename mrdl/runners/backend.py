"""What differs from runner to runner behind a Cluster. A new runner is a subclass of Backend, and a line in
mrdl.runners.registry."""
import sys
from collections.abc import Iterable
from typing import Any, ClassVar

from mrdl.runners.streaming import Job


class Backend:
    """Where the jobs of one cluster run. The default methods suit tasks that run in this process.

    `cluster` has the user's options (cores, jobconf, ...), the folder `tmp`, and the functions to call with messages
    (`warned`, `waiting`)."""
    kind: ClassVar[type]                # mrjob's runner class
    jvms: ClassVar[bool] = False        # does each task cost a JVM?
    stays: ClassVar[bool] = False       # can workers stay for many rounds?

    def __init__(self, cluster):
        self.cluster = cluster

    def ready(self) -> None:
        """Raises OSError with a one-line message if jobs cannot run."""

    def check(self, paths: Iterable[str]) -> None:
        """Raises ConfigError if tasks cannot read one of these files, wherever it exists."""

    def reads(self, paths: Iterable[str]) -> None:
        """Raises ConfigError if tasks cannot open one of these files themselves, wherever it exists."""
        self.check(paths)

    def own(self, tag: str, spared: str | None) -> None:
        """Kills the jobs with this tag that a dead driver left behind, except the job whose id is `spared`."""

    def home(self, name: str) -> str | None:
        """The URL of `name` in the user's own folder on the cluster; None if tasks share this machine's files."""

    def upload(self, path: str) -> str:
        """Makes a file of this machine available to tasks, and returns the path or URL by which they read it."""
        return path

    def slots(self) -> int:
        """How many tasks can run at once if nothing else runs; 0 if that is unknown."""
        return self.cluster.cores

    def holds(self, workers: int) -> bool:
        """Can this many mappers run at once, and stay for many rounds?"""
        return False

    def made(self, options: dict[str, Any], groups: list[list[str]]):
        """An mrjob runner for a job with these options; `groups`: the paths of each mapper."""
        raise NotImplementedError           # each backend has its own

    def adopted(self, note: dict[str, Any]):
        """The job of a dead driver, as an object with a runner's methods; None if the job no longer runs."""

    def command(self, runner, job: type[Job], args: Iterable[str], output: str) -> list[str]:
        """The command that runs the runner's job without mrdl's driver, and writes to `output`."""
        return [sys.executable, "-m", job.__module__, "-r", self.cluster.runner, *args, *arguments(runner._opts["jobconf"]),
                "--no-cat-output", "--output-dir", output, *runner._get_input_paths()]

    def close(self) -> None:
        """Ends every process."""


def arguments(settings: dict[str, Any]) -> list[str]:
    """Hadoop settings as command-line arguments of a job."""
    return [f"--jobconf={key}={value}" for key, value in settings.items() if value is not None]
