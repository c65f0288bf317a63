"""Compressed files, by the end of their name: a file of packed bytes in, one of its content out."""
import bz2
import errno
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import BinaryIO, Protocol

PIECE = 1 << 12                 # packed bytes that are unpacked at once: of zst as many as they make, at most 128 MB


class Decompressor(Protocol):
    """One stream, as bz2, lzma and compression.zstd have it."""
    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Zstandard:
    """A frame, by the package zstandard: Python has a module of its own from 3.14 on."""
    needs_input = True

    def __init__(self, made):
        self.made = made

    @property
    def eof(self) -> bool:
        return self.made.eof

    @property
    def unused_data(self) -> bytes:
        return self.made.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self.made.decompress(data)


def zstd() -> Callable[[], Decompressor]:
    """What makes a decompressor of zst; OSError where there is none."""
    try:
        return import_module("compression.zstd").ZstdDecompressor
    except ImportError:
        pass
    try:
        zstandard = import_module("zstandard")
    except ImportError:
        raise OSError("to unpack .zst: pip install 'mrdl[zstd]'; or unpack it first, with: unzstd") from None
    return lambda: Zstandard(zstandard.ZstdDecompressor().decompressobj())


class Unpacked(io.RawIOBase):
    """The content of packed streams, one after another, each of them whole: OSError where one is damaged or ends early, or where
    something else follows. (Python's own bz2 and lzma take what follows a stream for padding if it is damaged.)"""

    def __init__(self, file: BinaryIO, begin: Callable[[], Decompressor]):
        self.file, self.begin = file, begin
        self._rewind()

    def _rewind(self) -> None:
        self.file.seek(0)
        self.stream, self.at, self.ready = None, 0, memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        target = self.at + offset if whence == os.SEEK_CUR else offset
        if whence == os.SEEK_END:
            while self.read(1 << 20):
                pass
            target += self.at
        if target < self.at:
            self._rewind()
        while self.at < target and self.read(min(1 << 20, target - self.at)):
            pass
        return self.at

    def readinto(self, buffer) -> int:
        if not self.ready:
            try:
                self.ready = memoryview(self._more(max(len(buffer), PIECE)))
            except Exception as error:      # noqa: BLE001 - each module has one of its own for damaged bytes
                raise error if isinstance(error, OSError) else OSError(str(error)) from None
        count = min(len(buffer), len(self.ready))
        buffer[:count], self.ready = self.ready[:count], self.ready[count:]
        self.at += count
        return count

    def _more(self, most: int) -> bytes:
        """Bytes of the content; none at its end."""
        while True:
            packed, stream = b"", self.stream
            if stream is None or stream.eof:
                packed = (stream.unused_data if stream else b"").lstrip(b"\0")      # xz pads with zeros
                while not packed and (more := self.file.read(PIECE)):
                    packed = more.lstrip(b"\0") if stream else more
                if not packed:
                    return b""
                self.stream = stream = self.begin()
            elif stream.needs_input and not (packed := self.file.read(PIECE)):
                raise OSError("it ends in the middle of its packed data")
            if data := stream.decompress(packed, most):
                return data


def _streams(begin: Callable[[], Callable[[], Decompressor]]) -> Callable[[BinaryIO], BinaryIO]:
    return lambda file: io.BufferedReader(Unpacked(file, begin()), 1 << 20)


def _zip(file: BinaryIO) -> BinaryIO:
    """The one file in a zip. zipfile raises anything at damaged bytes, and seeks where nothing is."""
    try:
        return _only_member(file)
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise OSError(f"a damaged zip: {error}") from None


def _only_member(file: BinaryIO) -> BinaryIO:
    archive = zipfile.ZipFile(file)
    names = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    if len(names) != 1:
        shown = ", ".join(info.filename for info in names[:5]) + ", .." * (len(names) > 5)
        raise OSError(f"a zip of {len(names)} files ({shown}); it must have one: unpack it first, with: unzip" if names else "an empty zip")
    if names[0].flag_bits & 1:
        raise OSError("an encrypted zip: unpack it first")
    try:
        return archive.open(names[0])
    except NotImplementedError as error:
        raise OSError(f"{error}: unpack it first, with: unzip") from None


OPENERS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": gzip.open, ".bz2": _streams(lambda: bz2.BZ2Decompressor), ".xz": _streams(lambda: lzma.LZMADecompressor),
    ".zst": _streams(zstd), ".zip": _zip}


def suffix(path: str) -> str:
    """The end of a packed file's name, a key of OPENERS; "" of others."""
    end = os.path.splitext(path)[1].lower()
    return end if end in OPENERS else ""


def packages(paths: list[str]) -> tuple[str, ...]:
    """The packages besides Python's own modules that unpack these files; those that are here."""
    return ("zstandard",) if any(suffix(path) == ".zst" for path in paths) and find_spec("zstandard") else ()
