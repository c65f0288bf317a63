"""Other shapes, other orders, parts of x, and several together."""
import numpy as np

from mrdl.config import need, shown
from mrdl.layers.core import Reshape
from mrdl.layers.layer import Symbol
from mrdl.layers.merging import Concatenate, Dot
from mrdl.layers.operators import GetItem
from mrdl.layers.ops.given import place, places, symbol_of, symbols_of
from mrdl.layers.reshaping import Permute

PARTS = 10_000                  # at most, of one split
ALL = (None, None, None)        # of an axis, as slice(None)


def shape(x) -> tuple:
    """The shape, with None for the batch.

    Args:
        x: the output of a layer."""
    return None, *symbol_of("shape", x).shape


def cast(x, dtype) -> Symbol:
    """x itself: a model has one dtype.

    Args:
        x: the output of a layer.
        dtype: float32 or float64."""
    need(str(dtype) in ("float32", "float64"), f"cast: dtype={shown(dtype)} is not supported; the model has its own dtype")
    return getattr(x, "symbol", x)


def reshape(x, newshape) -> Symbol:
    """The same numbers in another shape.

    Args:
        x: the output of a layer.
        newshape: begins with -1 or None, for the batch; one further size may be -1, which is computed."""
    x, sizes = symbol_of("reshape", x), tuple(newshape) if isinstance(newshape, (list, tuple)) else (newshape,)
    need(sizes[:1] in ((-1,), (None,)), f"reshape: newshape={shown(newshape)} must begin with -1, for the batch")
    return Reshape(tuple(-1 if size is None else size for size in sizes[1:]))(x)


def transpose(x, axes=None) -> Symbol:
    """Another order of the axes.

    Args:
        x: the output of a layer.
        axes: for each axis of y, that of x: (0, 2, 1). The batch, axis 0, stays the first."""
    need(isinstance(axes, (list, tuple)) and axes[:1] in ((0,), [0]), f"transpose: axes={shown(axes)} must begin with 0, as the batch stays the first")
    return Permute(tuple(axes[1:]))(symbol_of("transpose", x))


def moveaxis(x, source, destination) -> Symbol:
    """Axes go to other places.

    Args:
        x: the output of a layer.
        source: an axis, or several.
        destination: the places to which they go."""
    x = symbol_of("moveaxis", x)
    one, other = (places("moveaxis", axes, len(x.shape)) for axes in (source, destination))
    need(len(set(one)) == len(set(other)) == len(one) == len(other),
         f"moveaxis: source={shown(source)} and destination={shown(destination)} must be as many axes")
    order = [n for n in range(len(x.shape)) if n not in one]
    for at, axis in sorted(zip(other, one)):
        order.insert(at, axis)
    return Permute(tuple(axis + 1 for axis in order))(x)


def swapaxes(x, axis1, axis2) -> Symbol:
    """Two axes change places.

    Args:
        x: the output of a layer.
        axis1: one of them.
        axis2: the other one."""
    return moveaxis(x, (axis1, axis2), (axis2, axis1)) if axis1 != axis2 else symbol_of("swapaxes", x)


def expand_dims(x, axis) -> Symbol:
    """A new axis of size 1.

    Args:
        x: the output of a layer.
        axis: its place in y, which is not 0."""
    x = symbol_of("expand_dims", x)
    at = place("expand_dims", axis, len(x.shape) + 1)
    return Reshape((*x.shape[:at], 1, *x.shape[at:]))(x)


def squeeze(x, axis=None) -> Symbol:
    """Without axes of size 1.

    Args:
        x: the output of a layer.
        axis: an axis, or several. None: all of size 1."""
    x = symbol_of("squeeze", x)
    gone = [i for i, n in enumerate(x.shape) if n == 1] if axis is None else places("squeeze", axis, len(x.shape))
    need(all(x.shape[i] == 1 for i in gone), f"squeeze: axis={shown(axis)} is not of size 1 in {shown(x.shape)}")
    return Reshape(tuple(n for i, n in enumerate(x.shape) if i not in gone))(x)


def concatenate(xs, axis=0) -> Symbol:
    """The outputs one after the other along an axis.

    Args:
        xs: outputs of layers, a list.
        axis: must be named: 1, 2... or -1."""
    given = symbols_of("concatenate", xs)
    at = place("concatenate", axis, len(given[0].shape))
    return Concatenate(at + 1)(given) if len(given) > 1 else given[0]


def stack(x, axis=0) -> Symbol:
    """Outputs of one shape along a new axis.

    Args:
        x: outputs of layers, a list.
        axis: the place of the new axis, which must be named: 1, 2... or -1."""
    given = symbols_of("stack", x)
    at = place("stack", axis, len(given[0].shape) + 1)
    return concatenate([expand_dims(one, at + 1) for one in given], at + 1)


def split(x, indices_or_sections, axis=0) -> list[Symbol]:
    """Parts along an axis.

    Args:
        x: the output of a layer.
        indices_or_sections: the number of parts, which have one size; or a list of the indices at which to cut.
        axis: must be named: 1, 2... or -1."""
    x = symbol_of("split", x)
    at, cuts = place("split", axis, len(x.shape)), indices_or_sections
    size, rest = x.shape[at], (ALL,) * (len(x.shape) - at - 1)
    if isinstance(cuts, (int, np.integer)):
        need(0 < cuts <= PARTS and size % cuts == 0, f"split: {size} do not make {cuts} parts of one size, at most {PARTS:,}")
        cuts = range(size // cuts, size, size // cuts)
    return [GetItem((*(ALL,) * at, (start, stop, None), *rest))(x) for start, stop in zip([0, *cuts], [*cuts, size])]


def flip(x, axis=None) -> Symbol:
    """The other way round.

    Args:
        x: the output of a layer.
        axis: an axis, or several, which must be named: 1, 2... or -1."""
    x = symbol_of("flip", x)
    turned = places("flip", axis, len(x.shape))
    return GetItem(tuple((None, None, -1) if i in turned else ALL for i in range(len(x.shape))))(x)


def _blocks(name: str, x, b, data_format) -> Symbol:
    x = symbol_of(name, x)
    need(data_format in (None, "channels_last"), f"{name}: data_format={shown(data_format)} is not supported; transpose x")
    need(len(x.shape) == 3, f"{name}: examples must have the shape (height, width, channels), not {shown(x.shape)}")
    need(isinstance(b, int) and b > 1, f"{name}: block_size={shown(b)} must be a whole number above 1")
    return x


def depth_to_space(x, block_size, data_format="channels_last") -> Symbol:
    """Channels become blocks of pixels: x[H, W, b b C] to y[H b, W b, C].

    Args:
        x: the output of a layer.
        block_size: b, above 1.
        data_format: "channels_last"."""
    x, b = _blocks("depth_to_space", x, block_size, data_format), block_size
    height, width, channels = x.shape
    need(channels % (b * b) == 0, f"depth_to_space: {channels} channels do not make blocks of {b} by {b}")
    parts = Permute((1, 3, 2, 4, 5))(Reshape((height, width, b, b, channels // (b * b)))(x))
    return Reshape((height * b, width * b, channels // (b * b)))(parts)


def space_to_depth(x, block_size, data_format="channels_last") -> Symbol:
    """Blocks of pixels become channels: x[H b, W b, C] to y[H, W, b b C].

    Args:
        x: the output of a layer.
        block_size: b, above 1.
        data_format: "channels_last"."""
    x, b = _blocks("space_to_depth", x, block_size, data_format), block_size
    height, width, channels = x.shape
    need(height % b == 0 and width % b == 0, f"space_to_depth: {height} by {width} pixels do not make blocks of {b} by {b}")
    parts = Permute((1, 3, 2, 4, 5))(Reshape((height // b, b, width // b, b, channels))(x))
    return Reshape((height // b, width // b, b * b * channels))(parts)


def matmul(x1, x2) -> Symbol:
    """The product of two matrices of each example.

    Args:
        x1: the output of a layer, of the shape (M, K).
        x2: likewise (K, N)."""
    given = symbols_of("matmul", [x1, x2])
    need([len(x.shape) for x in given] == [2, 2], f"matmul: examples must be matrices, not of the shapes {', '.join(shown(x.shape) for x in given)}")
    return Dot((2, 1))(given)


def get_item(x, key) -> Symbol:
    """x[key].

    Args:
        x: the output of a layer.
        key: ":" for the batch, of which all is taken; for the other axes numbers, slices, None for a new axis; ... stands for all axes
            that are not named."""
    x, keys = symbol_of("x[]", x), list(key) if isinstance(key, (list, tuple)) else [key]
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    missing = len(x.shape) + 1 - sum(k is not None and k is not Ellipsis for k in keys)
    need(len(dots) < 2 and missing >= 0, f"x[]: {shown(key)} names more axes than x has: {len(x.shape)} and the batch")
    at = dots[0] if dots else len(keys)
    keys[at:at + 1] = [slice(None)] * missing
    need(isinstance(keys[0], slice) and keys[0] == slice(None), "x[]: the first axis is the batch, of which all is taken: x[:, ...]")
    return GetItem(tuple(keys[1:]))(x)
