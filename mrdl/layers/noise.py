"""Layers that add noise in training, and otherwise pass x on unchanged.

Random numbers depend on the run's seed, and on the layer's `seed` if it has one."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl import seeds
from mrdl.config import ConfigError, need, shown
from mrdl.kernels import zeros
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Operation

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

    def output(self, shape):
        if self.rank and len(shape) != self.rank:
            raise ConfigError(f"{type(self).__name__}: its input has the shape {shown(shape)}; it "
                              f"needs {self.rank} axes, of which the last is the channels")
        return shape


@dataclass(frozen=True)
class Rated(Noise):
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

    def __post_init__(self):
        super().__post_init__()
        need(0 <= self.rate < 1,
             f"{type(self).__name__}: rate={self.rate} must be at least 0 and below 1")

    def distribution(self):
        return "dropout_mask", self.rate


@dataclass(frozen=True)
class Dropout(Rated):
    """Zeroes a share `rate` of x in training and scales the rest by 1 / (1 - rate).

    `rate` and `seed`: see mrdl.layers.noise.Rated; `name`: see Layer."""


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
