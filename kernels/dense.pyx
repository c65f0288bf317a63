"""Dense layers and the turn between batch-major and feature-major; every function fills its outputs.

Activations are [feature][N], N a multiple of 16; weights are [O][I]. Columns past the batch are
padding: gradients there must be 0. `rows` arrays are batch-major with rows padded to 16 values.
"""
include "common.pxi"
include "ahead.pxi"
from libc.stdint cimport int32_t, uint8_t

cdef extern from "dense.h" nogil:
    void c_forward "dense_forward"[T](const T *, const T *, const T *, T *, long, long, long, bint)
    void c_backward "dense_backward"[T](const T *, const T *, const T *, T *, long, long, long)
    void c_gradient "dense_gradient"[T](const T *, const T *, T *, long, long, long, long, long, long, long, Ahead)
    void c_gather "gather"[S, T](const S *, const long long *, double, double, T *, long, long, long, long)
    void c_transpose "transpose"[T](const T *, long, T *, long, long, long)

ctypedef fused source:
    uint8_t
    int32_t
    float
    double


def dense_forward(const real[:, ::1] w, const real[::1] bias, const real[:, ::1] x, real[:, ::1] y,
                  bint relu):
    """y[O, N] = w[O, I] . x[I, N] + bias[O], then max(0, y) where relu."""
    need(w.shape[0] == y.shape[0] == bias.shape[0] and w.shape[1] == x.shape[0]
         and x.shape[1] == y.shape[1] and filled(w) and padded(x),
         "dense_forward: w[O, I], bias[O], x[I, N], y[O, N] with N a multiple of 16 do not fit")
    with nogil:
        c_forward(&w[0, 0], &bias[0], &x[0, 0], &y[0, 0], y.shape[0], x.shape[0], y.shape[1], relu)


def dense_backward(const real[:, ::1] w, const real[:, ::1] dy, below, real[:, ::1] dx):
    """dx[I, N] = w[O, I]' . dy[O, N]; with below[I, N], a relu's output, 0 where it is not above 0."""
    need(w.shape[0] == dy.shape[0] and w.shape[1] == dx.shape[0] and dx.shape[1] == dy.shape[1]
         and filled(w) and padded(dy),
         "dense_backward: w[O, I], dy[O, N], dx[I, N] with N a multiple of 16 do not fit")
    cdef const real[:, ::1] relu
    cdef const real *mask = NULL
    if below is not None:
        relu = below
        need(relu.shape[0] == dx.shape[0] and relu.shape[1] == dx.shape[1],
             "dense_backward: below and dx must have one shape [I, N]")
        mask = &relu[0, 0]
    with nogil:
        c_backward(&w[0, 0], &dy[0, 0], mask, &dx[0, 0], dy.shape[0], dx.shape[0], dx.shape[1])


def dense_gradient(const real[:, ::1] dy, const real[:, ::1] rows, Py_ssize_t batch,
                   real[:, ::1] dw, Py_ssize_t steps=1, Py_ssize_t first=0, const unsigned long long[::1] ahead=None):
    """dw[O, I] = the sum over steps of dy[s][first:first + O, :batch] . rows[s][:batch, :I], in order; dy is
    [steps whole, N], rows [steps N, I padded to 16]. ahead: addresses of arrays of dw's shape and type that will be read
    next, which are brought into the second cache meanwhile (mrdl.kernels.addresses); nothing else comes of them."""
    need(steps > 0 and dy.shape[0] % steps == 0 and 0 <= first and first + dw.shape[0] <= dy.shape[0] // steps
         and 0 < batch <= dy.shape[1] and (steps - 1) * dy.shape[1] + batch <= rows.shape[0]
         and rows.shape[1] >= dw.shape[1] and rows.shape[1] % 16 == 0 and filled(dw),
         "dense_gradient: dy[steps O, N], rows[steps N, I padded to 16], batch and dw[O, I] do not fit")
    cdef Py_ssize_t whole = dy.shape[0] // steps
    cdef Ahead later = asked(ahead)
    with nogil:
        c_gradient(&dy[first, 0], &rows[0, 0], &dw[0, 0], dw.shape[0], dw.shape[1],
                   dy.shape[1], batch, rows.shape[1], steps, whole, later)


def transpose(const real[:, ::1] x, real[:, ::1] out):
    """out[c, r] = x[r, c] for R rows and C columns of x; out is [at least C, at least R], the rest stays."""
    need(out.shape[0] >= x.shape[1] and out.shape[1] >= x.shape[0] and filled(x),
         "transpose: out must hold the columns of x as rows")
    with nogil:
        c_transpose(&x[0, 0], x.shape[1], &out[0, 0], out.shape[1], x.shape[0], x.shape[1])


def transpose_steps(const real[:, ::1] x, Py_ssize_t steps, real[:, ::1] rows):
    """rows[s N + n, f] = x[s F + f, n] for each step s; the rows' padding stays."""
    need(steps > 0 and x.shape[0] % steps == 0 and rows.shape[0] == steps * x.shape[1]
         and rows.shape[1] >= x.shape[0] // steps and filled(x),
         "transpose_steps: x[steps F, N] and rows[steps N, F padded] do not fit")
    cdef Py_ssize_t s, F = x.shape[0] // steps, N = x.shape[1], ld = rows.shape[1]
    with nogil:
        for s in range(steps):
            c_transpose(&x[s * F, 0], N, &rows[s * N, 0], ld, F, N)


def transpose_columns(const real[:, ::1] rows, real[:, ::1] out):
    """out[F, N] = rows[N, :F]' where rows are padded."""
    need(rows.shape[1] >= out.shape[0] and rows.shape[0] == out.shape[1] and filled(out),
         "transpose_columns: rows[N, F padded] and out[F, N] do not fit")
    with nogil:
        c_transpose(&rows[0, 0], rows.shape[1], &out[0, 0], out.shape[1], out.shape[1],
                          out.shape[0])


def gather(const source[:, ::1] x, const long long[::1] index, double scale, double offset,
           real[:, ::1] rows):
    """rows[i, f] = x[index[i], f] * scale + offset; the rows past index and the padding become 0."""
    need(0 < x.shape[1] <= rows.shape[1] and 0 < index.shape[0] <= rows.shape[0] and x.shape[0] > 0,
         "gather: rows[N, F padded] must hold index[B] rows of x[n, F]")
    cdef Py_ssize_t i, F = x.shape[1]
    for i in range(index.shape[0]):
        need(0 <= index[i] < x.shape[0], "gather: an index is outside x")
    with nogil:
        c_gather(&x[0, 0], &index[0], scale, offset, &rows[0, 0], F, index.shape[0], rows.shape[0],
                 rows.shape[1])
