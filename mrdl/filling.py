"""A folder that is filled as a whole: while a mark lies in it, it is not; what died half-way is cleared away."""
from collections.abc import Iterator
from contextlib import contextmanager

from mrdl.storage import UNFINISHED, Storage


def clear(store: Storage, mark: str, patterns: tuple[str, ...]) -> None:
    """Removes what was filled in so far, and the mark last."""
    unfinished = [name for name in store.list(".*") if UNFINISHED.fullmatch(name)]
    for name in [*unfinished, *(name for pattern in patterns for name in store.list(pattern)), mark]:
        store.remove(name)


@contextmanager
def filling(store: Storage, mark: str, patterns: tuple[str, ...]) -> Iterator[bool]:
    """While the caller fills the folder; where that fails nothing stays. False where another one fills it."""
    if not store.create(mark, b""):
        yield False
        return
    try:
        yield True
    except BaseException:
        clear(store, mark, patterns)
        raise
    store.remove(mark)
