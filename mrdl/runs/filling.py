"""Fills a folder as a whole, by one process at a time. While it is being filled, a mark file is in it; what a process
that died half-way has left is removed."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mrdl.runs.lease import Lease
from mrdl.storage.base import UNFINISHED, Storage


def names(store: Storage) -> list[str]:
    """The names in the folder, without the lease of the process that fills it."""
    return [name for name in store.list() if name != Lease.name]


@contextmanager
def filling(store: Storage, mark: str, patterns: tuple[str, ...], vacant: Callable[[], None]) -> Iterator[None]:
    """A context in which only the caller fills the folder. First, files that a dead process has left are removed; if the
    caller fails, its files are removed.

    `vacant` is called to raise an error if the folder must not be filled, as another process may have filled it meanwhile.
    RunError if another process is filling it now."""
    made = not store.is_folder()
    try:
        with Lease(store) as lease:
            vacant()
            _clear(store, mark, patterns)
            store.create(mark, b"")
            try:
                yield
                lease.check()
            except BaseException:
                lease.check()               # the files there may belong to another process by now
                _clear(store, mark, patterns)
                raise
            store.remove(mark)
    except BaseException:
        if made:
            store.vacate()
        raise


def _clear(store: Storage, mark: str, patterns: tuple[str, ...]) -> None:
    """Removes the files written so far, and last the mark; but not the lease files of other processes."""
    unfinished = [name for name in store.list(".*") if UNFINISHED.fullmatch(name)
                  and not name.startswith((f".{Lease.name}-", ".clock-"))]
    for name in [*unfinished, *(name for pattern in patterns for name in store.list(pattern)), mark]:
        store.remove(name)
