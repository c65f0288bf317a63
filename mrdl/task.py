"""One attempt of a mapper or reducer: its lines in, sorted if need be; its output files out."""
import errno
import os
import subprocess
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from mmap import ACCESS_READ, mmap
from os.path import getsize, join

from mrdl.partitioning import partition
from mrdl.paths import OPENERS
from mrdl.splits import NO_END, Split

SHUFFLE_MEMORY = 16 << 20
LONG_LINE = 1 << 16            # lines beyond this are moved one by one, with few copies
LONG_KEY = 1 << 10             # the key fields of a long line stand within this


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
                if opener or start or not _is_long(file):
                    yield from file
                    continue
                with mmap(file.fileno(), 0, access=ACCESS_READ) as whole:
                    for begin, end in _long_lines(whole):
                        yield whole[begin:end]
                continue
            position = file.tell()
            while position <= stop and (line := file.readline()):
                position += len(line)
                yield line


def _is_long(file) -> bool:
    """Is this a file of long lines, by its first one? Such are taken out of the page cache, a copy each."""
    head = file.peek(LONG_LINE)[:LONG_LINE]
    return len(head) == LONG_LINE and b"\n" not in head


def _long_lines(whole: mmap) -> Iterator[tuple[int, int]]:
    """Where the lines begin and end, without their newlines."""
    start = 0
    while start < len(whole):
        end = whole.find(b"\n", start)
        end = len(whole) if end < 0 else end
        yield start, end
        start = end + 1


def read_sorted(paths: list[str], fields: int, memory: int, folder: str) -> Iterator[bytes]:
    """The lines of files in the order of their first `fields`: sorted in memory, or where they are more than so many bytes
    by GNU sort, in files of the folder."""
    if sum(map(getsize, paths)) <= memory:
        yield from _sorted_here(paths, fields)
        return
    command = ["sort", "-s", "-t", "\t", f"-k1,{fields}", f"-S{memory >> 10}K", "-T", folder]
    with subprocess.Popen([*command, "--", *paths], stdout=subprocess.PIPE,
                          env={**os.environ, "LC_ALL": "C"}) as sort:
        try:
            yield from sort.stdout
        except GeneratorExit:       # the reducer has had enough
            sort.kill()
            raise
    if sort.returncode:
        raise OSError(f"sort ended with status {sort.returncode}: is {folder} full?")


def _sorted_here(paths: list[str], fields: int) -> Iterator[bytes]:
    """The lines of files in the order of their first fields, sorted in memory."""
    def key(line: bytes) -> bytes:
        end = -1
        for _ in range(fields):
            end = line.find(b"\t", end + 1)
            if end < 0:
                return line
        return line[:end]

    lines, long = [], []            # whole ones, and (key, file, place) of long ones
    for path in paths:
        with open(path, "rb", buffering=LONG_LINE) as file:
            if _is_long(file):
                whole = mmap(file.fileno(), 0, access=ACCESS_READ)
                long += [(key(whole[start:min(end, start + LONG_KEY)]), whole, start, end)
                         for start, end in _long_lines(whole)]
            else:
                lines += file.read().split(b"\n")
                lines.pop()         # what follows the last newline
    if not long:
        lines.sort(key=key)
        lines.reverse()
        while lines:                # each is freed when it was used
            yield lines.pop()
        return
    long += [(key(line), line, 0, len(line)) for line in lines]
    for _, whole, start, end in sorted(long, key=lambda entry: entry[0]):
        yield whole[start:end]


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
        length = sum(map(len, self.begun))
        if self.reducers == 1:
            self.parts[0] += self.begun
        elif len(self.begun) == 2 and self.begun[1] == b"\n" and b"\n" not in self.begun[0]:
            self._deal(self.begun[0], self.begun)       # as mrjob writes a line: no copy of it
        else:
            for line in BytesIO(b"".join(self.begun)):
                self._deal(line, [line])
        self.begun = []
        if self.size > SHUFFLE_MEMORY or length > LONG_LINE:
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
