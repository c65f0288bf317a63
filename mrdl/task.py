"""One attempt of a mapper or reducer: its lines in, sorted if need be; its output files out."""
import bz2
import gzip
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from mmap import ACCESS_READ, mmap
from os.path import getsize, join

from mrdl.streaming import partition

SHUFFLE_MEMORY = 16 << 20
LONG_LINE = 1 << 16            # a file whose first line is longer is read as one of blocks
OPENERS = {".gz": gzip.open, ".bz2": bz2.open}
NO_END = None
Split = list[tuple[str, int, int | None]]       # path, first byte, end: one mapper's input


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
    lines = read_splits(task.inputs) if task.kind == "mapper" else read_sorted(task)
    output = Shuffle(task.output, task.reducers, task.sort_values)
    with open(task.log, "ab", buffering=0) as log:
        try:
            job(task.args).sandbox(stdin=lines, stdout=output, stderr=log).execute()
        except SystemExit as end:
            if end.code:
                raise
    output.close()


def read_splits(split: Split) -> Iterator[bytes]:
    """A mapper's lines. A range owns the lines that begin in it, as in Hadoop."""
    for path, start, stop in split:
        os.environ["mapreduce_map_input_file"] = "file://" + path
        opener = OPENERS.get(os.path.splitext(path)[1])
        with opener(path) if opener else open(path, "rb", buffering=1 << 20) as file:
            if start:
                file.seek(start - 1)
                file.readline()
            if stop is NO_END:
                peeked = b"\n" if opener else file.peek(LONG_LINE)[:LONG_LINE]
                yield from _long_lines(file) if b"\n" not in peeked and peeked else file
                continue
            position = file.tell()
            while position < stop and (line := file.readline()):
                position += len(line)
                yield line


def _long_lines(file) -> Iterator[bytes]:
    """The lines of a file of blocks, without their ends: each is copied once, out of the page cache."""
    with mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
        start = 0
        while start < len(whole):
            end = whole.find(b"\n", start)
            end = len(whole) if end < 0 else end
            yield whole[start:end]
            start = end + 1


def read_sorted(task: Task) -> Iterator[bytes]:
    """A reducer's lines, in the order of their key's bytes (with SORT_VALUES: of two fields)."""
    def key(line: bytes) -> bytes:
        end = line.find(b"\t")
        if task.sort_values and end >= 0:
            end = line.find(b"\t", end + 1)
        return line[:end]       # without a tab: all but the newline

    if sum(map(getsize, task.inputs)) <= task.sort_memory:
        lines = []
        for path in task.inputs:
            with open(path, "rb") as file:      # long lines are found faster in one piece
                whole = file.read()
            lines += [line + b"\n" for line in whole.removesuffix(b"\n").split(b"\n")] if whole else []
        lines.sort(key=key)
        lines.reverse()
        while lines:
            yield lines.pop()
        return
    field = "-k1,2" if task.sort_values else "-k1,1"
    command = ["sort", "-s", "-t", "\t", field, f"-S{task.sort_memory >> 10}K", "-T", task.output]
    with subprocess.Popen([*command, "--", *task.inputs], stdout=subprocess.PIPE,
                          env={**os.environ, "LC_ALL": "C"}) as sort:
        try:
            yield from sort.stdout
        except GeneratorExit:       # the reducer has had enough
            sort.kill()
            raise
    if sort.returncode:
        raise OSError(f"sort ended with status {sort.returncode}: is {task.output} full?")


class Shuffle:
    """A task's stdout: each line goes into the file of its reducer, many lines at a time."""

    def __init__(self, folder: str, reducers: int, sort_values: bool):
        self.folder, self.reducers, self.sort_values = folder, reducers, sort_values
        self.parts: dict[int, list[bytes]] = {0: []} if reducers == 1 else {}
        self.begun: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self.begun.append(data)
        self.size += len(data)
        if data.endswith(b"\n"):
            self._end_line()
        return len(data)

    def _end_line(self) -> None:
        if self.reducers == 1:
            self.parts[0] += self.begun
        elif len(self.begun) == 2 and self.begun[1] == b"\n" and b"\n" not in self.begun[0]:
            self._deal(self.begun[0], self.begun)       # as mrjob writes a line: no copy of it
        else:
            for line in BytesIO(b"".join(self.begun)):
                self._deal(line, [line])
        self.begun = []
        if self.size > SHUFFLE_MEMORY:
            self.flush()

    def _deal(self, line: bytes, pieces: list[bytes]) -> None:
        number = partition(line[:line.find(b"\t")], self.reducers, self.sort_values)
        self.parts.setdefault(number, []).extend(pieces)

    def flush(self) -> None:
        for number, pieces in self.parts.items():
            with open(join(self.folder, f"part-{number:05d}"), "ab") as file:
                file.writelines(pieces)
            pieces.clear()
        self.size = 0

    def close(self) -> None:
        if self.begun:
            self.write(b"\n")
        self.flush()
