"""The local shuffle: lines in, sorted by key; in memory, or by GNU sort on disk."""
import os
import subprocess
from collections.abc import Iterator
from io import BytesIO
from mmap import ACCESS_READ, mmap
from os.path import getsize, join

from mrdl.runners.partitioning import partition

SHUFFLE_MEMORY = 16 << 20
LONG_LINE = 1 << 16            # lines beyond this are moved one by one, with few copies
LONG_KEY = 1 << 10             # the key fields of a long line stand within this


def is_long(file) -> bool:
    """Is this a file of long lines, by its first one? Such are taken out of the page cache, a copy each."""
    head = file.peek(LONG_LINE)[:LONG_LINE]
    return len(head) == LONG_LINE and b"\n" not in head


def long_lines(whole: mmap) -> Iterator[tuple[int, int]]:
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
            if is_long(file):
                whole = mmap(file.fileno(), 0, access=ACCESS_READ)
                long += [(key(whole[start:min(end, start + LONG_KEY)]), whole, start, end)
                         for start, end in long_lines(whole)]
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
