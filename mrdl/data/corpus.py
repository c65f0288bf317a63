"""Text files as one stream of bytes, in ranges that depend on nothing but the files; ranges as sequences of ids.

A range belongs to one mapper. It begins at the first character (of words: behind the first white space or mark) at or
after its first byte, and ends where the next one begins. Only a word longer than LONG may be cut in two, so that memory
does not depend on the text."""
import codecs
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from shlex import quote

import numpy as np

from mrdl.data.sources import DataError
from mrdl.data.tokenizer import MOST, UNKNOWN, WORD, Tokenizer
from mrdl.storage.packing import suffix
from mrdl.storage.paths import head, opened, size

RANGE = 16 << 20                # bytes of text that make a mapper
PIECE = 1 << 20                 # bytes of it that are decoded at once
LOOK = 1 << 12                  # bytes in which the place where a range begins is looked for first
LONG = 1 << 20                  # bytes or characters without white space or mark, behind which a word may be cut
LONGEST = 1 << 15               # steps of a sequence at most
SAMPLES = 20                    # bad characters shown
END = re.compile(r"[^\w\udc80-\udcff]")     # a character behind which a token can begin; none of a surrogate escape
ENDS = re.compile(r"(?s:.*)\W")             # all text up to the last one
INSTEAD = "\ufffd"              # of what is not UTF-8
NOT_UTF_8 = "not UTF-8"
BOM = codecs.BOM_UTF8
ENCODINGS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
#: first bytes of a packed file -> what unpacks it, and the end of its name
PACKED = {b"\x1f\x8b": ("gunzip", ".gz"), b"\xfd7zXZ\0": ("unxz", ".xz"), b"PK\3\4": ("unzip", ".zip"), b"\x28\xb5\x2f\xfd": ("unzstd", ".zst"),
          **{b"BZh%d1AY&SY" % i: ("bunzip2", ".bz2") for i in range(1, 10)}}      # "BZh" alone may be text


class Stream:
    """The files one after another, each without the bytes of its head that are no text."""

    def __init__(self, paths: list[str], sizes: list[int], heads: list[int]):
        self.paths, self.heads, self.starts = paths, heads, [0]
        for length in sizes:
            self.starts.append(self.starts[-1] + length)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes start..stop, less where the stream ends."""
        found = []
        for path, skipped, begin, end in zip(self.paths, self.heads, self.starts, self.starts[1:]):
            low, high = max(start, begin), min(stop, end)
            if low < high:
                with opened(path) as file:
                    file.seek(skipped + low - begin)
                    data = file.read(high - low)
                if len(data) != high - low:
                    raise DataError(f"{path}: became shorter while it was being read")
                found.append(data)
        return b"".join(found)

    def where(self, offset: int) -> tuple[str, int]:
        """File and place in it of a byte of the stream."""
        i = max(i for i, start in enumerate(self.starts[:-1]) if start <= offset)
        return self.paths[i], self.heads[i] + offset - self.starts[i]

    def begin(self, offset: int, unit: str) -> int:
        """The first place at or after `offset` where a token can begin; in a word that is too long its next character."""
        if not 0 < offset < self.starts[-1]:
            return offset
        if unit == "char":
            return self._border(offset)
        first = place = at = self._border(offset - 1)
        look, decoder = LOOK, codecs.getincrementaldecoder("utf-8")("surrogateescape")      # it keeps the count of bytes
        while at < first + LONG:
            if at >= self.starts[-1]:
                return self.starts[-1]
            text = decoder.decode(self.read(at, at + look))
            found = END.search(text)
            place += len(text[:found and found.end()].encode("utf-8", "surrogateescape"))
            if found:
                return place
            at, look = at + look, 2 * look
        return self._border(offset)

    def _border(self, offset: int) -> int:
        """The first place at or after `offset` where a character begins: it has at most three later bytes."""
        data = self.read(offset, offset + 3)
        return offset + next((i for i, byte in enumerate(data) if byte & 0xC0 != 0x80), len(data))


def check(paths: list[str]) -> tuple[list[int], list[int]]:
    """The bytes of text in each file, and those before it: a byte order mark. DataError where one is not UTF-8 by its
    first bytes, or compressed."""
    sizes, heads = [], []
    for path in paths:
        found = head(path, 16)
        packed = next((tool for magic, (tool, _) in PACKED.items() if found.startswith(magic)), None)
        if packed or suffix(path) or path.endswith(".npz"):
            raise DataError(f"{path}: text is read in ranges of bytes, so it must not be compressed: unpack it first"
                            + (f", with: {packed} {path}" if packed else ""))
        check_encoding(path, found)
        heads.append(len(BOM) if found.startswith(BOM) else 0)
        sizes.append(size(path) - heads[-1])
    return sizes, heads


def check_encoding(path: str, first: bytes, readable: bool = False) -> None:
    """DataError where the first bytes of a file say that it is UTF-16 or UTF-32. `readable`: whether it is read where the user says so."""
    encoding = next((name for magic, name in ENCODINGS.items() if first.startswith(magic)), None) or _unmarked(first[:16])
    if encoding:
        raise DataError(f"{path}: is {encoding}, and text must be UTF-8; convert it with: "
                        f"iconv -f {encoding} -t UTF-8 {quote(path)} > utf8{os.path.splitext(path)[1]}"
                        + f"; or say so: --encoding {encoding.lower()}" * readable)


def _unmarked(first: bytes) -> str | None:
    """UTF-16 of ASCII without a byte order mark: every other byte is 0."""
    halves = [first[start::2] for start in (0, 1)]
    zero = [len(half) > 3 and not any(half) for half in halves]
    return f"UTF-16{'BE' if zero[0] else 'LE'}" if zero[0] != zero[1] and all(halves[zero[0]]) else None


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
        self.content = blake2b(b"%d " % self.start, digest_size=8)

    def texts(self) -> Iterator[str]:
        """Pieces that no token straddles."""
        decoder, left = codecs.getincrementaldecoder("utf-8")("replace"), ""
        for place in range(self.start, self.stop, PIECE):
            end = min(place + PIECE, self.stop)
            held = decoder.getstate()[0]                # the begin of a character
            data = held + self.stream.read(place, end)
            self.content.update(data[len(held):])
            text = decoder.decode(data[len(held):], end == self.stop)
            self.characters += len(text)
            if wrong := text.count(INSTEAD) - data.count(INSTEAD.encode()):     # a text may have that character itself
                self._reject(wrong, data, place - len(held))
            if self.unit == "word":
                text, left = left + text, ""
                if end < self.stop:
                    found = ENDS.match(text)
                    cut = found.end() if found else len(text) if len(text) >= LONG else 0
                    text, left = text[:cut], text[cut:]
            yield text

    def _reject(self, count: int, data: bytes, place: int) -> None:
        """Counts what is wrong in a piece that begins at `place`; shows the first ones of the range."""
        self.bad += count
        good = 0                                        # up to where it was looked at
        for _ in range(min(count, SAMPLES - len(self.samples))):
            try:
                data[good:].decode()
            except UnicodeDecodeError as error:
                at, good = good + error.start, good + error.end
                file, offset = self.stream.where(place + at)
                around = data[max(0, at - 20):at + 20].decode("utf-8", "replace")
                self.samples.append({"place": place + at, "file": file, "offset": offset, "reason": NOT_UTF_8, "text": around})

    def ids(self, tokenizer: Tokenizer) -> tuple[np.ndarray, int]:
        """The tokens of the range and the one that follows it, if any; and how many are the range's own."""
        own = [tokenizer.encode(text) for text in self.texts()]
        return np.concatenate([*own, tokenizer.encode(self.follower())]), sum(map(len, own))

    def follower(self) -> str:
        """The token after the range; "" where the stream ends before."""
        token = re.compile(r"(?s:.)") if self.unit == "char" else WORD
        rest = Range(self.stream, self.stream.starts[-1], self.stream.starts[-1], self.unit)
        rest.start = self.stop
        return next((found.group() for text in rest.texts() if (found := token.search(text))), "")


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
