"""Text in other encodings than UTF-8 in, the same text in UTF-8 out."""
import codecs
from collections.abc import Iterable, Iterator

import numpy as np

from mrdl.data.corpus import BOM
from mrdl.data.readers.quoted import line_ends
from mrdl.data.sources import DataError
from mrdl.storage.paths import opened
from mrdl.storage.pieces import Lines, Long, pieces_of

UTF_8 = "utf-8"
ANOTHER = "if the text has another encoding, say so, for example: --encoding latin-1"
#: those whose newline is of several bytes, each of which may be in other characters too, and of how many
WIDE = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4, "utf-32-le": 4, "utf-32-be": 4}
BIG = {"utf-16": codecs.BOM_UTF16_BE, "utf-32": codecs.BOM_UTF32_BE}     # with what a text begins, unless it is little-endian


def known(name: str) -> str:
    """Python's name of an encoding; DataError where text in it cannot be read."""
    try:
        codec = codecs.lookup(name)
        plain = codec.name in WIDE or bytes(range(128)).decode(name) == bytes(range(128)).decode("ascii")
    except (LookupError, ValueError):
        plain = False
    if not plain:
        raise DataError(f"encoding {name!r}: must be one of Python's in which ASCII is what it is in UTF-8, such as latin-1, cp1252 or gb18030; or "
                        "utf-16 or utf-32")
    return UTF_8 if codec.name in ("ascii", "utf-8-sig") else codec.name


def utf8(text: bytes, encoding: str) -> bytes:
    """Text of an encoding; bytes that have no meaning in it stay as they are, and so are not UTF-8. Of a wide one, text from the
    begin of a file, without the character that is cut off at its end."""
    if encoding in WIDE:
        return decoder(encoding, text).decode(text).encode().removeprefix(BOM)
    return text.decode(encoding, "surrogateescape").encode(errors="surrogateescape")


def contradicts(first: bytes, encoding: str) -> bool:
    """Whether the first bytes of a file cannot be of an encoding, or are UTF-8 rather."""
    if encoding in WIDE:
        return b"\0" not in first
    text = first[:first.rfind(b"\n") + 1]           # the last character may be cut off
    try:
        return bool(text.decode()) and not text.isascii()
    except UnicodeDecodeError:
        return False


def recoded(text: bytes, stops: np.ndarray, encoding: str) -> tuple[bytes, np.ndarray]:
    """Records, and the places of the newlines that end them."""
    if text.isascii():
        return text, stops
    made = utf8(text, encoding)
    before, after = map(line_ends, (text, made))
    if len(before) == len(after):
        return made, after[np.searchsorted(before, stops)]
    starts = [0, *(stops[:-1] + 1).tolist()]        # a damaged character has taken its newline
    records = [utf8(text[a:b], encoding) + b"\n" for a, b in zip(starts, stops.tolist())]
    return b"".join(records), np.cumsum([*map(len, records)]) - 1


def narrowed(lines: Iterable[bytes], encoding: str, path: str) -> Lines:
    """The lines of a file in a wide encoding, all of it, which come cut at each byte that may be a part of a newline."""
    return Lines(_narrowed(pieces_of(lines), encoding, path))


def _narrowed(pieces: Iterator[bytes], encoding: str, path: str) -> Iterator[bytes]:
    rest, newline, total, lost, codec = b"", b"", 0, 0, None        # newline: the byte between two pieces
    for piece in pieces:
        codec = codec or decoder(encoding, piece)
        long = isinstance(piece, Long)
        text = codec.decode((newline + piece)[lost:]).encode()
        *whole, rest = (rest + (text if total else text.removeprefix(BOM))).rpartition(b"\n")
        if whole[1]:
            yield whole[0]
        total, lost, newline = total + 1 + (piece.size if long else len(piece)), 0, b"\n"
        if long:                        # go on behind it, at the begin of a character
            yield Long.of(rest, piece.size)
            rest, lost, newline = b"", -total % WIDE[encoding], b""
            codec.setstate((b"", codec.getstate()[1]))
    if codec and (state := codec.getstate())[0] and codec.decode(newline) != "\n":      # the file, or the last piece, ends within a character
        codec.setstate(state)
        rest += codec.decode(newline * _is_newline(path, total - 1), True).encode()
    if rest:
        yield rest


def _is_newline(path: str, at: int) -> bool:
    """Whether byte `at` of a file is one. The pieces of a file do not tell it of the last byte."""
    with opened(path) as file:
        file.seek(at)
        return file.read(1) == b"\n"


def decoder(encoding: str, first: bytes) -> codecs.IncrementalDecoder:
    """What makes text of bytes as they come, of which these are the first; what is no text becomes that which `utf8` makes of it."""
    order = ("-be" if first.startswith(BIG[encoding]) else "-le") if encoding in BIG else ""
    return codecs.getincrementaldecoder(encoding + order)("replace" if encoding in WIDE else "surrogateescape")
