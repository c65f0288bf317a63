"""Plain Python twin of kernels/cells.pyx, with the same name and arguments."""
from mrdl.kernels.reference import words


def numbers(data, starts, stops, columns, decimal, out, codes):
    for k, column in enumerate(columns):
        words.numbers(data, starts[:, column], stops[:, column], decimal, 0, out[k], codes[k])
