"""Plain Python twins of kernels/exact.pyx, with the same names and arguments, by Fraction."""
from fractions import Fraction

from mrdl.kernels import exact


def add(values, sums, squares=None):
    if not all(map(_finite, values)):
        raise ValueError("a value is not finite")
    for words, power in ((sums, 1), (squares, 2)):
        if words is not None:
            value, exponent = total(words)
            value += sum(Fraction(x) ** power for x in values.tolist()) / Fraction(2) ** exponent
            _put(words, int(value))


def carry(words):
    _put(words, total(words)[0])


def total(words):
    value = sum(int(word) << 32 * i for i, word in enumerate(words))
    return value, -1074 if len(words) == exact.SUMS else -2148


def _finite(value):
    return abs(value) < float("inf")


def _put(words, value):
    for i in range(len(words) - 1):
        words[i] = value & 0xffffffff
        value >>= 32
    words[-1] = value
