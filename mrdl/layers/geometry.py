"""Windows that move over [H][W][C] images and [steps][C] sequences: how many outputs, how much padding."""
import numpy as np

from mrdl.config import need, shown
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Shape

AXES = {1: "steps, channels", 2: "height, width, channels", 3: "depth, height, width, channels"}       # of an example, by rank
PLACES = 1 << 16                # of a window
Sizes = tuple[int, ...]         # one for each dimension
# H, W, C of x; OH, OW, O of y; kernel, strides, dilation, padding above and left; groups: as
# the kernels take it (kernels/geometry.pxi)
Geometry = tuple[int, ...]


def sizes(layer: Layer, *names: str) -> None:
    """Sets these fields to one number a dimension, as Keras does with a single one."""
    for name in names:
        value = getattr(layer, name)
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            object.__setattr__(layer, name, (int(value),) * layer.rank)


def check_sizes(layer: Layer, *names: str) -> None:
    for name in names:
        value = getattr(layer, name)
        need(len(value) == layer.rank and min(value) > 0,
             f"{type(layer).__name__}: {name}={shown(value)} must be {layer.rank} numbers above 0")


def image(layer: Layer, shape: Shape) -> Shape:
    """H, W and C of an example (D, H, W and C of a volume); ConfigError where it has another rank."""
    wanted = AXES[layer.rank]
    need(len(shape) == layer.rank + 1,
         f"{type(layer).__name__}: its input has the shape {shown(shape)}, not ({wanted})")
    return (1,) * (2 - layer.rank) + tuple(shape)


def planned(layer: Layer, size: Sizes, kernel: Sizes, strides: Sizes, dilation: Sizes) -> tuple[list[int], list[int]]:
    """How many outputs there are in each dimension, and how much padding before the first input."""
    outputs, before = [], []
    for n, k, s, d in zip(size, kernel, strides, dilation):
        reach = (k - 1) * d + 1
        out = -(-n // s) if layer.padding == "same" else (n - reach) // s + 1
        if layer.padding == "causal":
            out = (n - 1) // s + 1
        need(out > 0, f"{type(layer).__name__}: a kernel of {reach} does not fit into {n} inputs")
        outputs.append(out)
        before.append({"valid": 0, "same": max((out - 1) * s + reach - n, 0) // 2,
                       "causal": reach - 1}[layer.padding])
    return outputs, before


def possible(layer: Layer, geometry: Geometry, most: int = PLACES) -> Geometry:
    """The geometry; ConfigError for one that the kernels do not have (kernels/geometry.pxi)."""
    rows, columns = geometry[6:8]
    need(rows * columns <= most and max(geometry) < 1 << 31, f"{type(layer).__name__}: a window of {rows} x {columns} "
         f"over its input is too much: at most {most:,} places, and all sizes below 2^31")
    return geometry


def flat(rank: int, *dimensions: Sizes) -> list[int]:
    """Each of them for two dimensions: a sequence is an image of one row."""
    return [n for d in dimensions for n in (1,) * (2 - rank) + tuple(d)]
