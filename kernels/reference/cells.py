"""Plain Python twins of kernels/cells.pyx, with the same names and arguments."""
import numpy as np
from mrdl.kernels import words as codes_of
from mrdl.kernels.reference import words


def numbers(data, starts, stops, columns, decimal, out, codes):
    for k, column in enumerate(columns):
        words.numbers(data, starts[:, column], stops[:, column], decimal, 0, out[k], codes[k])


def fill(x, codes, filling):
    x[codes == codes_of.EMPTY] = filling
    return bool(np.isin(codes, [codes_of.EMPTY, codes_of.GOOD]).all())


def scale(x, shift, by, out):
    with np.errstate(all="ignore"):
        out[:] = (x - shift) / by
    return bool(np.isfinite(out).all())
