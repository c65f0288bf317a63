"""Averages each weight by how much its workers know of it, although the reducers average all values in the same way.

The updater's squares a_i, the sum (or the mean) of the squared gradients of a weight, say how sure worker i is of the weight. What is
wanted (Vowpal Wabbit's) is w = sum a_i w_i / sum a_i and a = sum a_i^2 / sum a_i. So a worker sends a_i (w_i - w_0) / n_i for its weights,
a_i / n_i for its squares, and, behind all else, a_i^2 / n_i: the reducers weigh by n_i, and the quotients of their means are what is wanted.
Weights that are not trained are averaged as ever."""
import numpy as np

from mrdl import kernels

LEAST = 1e-20                   # a square is sent in units of what it was before the round, or of this: it would be too small for float32


class Confidence:
    """One round that begins with the state `vector` [P (1 + slots)], which may be changed later.

    Args:
        squares: the number of the slot that has the squares.
        untrained: places in the weights."""

    def __init__(self, vector: np.ndarray, parameters: int, squares: int, untrained: list[slice]):
        rows = vector.reshape(-1, parameters)
        self.weights, self.unit, self.place = rows[0].copy(), np.maximum(rows[1 + squares], LEAST), 1 + squares
        self.trained = np.ones(parameters, bool)
        for place in untrained:
            self.trained[place] = False

    def sent(self, vector: np.ndarray, n: int) -> np.ndarray:
        """What a worker sends [P (2 + slots)], whose vector this is after training on n examples."""
        rows = vector.reshape(-1, len(self.weights))
        a = rows[self.place].astype(float)
        with np.errstate(all="ignore"):         # the driver handles values that are not finite
            found = np.concatenate([rows, (a * (a / self.unit) / max(n, 1)).astype(rows.dtype)[None]])
            found[self.place] = a / max(n, 1)
            found[0] = np.where(self.trained, (rows[0].astype(float) - self.weights) * (a / max(n, 1)), rows[0])
        kernels.typed(found.dtype).flush(found)
        return found.reshape(-1)

    def joined(self, mean: np.ndarray) -> np.ndarray:
        """The vector after the round, by the mean of what workers sent. A trained weight whose squares are all 0 stays as it is."""
        rows = mean.reshape(-1, len(self.weights))
        found, a = rows[:-1].copy(), rows[self.place].astype(float)
        with np.errstate(all="ignore"):         # as above; and 0 / 0 is not taken
            found[0] = np.where(self.trained, np.where(a == 0, self.weights, self.weights + rows[0] / a), rows[0])
            found[self.place] = np.where(a == 0, 0, rows[-1] / a * self.unit)
        kernels.typed(found.dtype).flush(found)
        return found.reshape(-1)
