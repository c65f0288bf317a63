"""What differs from runner to runner behind a Cluster: a new runner has a Backend of its own, and a line in mrdl.runners.registry."""
import sys
from collections.abc import Iterable
from typing import Any, ClassVar

from mrdl.runners.streaming import Job


class Backend:
    """Where the jobs of one cluster run. The defaults are those of tasks in this process.

    `cluster` has what the user asked for (cores, jobconf, ...), the folder `tmp`, and who is told (`warned`, `waiting`)."""
    kind: ClassVar[type]                # mrjob's runner
    jvms: ClassVar[bool] = False        # does each task cost a JVM?
    stays: ClassVar[bool] = False       # can workers stay for many rounds?

    def __init__(self, cluster):
        self.cluster = cluster

    def ready(self) -> None:
        """OSError, in one line, where jobs cannot run."""

    def own(self, tag: str, spared: str | None) -> None:
        """Ends what a driver that died left of the jobs of this tag, but for one."""

    def home(self, name: str) -> str | None:
        """A name in the user's own folder on the cluster, as a URL; None where tasks share this machine's files."""

    def upload(self, path: str) -> str:
        """What tasks read a file of this machine's by."""
        return path

    def slots(self) -> int:
        """How many tasks run at once, were nothing else there; 0 where nobody knows."""
        return self.cluster.cores

    def holds(self, workers: int) -> bool:
        """Can so many mappers run at once, and stay?"""
        return False

    def made(self, options: dict[str, Any], groups: list[list[str]]):
        """mrjob's runner of a job, with its options; `groups`: the paths of each mapper."""
        raise NotImplementedError           # each backend has its own

    def adopted(self, note: dict[str, Any]):
        """The job of a driver that died, with a runner's face, if it still runs."""

    def command(self, runner, job: type[Job], args: Iterable[str], output: str) -> list[str]:
        """The command that runs the job of a runner without us, and writes to `output`."""
        return [sys.executable, "-m", job.__module__, "-r", self.cluster.runner, *args, *arguments(runner._opts["jobconf"]),
                "--no-cat-output", "--output-dir", output, *runner._get_input_paths()]

    def close(self) -> None:
        """Ends every process."""


def arguments(settings: dict[str, Any]) -> list[str]:
    """Hadoop's settings as arguments of a job."""
    return [f"--jobconf={key}={value}" for key, value in settings.items() if value is not None]
