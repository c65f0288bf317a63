# Included by every kernel: the float type and the shape check.

ctypedef fused real:
    float
    double


cdef inline int need(bint ok, str message) except -1:
    if not ok:
        raise ValueError(message)
    return 0


cdef inline bint filled(const real[:, ::1] a) noexcept:
    """An array that is not empty."""
    return a.shape[0] > 0 and a.shape[1] > 0


cdef inline bint padded(const real[:, ::1] a) noexcept:
    """A [feature][N] array: not empty, N a multiple of 16."""
    return filled(a) and a.shape[1] % 16 == 0
