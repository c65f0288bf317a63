"""Makes minibatches of the rows of windows: shuffled, or grouped by length."""
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mrdl import seeds
from mrdl.data.sparse import joined
from mrdl.data.windows import Arrays


class Minibatch(NamedTuple):
    number: int                         # counts the minibatches of the shard in this epoch
    arrays: Arrays
    index: np.ndarray


@lru_cache(2)           # several rounds may use the rows of a window
def _order(n: int, *key: int | str) -> np.ndarray:
    return seeds.permutation(n, *key)


def like(lengths: np.ndarray, order: np.ndarray, batch: int, which: np.ndarray) -> np.ndarray:
    """Groups rows of similar length into minibatches, then orders the minibatches by `which`. An incomplete minibatch
    comes last."""
    order = order[np.argsort(lengths, kind="stable")]
    whole = len(which) * batch
    return np.concatenate([order[:whole].reshape(-1, batch)[which].reshape(-1), order[whole:]])


def minibatches(windows: Iterable[tuple[int, Arrays | None]], batch: int, seed: int | None, epoch: int,
                shard: int, first: int = 0, count: int | None = None,
                of_length: Callable[[np.ndarray], np.ndarray] | None = None) -> Iterator[Minibatch]:
    """Minibatches [first, first + count) of a shard, in the order of this epoch.

    A window is (number of rows, arrays). Its rows are permuted by (seed, epoch, shard, window), or keep their order if the
    seed is None. If `of_length` is given, rows of similar length, `of_length(x)`, are grouped. The arrays of windows that
    have none of the wanted rows are not used."""
    skip, number, left = first * batch, first, None
    stop = None if count is None else first + count
    for position, (n, arrays) in enumerate(windows):
        if skip >= n or number == stop:
            skip -= min(skip, n)
            continue
        order = np.arange(n) if seed is None else _order(n, seed, "rows", epoch, shard, position)
        if of_length:
            order = like(of_length(arrays["x"])[order], order, batch, seeds.permutation(
                n // batch, seed or 0, "lengths", epoch, shard, position))
        order = order[skip:]
        skip = 0
        if left is not None:                    # a minibatch with rows of two windows
            take, order = order[:batch - len(left["x"])], order[batch - len(left["x"]):]
            left = joined([left, {name: array[take] for name, array in arrays.items()}])
            if len(left["x"]) < batch:
                continue
            yield Minibatch(number, left, np.arange(batch))
            number, left = number + 1, None
        for start in range(0, len(order), batch):
            if number == stop:
                break
            index = order[start:start + batch]
            if len(index) < batch:
                left = {name: array[index] for name, array in arrays.items()}
                break
            yield Minibatch(number, arrays, index)
            number += 1
    if left is not None and number != stop:
        yield Minibatch(number, left, np.arange(len(left["x"])))
