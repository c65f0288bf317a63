"""One attempt of a mapper or reducer: its lines in, sorted if need be; its output files out."""
import errno
import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from os.path import join

from mrdl.runners.local.shuffle import Shuffle, is_long, long_lines, read_sorted
from mrdl.runners.splits import NO_END, Split
from mrdl.storage.paths import OPENERS


@dataclass(frozen=True)
class Task:
    """All that a mapper or reducer needs to run, here or in a child of the fork server."""
    job: list[str]          # the class: module, name, file
    kind: str               # mapper | reducer
    number: int
    args: list[str]
    inputs: list            # a mapper's Split; a reducer's list of paths
    files: dict[str, str]   # name in its working directory -> path
    folder: str             # has its log and a folder for each attempt
    env: dict[str, str]
    reducers: int           # how many files its output is spread over
    sort_values: bool
    sort_memory: int
    attempt: int = 0

    @property
    def log(self) -> str:
        return join(self.folder, "stderr")

    @property
    def output(self) -> str:
        return join(self.folder, f"attempt-{self.attempt}")     # a killed one is never looked at

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
    lines = read_splits(task.inputs) if task.kind == "mapper" else read_sorted(
        task.inputs, 2 if task.sort_values else 1, task.sort_memory, task.output)
    output = Shuffle(task.output, task.reducers, task.sort_values)
    with open(task.log, "ab", buffering=0) as log:
        try:
            job(task.args).sandbox(stdin=lines, stdout=output, stderr=log).execute()
        except SystemExit as end:
            if end.code:
                raise
    output.close()


def told(error: BaseException) -> str:
    """What a task that failed has to say: one line where its input or a full disk is to blame, else the traceback."""
    ours = isinstance(error, ValueError) and type(error).__module__.partition(".")[0] == "mrdl"
    if ours or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return f"{type(error).__name__}: {error}\n"
    return "".join(traceback.format_exception(error))


def read_splits(split: Split) -> Iterator[bytes]:
    """A mapper's lines. A range owns those that begin behind its first byte, up to the one at its end, as in Hadoop."""
    for path, start, stop in split:
        os.environ["mapreduce_map_input_file"] = "file://" + path
        opener = OPENERS.get(os.path.splitext(path)[1])
        with opener(path) if opener else open(path, "rb", buffering=1 << 20) as file:
            if start:
                file.seek(start)
                file.readline()
            if stop is NO_END:
                if opener or start or not is_long(file):
                    yield from file
                    continue
                with mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
                    for begin, end in long_lines(whole):
                        yield whole[begin:end]
                continue
            position = file.tell()
            while position <= stop and (line := file.readline()):
                position += len(line)
                yield line
