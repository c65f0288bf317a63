# Included by the gradients of matrices: the arrays that will be read next (dense.h).

cdef extern from "dense.h" nogil:
    cdef struct Ahead:
        const unsigned long long *arrays
        long count


cdef Ahead asked(const unsigned long long[::1] addresses) noexcept:
    cdef Ahead ahead
    ahead.arrays = NULL
    ahead.count = 0
    if addresses is not None and addresses.shape[0]:
        ahead.arrays = &addresses[0]
        ahead.count = addresses.shape[0]
    return ahead
