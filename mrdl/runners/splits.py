"""Cuts a job's inputs into splits: what each mapper reads."""
from collections.abc import Callable, Iterator
from typing import BinaryIO

from mrdl.storage.packing import suffix
from mrdl.storage.paths import opened
from mrdl.storage.pieces import LONGEST, Long, read_pieces, skip_line

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


def delivered(pieces: Iterator[bytes], path: str, start: int, length: int) -> Iterator[bytes]:
    """The pieces of a split that Hadoop hands on; OSError at their end if there are fewer bytes than the split has: Hadoop skips
    lines that are longer than it may hold in memory, and says so in its log alone."""
    count = 0
    for piece in pieces:
        count += piece.size + 1 if isinstance(piece, Long) else len(piece)
        yield piece
    with opened(path) as file:
        ends = []
        for place in (start, start + length):
            file.seek(place)
            ends.append(place + (skip_line(file) if place else 0))
    lost = ends[1] - ends[0] - count
    if lost >= LONGEST:                 # less may be a byte order mark, or the end of a last line, which Hadoop adds
        raise OSError(f"Hadoop has skipped {lost:,} bytes behind byte {start:,}, which are lines of more than {LONGEST >> 20} MB each; take them "
                      "out, or pack the file, for example with gzip: then mrdl reads it itself, and counts them as bad records")


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
