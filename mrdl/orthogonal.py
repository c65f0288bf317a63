"""Newton and Schulz's iteration, which makes a matrix nearly orthogonal by products alone."""
from types import SimpleNamespace

import numpy as np

from mrdl.kernels import pad, zeros


def orthogonal(k: SimpleNamespace, matrix: np.ndarray, steps: int, a: float, b: float, c: float) -> np.ndarray:
    """U V' of the singular value decomposition U S V' of the matrix, but for S: about 1 each, instead of 1.

    Each step is X = a X + (b X X' + c (X X')^2) X, from X = the matrix divided by its norm. The products are those of layers,
    and the rest is done value by value, so that the bits are the same on every machine.

    Args:
        k: the kernels for the matrix's type.
        matrix: [R, C].
        steps: how many steps.
        a: the factor of X in a step.
        b: the factor of X's third power.
        c: the factor of X's fifth power.

    Returns:
        [R, C]."""
    tall = matrix.shape[0] > matrix.shape[1]
    given = np.ascontiguousarray(matrix.T if tall else matrix)
    (R, C), dtype = given.shape, given.dtype
    M, N = pad(R), pad(C)                       # what pads is 0, and stays so
    x, y, turned, bias = zeros((M, N), dtype), zeros((M, N), dtype), zeros((N, M), dtype), zeros(M, dtype)
    squared, fourth = zeros((M, M), dtype), zeros((M, M), dtype)
    with np.errstate(all="ignore"):             # the caller handles values that are not finite
        x[:R, :C] = given / dtype.type(k.sum_squares(given.reshape(-1)) ** 0.5 + 1e-7)
        for _ in range(steps):
            k.transpose(x, turned)
            k.dense_forward(x, bias, turned, squared, False)
            k.dense_forward(squared, bias, squared, fourth, False)
            squared *= b
            fourth *= c
            squared += fourth
            k.dense_forward(squared, bias, x, y, False)
            x *= a
            x += y
    return x[:R, :C].T if tall else x[:R, :C]
