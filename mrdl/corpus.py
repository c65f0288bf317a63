"""Text files as one stream of bytes, in ranges that depend on nothing but the files; ranges as sequences of ids.

A range belongs to one mapper. It begins at the first character (of words: after the first white space) at or after its
first byte, and ends where the next one begins."""
import codecs
import itertools
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from mrdl.sources import DataError, opened, size
from mrdl.tokenizer import MOST, UNKNOWN, WORD, Tokenizer

RANGE = 16 << 20                # bytes of text that make a mapper
PIECE = 1 << 20                 # bytes of it that are decoded at once
LOOK = 1 << 12                  # bytes behind a range in which the token that follows is looked for first
LONGEST = 1 << 15               # steps of a sequence at most
SPACE = b" \n\t\r\f\v"
INSTEAD = "\ufffd"              # of what is not UTF-8
NOT_UTF_8 = "not UTF-8"


class Stream:
    """The files one after another."""

    def __init__(self, paths: list[str], sizes: list[int]):
        self.paths, self.starts = paths, [0]
        for length in sizes:
            self.starts.append(self.starts[-1] + length)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes start..stop, less where the stream ends."""
        found = []
        for path, begin, end in zip(self.paths, self.starts, self.starts[1:]):
            low, high = max(start, begin), min(stop, end)
            if low < high:
                with opened(path) as file:
                    file.seek(low - begin)
                    data = file.read(high - low)
                if len(data) != high - low:
                    raise DataError(f"{path}: it has become shorter while it was read")
                found.append(data)
        return b"".join(found)

    def where(self, offset: int) -> tuple[str, int]:
        """File and place in it of a byte of the stream."""
        i = max(i for i, start in enumerate(self.starts[:-1]) if start <= offset)
        return self.paths[i], offset - self.starts[i]

    def begin(self, offset: int, unit: str) -> int:
        """The first place at or after `offset` where a token can begin."""
        place = offset if unit == "char" or not offset else offset - 1
        while offset and place < self.starts[-1]:
            data = self.read(place, place + LOOK)
            for i, byte in enumerate(data):
                if unit == "char" and byte & 0xC0 != 0x80:      # no later byte of a character
                    return place + i
                if unit == "word" and byte in SPACE:
                    return place + i + 1
            place += len(data)
        return min(place, self.starts[-1])


def check(paths: list[str]) -> list[int]:
    """The files' sizes; DataError where one is compressed."""
    for path in paths:
        if path.endswith((".gz", ".bz2", ".npz")):
            raise DataError(f"{path}: text is read by ranges of bytes, which a compressed file has not: unpack it first")
    return [size(path) for path in paths]


def ranges(total: int) -> list[tuple[int, int]]:
    """Cuts of a stream, none shorter than half of RANGE but of a short stream."""
    count = max(1, round(total / RANGE))
    cuts = [total * i // count for i in range(count + 1)]
    return list(itertools.pairwise(cuts))


class Range:
    """One range's text, a piece at a time; counts its characters, and the bad ones among them: what is not UTF-8."""

    def __init__(self, stream: Stream, start: int, stop: int, unit: str):
        self.stream, self.unit = stream, unit
        self.start, self.stop = stream.begin(start, unit), stream.begin(stop, unit)
        self.characters, self.bad, self.samples = 0, 0, []

    def texts(self) -> Iterator[str]:
        """Pieces that no token straddles."""
        decoder, left = codecs.getincrementaldecoder("utf-8")("replace"), ""
        for place in range(self.start, self.stop, PIECE):
            end = min(place + PIECE, self.stop)
            held = decoder.getstate()[0]                # the begin of a character
            data = held + self.stream.read(place, end)
            text = decoder.decode(data[len(held):], end == self.stop)
            self.characters += len(text)
            if wrong := text.count(INSTEAD) - data.count(INSTEAD.encode()):     # a text may have that character itself
                self._reject(wrong, data, place - len(held))
            if self.unit == "word":
                text, left = left + text, ""
                if end < self.stop:
                    cut = max(text.rfind(space) for space in " \n\t\r") + 1
                    text, left = text[:cut], text[cut:]
            yield text

    def _reject(self, count: int, data: bytes, place: int) -> None:
        """Counts what is wrong in a piece that begins at `place`; shows the first."""
        self.bad += count
        try:
            data.decode()
        except UnicodeDecodeError as error:
            file, offset = self.stream.where(place + error.start)
            around = data[max(0, error.start - 20):error.start + 20]
            self.samples.append({"file": file, "offset": offset, "reason": NOT_UTF_8,
                                 "text": around.decode("utf-8", "replace")})

    def ids(self, tokenizer: Tokenizer) -> tuple[np.ndarray, int]:
        """The tokens of the range and the one that follows it, if any; and how many are the range's own."""
        own = [tokenizer.encode(text) for text in self.texts()]
        return np.concatenate([*own, tokenizer.encode(self.follower())]), sum(map(len, own))

    def follower(self) -> str:
        """The token after the range; "" where the stream ends before."""
        look, token = LOOK, re.compile(r"(?s:.)") if self.unit == "char" else WORD
        while True:
            data = self.stream.read(self.stop, self.stop + look)
            text = codecs.getincrementaldecoder("utf-8")("replace").decode(data, final := len(data) < look)
            found = token.search(text)
            if final or found and found.end() < len(text):
                return found.group() if found else ""
            look *= 2                                   # much white space, or a long word


def counted(stream: Stream, start: int, stop: int, unit: str) -> Counter:
    """How often each token occurs in a range."""
    found: Counter = Counter()
    for text in Range(stream, start, stop, unit).texts():
        found.update(text if unit == "char" else WORD.findall(text))
    return found


def vocabulary(counts: Iterator[tuple[str, int]], most: int) -> list[str]:
    """[UNK], then the tokens by falling count, those of one count in the order of their characters; `most` entries at
    most. Memory is that of what is kept."""
    kept: list[tuple[int, str]] = []
    for token, count in counts:
        kept.append((-count, token))
        if len(kept) > 4 * MOST:
            kept = sorted(kept)[:most - 1]
    return [UNKNOWN, *(token for _, token in sorted(kept)[:most - 1])]


def cut(ids: np.ndarray, steps: int) -> np.ndarray:
    """Rows [n, steps + 1]: each steps and the token after them. The last one begins earlier, to end with the ids: every
    token but the first is the target of a step."""
    targets = len(ids) - 1
    if targets < steps:
        return np.empty((0, steps + 1), ids.dtype)
    starts = list(range(0, targets - steps + 1, steps))
    if targets % steps:
        starts.append(targets - steps)
    return np.lib.stride_tricks.sliding_window_view(ids, steps + 1)[starts]
