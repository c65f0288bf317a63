"""Muon, which makes the updates of matrices orthogonal."""
import re
from dataclasses import field
from typing import ClassVar

import numpy as np

from mrdl.config import need
from mrdl.optimizer import Now, Optimizer, rated
from mrdl.optimizers.moments import AdamW
from mrdl.orthogonal import orthogonal


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
        return Now((rate, *self.other.numbers(rate * self.adam_lr_ratio, self.updates(step) + 1)), rate)

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
