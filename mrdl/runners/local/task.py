"""Runs one attempt of a mapper or reducer: reads its lines (sorted for a reducer), writes its output files."""
import errno
import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, MADV_DONTNEED, PAGESIZE, mmap
from os.path import join

from mrdl.runners.local.shuffle import Shuffle, is_long, long_lines, read_sorted
from mrdl.runners.splits import NO_END, Split, lines_between
from mrdl.storage.packing import suffix
from mrdl.storage.paths import opened


@dataclass(frozen=True)
class Task:
    """Everything that a mapper or reducer needs to run, in this process or in a child of the fork server."""
    job: list[str]          # the job class: its module, name and file
    kind: str               # mapper | reducer
    number: int
    args: list[str]
    inputs: list            # a mapper's Split; a reducer's list of paths
    files: dict[str, str]   # name in the task's working directory -> path
    folder: str             # contains the log, and a folder for each attempt
    env: dict[str, str]
    reducers: int           # the number of output files
    sort_values: bool
    sort_memory: int
    attempt: int = 0

    @property
    def log(self) -> str:
        return join(self.folder, "stderr")

    @property
    def output(self) -> str:
        return join(self.folder, f"attempt-{self.attempt}")     # the output of a killed attempt is never read

    def __str__(self) -> str:
        read = [path for path, *_ in self.inputs] if self.kind == "mapper" else []
        return f"{self.kind} {self.number}" + (f" (input {', '.join(read)})" if read else "")


def perform(task: Task, job: type) -> None:
    """Runs one attempt of the task in this process."""
    here = join(task.output, "wd")
    os.makedirs(here)
    for name, path in task.files.items():
        os.symlink(path, join(here, name))
    os.chdir(here)
    os.environ.update(task.env, mapreduce_job_local_dir=here)
    lines = read_splits(task.inputs, job.in_pieces) if task.kind == "mapper" else read_sorted(
        task.inputs, 2 if task.sort_values else 1, task.sort_memory, task.output, job.reduces_pieces)
    output = Shuffle(task.output, task.reducers, task.sort_values)
    with open(task.log, "ab", buffering=0) as log:
        try:
            job(task.args).sandbox(stdin=lines, stdout=output, stderr=log).execute()
        except SystemExit as end:
            if end.code:
                raise
    output.close()


def told(error: BaseException) -> str:
    """The message of a failed task: one line if its input or a full disk is the cause, else the traceback."""
    ours = isinstance(error, ValueError) and type(error).__module__.partition(".")[0] == "mrdl"
    if ours or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return f"{type(error).__name__}: {error}\n"
    return "".join(traceback.format_exception(error))


def read_splits(split: Split, pieces: bool = False) -> Iterator[bytes]:
    """A mapper's lines; `pieces`: many at a time. A file of long lines is mapped into memory."""
    for path, start, stop in split:
        os.environ["mapreduce_map_input_file"] = "file://" + path
        with opened(path) if pieces or suffix(path) else open(path, "rb", buffering=1 << 20) as file:
            if pieces or suffix(path) or start or stop is not NO_END or not is_long(file):
                yield from lines_between(file, start, stop, pieces)
                continue
            with mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
                for begin, end in long_lines(whole):
                    yield whole[begin:end]
                    begin -= begin % PAGESIZE
                    whole.madvise(MADV_DONTNEED, begin, end - begin)    # else the task seems to hold the whole file
