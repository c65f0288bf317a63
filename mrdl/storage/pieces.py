"""Lines of files, many at a time: a piece is one or more whole lines, and each but the last one still has its newline."""
from collections.abc import Iterable, Iterator
from typing import BinaryIO

SIZE = 1 << 18                  # bytes of a piece: it stays in the cache
LONGEST = 8 << 20               # bytes of a line that is kept in memory
SHOWN = 1 << 16                 # bytes that are kept of a longer one


class Long(bytes):
    """The begin of a line that has more than LONGEST bytes; a piece of its own.

    Attributes:
        size: how many bytes the line has."""
    size: int

    @classmethod
    def of(cls, begin: bytes, size: int) -> "Long":
        made = cls(begin[:SHOWN])
        made.size = size
        return made


class Lines:
    """Iterates over single lines, without their newlines; `pieces` are the same lines, which can be read once.

    live: whether the next piece may be long in coming, so that none should wait for it."""

    def __init__(self, pieces: Iterable[bytes], live: bool = False):
        self.pieces, self.live = iter(pieces), live

    def __iter__(self) -> Iterator[bytes]:
        return (line for piece in self.pieces for line in piece.split(b"\n"))


def pieces_of(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in pieces, where they come so, else one by one."""
    return lines.pieces if isinstance(lines, Lines) else iter(lines)


def bare(piece: bytes) -> bytes:
    """The piece without its last newline."""
    return piece if isinstance(piece, Long) else piece.removesuffix(b"\n")


def read_pieces(file: BinaryIO, size: int | None = None, longest: int | None = None) -> Iterator[bytes]:
    """Pieces of a file, each with its last newline too.

    size: the bytes to read; the line that then goes on or begins is read to its end. None: all.
    longest: bytes of a line that is kept in memory. None: LONGEST."""
    longest = longest or LONGEST
    begun, length = [], 0           # of a line that goes on: bytes of it, and how many there are
    while data := file.readline(SIZE) if size == 0 else file.read(SIZE if size is None else min(SIZE, size)):
        last = size == 0 and data.endswith(b"\n")
        size = size and size - len(data)
        end = data.rfind(b"\n") + 1
        if end and length > longest:
            first = data.index(b"\n")
            yield Long.of(begun[0], length + first)
            begun, length, data, end = [], 0, data[first + 1:], end - first - 1
        if end:
            yield b"".join([*begun, memoryview(data)[:end]]) if begun else data[:end]
            begun, length = [], 0
        if end < len(data):
            length += len(data) - end
            begun.append(data[end:])
            if length > longest:
                begun = [b"".join(begun)[:SHOWN]]
        if last:
            return
    if begun:
        yield b"".join(begun) if length <= longest else Long.of(begun[0], length)


def skip_line(file: BinaryIO) -> int:
    """Reads to behind the next newline; gives how many bytes that were."""
    size = 0
    while data := file.readline(SIZE):
        size += len(data)
        if data.endswith(b"\n"):
            break
    return size


def read_lines(file: BinaryIO) -> Lines:
    """All lines of a file."""
    return Lines(map(bare, read_pieces(file)))
