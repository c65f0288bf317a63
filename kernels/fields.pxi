# Included by the kernels that take fields: field i is the bytes data[starts[i]:stops[i]].

from libc.stdint cimport int64_t

cdef unsigned char NOTHING[1]   # where the fields of no bytes are

ctypedef const unsigned char[::1] Bytes
ctypedef const int64_t[:] Places        # may be a column of a table


cdef Py_ssize_t _count(Bytes data, Places starts, Places stops) except -1:
    """How many fields there are; each lies in its data."""
    cdef Py_ssize_t i, n = starts.shape[0]
    cdef bint fit = True
    need(stops.shape[0] == n, "starts and stops have one length")
    with nogil:
        for i in range(n):
            fit &= 0 <= starts[i] <= stops[i] <= data.shape[0]
    need(fit, "a field is not within its data")
    return n


cdef inline Text _base(Bytes data) noexcept:
    if data.shape[0]:
        return &data[0]
    return NOTHING
