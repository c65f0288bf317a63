"""Names in, bytes out: the one door to what a run, its lease and its data lie on. mrdl.storage.schemes has a door for each URL.

Whatever a reader can see is whole: files are made under another name and get theirs by rename or
link. Every error is an OSError that names the path."""
import errno
import io
import os
import re
import sys
from abc import ABC, abstractmethod
from typing import BinaryIO

UNFINISHED = re.compile(r"\..+-[0-9a-f]{16}")     # the name of a file that is not whole yet
CHUNK = 1 << 20                 # bytes of a file that are in memory at a time
MOST = {".json": 1 << 28, ".jsonl": 1 << 30}    # bytes of a file that is read at once, by the end of its name


class Storage(ABC):
    """A folder: a local path, a file:// or an hdfs:// URL. Names are relative to it."""

    url: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @abstractmethod
    def path(self, name: str) -> str:
        """What a job takes as its input."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """The file, to be read from any place in it."""

    def read(self, name: str) -> bytes:
        """All of the file; OSError where it is larger than one of ours can be."""
        most = MOST.get(os.path.splitext(name)[1], sys.maxsize)
        with self.open(name) as file:
            if file.seek(0, os.SEEK_END) > most:
                raise OSError(errno.EFBIG, f"larger than {most >> 20} MB, so it is none of ours", self.path(name))
            file.seek(0)
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Readers see the old bytes or the new ones, also after a crash."""
        self._put(name, io.BytesIO(data), replace=True)

    def put(self, name: str, path: str) -> None:
        """As `write`, with the bytes of a local file, which may be larger than memory."""
        with open(path, "rb") as file:
            self._put(name, file, replace=True)

    def create(self, name: str, data: bytes) -> bool:
        """False, and nothing changed, where the name is taken: of many callers one gets True."""
        return self._put(name, io.BytesIO(data), replace=False)

    @abstractmethod
    def _put(self, name: str, file: BinaryIO, replace: bool) -> bool:
        """All of the file's bytes under the name; False where it is taken and is to stay."""

    @abstractmethod
    def exists(self, name: str) -> bool: ...

    @abstractmethod
    def is_folder(self) -> bool:
        """Whether the folder is there."""

    @abstractmethod
    def list(self, pattern: str = "*") -> list[str]:
        """Names that match, sorted; `**` crosses folders. Files not yet whole are not among them."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes a file; no error if it is not there."""

    @abstractmethod
    def clear(self, name: str) -> None:
        """Removes a folder with all that is in it; no error if it is not there."""

    @abstractmethod
    def vacate(self) -> None:
        """Removes the folder itself where nothing is in it; no error where something is."""

    @abstractmethod
    def rename(self, old: str, new: str) -> bool:
        """Over what is there. False if `old` is gone: of many callers one gets True."""

    @abstractmethod
    def claim(self, old: str, new: str) -> bool:
        """Renames a folder with something in it. False where the name is taken: of many callers one gets
        True."""

    @abstractmethod
    def touch(self, name: str) -> None:
        """Sets the time of a file to now, and nothing else; no error if it is not there."""

    @abstractmethod
    def modified(self, name: str) -> float | None:
        """When the file was written, by the storage's clock; None if it is not there."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of the file."""

    @abstractmethod
    def now(self) -> float:
        """The storage's clock, which need not be this machine's."""


def named(path: str) -> str:
    """The path; ValueError where its bytes are no UTF-8, which JSON, HDFS and hashes of names want."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path!a}: a name that is not UTF-8; rename it, or make a link to it") from None
    return path


def masked(url: str) -> str:
    """The URL to be shown: without a password."""
    return re.sub(r"//([^/@:]*):[^/@]*@", r"//\1:***@", url)
