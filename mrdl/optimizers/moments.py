"""Adam and its kin: means of the gradient and of its square, corrected for their start at 0."""
from itertools import accumulate
from operator import mul
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError
from mrdl.optimizer import Optimizer, rated


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
