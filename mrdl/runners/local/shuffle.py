"""The local shuffle: distributes lines to reducers, and sorts them by key, in memory or by GNU sort on disk."""
import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from mmap import ACCESS_READ, mmap
from os.path import getsize, join

from mrdl.runners.partitioning import partition
from mrdl.storage.pieces import read_pieces

SHUFFLE_MEMORY = 16 << 20
LONG_LINE = 1 << 16            # bytes; longer lines are moved one by one, to save copies
LONG_KEY = 1 << 10             # the key fields of a long line are within its first LONG_KEY bytes


def is_long(file) -> bool:
    """True if the first line is longer than LONG_LINE. Such files are memory-mapped, and each line is copied once."""
    head = file.peek(LONG_LINE)[:LONG_LINE]
    return len(head) == LONG_LINE and b"\n" not in head


def long_lines(whole: mmap) -> Iterator[tuple[int, int]]:
    """The (start, end) of each line, without its newline."""
    start = 0
    while start < len(whole):
        end = whole.find(b"\n", start)
        end = len(whole) if end < 0 else end
        yield start, end
        start = end + 1


def read_sorted(paths: list[str], fields: int, memory: int, folder: str, pieces: bool = False) -> Iterator[bytes]:
    """The lines of all files, sorted by their first `fields` fields: in memory if the files have at most `memory` bytes, else
    by GNU sort with temporary files in `folder`. `pieces`: many lines at a time."""
    if sum(map(getsize, paths)) <= memory:
        yield from _sorted_here(paths, fields)
        return
    command = ["sort", "-s", "-t", "\t", f"-k1,{fields}", f"-S{memory >> 10}K", "-T", folder]
    with subprocess.Popen([*command, "--", *paths], stdout=subprocess.PIPE,
                          env={**os.environ, "LC_ALL": "C"}) as sort:
        try:
            yield from read_pieces(sort.stdout, longest=sys.maxsize) if pieces else sort.stdout
        except GeneratorExit:       # the reducer reads no further
            sort.kill()
            raise
    if sort.returncode:
        raise OSError(f"sort ended with status {sort.returncode}: is {folder} full?")


def _sorted_here(paths: list[str], fields: int) -> Iterator[bytes]:
    """The lines of all files, sorted in memory by their first fields."""
    def key(line: bytes) -> bytes:
        end = -1
        for _ in range(fields):
            end = line.find(b"\t", end + 1)
            if end < 0:
                return line
        return line[:end]

    lines, long = [], []            # short lines, and (key, mapped file, start, end) of long ones
    for path in paths:
        with open(path, "rb", buffering=LONG_LINE) as file:
            if is_long(file):
                whole = mmap(file.fileno(), 0, access=ACCESS_READ)
                long += [(key(whole[start:min(end, start + LONG_KEY)]), whole, start, end)
                         for start, end in long_lines(whole)]
            else:
                lines += file.read().split(b"\n")
                lines.pop()         # the empty string after the last newline
    if not long:
        lines.sort(key=key)
        lines.reverse()
        while lines:                # frees each line after its use
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
            self._deal(self.begun[0], self.begun)       # mrjob writes a line in pieces; joining them would copy it
        else:
            text = b"".join(self.begun)
            key = text[:text.find(b"\t") + 1]
            if key and text.count(b"\n" + key) + 1 == text.count(b"\n"):
                self._deal(text, [text])                # many lines of one key
            else:
                for line in BytesIO(text):
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
