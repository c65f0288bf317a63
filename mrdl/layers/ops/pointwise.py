"""Functions of each number of x, or of the numbers at the same place of two."""
import math
from collections.abc import Callable

from mrdl.config import need, shown
from mrdl.layers.activations import ELU, Activation, LeakyReLU
from mrdl.layers.core import Rescaling
from mrdl.layers.layer import Layer, Symbol
from mrdl.layers.merging import Add, Maximum, Minimum, Multiply, Subtract
from mrdl.layers.operators import Divide, Function
from mrdl.layers.ops.given import both, is_number, number, symbol_of


def _either_way(name: str, x1, x2, of_number: Callable[[float], Layer], of_two: Layer) -> Symbol:
    """A function for which the order of x1 and x2 is of no matter: one layer for a number, another for two symbols."""
    if is_number(x1) and not is_number(x2):
        x1, x2 = x2, x1
    return of_number(number(name, x2))(symbol_of(name, x1)) if is_number(x2) else both(name, of_two, x1, x2)


def add(x1, x2) -> Symbol:
    """x1 + x2.

    Args:
        x1: the output of a layer, or a number.
        x2: likewise; not both are numbers."""
    return _either_way("add", x1, x2, lambda n: Rescaling(1.0, n), Add())


def subtract(x1, x2) -> Symbol:
    """x1 - x2.

    Args:
        x1: the output of a layer, or a number.
        x2: likewise; not both are numbers."""
    if is_number(x2):
        return Rescaling(1.0, -number("subtract", x2))(symbol_of("subtract", x1))
    if is_number(x1):
        return Rescaling(-1.0, number("subtract", x1))(symbol_of("subtract", x2))
    return both("subtract", Subtract(), x1, x2)


def multiply(x1, x2) -> Symbol:
    """x1 x2.

    Args:
        x1: the output of a layer, or a number.
        x2: likewise; not both are numbers."""
    return _either_way("multiply", x1, x2, Rescaling, Multiply())


def divide(x1, x2) -> Symbol:
    """x1 / x2.

    Args:
        x1: the output of a layer, or a number.
        x2: likewise; not both are numbers."""
    if is_number(x2):
        by = number("divide", x2)
        need(by != 0, "divide: x2 is 0")
        return Rescaling(1 / by)(symbol_of("divide", x1))
    if is_number(x1):
        found = Function("reciprocal")(symbol_of("divide", x2))
        return found if x1 == 1 else Rescaling(number("divide", x1))(found)
    return both("divide", Divide(), x1, x2)


def power(x1, x2) -> Symbol:
    """x1 to the power x2, of which one is a number.

    Args:
        x1: the output of a layer, or a number above 0.
        x2: likewise; one of both is a number."""
    if is_number(x1):
        base = number("power", x1)
        need(base > 0, f"power: x1={shown(x1)} must be above 0")
        return Activation("exponential")(multiply(x2, math.log(base)))
    need(is_number(x2), "power: x1 or x2 must be a number; of two symbols it is exp(x2 * log(x1))")
    return Function("power", (number("power", x2),))(symbol_of("power", x1))


def maximum(x1, x2) -> Symbol:
    """The larger one of x1 and x2.

    Args:
        x1: the output of a layer, or a number.
        x2: likewise; not both are numbers."""
    return _either_way("maximum", x1, x2, lambda n: Function("maximum", (n,)), Maximum())


def minimum(x1, x2) -> Symbol:
    """The smaller one of x1 and x2.

    Args:
        x1: the output of a layer, or a number.
        x2: likewise; not both are numbers."""
    return _either_way("minimum", x1, x2, lambda n: Function("minimum", (n,)), Minimum())


def clip(x, x_min, x_max) -> Symbol:
    """x, but at least x_min and at most x_max.

    Args:
        x: the output of a layer.
        x_min: the smallest number that stays.
        x_max: the largest number that stays."""
    return Function("clip", (x_min, x_max))(symbol_of("clip", x))


def leaky_relu(x, negative_slope=0.2) -> Symbol:
    """x above 0, else negative_slope x.

    Args:
        x: the output of a layer.
        negative_slope: 0 or more."""
    return LeakyReLU(negative_slope)(symbol_of("leaky_relu", x))


def elu(x, alpha=1.0) -> Symbol:
    """x above 0, else alpha (e^x - 1).

    Args:
        x: the output of a layer.
        alpha: 0 or more."""
    return ELU(alpha)(symbol_of("elu", x))


def _usual(name: str, x, key: str, value, usual: float) -> Symbol:
    need(value == usual, f"{name}: {key}={shown(value)} is not supported; {usual} is")
    return Activation(name)(symbol_of(name, x))


def hard_shrink(x, threshold=0.5) -> Symbol:
    """x where |x| is above the threshold, else 0.

    Args:
        x: the output of a layer.
        threshold: 0.5."""
    return _usual("hard_shrink", x, "threshold", threshold, 0.5)


def soft_shrink(x, threshold=0.5) -> Symbol:
    """x moved towards 0 by the threshold, and 0 between.

    Args:
        x: the output of a layer.
        threshold: 0.5."""
    return _usual("soft_shrink", x, "threshold", threshold, 0.5)


def squareplus(x, b=4) -> Symbol:
    """(x + sqrt(x x + b)) / 2.

    Args:
        x: the output of a layer.
        b: 4."""
    return _usual("squareplus", x, "b", b, 4)


def gelu(x, approximate=True) -> Symbol:
    """x P(x), with P the normal distribution.

    Args:
        x: the output of a layer.
        approximate: whether P is computed by a tanh; here, other than for activations, that is Keras's default."""
    x = symbol_of("gelu", x)
    if not approximate:
        return Activation("gelu")(x)
    scale = math.sqrt(2 / math.pi)
    inner = multiply(x, Rescaling(scale * 0.044715, scale)(Function("square")(x)))
    return multiply(x, Rescaling(0.5, 0.5)(Activation("tanh")(inner)))


def _of_one(name: str, layer: Callable[[], Layer], says: str) -> Callable[[object], Symbol]:
    def apply(x):
        return layer()(symbol_of(name, x))
    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"""{says}

    Args:
        x: the output of a layer."""
    return apply


OF_ONE = {
    **{name: _of_one(name, lambda name=name: Function(name), says) for name, says in {
        "absolute": "The number without its sign.", "square": "x x.", "sqrt": "The square root.", "rsqrt": "1 over the square root.",
        "reciprocal": "1 / x.", "log": "The natural logarithm."}.items()},
    **{name: _of_one(name, lambda name=name: Activation(name), f"The activation {name}.") for name in (
        "relu", "relu6", "selu", "sigmoid", "hard_sigmoid", "log_sigmoid", "tanh", "softplus", "softsign", "silu", "hard_silu", "hard_tanh",
        "tanh_shrink", "sparse_plus")},
    "exp": _of_one("exp", lambda: Activation("exponential"), "e^x."),
    "negative": _of_one("negative", lambda: Rescaling(-1.0), "-x."),
}
