"""Names in, bytes out: the one door to what a run, its lease and its data lie on.

Whatever a reader can see is whole: files are made under another name and get theirs by rename or
link. Every error is an OSError that names the path."""
import errno
import glob
import io
import os
import re
import secrets
import shutil
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

UNFINISHED = re.compile(r"\..+-[0-9a-f]{16}")     # the name of a file that is not whole yet
CHUNK = 1 << 20                 # bytes of a file that are in memory at a time
MOST = {".json": 1 << 28, ".jsonl": 1 << 30}    # bytes of a file that is read at once, by the end of its name


class Storage(ABC):
    """A folder: a local path, a file:// or an hdfs:// URL. Names are relative to it."""

    url: str

    def __new__(cls, url: str | os.PathLike):
        if cls is Storage:
            text = masked(named(os.fspath(url)))
            scheme = re.match(r"(\w[\w.+-]*)://|hdfs:|", text)[0].partition(":")[0]
            if scheme not in ("", "file", "hdfs"):
                raise ValueError(f"{text}: only local paths and hdfs:// so far, no {scheme}://")
            if scheme == "hdfs":
                from mrdl.hdfs import Hdfs
                return super().__new__(Hdfs)
            return super().__new__(Local)
        return super().__new__(cls)

    def __repr__(self) -> str:
        return f"Storage({self.url!r})"

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


class Local(Storage):
    """A directory of this machine. `durable`: what was written is there after a crash of it."""

    durable = True

    def __init__(self, url: str | os.PathLike):
        self.url = os.path.abspath(os.fspath(url).removeprefix("file://"))
        if os.path.islink(self.url) and not os.path.exists(self.url):   # for reading not there, for writing in the way
            raise FileNotFoundError(errno.ENOENT, f"a link to {os.readlink(self.url)}, which is not there", self.url)

    def path(self, name: str) -> str:
        return os.path.join(self.url, name)

    def open(self, name: str) -> BinaryIO:
        return open(self.path(name), "rb", buffering=CHUNK, opener=regular)

    def _put(self, name: str, file: BinaryIO, replace: bool) -> bool:
        path = self.path(name)
        with _whole(path, file, self.durable) as made:
            if replace:
                os.replace(made, path)
                return True
            try:
                os.link(made, path)     # rename would take the place of what is there
            except FileExistsError:
                return False
        return True

    def exists(self, name: str) -> bool:
        return os.path.exists(self.path(name))

    def is_folder(self) -> bool:
        return os.path.isdir(self.url)

    def list(self, pattern: str = "*") -> list[str]:
        return sorted(glob.glob(pattern, root_dir=self.url, recursive=True))

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.remove(self.path(name))

    def clear(self, name: str) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path(name))

    def vacate(self) -> None:
        with suppress(OSError):
            os.rmdir(self.url)

    def rename(self, old: str, new: str) -> bool:
        _make_folder(self.path(new))
        try:
            os.rename(self.path(old), self.path(new))
        except FileNotFoundError:
            return False
        return True

    def claim(self, old: str, new: str) -> bool:
        try:
            os.rename(self.path(old), self.path(new))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def touch(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.utime(self.path(name))

    def modified(self, name: str) -> float | None:
        try:
            return os.stat(self.path(name)).st_mtime
        except FileNotFoundError:
            return None

    def size(self, name: str) -> int:
        return os.path.getsize(self.path(name))

    def now(self) -> float:
        with _whole(self.path("clock"), io.BytesIO(), False) as made:
            return os.stat(made).st_mtime


def regular(path: str, flags: int) -> int:
    """An opener for `open` that refuses what has no end (a device) or waits for a writer (a pipe)."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):       # `open` itself refuses a folder
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", path)
    return descriptor


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


def place(path: str) -> tuple[Storage, str]:
    """The folder of a path and its name there."""
    folder, slash, name = path.rpartition("/")
    return Storage(folder or slash or "."), name


def move(source: str, target: str) -> None:
    """Moves a file, over what is there: renamed where both paths lie in one storage."""
    (here, old), (there, new) = place(source), place(target)
    if isinstance(here, Local) and isinstance(there, Local):
        try:
            _make_folder(target)
            shutil.move(source, target)
        except OSError as error:
            if error.errno != errno.ENOSPC:     # which names the file that is read
                raise
            raise OSError(error.errno, error.strerror, target) from None
        return
    theirs = there.path(new).split("/", 3)
    if theirs[:3] == here.path(old).split("/", 3)[:3]:      # scheme and host
        if not here.rename(old, "/" + theirs[3]):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        return
    with here.open(old) as file:
        there._put(new, file, replace=True)
    here.remove(old)


def _make_folder(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)


@contextmanager
def _whole(path: str, source: BinaryIO, durable: bool) -> Iterator[str]:
    """A file of the source's bytes beside `path`, on the disk if durable; gone afterwards unless renamed."""
    folder, name = os.path.split(path)
    made = os.path.join(folder, f".{name}-{secrets.token_hex(8)}")
    try:
        _make_folder(path)
        with open(made, "xb") as file:
            shutil.copyfileobj(source, file, CHUNK)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        yield made
        if durable:
            _sync_folder(folder)
    except OSError as error:
        # a full disk gives no name, a folder in the way its own
        error.filename = path
        raise
    finally:
        with suppress(OSError):
            os.remove(made)


def _sync_folder(folder: str) -> None:
    """Makes a rename in it last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
