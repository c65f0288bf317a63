"""A folder that one process at a time fills as a whole: while a mark lies in it, it is not; what died half-way is cleared away."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mrdl.runs.lease import Lease
from mrdl.storage.base import UNFINISHED, Storage


def names(store: Storage) -> list[str]:
    """What lies in the folder, but for the lease of who fills it."""
    return [name for name in store.list() if name != Lease.name]


@contextmanager
def filling(store: Storage, mark: str, patterns: tuple[str, ...], vacant: Callable[[], None]) -> Iterator[None]:
    """While the caller alone fills the folder; where that fails nothing stays, and what a dead one left goes first.

    `vacant` raises where the folder may not be filled: another may have done so since the caller looked. RunError where
    a living one does just now."""
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
                lease.check()               # what lies there may be another's by now
                _clear(store, mark, patterns)
                raise
            store.remove(mark)
    except BaseException:
        if made:
            store.vacate()
        raise


def _clear(store: Storage, mark: str, patterns: tuple[str, ...]) -> None:
    """Removes what was filled in so far, and the mark last. Not what one writes who asks for the lease just now."""
    unfinished = [name for name in store.list(".*") if UNFINISHED.fullmatch(name)
                  and not name.startswith((f".{Lease.name}-", ".clock-"))]
    for name in [*unfinished, *(name for pattern in patterns for name in store.list(pattern)), mark]:
        store.remove(name)
