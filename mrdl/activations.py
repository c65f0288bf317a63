"""Keras's activations as functions: of arrays, of the outputs of layers, and as the `activation` of a layer."""
from collections.abc import Callable
from typing import Any

import numpy as np

from mrdl import kernels
from mrdl.config import need
from mrdl.layers.activations import ACTIVATIONS, ALIASES, Activation, activation, bound
from mrdl.layers.layer import Layer, Symbol


def _values(name: str, x: Any) -> np.ndarray:
    """The activation of each number of x; softmax along its last axis."""
    x = np.asarray(x)
    need(x.dtype.kind in "buif", f"{name}: x holds {x.dtype}, not numbers")
    dtype = np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
    rows = x.reshape(-1, x.shape[-1] if x.ndim else 1)
    given = kernels.zeros((rows.shape[1], kernels.pad(len(rows))), dtype)
    given[:, :len(rows)] = rows.T
    made = np.empty_like(given)
    bound(kernels.typed(dtype), name)[0](given, made)
    return made[:, :len(rows)].T.reshape(x.shape).copy()


def _function(name: str, known: str) -> Callable:
    def apply(x):
        return Activation(known)(x) if isinstance(x, (Symbol, Layer)) else x + 0 if known == "linear" else _values(known, x)
    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"""The activation {known}.

    Args:
        x: an array, or what Input or the call of a layer returned; or give the function itself to a layer, as its
            `activation`."""
    return apply


_FUNCTIONS = {name: _function(name, known) for name, known in ({name: name for name in ACTIVATIONS} | ALIASES).items()}
globals().update(_FUNCTIONS)
__all__ = list(_FUNCTIONS)
__all__ += ["get"]


def get(identifier: str | Callable | None) -> Callable:
    """The function of an activation.

    Args:
        identifier: its name, the function itself, or None: linear.

    Raises:
        ConfigError: there is no such activation."""
    return _FUNCTIONS[activation(identifier)]
