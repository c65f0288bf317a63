"""Initial values of weights: Keras's initializers, with a keyed random generator."""
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError, Configured, need, shown, snake

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")


@dataclass(frozen=True)
class Initializer(Configured):
    """The initial values of a weight.

    Args:
        seed: for random initializers: the seed, whatever the model and layer. None: the model's
            seed and the layer decide."""
    keras_module: ClassVar[str] = "keras.initializers"

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """float64 values in Keras's shape, whose last two axes are fan-in and fan-out."""
        raise ConfigError(f"{type(self).__name__} draws nothing")


@dataclass(frozen=True)
class Zeros(Initializer):
    """All 0."""
    aliases: ClassVar[tuple[str, ...]] = ("zero",)

    def __call__(self, shape, rng):
        return np.zeros(shape)


@dataclass(frozen=True)
class Ones(Initializer):
    """All 1."""
    aliases: ClassVar[tuple[str, ...]] = ("one",)

    def __call__(self, shape, rng):
        return np.ones(shape)


@dataclass(frozen=True)
class Constant(Initializer):
    """All `value`.

    Args:
        value: the number."""
    value: float = 0.0

    def __call__(self, shape, rng):
        return np.full(shape, self.value)


@dataclass(frozen=True)
class RandomUniform(Initializer):
    """Values drawn uniformly from minval to maxval.

    Args:
        minval: the smallest value.
        maxval: the bound that all values are below.
        seed: the seed, whatever the model and layer. None: the model's seed and the layer decide."""
    aliases: ClassVar[tuple[str, ...]] = ("uniform",)
    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None

    def __call__(self, shape, rng):
        return self.minval + (self.maxval - self.minval) * rng.random(shape)


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal values.

    Args:
        mean: their mean.
        stddev: their standard deviation.
        seed: the seed, whatever the model and layer. None: the model's seed and the layer decide."""
    aliases: ClassVar[tuple[str, ...]] = ("normal",)
    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __call__(self, shape, rng):
        return self.mean + self.stddev * rng.standard_normal(shape)


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal values; those beyond two standard deviations are drawn again.

    Args:
        mean: the normal distribution's mean.
        stddev: its standard deviation, before truncation.
        seed: the seed, whatever the model and layer. None: the model's seed and the layer decide."""
    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __call__(self, shape, rng):
        z = rng.standard_normal(shape)
        while (far := abs(z) > 2).any():
            z[far] = rng.standard_normal(int(far.sum()))
        return self.mean + self.stddev * z


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Values with the variance scale / n, where n is the fan-in, the fan-out or their mean; bounds as in Keras.

    Args:
        scale: above 0.
        mode: what n is: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        seed: the seed, whatever the model and layer. None: the model's seed and the layer decide."""
    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.distribution == "normal":               # Keras's older name
            object.__setattr__(self, "distribution", "truncated_normal")
        need(self.scale > 0, f"VarianceScaling: scale={self.scale} must be above 0")
        for name, known in (("mode", MODES), ("distribution", DISTRIBUTIONS)):
            value = getattr(self, name)
            need(value in known, f"VarianceScaling: {name}={shown(value)} is none of "
                                 f"{', '.join(known)}")

    def __call__(self, shape, rng):
        receptive = int(np.prod(shape[:-2])) if len(shape) > 2 else 1
        fan_in, fan_out = shape[-2 if len(shape) > 1 else 0] * receptive, shape[-1] * receptive
        fans = dict(zip(MODES, (fan_in, fan_out, (fan_in + fan_out) / 2)))
        variance = self.scale / max(1.0, fans[self.mode])
        if self.distribution == "uniform":
            limit = (3 * variance) ** 0.5
            return RandomUniform(-limit, limit)(shape, rng)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0.0, variance ** 0.5)(shape, rng)
        # 0.8796...: the standard deviation of a standard normal truncated at -2 and 2
        return TruncatedNormal(0.0, variance ** 0.5 / 0.87962566103423978)(shape, rng)


def _scaling(name: str, scale: float, mode: str, distribution: str, source: str) -> type[Initializer]:
    """Keras's named forms of VarianceScaling; their config has only the seed."""
    def call(self, shape, rng):
        return VarianceScaling(scale, mode, distribution)(shape, rng)

    body = {"__annotations__": {"seed": int | None}, "seed": None, "__call__": call,
            "__doc__": f"VarianceScaling({scale}, {mode!r}, {distribution!r}) ({source}); `seed`: see Initializer.",
            "__module__": __name__}
    return dataclass(frozen=True)(type(name, (Initializer,), body))


GlorotUniform = _scaling("GlorotUniform", 1, "fan_avg", "uniform", "Glorot & Bengio 2010")
GlorotNormal = _scaling("GlorotNormal", 1, "fan_avg", "truncated_normal", "Glorot & Bengio 2010")
HeUniform = _scaling("HeUniform", 2, "fan_in", "uniform", "He et al. 2015")
HeNormal = _scaling("HeNormal", 2, "fan_in", "truncated_normal", "He et al. 2015")
LecunUniform = _scaling("LecunUniform", 1, "fan_in", "uniform", "LeCun et al. 1998")
LecunNormal = _scaling("LecunNormal", 1, "fan_in", "truncated_normal", "LeCun et al. 1998")

@dataclass(frozen=True)
class Orthogonal(Initializer):
    """gain times a matrix [prod(shape[:-1]), shape[-1]] whose rows or columns are orthonormal (Saxe et al. 2014).

    Args:
        gain: factor of the matrix.
        seed: the seed, whatever the model and layer. None: the model's seed and the layer decide."""
    aliases: ClassVar[tuple[str, ...]] = ("orthogonalinitializer", "orthogonal_initializer")
    gain: float = 1.0
    seed: int | None = None

    def __call__(self, shape, rng):
        need(len(shape) > 1, f"Orthogonal: the shape {shown(shape)} has less than two axes")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q = rng.standard_normal((max(rows, columns), min(rows, columns))).T     # make each row orthogonal to those before it,
        for i in range(len(q)):                 # by Gram-Schmidt and not by LAPACK, whose versions differ in the last bits
            q[i] /= np.sqrt((q[i] * q[i]).sum())
            q[i + 1:] -= (q[i + 1:] * q[i]).sum(1)[:, None] * q[i]
        return self.gain * (q.T if rows >= columns else q).reshape(shape)


@dataclass(frozen=True)
class Identity(Initializer):
    """gain times the identity matrix, of as many rows and columns as are asked for (IRNN: Le et al. 2015).

    Args:
        gain: the value on the diagonal."""
    aliases: ClassVar[tuple[str, ...]] = ("identityinitializer", "identity_initializer")
    gain: float = 1.0

    def __call__(self, shape, rng):
        need(len(shape) == 2, f"Identity: the shape {shown(shape)} is not that of a matrix")
        return self.gain * np.eye(*shape)


INITIALIZERS = [Zeros, Ones, Constant, RandomUniform, RandomNormal, TruncatedNormal,
                VarianceScaling, GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform,
                LecunNormal, Orthogonal, Identity]
# Keras's other names of them: he_normal and so on
globals().update({snake(cls.__name__): cls for cls in INITIALIZERS})
