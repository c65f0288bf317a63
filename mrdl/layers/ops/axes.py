"""Sums, means, the largest number and so on along axes."""
from mrdl.config import need, shown
from mrdl.layers.activations import Activation
from mrdl.layers.layer import Symbol
from mrdl.layers.operators import Function, Reduce
from mrdl.layers.ops.given import place, places, symbol_of
from mrdl.layers.ops.pointwise import OF_ONE, add, divide, maximum, minimum, subtract
from mrdl.layers.ops.shapes import squeeze, swapaxes

EPSILON = 1e-7                  # Keras's own


def _reduced(name: str, x, axis, keepdims) -> Symbol:
    x = symbol_of(name, x)
    return Reduce(name, tuple(i + 1 for i in places(name, axis, len(x.shape))), bool(keepdims))(x)


def sum(x, axis=None, keepdims=False) -> Symbol:
    """The sum along axes.

    Args:
        x: the output of a layer.
        axis: an axis, or several, which must be named: 1, 2... or -1.
        keepdims: whether y has these axes, with the size 1."""
    return _reduced("sum", x, axis, keepdims)


def mean(x, axis=None, keepdims=False) -> Symbol:
    """The mean along axes.

    Args:
        x: the output of a layer.
        axis: an axis, or several, which must be named: 1, 2... or -1.
        keepdims: whether y has these axes, with the size 1."""
    return _reduced("mean", x, axis, keepdims)


def max(x, axis=None, keepdims=False, initial=None) -> Symbol:
    """The largest number along axes.

    Args:
        x: the output of a layer.
        axis: an axis, or several, which must be named: 1, 2... or -1.
        keepdims: whether y has these axes, with the size 1.
        initial: y is at least this. None: no limit."""
    found = _reduced("max", x, axis, keepdims)
    return found if initial is None else maximum(found, initial)


def min(x, axis=None, keepdims=False, initial=None) -> Symbol:
    """The smallest number along axes.

    Args:
        x: the output of a layer.
        axis: an axis, or several, which must be named: 1, 2... or -1.
        keepdims: whether y has these axes, with the size 1.
        initial: y is at most this. None: no limit."""
    found = _reduced("min", x, axis, keepdims)
    return found if initial is None else minimum(found, initial)


def var(x, axis=None, keepdims=False) -> Symbol:
    """The variance along axes: the mean square of the distance from the mean.

    Args:
        x: the output of a layer.
        axis: an axis, or several, which must be named: 1, 2... or -1.
        keepdims: whether y has these axes, with the size 1."""
    return mean(Function("square")(subtract(x, mean(x, axis, True))), axis, keepdims)


def std(x, axis=None, keepdims=False) -> Symbol:
    """The standard deviation along axes: the root of the variance.

    Args:
        x: the output of a layer.
        axis: an axis, or several, which must be named: 1, 2... or -1.
        keepdims: whether y has these axes, with the size 1."""
    return Function("sqrt")(var(x, axis, keepdims))


def logsumexp(x, axis=None, keepdims=False) -> Symbol:
    """log of the sum of e^x along axes.

    Args:
        x: the output of a layer.
        axis: an axis, or several, which must be named: 1, 2... or -1.
        keepdims: whether y has these axes, with the size 1."""
    most = max(x, axis, True)
    found = add(OF_ONE["log"](sum(OF_ONE["exp"](subtract(x, most)), axis, True)), most)
    return found if keepdims else squeeze(found, axis)


def softmax(x, axis=-1) -> Symbol:
    """e^x over the sum of e^x along an axis.

    Args:
        x: the output of a layer.
        axis: 1, 2... or -1."""
    x = symbol_of("softmax", x)
    at, last = place("softmax", axis, len(x.shape)) + 1, len(x.shape)
    return swapaxes(Activation("softmax")(swapaxes(x, at, last)), at, last)


def log_softmax(x, axis=-1) -> Symbol:
    """The logarithm of softmax.

    Args:
        x: the output of a layer.
        axis: 1, 2... or -1."""
    return subtract(x, logsumexp(x, axis, True))


def norm(x, ord=None, axis=None, keepdims=False) -> Symbol:
    """The length of the vectors along an axis.

    Args:
        x: the output of a layer.
        ord: None or 2: the root of the sum of squares; 1: the sum of |x|.
        axis: one axis, which must be named: 1, 2... or -1.
        keepdims: whether y has this axis, with the size 1."""
    need(ord in (None, 1, 2, "euclidean") and axis is not None and len(axis if isinstance(axis, (list, tuple)) else [axis]) == 1,
         f"norm: ord={shown(ord)}, axis={shown(axis)} is not supported: ord is 1 or 2, and axis one axis")
    if ord == 1:
        return sum(OF_ONE["absolute"](x), axis, keepdims)
    return Function("sqrt")(sum(OF_ONE["square"](x), axis, keepdims))


def normalize(x, axis=-1, order=2, epsilon=None) -> Symbol:
    """x over its norm.

    Args:
        x: the output of a layer.
        axis: 1, 2... or -1.
        order: see the `ord` of norm.
        epsilon: the norm is at least this. None: 1e-7."""
    return divide(x, maximum(norm(x, order, axis, True), EPSILON if epsilon is None else epsilon))
