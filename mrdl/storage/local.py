"""The storage class for local disks: files are written under another name, and then renamed or linked."""
import errno
import glob
import io
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from mrdl.storage.base import CHUNK, Storage


class Local(Storage):
    """A directory on this machine. `durable`: files survive a crash of the machine (fsync)."""

    durable = True

    def __init__(self, url: str | os.PathLike):
        self.url = os.path.abspath(os.fspath(url).removeprefix("file://"))
        if os.path.islink(self.url) and not os.path.exists(self.url):   # a dangling link can be neither read nor written to
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
                os.link(made, path)     # rename would replace an existing file
            except FileExistsError:
                return False
        return True

    def settle(self, name: str) -> None:
        _sync(self.path(name))
        _sync(os.path.dirname(self.path(name)))

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
        make_folder(self.path(new))
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
    """An opener for `open` that refuses devices, which may have no end, and pipes, which would wait for a writer."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):       # `open` itself refuses a folder
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def make_folder(path: str) -> None:
    """Makes the folder of a file, unless it exists; NotADirectoryError where a file has its name."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, f"cannot be written, as {error.filename} is a file; choose another folder", path) from None


@contextmanager
def _whole(path: str, source: BinaryIO, durable: bool) -> Iterator[str]:
    """Yields a temporary file next to `path` with the source's bytes (synced to disk if durable). The caller renames or
    links it; otherwise it is removed."""
    folder, name = os.path.split(path)
    made = os.path.join(folder, f".{name}-{secrets.token_hex(8)}")
    try:
        make_folder(path)
        with open(made, "xb") as file:
            shutil.copyfileobj(source, file, CHUNK)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        yield made
        if durable:
            _sync(folder)                       # makes the rename durable
    except OSError as error:
        # the error of a full disk has no name, and that of a folder in the way has the folder's
        error.filename = path
        raise
    finally:
        with suppress(OSError):
            os.remove(made)


def _sync(path: str) -> None:
    """Makes a file durable, or what was renamed in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
