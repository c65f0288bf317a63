"""Functions on files given by path or URL: open (and unpack), look at, move."""
import errno
import os
import shutil
from contextlib import contextmanager, nullcontext

from mrdl.storage.base import Storage
from mrdl.storage.local import Local, make_folder
from mrdl.storage.packing import OPENERS, suffix
from mrdl.storage.schemes import store_at


def place(path: str) -> tuple[Storage, str]:
    """The folder of a path and its name there."""
    folder, slash, name = path.rpartition("/")
    return store_at(folder or slash or "."), name


def is_folder(path: str) -> bool:
    return store_at(path).is_folder()


def exists(path: str) -> bool:
    folder, name = place(path)
    return folder.exists(name)


@contextmanager
def opened(path: str):
    """Opens the file; unpacks it if its name ends as one of OPENERS. OSError if it is plain text then."""
    folder, name = place(path)
    opener = OPENERS.get(suffix(name))
    with folder.open(name) as file:
        if opener:
            first = file.read(16)
            file.seek(0)
            if first and not first.startswith(b"BZh") and all(31 < c < 127 or c in b"\t\r\n" for c in first):
                raise OSError(f"it is text, and not packed as {suffix(name)} says: give it another name")
        with opener(file) if opener else nullcontext(file) as data:
            yield data


def size(path: str) -> int:
    """The file's size in bytes (if it is packed: packed)."""
    folder, name = place(path)
    return folder.size(name)


def head(path: str, count: int) -> bytes:
    """The first bytes of the file (if it is packed: packed)."""
    folder, name = place(path)
    with folder.open(name) as file:
        return file.read(count)


def move(source: str, target: str) -> None:
    """Moves a file, replacing `target`; by renaming if both paths are in the same storage."""
    (here, old), (there, new) = place(source), place(target)
    if isinstance(here, Local) and isinstance(there, Local):
        try:
            make_folder(target)
            shutil.move(source, target)
        except OSError as error:
            if error.errno != errno.ENOSPC:     # a full disk: the error names the file that is read
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
