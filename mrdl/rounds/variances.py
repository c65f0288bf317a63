"""How moving variances are averaged: exactly, as part of an average that knows nothing of them.

Worker i ends with the moving mean m_i and variance v_i of a layer, from an m_0 that all began with. Of all their examples,
by their shares p_i, the mean is m = sum p_i m_i and the variance sum p_i (v_i + (m_i - m_0)^2) - (m - m_0)^2. So each
worker sends v_i + (m_i - m_0)^2 in the variance's place, and whoever averaged takes (m - m_0)^2 away again."""
import numpy as np

from mrdl import kernels

Places = list[tuple[int, int, int]]     # of each layer: where mean and variance begin in the vector, and their size


class Variances:
    """The moving variances of one round, from the vector that it begins with."""

    def __init__(self, vector: np.ndarray, places: Places):
        self.places = places
        self.means = [vector[mean:mean + size].copy() for mean, _, size in places]      # m_0

    def widen(self, values: np.ndarray) -> None:
        """A worker's, before they are averaged: in place, by the square of what each mean has moved."""
        self._shift(values, 1)

    def narrow(self, values: np.ndarray) -> None:
        """The average's: in place, by the square of what its mean has moved."""
        self._shift(values, -1)

    def _shift(self, values: np.ndarray, sign: int) -> None:
        for (mean, variance, size), start in zip(self.places, self.means):
            moved = values[mean:mean + size] - start
            kept = values[variance:variance + size]
            np.maximum(kept + sign * moved * moved, 0, out=kept)
            kernels.typed(kept.dtype).flush(kept[None])
