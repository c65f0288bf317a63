"""Activations and dropout on [feature][N]; every function fills its outputs and returns None."""
include "common.pxi"
from libc.stdint cimport uint32_t

cdef extern from "activations.h" nogil:
    void forward_relu "relu_forward"[T](const T *, T *, long)
    void forward_sigmoid "sigmoid_forward"[T](const T *, T *, long)
    void forward_tanh "tanh_forward"[T](const T *, T *, long)
    void backward_relu "relu_backward"[T](const T *, const T *, T *, long)
    void backward_sigmoid "sigmoid_backward"[T](const T *, const T *, T *, long)
    void backward_tanh "tanh_backward"[T](const T *, const T *, T *, long)
    void forward_softmax "softmax_forward"[T](const T *, T *, long, long)
    void backward_softmax "softmax_backward"[T](const T *, const T *, T *, long, long)
    void c_dropout "dropout_mask"[T](T *, long, long, uint32_t, uint32_t, uint32_t, uint32_t, double)


cdef int alike(const real[:, ::1] a, const real[:, ::1] b, str name) except -1:
    return need(a.shape[0] == b.shape[0] and a.shape[1] == b.shape[1] and padded(a),
                name + ": the arrays must have one shape [F, N], N a multiple of 16")


def relu_forward(const real[:, ::1] x, real[:, ::1] y):
    """y[F, N] = max(0, x)."""
    alike[real](x, y, "relu_forward")
    with nogil:
        forward_relu(&x[0, 0], &y[0, 0], x.shape[0] * x.shape[1])


def relu_backward(const real[:, ::1] y, const real[:, ::1] dy, real[:, ::1] dx):
    """dx[F, N] = dy where y > 0, else 0."""
    alike[real](y, dy, "relu_backward")
    alike[real](y, dx, "relu_backward")
    with nogil:
        backward_relu(&y[0, 0], &dy[0, 0], &dx[0, 0], y.shape[0] * y.shape[1])


def sigmoid_forward(const real[:, ::1] x, real[:, ::1] y):
    """y[F, N] = 1 / (1 + e^-x)."""
    alike[real](x, y, "sigmoid_forward")
    with nogil:
        forward_sigmoid(&x[0, 0], &y[0, 0], x.shape[0] * x.shape[1])


def sigmoid_backward(const real[:, ::1] y, const real[:, ::1] dy, real[:, ::1] dx):
    """dx[F, N] = dy y (1 - y)."""
    alike[real](y, dy, "sigmoid_backward")
    alike[real](y, dx, "sigmoid_backward")
    with nogil:
        backward_sigmoid(&y[0, 0], &dy[0, 0], &dx[0, 0], y.shape[0] * y.shape[1])


def tanh_forward(const real[:, ::1] x, real[:, ::1] y):
    """y[F, N] = tanh(x)."""
    alike[real](x, y, "tanh_forward")
    with nogil:
        forward_tanh(&x[0, 0], &y[0, 0], x.shape[0] * x.shape[1])


def tanh_backward(const real[:, ::1] y, const real[:, ::1] dy, real[:, ::1] dx):
    """dx[F, N] = dy (1 - y^2)."""
    alike[real](y, dy, "tanh_backward")
    alike[real](y, dx, "tanh_backward")
    with nogil:
        backward_tanh(&y[0, 0], &dy[0, 0], &dx[0, 0], y.shape[0] * y.shape[1])


def softmax_forward(const real[:, ::1] x, real[:, ::1] y):
    """y[F, N] = e^x / sum of e^x over F."""
    alike[real](x, y, "softmax_forward")
    with nogil:
        forward_softmax(&x[0, 0], &y[0, 0], x.shape[0], x.shape[1])


def softmax_backward(const real[:, ::1] y, const real[:, ::1] dy, real[:, ::1] dx):
    """dx[F, N] = y (dy - sum of y dy over F)."""
    alike[real](y, dy, "softmax_backward")
    alike[real](y, dx, "softmax_backward")
    with nogil:
        backward_softmax(&y[0, 0], &dy[0, 0], &dx[0, 0], y.shape[0], y.shape[1])


def multiply(const real[:, ::1] x, const real[:, ::1] mask, real[:, ::1] y):
    """y[F, N] = x * mask."""
    alike[real](x, mask, "multiply")
    alike[real](x, y, "multiply")
    cdef Py_ssize_t f, n
    with nogil:
        for f in range(x.shape[0]):
            for n in range(x.shape[1]):
                y[f, n] = x[f, n] * mask[f, n]


def dropout_mask(real[:, ::1] mask, unsigned long long key, unsigned int stream, unsigned int step,
                 double rate):
    """mask[F, N] = 1 / (1 - rate) with probability 1 - rate, else 0.

    The word for (f, n) is number n % 4 of Philox 4x32-10 at the counter (n // 4, f, stream, step)
    under `key`: it depends on no thread, padding or order."""
    need(0 <= rate < 1 and padded(mask),
         "dropout_mask: needs 0 <= rate < 1 and mask[F, N] with N a multiple of 16")
    with nogil:
        c_dropout(&mask[0, 0], mask.shape[0], mask.shape[1], <uint32_t>key, <uint32_t>(key >> 32),
                  stream, step, rate)
