"""Cuts a job's inputs into splits: what each mapper reads."""
import errno
from collections.abc import Callable, Iterator
from typing import BinaryIO

from mrdl.storage.packing import suffix
from mrdl.storage.paths import opened
from mrdl.storage.pieces import LONGEST, SIZE, Long, read_pieces, skip_line

LARGEST_SPLIT = (1 << 63) - 1
SMALLEST_SPLIT = 16 << 20
NO_END = None
Split = list[tuple[str, int, int | None]]       # path, first byte, end: one mapper's input


def cut(groups: list[list[str]], pieces: int, least: int, most: int,
        size: Callable[[str], int]) -> list[Split]:
    """Makes the splits from `groups`, the paths of each mapper. A group of one uncompressed file is cut into ranges, so that
    all such files together give about `pieces` splits of `least` to `most` bytes."""
    plain = {group[0]: size(group[0]) for group in groups if least < LARGEST_SPLIT
             and len(group) == 1 and not suffix(group[0])}
    each = max(min(-(-sum(plain.values()) // pieces), most), least, SMALLEST_SPLIT)
    splits: list[Split] = []
    for group in groups:
        start, length = 0, plain.get(group[0], 0)
        while length - start > each * 1.1:      # Hadoop does the same, to avoid a tiny last split
            splits.append([(group[0], start, start + each)])
            start += each
        splits.append([(path, start, NO_END) for path in group])
    return splits


def delivered(pipe: BinaryIO, path: str, start: int, length: int) -> Iterator[bytes]:
    """The lines of a split that Hadoop hands on through a pipe, many at a time; OSError at their end if these are not those of the
    split: Hadoop leaves out lines that are longer than it may hold in memory, and says so in its log alone."""
    count = 0
    for piece in read_pieces(pipe):
        count += piece.size + 1 if isinstance(piece, Long) else len(piece)
        yield piece
    with opened(path) as file:
        ends = []
        for place in (start, start + length):
            file.seek(place)
            ends.append(place + (skip_line(file) if place else 0))
    lost = ends[1] - ends[0] - count
    if not -1 <= lost < LONGEST:        # a byte order mark may be missing; the end of a last line, which Hadoop adds, be more
        raise OSError(errno.EIO, f"Hadoop has left out lines of more than {LONGEST >> 20} MB, {abs(lost):,} bytes, behind byte {start:,}; the task's "
                      "next attempt reads the file itself, and counts them as bad records", path)


def read_again(pipe: BinaryIO, path: str, start: int, length: int) -> Iterator[bytes]:
    """The lines of a split, read without Hadoop, whose pipe is drained: a task whose pipe is closed fails."""
    while pipe.read(SIZE):
        pass
    with opened(path) as file:
        yield from lines_between(file, start, start + length, pieces=True)


def lines_between(file: BinaryIO, start: int, stop: int | None, pieces: bool = False) -> Iterator[bytes]:
    """The lines of one range of an open file. As in Hadoop, a range that starts inside the file skips its
    first line, and reads on to the end of the line that begins at or before its end. `pieces`: many lines at a time."""
    if start:
        file.seek(start)
        skip_line(file)
    if pieces:
        size = None if stop is NO_END else stop - file.tell()
        yield from read_pieces(file, size) if size is None or size >= 0 else ()
        return
    if stop is NO_END:
        yield from file
        return
    position = file.tell()
    while position <= stop and (line := file.readline()):
        position += len(line)
        yield line
