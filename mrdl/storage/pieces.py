"""Lines of files, many at a time: a piece is one or more whole lines, and each but the last one still has its newline."""
from collections.abc import Iterable, Iterator
from typing import BinaryIO

SIZE = 1 << 18                  # bytes of a piece: it stays in the cache


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


def read_pieces(file: BinaryIO, size: int | None = None) -> Iterator[bytes]:
    """Pieces of a file, each with its last newline too.

    size: the bytes to read; the line that then goes on or begins is read to its end. None: all."""
    begun: list[bytes] = []
    while data := file.read(SIZE if size is None else min(SIZE, size)):
        size = None if size is None else size - len(data)
        end = data.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, data[:end]])
            begun = []
        begun += [data[end:]] if end < len(data) else []
    if size is not None:
        begun.append(file.readline())
    if rest := b"".join(begun):
        yield rest


def read_lines(file: BinaryIO) -> Lines:
    """All lines of a file."""
    return Lines(piece.removesuffix(b"\n") for piece in read_pieces(file))
