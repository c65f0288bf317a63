"""Adafactor, which keeps the mean squares of a matrix's gradients as those of its rows and its columns."""
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError, need
from mrdl.optimizer import Optimizer, Step, rated

Shape = tuple[int, ...]


def factored(shape: Shape) -> tuple[Shape, Shape] | None:
    """The shapes of the means over a tensor's last axis and over its last but one; None where the state has the mean square of
    each number. So it is also where one of these axes has size 1, as the means are then the same numbers."""
    return (shape[:-1], (*shape[:-2], shape[-1])) if len(shape) > 1 and min(shape[-2:]) > 1 else None


def product(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The mean squares that these means stand for."""
    return (rows / rows.mean(-1, keepdims=True))[..., None] * columns[..., None, :]


@rated
class Adafactor(Optimizer):
    """v = b v + (1 - b)(g^2 + epsilon_1) with b = 1 - t^beta_2_decay; u = g / sqrt(v);
    w -= max(epsilon_2, rms(w)) min(rate, 1 / sqrt(t)) u / max(1, rms(u) / clip_threshold) (Shazeer & Stern 2018).

    Of a tensor with two axes or more, v is the product of its means over the last axis and over the last but one, divided by
    their mean. The state is one vector; in it a tensor has first the one, then the other means, then zeros.

    It does not go with sparse inputs. The other arguments: see Optimizer.

    Args:
        beta_2_decay: how quickly b approaches 1, below 0.
        epsilon_1: is added to the squares of gradients, above 0.
        epsilon_2: the least that a step is a multiple of, above 0.
        clip_threshold: the largest root mean square of u, above 0.
        relative_step: as in Keras; a rate that is no schedule is at most 1 / sqrt(t) with it and without it."""
    slots: ClassVar[int] = 1
    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True

    def __post_init__(self):
        super().__post_init__()
        need(self.beta_2_decay < 0, "Adafactor: beta_2_decay must be below 0")
        for key in ("epsilon_1", "epsilon_2", "clip_threshold"):
            need(getattr(self, key) > 0, f"Adafactor: {key} must be above 0")

    def numbers(self, rate, t):
        return min(rate, t ** -0.5), 1 - t ** self.beta_2_decay

    def block(self, k, w, g, slots):
        raise ConfigError("Adafactor takes each weight as a whole, and does not go with sparse inputs: take Adam")

    def is_matrix(self, name, shape):
        return True

    def means(self, slot: np.ndarray, shape: Shape) -> tuple[np.ndarray, ...]:
        """What a tensor of Keras's shape has in its part of the state, as views: the mean squares, in our order, or two means."""
        both = factored(shape)
        if both is None:
            return (slot,)
        cut = int(np.prod(both[0]))
        return slot[:cut].reshape(both[0]), slot[cut:cut + int(np.prod(both[1]))].reshape(both[1])

    def tensor(self, k: SimpleNamespace, weight, w: np.ndarray, g: np.ndarray, slots: np.ndarray) -> Step:
        means, size = self.means(slots[0], weight.keras), len(w)

        def rms(flat: np.ndarray) -> float:
            return (k.sum_squares(flat) / size) ** 0.5

        def step(now, scale):
            total, (rate, kept) = k.sum_squares(g), now.numbers
            with np.errstate(all="ignore"):     # the caller handles values that are not finite
                own = self.clipped(g, scale)
                w[...] -= w * now.decay
                squares = own * own + self.epsilon_1
                if len(means) == 1:
                    means[0][...] = means[0] * kept + squares * (1 - kept)
                    own /= np.sqrt(means[0])
                else:
                    squares = weight.view(squares)
                    for mean, axis in zip(means, (-1, -2)):
                        mean[...] = mean * kept + squares.mean(axis) * (1 - kept)
                    view = weight.view(own)
                    view /= np.sqrt(product(*means))
                w[...] -= own * (max(self.epsilon_2, rms(w)) * rate / max(1.0, rms(own) / self.clip_threshold))
            k.flush(w[None])
            return total
        return step
