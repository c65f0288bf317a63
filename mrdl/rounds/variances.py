"""Averages moving variances exactly, although the reducers average all values in the same way.

All workers begin with the moving mean m_0 of a layer; worker i ends with the mean m_i and the variance v_i. With p_i, its
share of the examples, the mean over all is m = sum p_i m_i, and the variance is
sum p_i (v_i + (m_i - m_0)^2) - (m - m_0)^2. So each worker sends v_i + (m_i - m_0)^2 instead of its variance, and after
averaging, the driver (or a resident worker) subtracts (m - m_0)^2."""
import numpy as np

from mrdl import kernels

Places = list[tuple[int, int, int]]     # for each layer: where its mean and variance begin in the vector, and their size


class Variances:
    """The moving variances in a round that begins with the state `vector`."""

    def __init__(self, vector: np.ndarray, places: Places):
        self.places = places
        self.means = [vector[mean:mean + size].copy() for mean, _, size in places]      # m_0

    def widen(self, values: np.ndarray) -> None:
        """Before averaging, in place: adds to each variance of a worker the square of its mean's change."""
        self._shift(values, 1)

    def narrow(self, values: np.ndarray) -> None:
        """After averaging, in place: subtracts from each variance the square of its mean's change."""
        self._shift(values, -1)

    def _shift(self, values: np.ndarray, sign: int) -> None:
        for (mean, variance, size), start in zip(self.places, self.means):
            moved = values[mean:mean + size] - start
            kept = values[variance:variance + size]
            np.maximum(kept + sign * moved * moved, 0, out=kept)
            kernels.typed(kept.dtype).flush(kept[None])
