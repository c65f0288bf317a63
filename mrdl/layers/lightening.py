"""RandomContrast and RandomBrightness, as in Keras: they change the values of pixels, not their places."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.augmentation import Augmentation, AugmentOperation, between, drawn
from mrdl.layers.operation import Operation


class LightOperation(AugmentOperation):
    """y = factor x + (1 - factor) the mean of the channel + offset, inside the range of values."""

    def change(self, u):
        b = self.b
        H, W, C = b.shape
        x, y = (a.reshape(H * W, C, -1) for a in (b.x.value, b.y.value))
        least, most = map(x.dtype.type, self.layer.value_range)
        self.factor, offset = (n.astype(x.dtype) for n in self.layer.change(u[0]))
        mean = x.sum(0) / x.dtype.type(H * W)
        np.add((x - mean) * self.factor, mean + offset, out=y)
        self.kept = (y >= least) & (y <= most)
        np.clip(y, least, most, out=y)

    def backward(self, batch):
        b = self.b
        if b.first:
            return
        H, W, C = b.shape
        dx = b.x.grad.reshape(H * W, C, -1)
        dy = np.where(self.kept, b.y.grad.reshape(dx.shape), 0)
        np.add(dy * self.factor, dy.sum(0) * ((1 - self.factor) / dx.dtype.type(H * W)), out=dx)
        b.k.flush(b.x.grad)


@dataclass(frozen=True)
class Lightening(Augmentation):
    """Values of pixels times a factor, or plus a number.

    `name`: see Layer.

    Args:
        value_range: the least and the largest value of a pixel; what is beyond them becomes them.
        seed: mixed into the random numbers besides the run's seed. None: only the run's seed and
            the layer's number decide."""
    operation: ClassVar[type[Operation]] = LightOperation
    least: ClassVar[float] = -1.0               # of factors
    factor: object
    value_range: object = (0, 255)
    seed: int | None = None
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        pair = self.value_range
        need(isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(n, (int, float)) for n in pair),
             f"{type(self).__name__}: value_range={shown(pair)} must be two numbers")
        object.__setattr__(self, "value_range", tuple(sorted(pair)))
        object.__setattr__(self, "factor", between(self, "factor", self.least))

    def change(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The factor and the offset of each example, from numbers from 0 to below 1."""
        raise NotImplementedError           # each layer has its own


@dataclass(frozen=True)
class RandomContrast(Lightening):
    """Multiplies the distance of pixels from the mean of their channel in the image.

    The other arguments: see mrdl.layers.lightening.Lightening.

    Args:
        factor: (lower, upper) from 0 to 1: the distance is multiplied by 1 - lower to 1 + upper. One number: upper, and lower
            is 0, as in Keras."""
    least: ClassVar[float] = 0.0

    def change(self, u):
        lower, upper = self.factor
        return drawn(u, (1 - lower, 1 + upper)), 0 * u


@dataclass(frozen=True)
class RandomBrightness(Lightening):
    """Adds a number to all pixels of an image.

    The other arguments: see mrdl.layers.lightening.Lightening.

    Args:
        factor: the number, as a share of the range of values: (least, most) from -1 to 1, or one number for both directions."""

    def change(self, u):
        return 0 * u + 1, drawn(u, self.factor) * (self.value_range[1] - self.value_range[0])
