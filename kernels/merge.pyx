"""The reducer's loop: a mean of vectors weighted by their examples, summed in float64 in the order given."""
include "common.pxi"

cdef extern from "lanes.h" nogil:
    double fma1(double, double, double)


def accumulate(double[::1] total, const real[::1] values, double n):
    """total[P] += n values."""
    need(total.shape[0] == values.shape[0], "accumulate: total and values must have one length")
    cdef Py_ssize_t i
    with nogil:
        for i in range(values.shape[0]):
            total[i] = fma1(n, <double>values[i], total[i])


def mean(const double[::1] total, double n, real[::1] out):
    """out[P] = total / n."""
    need(total.shape[0] == out.shape[0] and n > 0, "mean: total and out must have one length, n must be above 0")
    cdef Py_ssize_t i
    with nogil:
        for i in range(out.shape[0]):
            out[i] = <real>(total[i] / n)
