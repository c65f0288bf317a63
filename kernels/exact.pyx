"""Sums of doubles and of their squares without rounding: neither order nor splits change them.

A sum is an integer of 32-bit words, lowest first, each in an int64. SUMS words count in units of
2^-1074, SQUARES words (of squares) in units of 2^-2148; 2^63 values of any size have room. Sums are
merged by adding their arrays (up to 2^30 of them); after `carry`, equal sums have equal words."""
include "common.pxi"

from libc.math cimport isfinite
from libc.stdint cimport int64_t

cdef extern from "exact.h" nogil:
    void c_carry "carry"(int64_t*, size_t)
    void c_values "add_values"(const double*, size_t, int64_t*, size_t)
    void c_squares "add_squares"(const double*, size_t, int64_t*, size_t)

SUMS, SQUARES = 68, 136         # words


cdef int _fit(const int64_t[::1] words) except -1:
    return need(words.shape[0] == SUMS or words.shape[0] == SQUARES,
                "exact: a sum has SUMS words, one of squares SQUARES")


def add(const double[::1] values, int64_t[::1] sums, int64_t[::1] squares=None):
    """sums[SUMS] += values[n], and squares[SQUARES] += values^2 if it is given; both are carried.

    ValueError, and nothing is added, where a value is not finite."""
    cdef Py_ssize_t i, n = values.shape[0]
    cdef bint finite = True
    need(sums.shape[0] == SUMS and (squares is None or squares.shape[0] == SQUARES),
         "add: sums[SUMS] and squares[SQUARES] do not fit")
    with nogil:
        for i in range(n):
            finite &= isfinite(values[i])
    need(finite, "add: a value is not finite")
    if n:
        with nogil:
            c_values(&values[0], n, &sums[0], sums.shape[0])
        if squares is not None:
            with nogil:
                c_squares(&values[0], n, &squares[0], squares.shape[0])


def carry(int64_t[::1] words):
    """The same sum in words that are in [0, 2^32), but for the last, which has the sign."""
    _fit(words)
    with nogil:
        c_carry(&words[0], words.shape[0])


def total(const int64_t[::1] words):
    """(integer, exponent): the sum is integer * 2^exponent."""
    _fit(words)
    value = 0
    for word in reversed(words):
        value = (value << 32) + word
    return value, -1074 if words.shape[0] == SUMS else -2148
