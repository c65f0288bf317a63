"""Layers that add noise in training, and otherwise pass x on unchanged.

Random numbers depend on the run's seed, and on the layer's `seed` if it has one."""
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl import seeds
from mrdl.config import ConfigError, need, shown
from mrdl.kernels import zeros
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Operation, Shape

# the value at which SELU saturates: -alpha scale
SATURATION = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946


class NoiseOperation(Operation):
    """y = x * noise. The noise depends only on the key, the layer and the minibatch's number, not on the batch size."""

    def __init__(self, layer, b):
        super().__init__(layer, b)
        if b.training:
            rows, N = len(b.x.value), b.x.value.shape[1]
            self.noise = zeros((b.shape[-1] if layer.rank else rows, N), b.x.value.dtype)

    def forward(self):
        if not self.b.training:
            self.b.y.value[:] = self.b.x.value
            return
        draws, seed = self.b.draws, self.layer.seed
        key = draws.key if seed is None else seeds.key(draws.key, seed)
        kernel, *arguments = self.layer.distribution()
        getattr(self.b.k, kernel)(self.noise, key, self.b.index, draws.minibatch, *arguments)
        self.apply(self.b.x.value, self.noise, self.b.y.value)

    def apply(self, x, noise, y):
        self.b.k.multiply(x, noise, y)

    def backward(self, batch):
        self.b.k.multiply(self.b.y.grad, self.noise, self.b.x.grad)


@dataclass(frozen=True)
class Noise(Layer):
    """`distribution`: the name of the kernel that draws the noise, and its last arguments."""
    operation: ClassVar[type[Operation]] = NoiseOperation
    supports_masking: ClassVar[bool] = True
    rank: ClassVar[int | None] = None           # the rank that x must have, if all values of a channel share one draw

    def shape_of_output(self, shape):
        if self.rank and len(shape) != self.rank:
            raise ConfigError(f"{type(self).__name__}: its input has the shape {shown(shape)}; it "
                              f"needs {self.rank} axes, of which the last is the channels")
        return shape


@dataclass(frozen=True)
class Dropping(Noise):
    """Noise with a rate, from 0 to below 1."""
    rate: ClassVar[float]

    def __post_init__(self):
        super().__post_init__()
        need(0 <= self.rate < 1,
             f"{type(self).__name__}: rate={self.rate} must be at least 0 and below 1")

    def distribution(self):
        return "dropout_mask", self.rate


@dataclass(frozen=True)
class Rated(Dropping):
    """Noise with a rate, only in training.

    `name`: see Layer.

    Args:
        rate: the share of values that is dropped (GaussianDropout: noise as strong as dropout at
            this rate), at least 0 and below 1.
        seed: mixed into the random numbers besides the run's seed. None: only the run's seed and
            the layer's number decide."""
    rate: float
    seed: int | None = None
    name: str | None = None


class DropoutOperation(NoiseOperation):
    """With a noise_shape, draws are repeated along its axes of size 1."""

    def __init__(self, layer, b):
        super().__init__(layer, b)
        self.whole = (*b.shape, b.x.value.shape[1])
        self.drawn = layer.drawn(b.shape)           # the shape of an example's draws
        if b.training and self.drawn:
            self.noise = zeros((math.prod(self.drawn), self.whole[-1]), b.x.value.dtype)

    def apply(self, x, noise, y):
        if not self.drawn:
            self.b.k.multiply(x, noise, y)
            return
        noise = noise if self.layer.noise_shape[0] is None else noise[:, :1]        # of one example, for all
        np.multiply(x.reshape(self.whole), noise.reshape(*self.drawn, -1), out=y.reshape(self.whole))
        self.b.k.flush(y)

    def backward(self, batch):
        self.apply(self.b.y.grad, self.noise, self.b.x.grad)


@dataclass(frozen=True)
class Dropout(Dropping):
    """Zeroes a share `rate` of x in training and scales the rest by 1 / (1 - rate).

    `name`: see Layer.

    Args:
        rate: the share of values that is dropped, at least 0 and below 1.
        noise_shape: the shape of what is drawn, with the batch first: the values along an axis of
            size 1 are dropped together; None stands for the input's own size. None: each value is
            dropped by itself.
        seed: mixed into the random numbers besides the run's seed. None: only the run's seed and
            the layer's number decide."""
    operation: ClassVar[type[Operation]] = DropoutOperation
    rate: float
    noise_shape: object = None
    seed: int | None = None
    name: str | None = None

    def __post_init__(self):
        given = self.noise_shape
        if given is not None:
            need(isinstance(given, (list, tuple)) and len(given) > 1
                 and all(n is None or type(n) is int and n > 0 for n in given) and given[0] in (None, 1),
                 f"Dropout: noise_shape={shown(given)} must be a list of sizes or None, the first of them (the batch's) None or 1")
            object.__setattr__(self, "noise_shape", tuple(given))
        super().__post_init__()

    def drawn(self, shape: Shape) -> Shape:
        """The shape of an example's draws, where it is not that of x."""
        if self.noise_shape is None:
            return ()
        found = tuple(size if n is None else n for n, size in zip(self.noise_shape[1:], shape))
        need(len(self.noise_shape) == 1 + len(shape) and all(n in (1, size) for n, size in zip(found, shape)),
             f"Dropout: noise_shape={shown(self.noise_shape)} does not fit an input of shape {shown(shape)}")
        return found

    def shape_of_output(self, shape):
        self.drawn(shape)
        return shape


@dataclass(frozen=True)
class SpatialDropout1D(Rated):
    """Dropout of whole channels of x[steps, channels] (Tompson et al. 2014).

    `rate` and `seed`: see mrdl.layers.noise.Rated; `name`: see Layer."""
    rank: ClassVar[int] = 2


@dataclass(frozen=True)
class SpatialDropout2D(Rated):
    """Dropout of whole channels of x[H, W, channels] (Tompson et al. 2014).

    `rate` and `seed`: see mrdl.layers.noise.Rated; `name`: see Layer."""
    rank: ClassVar[int] = 3


@dataclass(frozen=True)
class GaussianDropout(Rated):
    """x times normal noise of mean 1 and variance rate / (1 - rate) (Srivastava et al. 2014).

    `rate` and `seed`: see mrdl.layers.noise.Rated; `name`: see Layer."""

    def distribution(self):
        return "normal_noise", 1.0, (self.rate / (1 - self.rate)) ** 0.5


class AlphaDropoutOperation(NoiseOperation):
    def apply(self, x, noise, y):
        rate, kept = self.layer.rate, noise > 0
        a = ((1 - rate) * (1 + rate * SATURATION ** 2)) ** -0.5
        b = -a * SATURATION * rate
        noise[:] = np.where(kept, noise.dtype.type(a), 0)
        self.b.k.multiply(x, noise, y)
        y += np.where(kept, noise.dtype.type(b), noise.dtype.type(a * SATURATION + b))


@dataclass(frozen=True)
class AlphaDropout(Rated):
    """Sets dropped values to where SELU saturates, then computes a x + b, which keeps mean and variance
    (Klambauer et al. 2017).

    `rate` and `seed`: see mrdl.layers.noise.Rated; `name`: see Layer."""
    operation: ClassVar[type[Operation]] = AlphaDropoutOperation


class GaussianNoiseOperation(NoiseOperation):
    def apply(self, x, noise, y):
        np.add(x, noise, out=y)
        self.b.k.flush(y)

    def backward(self, batch):
        self.b.x.grad[:] = self.b.y.grad


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """x plus normal noise with the standard deviation `stddev`, only in training.

    `name`: see Layer.

    Args:
        stddev: from 0 to 1, in units of x.
        seed: mixed into the random numbers besides the run's seed. None: only the run's seed and
            the layer's number decide."""
    operation: ClassVar[type[Operation]] = GaussianNoiseOperation
    stddev: float
    seed: int | None = None
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(0 <= self.stddev <= 1, f"GaussianNoise: stddev={self.stddev} must lie in 0 to 1")

    def distribution(self):
        return "normal_noise", 0.0, self.stddev
