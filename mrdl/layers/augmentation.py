"""Layers that change images at random in training, as in Keras (channels_last), and otherwise pass them on.

Random numbers are keyed as those of Dropout are (mrdl.layers.noise), and are drawn for each example by itself."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl import seeds
from mrdl.config import need, shown
from mrdl.layers import sampling
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Binding, Operation, Shape
from mrdl.layers.reshaping import rank
from mrdl.layers.resizing import INTERPOLATIONS, CenterCrop, Resampled, TapsOperation


class AugmentOperation(Operation):
    """`change` makes y of x in training, by numbers u[draws, N] from 0 to below 1."""

    def forward(self):
        b = self.b
        if not b.training:
            b.y.value[:] = b.x.value
            return
        key = b.draws.key if self.layer.seed is None else seeds.key(b.draws.key, self.layer.seed)
        count, N = self.layer.draws, b.x.value.shape[1]
        raw = np.random.Philox(key=seeds.key("image", key, b.index, int(b.draws.minibatch))).random_raw(count * N)
        self.change((raw >> np.uint64(11)).reshape(N, count).T * 2.0 ** -53)
        b.k.flush(b.y.value)

    def change(self, u: np.ndarray) -> None:
        raise NotImplementedError           # each kind of layer has its own


class SampleOperation(AugmentOperation):
    """Each pixel of y is read at some place of x."""

    def change(self, u):
        b, layer = self.b, self.layer
        H, W, C = b.shape
        self.taps = sampling.taps(*layer.positions(u, b.shape), H, W, layer.interpolation, layer.fill_mode)
        sampling.sampled(b.x.value.reshape(H * W, C, -1), self.taps, layer.fill_value,
                         b.y.value.reshape(-1, C, b.x.value.shape[1]))

    def backward(self, batch):
        b = self.b
        if not b.first:
            H, W, C = b.shape
            sampling.spread(b.y.grad.reshape(-1, C, b.x.value.shape[1]), self.taps, b.x.grad.reshape(H * W, C, -1))
            b.k.flush(b.x.grad)


@dataclass(frozen=True)
class Augmentation(Layer):
    """`positions`: where the pixels of y lie in x, as `sampling.taps` takes them."""
    operation: ClassVar[Callable[[Layer, Binding], Operation]] = SampleOperation
    draws: ClassVar[int] = 1                    # random numbers for each example
    interpolation, fill_mode, fill_value = "nearest", "nearest", 0.0        # where they are no fields

    def positions(self, u: np.ndarray, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) of x.

        Args:
            u: [draws, N], from 0 to below 1.
            shape: of x, without the batch."""
        raise NotImplementedError           # each layer has its own

    def shape_of_output(self, shape):
        rank(self, shape, "height, width, channels")
        return shape

    def scratch(self, shape):
        return 12 * shape[0] * shape[1]


def grid(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of rows [H, 1, 1] and of columns [W, 1] of an image."""
    return np.arange(shape[0])[:, None, None] * 1.0, np.arange(shape[1])[:, None] * 1.0


def between(layer: Layer, key: str, least: float, most: float = 1.0) -> tuple[float, float]:
    """The lower and the upper bound of a factor, which may be one number for both; ConfigError if they are not in least to most."""
    value = getattr(layer, key)
    pair = value if isinstance(value, (list, tuple)) else (value, value)
    need(len(pair) == 2 and all(isinstance(n, (int, float)) and not isinstance(n, bool) and least <= n <= most for n in pair),
         f"{type(layer).__name__}: {key}={shown(value)} must be one or two numbers from {least:g} to {most:g}")
    return tuple(sorted(pair)) if isinstance(value, (list, tuple)) else (max(-abs(value), least), abs(value))


def checked(layer: Layer, key: str, least: float) -> tuple[float, float]:
    """The bounds of a factor, which stays as it was given, but that a list becomes a tuple."""
    bounds, value = between(layer, key, least), getattr(layer, key)
    object.__setattr__(layer, key, tuple(value) if isinstance(value, list) else value)
    return bounds


def drawn(u: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return bounds[0] + (bounds[1] - bounds[0]) * u


@dataclass(frozen=True)
class RandomFlip(Augmentation):
    """Mirrors half of the images.

    `name`: see Layer.

    Args:
        mode: "horizontal": left to right; "vertical": top to bottom; "horizontal_and_vertical": an image is mirrored both ways
            or neither, as in Keras.
        seed: mixed into the random numbers besides the run's seed. None: only the run's seed and
            the layer's number decide."""
    mode: str = "horizontal_and_vertical"
    seed: int | None = None
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(self.mode in ("horizontal", "vertical", "horizontal_and_vertical"),
             f"RandomFlip: mode={shown(self.mode)} is none of horizontal, vertical, horizontal_and_vertical")

    def positions(self, u, shape):
        rows, columns = (n + 0 * u for n in grid(shape))
        if "vertical" in self.mode:
            rows = np.where(u <= 0.5, shape[0] - 1 - rows, rows)
        if "horizontal" in self.mode:
            columns = np.where(u <= 0.5, shape[1] - 1 - columns, columns)
        return rows, columns


@dataclass(frozen=True)
class Moving(Augmentation):
    """An image under an affine map.

    `name`: see Layer.

    Args:
        fill_mode: what lies beyond the edges: "reflect" (d c b a | a b c d | d c b a), "constant" (`fill_value`), "wrap"
            (a b c d | a b c d) or "nearest" (a a a a | a b c d | d d d d).
        interpolation: of places between pixels: "bilinear" or "nearest".
        seed: mixed into the random numbers besides the run's seed. None: only the run's seed and
            the layer's number decide.
        fill_value: the value beyond the edges with the fill mode "constant"."""

    def __post_init__(self):
        super().__post_init__()
        kind = type(self).__name__
        need(self.fill_mode in sampling.FILLS, f"{kind}: fill_mode={shown(self.fill_mode)} is none of {', '.join(sampling.FILLS)}")
        need(self.interpolation in INTERPOLATIONS,
             f"{kind}: interpolation={shown(self.interpolation)} is none of {', '.join(INTERPOLATIONS)}")


@dataclass(frozen=True)
class RandomTranslation(Moving):
    """Moves images up or down, and to a side.

    The other arguments: see mrdl.layers.augmentation.Moving.

    Args:
        height_factor: how far down, as a share of the height: (least, most) from -1 to 1, or one number for both directions.
        width_factor: how far to the right, as a share of the width, likewise."""
    draws: ClassVar[int] = 2
    height_factor: object
    width_factor: object
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        for key in ("height_factor", "width_factor"):
            checked(self, key, -1)

    def positions(self, u, shape):
        rows, columns = grid(shape)
        return (rows - drawn(u[0], between(self, "height_factor", -1)) * shape[0],
                (columns - drawn(u[1], between(self, "width_factor", -1)) * shape[1])[None])


@dataclass(frozen=True)
class RandomRotation(Moving):
    """Turns images about their middle.

    The other arguments: see mrdl.layers.augmentation.Moving.

    Args:
        factor: how far counter-clockwise, in full turns: (least, most) from -1 to 1, or one number for both directions."""
    factor: object
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "factor", between(self, "factor", -1))

    def positions(self, u, shape):
        cos, sin = sampling.turn(drawn(u[0], self.factor) * (2 * np.pi))
        (rows, columns), (y, x) = grid(shape), ((n - 1) / 2 for n in shape[:2])
        rows, columns = rows - y, columns - x
        return columns * sin + rows * cos + y, columns * cos - rows * sin + x


@dataclass(frozen=True)
class RandomZoom(Moving):
    """Enlarges or shrinks images about their middle.

    The other arguments: see mrdl.layers.augmentation.Moving.

    Args:
        height_factor: the share by which more rows of x are seen (below 0: fewer, so that they are enlarged): (least, most)
            from above -1 to 1, or one number for both directions.
        width_factor: that of columns, likewise. None: the same as that of rows."""
    draws: ClassVar[int] = 2
    height_factor: object
    width_factor: object = None
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        for key in ("height_factor", "width_factor"):
            if key == "height_factor" or self.width_factor is not None:
                need(checked(self, key, -1)[0] > -1, f"RandomZoom: {key}={shown(getattr(self, key))} must be above -1")

    def positions(self, u, shape):
        rows, columns = grid(shape)
        down = across = 1 + drawn(u[0], between(self, "height_factor", -1))
        if self.width_factor is not None:
            across = 1 + drawn(u[1], between(self, "width_factor", -1))
        y, x = ((n - 1) / 2 for n in shape[:2])
        return rows * down + y * (1 - down), (columns * across + x * (1 - across))[None]


def crop_operation(layer: "RandomCrop", b: Binding) -> Operation:
    large = b.shape[0] >= layer.height and b.shape[1] >= layer.width
    return (SampleOperation if b.training and large else TapsOperation)(layer, b)


@dataclass(frozen=True)
class RandomCrop(Augmentation, Resampled):
    """A part of the image at a random place, which is drawn for each example; in inference the middle, as CenterCrop takes it.

    `name`: see Layer.

    Args:
        height: rows of y, 1 or more. If x has fewer, its middle is enlarged.
        width: columns of y, 1 or more.
        seed: mixed into the random numbers besides the run's seed. None: only the run's seed and
            the layer's number decide."""
    operation: ClassVar[Callable[[Layer, Binding], Operation]] = staticmethod(crop_operation)
    draws: ClassVar[int] = 2
    height: int
    width: int
    seed: int | None = None
    name: str | None = None

    shape_of_output = Resampled.shape_of_output

    def positions(self, u, shape):
        down, across = (np.floor(v * (n - m + 1)) for v, n, m in zip(u, shape, (self.height, self.width)))
        rows, columns = grid((self.height, self.width))
        return rows + down, (columns + across)[None]

    def taps(self, shape):
        return CenterCrop(self.height, self.width).taps(shape)
