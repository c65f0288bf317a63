"""A job class and its inputs in, one part of output per reducer out, whatever the runner."""
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator

from mrdl.embedded import LARGEST_SPLIT, RUNNERS, JobFailed, LocalRunner
from mrdl.forkserver import ForkServer
from mrdl.streaming import Job, partition, spread

__all__ = ["Cluster", "JobFailed", "Output", "partition", "spread"]


class Output:
    """What a job wrote: part r is reducer r's (mapper r's where nothing is reduced)."""

    def __init__(self, parts: list[str], clean: Callable[[], None]):
        self.parts, self._clean = parts, clean

    def lines(self, part: int) -> Iterator[bytes]:
        """The lines of a part, without their newlines."""
        with open(self.parts[part], "rb", buffering=1 << 20) as file:
            for line in file:
                yield line.removesuffix(b"\n")

    def move(self, part: int, path: str) -> None:
        """Puts a part at `path`: renamed where that is on the same disk, over what is there."""
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        shutil.move(self.parts[part], path)
        self.parts[part] = path

    def close(self) -> None:
        """Removes what was not moved."""
        self._clean()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Cluster:
    """Where jobs run, for many rounds: `inline` (this process) or `local` (a process a core)."""

    def __init__(self, runner: str = "local", cores: int | None = None, tmp: str | None = None):
        if runner not in RUNNERS:
            raise ValueError(f"no runner {runner!r}: this version has {', '.join(RUNNERS)}")
        self.runner, self.cores = runner, cores or os.cpu_count() or 1
        self.tmp = tempfile.mkdtemp(prefix="mrdl-", dir=tmp)
        # started early: it warms up while the driver prepares its first job
        self.server = ForkServer(self.tmp) if RUNNERS[runner] is LocalRunner else None

    def run(self, job: type[Job], inputs: Iterable[str | list[str]], args: Iterable[str] = (),
            reducers: int = 1, split: bool = False, name: str | None = None,
            on_task: Callable[[str, int, int], None] | None = None) -> Output:
        """Runs the job to its end and gives its output, one part per reducer.

        Each input is one mapper's; one that is a list of paths is read whole, one after another.
        With `split`, plain files may be cut at line ends, into about as many ranges as cores.
        `on_task(kind, done, total)` is called as tasks end. Raises JobFailed, or inline the
        task's own exception."""
        groups = [[_existing(path) for path in ([item] if isinstance(item, str) else item)]
                  for item in map(_plain, inputs)]
        settings = {"mapreduce.job.reduces": reducers, "mapreduce.job.name": name}
        if not split:
            settings["mapreduce.input.fileinputformat.split.minsize"] = LARGEST_SPLIT
        launcher = job(["-r", self.runner, *args, *(
            f"--jobconf={key}={value}" for key, value in settings.items() if value is not None)])
        kwargs = launcher._runner_kwargs()
        kwargs.update(input_paths=[path for group in groups for path in group], num_cores=self.cores,
                      check_input_paths=False, local_tmp_dir=self.tmp)
        runner = RUNNERS[self.runner](**kwargs)
        runner.groups, runner.on_task, runner.server = groups, on_task, self.server
        try:
            runner.run()
        except BaseException:
            runner.cleanup()
            raise
        folder = runner.get_output_dir()
        return Output([os.path.join(folder, part) for part in sorted(os.listdir(folder))],
                      runner.cleanup)

    def close(self) -> None:
        """Ends every process and removes every file of this cluster's."""
        if self.server:
            self.server.kill()
        shutil.rmtree(self.tmp, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _plain(item) -> str | list[str]:
    """An input as a path or a list of them: pathlib's paths too, and file:// URLs."""
    if isinstance(item, (list, tuple)):
        return [_plain(path) for path in item]
    return os.fspath(item).removeprefix("file://")


def _existing(path: str) -> str:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such input file")
    return os.path.abspath(path)
