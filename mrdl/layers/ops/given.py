"""What the functions of mrdl.ops are given: symbols, numbers, axes."""
import numbers
from typing import Any

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.core import Reshape
from mrdl.layers.layer import Layer, Symbol


def is_number(x: Any) -> bool:
    return isinstance(x, numbers.Real) and not isinstance(x, bool) or isinstance(x, np.ndarray) and x.ndim == 0


def number(name: str, x: Any) -> float:
    try:
        found = float(x)
    except OverflowError:
        found = np.inf
    need(bool(np.isfinite(found)), f"{name}: {shown(x)} must be a finite number")
    return found


def symbol_of(name: str, x: Any) -> Symbol:
    """The symbol of x. If its steps may have a mask, it is hidden: Keras's operations take and make none."""
    found = getattr(x, "symbol", x)
    need(isinstance(found, Symbol), f"{name}: {shown(x)} is not what Input or the call of a layer returned; for arrays there is numpy")
    return Reshape(found.shape)(found) if found.masked else found


def symbols_of(name: str, xs: Any) -> list[Symbol]:
    need(isinstance(xs, (list, tuple)) and len(xs) > 0, f"{name} takes a list of the outputs of layers, not {shown(xs)}")
    return [symbol_of(name, x) for x in xs]


def both(name: str, layer: Layer, x1: Any, x2: Any) -> Symbol:
    """The layer called with two symbols, which NumPy would align in the same way."""
    given = symbols_of(name, [x1, x2])
    need(len(given[0].shape) == len(given[1].shape), f"{name}: {shown(given[0].shape)} and {shown(given[1].shape)} have different numbers "
         "of axes, so the batch of one would meet another axis: use reshape or expand_dims first")
    return layer(given)


def place(name: str, axis: Any, rank: int) -> int:
    """The place of an axis, which is counted from 1, in the shape of an example of so many axes."""
    need(isinstance(axis, (int, np.integer)) and not isinstance(axis, bool), f"{name}: axis={shown(axis)} must be a whole number")
    found = axis - 1 if axis >= 0 else axis + rank
    need(0 <= found < rank, f"{name}: axis={axis} must be one of the {rank} axes behind the batch, which is axis 0")
    return int(found)


def places(name: str, axis: Any, rank: int) -> tuple[int, ...]:
    """The places of an axis or of several."""
    need(axis is not None, f"{name}: axis=None would take the batch together; name the axes, which are counted from 1")
    return tuple(place(name, a, rank) for a in (axis if isinstance(axis, (list, tuple)) else (axis,)))
