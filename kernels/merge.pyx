"""The reducer's loop: a mean of vectors weighted by their examples, summed in float64 in the order given."""
from libc.stdlib cimport free, malloc

include "common.pxi"

cdef extern from "merge.h" nogil:
    void c_accumulate "accumulate"[T](double *, const T *, double, long)
    void c_mean "mean"[T](const double *, double, T *, long)
    void c_means "means"[T](T **, const double *, long, double, T *, long)


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


def means(values, tuple n, real[::1] out):
    """out[P] = sum of n[i] values[i][P], as by accumulate, / sum of n. values: vectors, or the rows of an array."""
    cdef Py_ssize_t count = len(n), i
    cdef double total = 0
    cdef const real[::1] own
    need(len(values) == count, "means: values and n must have one length")
    cdef real **at = <real **>malloc((count + 1) * sizeof(real *))
    cdef double *weights = <double *>malloc((count + 1) * sizeof(double))
    try:
        if at == NULL or weights == NULL:
            raise MemoryError()
        for i in range(count):
            own = values[i]
            need(own.shape[0] == out.shape[0], "means: values and out must have one length")
            at[i] = <real *>&own[0] if own.shape[0] else NULL
            weights[i] = n[i]
            total += weights[i]
        need(total > 0, "means: n must be above 0")
        if out.shape[0]:
            with nogil:
                c_means(at, weights, count, total, &out[0], out.shape[0])
    finally:
        free(at)
        free(weights)
