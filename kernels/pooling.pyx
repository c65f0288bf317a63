"""Pooling of images [H][W][C][N], given as [H W C, N], and rows that go elsewhere; every function fills its outputs."""
include "common.pxi"
include "geometry.pxi"

cdef extern from "pooling.h" nogil:
    void forward_max "max_pool_forward"[T](const T *, T *, const Geometry &, long)
    void backward_max "max_pool_backward"[T](const T *, const T *, const T *, T *, const Geometry &, long, bint)
    void forward_average "average_pool_forward"[T](const T *, T *, const Geometry &, long)
    void backward_average "average_pool_backward"[T](const T *, T *, const Geometry &, long)
    void c_take "take_rows"[T](const T *, const long long *, T *, long, long)
    void c_add "add_rows"[T](const T *, const long long *, T *, long, long, long)


cdef Geometry pool(tuple geometry, const real[:, ::1] x, const real[:, ::1] y, str name) except *:
    # a window that is all of x may be of any size
    cdef bint whole = geometry[3:5] == (1, 1) and geometry[6:8] == geometry[:2] and geometry[12:14] == (0, 0)
    cdef Geometry g = read(geometry[:6] + (1, 1) + geometry[8:] if whole else geometry)
    if whole:
        g.kh, g.kw = g.H, g.W
    need(fits(g, x, y) and g.O == g.C and g.dh == g.dw == 1 and 0 <= g.top < g.kh and 0 <= g.left < g.kw
         and (g.OH - 1) * g.sh - g.top < g.H and (g.OW - 1) * g.sw - g.left < g.W,
         name + ": the arrays do not fit the geometry, or a window lies outside")
    return g


def max_pool_forward(const real[:, ::1] x, real[:, ::1] y, tuple geometry):
    """y[OH OW C, N] = the largest x[H W C, N] of each window."""
    cdef Geometry g = pool[real](geometry, x, y, "max_pool_forward")
    with nogil:
        forward_max(&x[0, 0], &y[0, 0], g, x.shape[1])


def max_pool_backward(const real[:, ::1] x, const real[:, ::1] y, const real[:, ::1] dy, real[:, ::1] dx,
                      tuple geometry, bint relu):
    """dx[H W C, N] = the sum of dy over the windows whose first maximum is there; relu: 0 where x is not above 0."""
    cdef Geometry g = pool[real](geometry, x, y, "max_pool_backward")
    pool[real](geometry, dx, dy, "max_pool_backward")
    need(x.shape[1] == dx.shape[1], "max_pool_backward: x and dx must have one shape")
    with nogil:
        backward_max(&x[0, 0], &y[0, 0], &dy[0, 0], &dx[0, 0], g, x.shape[1], relu)


def average_pool_forward(const real[:, ::1] x, real[:, ::1] y, tuple geometry):
    """y[OH OW C, N] = the mean of x[H W C, N] over each window, padding left out."""
    cdef Geometry g = pool[real](geometry, x, y, "average_pool_forward")
    with nogil:
        forward_average(&x[0, 0], &y[0, 0], g, x.shape[1])


def average_pool_backward(const real[:, ::1] dy, real[:, ::1] dx, tuple geometry):
    """dx[H W C, N] = the sum of dy / (pixels of the window) over the windows that a pixel is in."""
    cdef Geometry g = pool[real](geometry, dx, dy, "average_pool_backward")
    with nogil:
        backward_average(&dy[0, 0], &dx[0, 0], g, dx.shape[1])


cdef int rows(const long long[::1] source, const real[:, ::1] x, const real[:, ::1] y, str name) except -1:
    need(source.shape[0] == y.shape[0] and x.shape[1] == y.shape[1] and padded(x) and padded(y),
         name + ": x[F, N], source[M] and y[M, N] with N a multiple of 16 do not fit")
    cdef Py_ssize_t i
    for i in range(source.shape[0]):
        need(source[i] < x.shape[0], name + ": a row is outside x")
    return 0


def take_rows(const real[:, ::1] x, const long long[::1] source, real[:, ::1] y):
    """y[i] = x[source[i]], or 0 where that is negative."""
    rows[real](source, x, y, "take_rows")
    with nogil:
        c_take(&x[0, 0], &source[0], &y[0, 0], y.shape[0], y.shape[1])


def add_rows(const real[:, ::1] dy, const long long[::1] source, real[:, ::1] dx):
    """dx[f] = the sum of dy[i] where source[i] is f."""
    rows[real](source, dx, dy, "add_rows")
    with nogil:
        c_add(&dy[0, 0], &source[0], &dx[0, 0], dy.shape[0], dx.shape[0], dx.shape[1])
