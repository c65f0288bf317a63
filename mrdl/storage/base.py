"""The interface to files: runs, leases and datasets are read and written only through it. mrdl.storage.schemes finds the
class for a URL.

Readers never see an unfinished file: files are written under another name, and then renamed or
linked. Every error is an OSError that names the path."""
import errno
import io
import os
import re
import sys
from abc import ABC, abstractmethod
from typing import BinaryIO

UNFINISHED = re.compile(r"\..+-[0-9a-f]{16}")     # the name of an unfinished file
CHUNK = 1 << 20                 # bytes read or written at a time
MOST = {".json": 1 << 28, ".jsonl": 1 << 30}    # largest size of a file that `read` accepts, by the end of its name


class Storage(ABC):
    """A folder: a local path, a file:// or an hdfs:// URL. Names are relative to it."""

    url: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @abstractmethod
    def path(self, name: str) -> str:
        """The path or URL by which a job can read the file."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Opens the file for reading; it can be read from any position."""

    def read(self, name: str) -> bytes:
        """The whole content of the file; OSError if it is larger than any file of mrdl can be."""
        most = MOST.get(os.path.splitext(name)[1], sys.maxsize)
        with self.open(name) as file:
            if file.seek(0, os.SEEK_END) > most:
                raise OSError(errno.EFBIG, f"larger than {most >> 20} MB, so mrdl did not write it", self.path(name))
            file.seek(0)
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Writes or replaces the file atomically: readers see the old bytes or the new ones, also after a crash."""
        self._put(name, io.BytesIO(data), replace=True)

    def put(self, name: str, path: str) -> None:
        """Like `write`, with the content of a local file, which may be larger than memory."""
        with open(path, "rb") as file:
            self._put(name, file, replace=True)

    def create(self, name: str, data: bytes) -> bool:
        """Writes a new file. Returns False and changes nothing if the name exists; of several callers, one gets True."""
        return self._put(name, io.BytesIO(data), replace=False)

    def settle(self, name: str) -> None:
        """Makes a file survive a crash of the machine that was written without care for that (Local.durable)."""

    @abstractmethod
    def _put(self, name: str, file: BinaryIO, replace: bool) -> bool:
        """Writes all bytes of `file` under the name; returns False if the name exists and `replace` is False."""

    @abstractmethod
    def exists(self, name: str) -> bool: ...

    @abstractmethod
    def is_folder(self) -> bool:
        """Does the folder exist?"""

    @abstractmethod
    def list(self, pattern: str = "*") -> list[str]:
        """The names that match, sorted, without unfinished files; `**` matches any number of folders."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes a file; no error if it does not exist."""

    @abstractmethod
    def clear(self, name: str) -> None:
        """Removes a folder with everything in it; no error if it does not exist."""

    @abstractmethod
    def vacate(self) -> None:
        """Removes the folder itself if it is empty; no error if it is not."""

    @abstractmethod
    def rename(self, old: str, new: str) -> bool:
        """Renames a file, replacing `new`. Returns False if `old` is gone; of several callers, one gets True."""

    @abstractmethod
    def claim(self, old: str, new: str) -> bool:
        """Renames a folder that is not empty. Returns False if the name exists; of several callers, one gets True."""

    @abstractmethod
    def touch(self, name: str) -> None:
        """Sets the modification time of a file to now; no error if it does not exist."""

    @abstractmethod
    def modified(self, name: str) -> float | None:
        """When the file was written, by the storage's clock; None if it does not exist."""

    @abstractmethod
    def size(self, name: str) -> int:
        """The file's size in bytes."""

    @abstractmethod
    def now(self) -> float:
        """The time by the storage's clock, which may differ from this machine's."""


def named(path: str) -> str:
    """Returns the path; ValueError if it is not UTF-8, which JSON, HDFS and the hashes of names require."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path!a}: the name is not UTF-8; rename it, or make a link to it") from None
    return path


def masked(url: str) -> str:
    """The URL without its password, for messages."""
    return re.sub(r"//([^/@:]*):[^/@]*@", r"//\1:***@", url)
