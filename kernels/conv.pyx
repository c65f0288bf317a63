"""Convolution over images [H][W][C][N], given as [H W C, N]; every function fills its outputs.

Weights are [O, kh kw C/groups]; a geometry is 15 numbers (geometry.pxi)."""
include "common.pxi"
include "geometry.pxi"

cdef extern from "conv.h" nogil:
    void c_forward "conv_forward"[T](const T *, const T *, const T *, T *, const Geometry &, long, bint)
    void c_backward "conv_backward"[T](const T *, const T *, const T *, T *, const Geometry &, long)
    void c_transpose "conv_transpose_forward"[T](const T *, const T *, const T *, T *, const Geometry &, long, bint)
    void c_gradient "conv_gradient"[T](const T *, const T *, T *, const Geometry &, long, long, long)
    void c_sums "channel_sums"[T](const T *, T *, long, long, long)


def conv_forward(const real[:, ::1] w, const real[::1] bias, const real[:, ::1] x, real[:, ::1] y,
                 tuple geometry, bint relu):
    """y[OH OW O, N] = x[H W C, N] convolved with w[O, kh kw C/groups], + bias[O], then max(0, y) where relu."""
    cdef Geometry g = read(geometry)
    need(fits(g, x, y) and w.shape[0] == g.O == bias.shape[0] and w.shape[1] == g.kh * g.kw * (g.C // g.groups),
         "conv_forward: w, bias, x and y do not fit the geometry")
    with nogil:
        c_forward(&w[0, 0], &bias[0], &x[0, 0], &y[0, 0], g, x.shape[1], relu)


def conv_backward(const real[:, ::1] turned, const real[:, ::1] dy, below, real[:, ::1] dx, tuple geometry):
    """dx[H W C, N] from dy[OH OW O, N]; turned[kh kw C/groups, O] is w transposed; with below[H W C, N], a
    relu's output, 0 where it is not above 0."""
    cdef Geometry g = read(geometry)
    cdef const real[:, ::1] relu
    cdef const real *mask = NULL
    need(fits(g, dx, dy) and turned.shape[1] == g.O and turned.shape[0] == g.kh * g.kw * (g.C // g.groups),
         "conv_backward: turned, dy and dx do not fit the geometry")
    if below is not None:
        relu = below
        need(relu.shape[0] == dx.shape[0] and relu.shape[1] == dx.shape[1],
             "conv_backward: below and dx must have one shape")
        mask = &relu[0, 0]
    with nogil:
        c_backward(&turned[0, 0], &dy[0, 0], mask, &dx[0, 0], g, dx.shape[1])


def conv_transpose_forward(const real[:, ::1] turned, const real[::1] bias, const real[:, ::1] x,
                           real[:, ::1] y, tuple geometry, bint relu):
    """y[H W C, N] from x[OH OW O, N]: conv_backward's sums + bias[C], then max(0, y) where relu."""
    cdef Geometry g = read(geometry)
    need(fits(g, y, x) and turned.shape[1] == g.O and bias.shape[0] == g.C
         and turned.shape[0] == g.kh * g.kw * (g.C // g.groups),
         "conv_transpose_forward: turned, bias, x and y do not fit the geometry")
    with nogil:
        c_transpose(&turned[0, 0], &bias[0], &x[0, 0], &y[0, 0], g, x.shape[1], relu)


def conv_gradient(const real[:, ::1] dy, const real[:, ::1] x, Py_ssize_t first, real[:, ::1] dw, tuple geometry):
    """dw[rows, kh kw C/groups]: the weights' gradient, from row `first` on; the padding of dy is 0."""
    cdef Geometry g = read(geometry)
    need(fits(g, x, dy) and filled(dw) and 0 <= first and first + dw.shape[0] <= g.O
         and dw.shape[1] == g.kh * g.kw * (g.C // g.groups), "conv_gradient: dy, x and dw do not fit the geometry")
    with nogil:
        c_gradient(&dy[0, 0], &x[0, 0], &dw[0, 0], g, x.shape[1], first, first + dw.shape[0])


def channel_sums(const real[:, ::1] x, real[::1] sums):
    """sums[C] = the sum of x[P C, N] over P and N."""
    need(sums.shape[0] > 0 and x.shape[0] % sums.shape[0] == 0 and padded(x),
         "channel_sums: x[P C, N] with N a multiple of 16 and sums[C] do not fit")
    with nogil:
        c_sums(&x[0, 0], &sums[0], x.shape[0] // sums.shape[0], sums.shape[0], x.shape[1])
