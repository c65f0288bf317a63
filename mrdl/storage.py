"""Names in, bytes out: the one door to the disk that a run, its lease and its data lie on.

Whatever a reader can see is whole: files appear under their names by rename or link. Every error
is an OSError that names the path."""
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


class Storage:
    """A local directory. `url` is a path or file:// URL; names are relative to it."""

    def __init__(self, url: str | os.PathLike):
        text = os.fspath(url).removeprefix("file://")
        if "://" in text:
            raise ValueError(f"{text}: only local paths so far, no {text.split(':')[0]}://")
        self.url = os.path.abspath(text)

    def __repr__(self) -> str:
        return f"Storage({self.url!r})"

    def path(self, name: str) -> str:
        """What a job takes as its input."""
        return os.path.join(self.url, name)

    def open(self, name: str, mode: str = "rb") -> IO:
        """A file object; its folder is made if it is opened to be written."""
        path = self.path(name)
        if mode[0] != "r":
            _make_folder(path)
        return open(path, mode)

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Readers see the old bytes or the new ones, also after a crash."""
        path = self.path(name)
        with _whole(path, data) as made:
            os.replace(made, path)

    def create(self, name: str, data: bytes) -> bool:
        """False, and nothing changed, where the name is taken: of many callers one gets True."""
        path = self.path(name)
        with _whole(path, data) as made:
            try:
                os.link(made, path)     # rename would take the place of what is there
            except FileExistsError:
                return False
        return True

    def exists(self, name: str) -> bool:
        return os.path.exists(self.path(name))

    def list(self, pattern: str = "*") -> list[str]:
        """Names that match, sorted; `**` crosses folders. Files not yet whole are not among them."""
        return sorted(glob.glob(pattern, root_dir=self.url, recursive=True))

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.remove(self.path(name))

    def rename(self, old: str, new: str) -> bool:
        """Over what is there. False if `old` is gone: of many callers one gets True."""
        _make_folder(self.path(new))
        try:
            os.rename(self.path(old), self.path(new))
        except FileNotFoundError:
            return False
        return True

    def touch(self, name: str) -> None:
        """Sets the time of a file to now, and nothing else; no error if it is not there."""
        with suppress(FileNotFoundError):
            os.utime(self.path(name))

    def modified(self, name: str) -> float | None:
        """When the file was written, by the storage's clock; None if it is not there."""
        try:
            return os.stat(self.path(name)).st_mtime
        except FileNotFoundError:
            return None

    def now(self) -> float:
        """The storage's clock, which need not be this machine's."""
        with _whole(self.path("clock"), b"") as made:
            return os.stat(made).st_mtime


def _make_folder(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)


@contextmanager
def _whole(path: str, data: bytes) -> Iterator[str]:
    """A file of these bytes beside `path`, on the disk; gone afterwards unless it was renamed."""
    folder, name = os.path.split(path)
    made = os.path.join(folder, f".{name}-{secrets.token_hex(8)}")
    try:
        _make_folder(path)
        with open(made, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield made
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
