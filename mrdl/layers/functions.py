"""Layers with several inputs as functions, as in Keras: add([a, b]) is Add()([a, b])."""
from mrdl.layers.layer import Symbol
from mrdl.layers.merging import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract


def add(inputs: list, **kwargs) -> Symbol:
    """Add(**kwargs)(inputs).

    Args:
        inputs: what Input or the calls of layers returned, two or more.
        **kwargs: arguments of the layer."""
    return Add(**kwargs)(inputs)


def subtract(inputs: list, **kwargs) -> Symbol:
    """Subtract(**kwargs)(inputs).

    Args:
        inputs: what Input or the calls of layers returned, two.
        **kwargs: arguments of the layer."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: list, **kwargs) -> Symbol:
    """Multiply(**kwargs)(inputs).

    Args:
        inputs: what Input or the calls of layers returned, two or more.
        **kwargs: arguments of the layer."""
    return Multiply(**kwargs)(inputs)


def average(inputs: list, **kwargs) -> Symbol:
    """Average(**kwargs)(inputs).

    Args:
        inputs: what Input or the calls of layers returned, two or more.
        **kwargs: arguments of the layer."""
    return Average(**kwargs)(inputs)


def maximum(inputs: list, **kwargs) -> Symbol:
    """Maximum(**kwargs)(inputs).

    Args:
        inputs: what Input or the calls of layers returned, two or more.
        **kwargs: arguments of the layer."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: list, **kwargs) -> Symbol:
    """Minimum(**kwargs)(inputs).

    Args:
        inputs: what Input or the calls of layers returned, two or more.
        **kwargs: arguments of the layer."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: list, axis: int = -1, **kwargs) -> Symbol:
    """Concatenate(axis, **kwargs)(inputs).

    Args:
        inputs: what Input or the calls of layers returned, two or more.
        axis: see Concatenate.
        **kwargs: further arguments of the layer."""
    return Concatenate(axis, **kwargs)(inputs)


def dot(inputs: list, axes, **kwargs) -> Symbol:
    """Dot(axes, **kwargs)(inputs).

    Args:
        inputs: what Input or the calls of layers returned, two.
        axes: see Dot.
        **kwargs: further arguments of the layer."""
    return Dot(axes, **kwargs)(inputs)
