"""Denormal numbers: every kernel takes them as 0 and makes none; NumPy does neither."""
include "common.pxi"

cdef extern from "flushing.h" nogil:
    void c_flush "flush"[T](T *, long)


def flush(real[:, ::1] x):
    """What is denormal in x becomes 0 of its sign."""
    if filled(x):
        with nogil:
            c_flush(&x[0, 0], x.shape[0] * x.shape[1])
