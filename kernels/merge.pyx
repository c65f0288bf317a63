"""The reducer's loop: a mean of vectors weighted by their examples, summed in float64 in the order given."""
include "common.pxi"

cdef extern from "merge.h" nogil:
    void c_accumulate "accumulate"[T](double *, const T *, double, long)
    void c_mean "mean"[T](const double *, double, T *, long)


def accumulate(double[::1] total, const real[::1] values, double n):
    """total[P] += n values."""
    need(total.shape[0] == values.shape[0], "accumulate: total and values must have one length")
    if total.shape[0]:
        with nogil:
            c_accumulate(&total[0], &values[0], n, total.shape[0])


def mean(const double[::1] total, double n, real[::1] out):
    """out[P] = total / n."""
    need(total.shape[0] == out.shape[0] and n > 0, "mean: total and out must have one length, n must be above 0")
    if total.shape[0]:
        with nogil:
            c_mean(&total[0], n, &out[0], total.shape[0])
