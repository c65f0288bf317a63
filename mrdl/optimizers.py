"""Updaters: Keras's optimizers, as descriptions; `block` binds one to a range of the flat vector."""
import re
from dataclasses import field
from itertools import accumulate
from operator import mul
from typing import Any, ClassVar

import numpy as np

from mrdl import schedules  # noqa: F401  Keras has keras.optimizers.schedules
from mrdl.config import ConfigError, need
from mrdl.optimizer import Now, Optimizer, rated
from mrdl.orthogonal import orthogonal


@rated
class SGD(Optimizer):
    """w -= rate g; with momentum m = momentum m - rate g, w += m (Polyak 1964), or Nesterov's form
    w += momentum m - rate g (Sutskever et al. 2013).

    The other arguments: see Optimizer.

    Args:
        momentum: the share of the last step that is added to this one, at least 0 and below 1.
            0.0: no momentum, and no state.
        nesterov: whether to use Nesterov's form of momentum."""
    shares: ClassVar[tuple[str, ...]] = ("momentum",)
    learning_rate: object = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> int:
        return int(self.momentum != 0)

    @property
    def rule(self) -> str:
        return "sgd" if not self.momentum else "nesterov" if self.nesterov else "momentum"

    def numbers(self, rate, t):
        return (rate, self.momentum) if self.momentum else (rate,)


@rated
class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g^2; step = rate g / sqrt(v + epsilon); w -= step (Hinton 2012).

    With momentum, m = momentum m + step and w -= m. If it is centered, the square of the mean of g is subtracted from v in
    the divisor (Graves 2013). The state has a vector for v, one for m and one for that mean, where there are these. The other arguments: see Optimizer.

    Args:
        rho: the share of the old mean square v, and of the old mean, that is kept, at least 0 and below 1.
        momentum: the share of the last step that is added to this one, at least 0 and below 1.
        epsilon: keeps the divisor above 0; 0 or more.
        centered: whether the divisor is the gradient's standard deviation, instead of its root mean square."""
    squares: ClassVar[int | None] = 0
    shares: ClassVar[tuple[str, ...]] = ("rho", "momentum")
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    @property
    def rule(self) -> str:
        return "rmsprop" + "_centered" * self.centered + "_momentum" * (self.momentum != 0)

    @property
    def slots(self) -> int:
        return 1 + self.centered + (self.momentum != 0)

    def numbers(self, rate, t):
        return rate, self.rho, self.epsilon, *[self.momentum] * (self.momentum != 0)


@rated
class Ftrl(Optimizer):
    """v' = v + g^2; z += g + 2 l2_shrinkage w - (sqrt(v') - sqrt(v)) / rate w;
    w = (clip(z, -l1, l1) - z) / (sqrt(v') / rate + 2 l2 + beta / rate) (McMahan et al. 2013).

    Its weights follow from its state, so that many can be exactly 0 with l1. The other arguments: see Optimizer.

    Args:
        initial_accumulator_value: the initial value of v, 0 or more.
        l1_regularization_strength: l1, 0 or more.
        l2_regularization_strength: l2, 0 or more.
        l2_shrinkage_regularization_strength: the penalty that is added to the gradient alone, 0 or more.
        beta: added to the square root in the divisor, 0 or more."""
    rule: ClassVar[str] = "ftrl"
    slots: ClassVar[int] = 2
    fixed: ClassVar[dict[str, Any]] = {"learning_rate_power": -0.5}
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        for key in ("l1_regularization_strength", "l2_regularization_strength", "l2_shrinkage_regularization_strength", "beta"):
            need(getattr(self, key) >= 0, f"Ftrl: {key} must be 0 or more")

    def start(self, weights):
        slots = super().start(weights)
        slots[0] = self.initial_accumulator_value
        return slots

    def numbers(self, rate, t):
        rate = max(rate, 1e-30)                 # at 0, Keras divides by it
        return (rate, self.l1_regularization_strength, 2 * self.l2_regularization_strength + self.beta / rate,
                2 * self.l2_shrinkage_regularization_strength)


@rated
class Adagrad(Optimizer):
    """v += g^2; w -= rate g / sqrt(v + epsilon) (Duchi et al. 2011).

    The other arguments: see Optimizer.

    Args:
        initial_accumulator_value: the initial value of v, 0 or more.
        epsilon: keeps the divisor above 0; 0 or more."""
    rule: ClassVar[str] = "adagrad"
    squares: ClassVar[int | None] = 0
    slots: ClassVar[int] = 1
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    @property
    def initial(self) -> float:
        return self.initial_accumulator_value

    def numbers(self, rate, t):
        return rate, self.epsilon


@rated
class Adadelta(Optimizer):
    """v = rho v + (1 - rho) g^2; step = g sqrt(u + epsilon) / sqrt(v + epsilon);
    u = rho u + (1 - rho) step^2; w -= rate step (Zeiler 2012).

    The other arguments: see Optimizer.

    Args:
        rho: the share of the old mean squares u and v that is kept, at least 0 and below 1.
        epsilon: keeps the divisor above 0, and makes the first step larger than 0; 0 or more."""
    rule: ClassVar[str] = "adadelta"
    squares: ClassVar[int | None] = 0
    slots: ClassVar[int] = 2
    shares: ClassVar[tuple[str, ...]] = ("rho",)
    rho: float = 0.95
    epsilon: float = 1e-7

    def numbers(self, rate, t):
        return rate, self.rho, self.epsilon


@rated
class Lion(Optimizer):
    """w -= rate sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g (Chen et al. 2023).

    The other arguments: see Optimizer.

    Args:
        beta_1: the share of the mean m in a step, above 0 and at most 1.
        beta_2: the share of the old mean m that is kept, at least 0 and below 1."""
    rule: ClassVar[str] = "lion"
    slots: ClassVar[int] = 1
    shares: ClassVar[tuple[str, ...]] = ("beta_2",)
    beta_1: float = 0.9
    beta_2: float = 0.99

    def __post_init__(self):
        super().__post_init__()
        need(0 < self.beta_1 <= 1, "Lion: beta_1 must be above 0 and at most 1")

    def numbers(self, rate, t):
        return rate, self.beta_1, self.beta_2


@rated
class Moments(Optimizer):
    """m += (g - m)(1 - beta_1) and v += (g^2 - v)(1 - beta_2). Both start at 0; the bias that this causes in
    the first updates is corrected by the real number of updates, t.

    The other arguments: see Optimizer.

    Args:
        beta_1: the share of the old mean m that is kept, at least 0 and below 1.
        beta_2: the share of the old mean square v (Adamax: of the old maximum) that is kept, at
            least 0 and below 1.
        epsilon: keeps the divisor above 0; 0 or more. 1e-7, as in Keras."""
    slots: ClassVar[int] = 2
    squares: ClassVar[int | None] = 1
    shares: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2")
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def numbers(self, rate, t):
        rate = rate * (1 - self.beta_2 ** t) ** 0.5 / (1 - self.beta_1 ** t)
        return rate, self.beta_1, self.beta_2, self.epsilon


class Maximal:
    """With amsgrad, the largest v so far is used instead of v; it is a third slot (Reddi et al. 2018)."""

    @property
    def slots(self) -> int:
        return 2 + self.amsgrad

    @property
    def rule(self) -> str:
        return "amsgrad" if self.amsgrad else "adam"


@rated
class Adam(Maximal, Moments):
    """w -= r m / (sqrt(v) + epsilon), with r = rate sqrt(1 - beta_2^t) / (1 - beta_1^t)
    (Kingma & Ba 2015).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer.

    Args:
        amsgrad: whether to use the largest v so far instead of v (Reddi et al. 2018); the state
            then has a third vector."""
    amsgrad: bool = False


@rated
class AdamW(Maximal, Moments):
    """Adam with weight decay (Loshchilov & Hutter 2019).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer.

    Args:
        amsgrad: whether to use the largest v so far instead of v (Reddi et al. 2018); the state
            then has a third vector."""
    weight_decay: float = 0.004                 # in Keras it is the second argument
    amsgrad: bool = False


@rated
class Adamax(Moments):
    """u = max(beta_2 u, |g|); w -= rate / (1 - beta_1^t) m / (u + epsilon) (Kingma & Ba 2015).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer."""
    rule: ClassVar[str] = "adamax"
    squares: ClassVar[int | None] = None

    def numbers(self, rate, t):
        return rate / (1 - self.beta_1 ** t), self.beta_1, self.beta_2, self.epsilon


# the product over i = 1..n of 1 - 0.96^i / 2; from n = 1000 on it does not change in float64
WARMED = list(accumulate((1 - 0.5 * 0.96 ** i for i in range(1, 1001)), mul, initial=1.0))


@rated
class Nadam(Moments):
    """With u_t = beta_1 (1 - 0.96^t / 2) and U_t their product: w -= rate (u_(t+1) m / (1 - U_(t+1))
    + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon) (Dozat 2016).

    `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer."""
    rule: ClassVar[str] = "nadam"

    def numbers(self, rate, t):
        # Keras keeps U_t as a running product. Here it is computed from t, because workers keep no memory between rounds
        now, after = (self.beta_1 * (1 - 0.5 * 0.96 ** i) for i in (t, t + 1))
        product = self.beta_1 ** t * WARMED[min(t, 1000)]
        return (rate * after / (1 - product * after), rate * (1 - now) / (1 - product), self.beta_1,
                self.beta_2, self.epsilon, 1 / (1 - self.beta_2 ** t))


@rated
class Lamb(Moments):
    """u = m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon); w -= rate |w| / |u| u, with the norms of each weight
    tensor; without them where one is 0 (You et al. 2020).

    It does not go with sparse inputs. `beta_1`, `beta_2` and `epsilon`: see Moments. The other arguments: see Optimizer."""
    squares: ClassVar[int | None] = None

    def numbers(self, rate, t):
        return rate, self.beta_1, self.beta_2, self.epsilon, 1 / (1 - self.beta_1 ** t), 1 / (1 - self.beta_2 ** t)

    def block(self, k, w, g, slots):
        raise ConfigError("Lamb takes the norm of each weight as a whole, and does not go with sparse inputs: take Adam")

    def is_matrix(self, name, shape):
        return True

    def matrix(self, k, w, g, slots):
        w, g, (m, v) = w.reshape(-1), g.reshape(-1), slots.reshape(2, -1)

        def step(now, scale):
            squares, (rate, beta_1, beta_2, epsilon, of_m, of_v) = k.sum_squares(g), now.numbers
            with np.errstate(all="ignore"):     # the caller handles values that are not finite
                own = self.clipped(g, scale)
                w[...] -= w * now.decay
                m[...] += (own - m) * (1 - beta_1)
                v[...] += (own * own - v) * (1 - beta_2)
                own = m * of_m / (np.sqrt(v * of_v) + epsilon)
                norms = k.sum_squares(w), k.sum_squares(own)
                w[...] -= own * (rate * (norms[0] / norms[1]) ** 0.5 if min(norms) > 0 else rate)
            for changed in (w, m, v):
                k.flush(changed[None])
            return squares
        return step


@rated
class Muon(Optimizer):
    """m = momentum m + g; w -= rate rms_rate sqrt(max(R, C)) orthogonal(g + momentum m) for a matrix w[R, C], AdamW for all
    others (Jordan et al. 2024; scaled as by Liu et al. 2025).

    As in Keras, a matrix is a weight that Keras stores with two axes and that neither belongs to an Embedding nor to a layer in
    `exclude_layers`: that should have the output layer. The kernel of a Dense layer behind a sparse Input, of which an
    update changes some rows, is no matrix either.

    The state has two vectors; of matrices, the second stays 0. The other arguments: see Optimizer; `weight_decay` is that of
    matrices, 0.004.

    Args:
        adam_beta_1: AdamW's share of the old mean that is kept, at least 0 and below 1.
        adam_beta_2: AdamW's share of the old mean square that is kept, at least 0 and below 1.
        adam_weight_decay: the weight decay of what is no matrix, 0 or more. None: no decay.
        epsilon: keeps AdamW's divisor above 0; 0 or more.
        exclude_layers: regular expressions; a weight is no matrix if one is found in its layer's name, a "/", and its own
            name. None: there are none.
        exclude_embeddings: whether weights with "embedding" in these names are no matrices.
        muon_a: what the matrix itself is multiplied by in a step towards an orthogonal one.
        muon_b: the factor of its third power there.
        muon_c: the factor of its fifth power there.
        adam_lr_ratio: AdamW's learning rate, as a multiple of the learning rate.
        momentum: the share of the old m that is kept, at least 0 and below 1.
        ns_steps: how many steps there are towards an orthogonal matrix, 1 or more.
        nesterov: whether the matrix to make orthogonal is g + momentum m, instead of m.
        rms_rate: the factor that makes a matrix's updates about as large as AdamW's. None: updates are not scaled."""
    slots: ClassVar[int] = 2
    shares: ClassVar[tuple[str, ...]] = ("adam_beta_1", "adam_beta_2", "momentum")
    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    adam_weight_decay: float | None = 0.004
    epsilon: float = 1e-7
    weight_decay: float | None = field(default=0.004, kw_only=True)
    exclude_layers: tuple[str, ...] = field(default=None, kw_only=True)
    exclude_embeddings: bool = field(default=True, kw_only=True)
    muon_a: float = field(default=3.4445, kw_only=True)
    muon_b: float = field(default=-4.775, kw_only=True)
    muon_c: float = field(default=2.0315, kw_only=True)
    adam_lr_ratio: float = field(default=1.0, kw_only=True)
    momentum: float = field(default=0.95, kw_only=True)
    ns_steps: int = field(default=5, kw_only=True)
    nesterov: bool = field(default=True, kw_only=True)
    rms_rate: float | None = field(default=0.2, kw_only=True)

    def __post_init__(self):
        object.__setattr__(self, "exclude_layers", self.exclude_layers or ())
        super().__post_init__()
        need(self.ns_steps > 0, "Muon: ns_steps must be 1 or more")
        need((self.adam_weight_decay or 0) >= 0, "Muon: adam_weight_decay must be 0 or more")
        for text in self.exclude_layers:
            try:
                re.compile(text)
            except re.error as error:
                need(False, f"Muon: exclude_layers: {text!r} is no regular expression: {error}")

    @property
    def other(self) -> "AdamW":
        """The rule for what is no matrix."""
        return AdamW(0.0, self.adam_weight_decay or 0.0, self.adam_beta_1, self.adam_beta_2, self.epsilon,
                     clipvalue=self.clipvalue)

    def at(self, step, rate_scale=1.0):
        rate = self.rate(step) * rate_scale
        return Now((rate, *self.other.numbers(rate * self.adam_lr_ratio, step + 1)), rate)

    def block(self, k, w, g, slots):
        """For weights that are no matrices."""
        other = self.other
        update = other.block(k, w, g, slots)
        return lambda now, scale: update(Now(now.numbers[1:], now.decay * other.weight_decay), scale)

    def is_matrix(self, name, shape):
        return len(shape) == 2 and not (self.exclude_embeddings and "embedding" in name.lower()
                                        or any(re.search(text, name) for text in self.exclude_layers))

    def matrix(self, k, w, g, slots):
        m, share = slots[0], (self.rms_rate or 1.0) * (1 if self.rms_rate is None else max(w.shape) ** 0.5)
        decay = self.weight_decay or 0.0

        def step(now, scale):
            squares, (rate, *_) = k.sum_squares(g.reshape(-1)), now.numbers
            with np.errstate(all="ignore"):     # the caller handles values that are not finite
                own = self.clipped(g, scale)
                m[...] = m * self.momentum + own
                own = own + m * self.momentum if self.nesterov else m
                w[...] = w - w * (rate * decay) - orthogonal(k, own, self.ns_steps, self.muon_a, self.muon_b, self.muon_c) * (rate * share)
            k.flush(w)
            k.flush(m)
            return squares
        return step


OPTIMIZERS = [SGD, RMSprop, Ftrl, Adagrad, Adadelta, Lion, Adam, AdamW, Adamax, Nadam, Lamb, Muon]
