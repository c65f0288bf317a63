"""Normalisation of x[P C, N], P pixels of C channels; every function fills its outputs.

Batch normalisation: Ioffe & Szegedy 2015; layer normalisation: Ba, Kiros & Hinton 2016."""
include "common.pxi"

cdef extern from "normalization.h" nogil:
    void c_moments "channel_moments"[T](const T *, T *, T *, long, long, long, long)
    void c_affine "channel_affine"[T](const T *, const T *, const T *, const T *, T *, long, long, long)
    void c_gradient "batch_norm_gradient"[T](const T *, const T *, const T *, const T *, T *, T *, long, long, long, long)
    void c_backward "batch_norm_backward"[T](const T *, const T *, const T *, const T *, const T *, const T *,
                                             const T *, T *, long, long, long, long)
    void c_layer "layer_norm_forward"[T](const T *, const T *, const T *, T, T *, T *, T *, long, long, long)
    void c_layer_backward "layer_norm_backward"[T](const T *, const T *, const T *, const T *, T *, long, long, long)


cdef int by_channel(const real[:, ::1] x, const real[:, ::1] y, Py_ssize_t C, Py_ssize_t batch, str name) except -1:
    return need(C > 0 and x.shape[0] % C == 0 and x.shape[0] == y.shape[0] and x.shape[1] == y.shape[1]
                and padded(x) and 0 < batch <= x.shape[1],
                name + ": arrays [P C, N] with N a multiple of 16, [C] and 0 < batch <= N do not fit")


def channel_moments(const real[:, ::1] x, Py_ssize_t batch, real[::1] mean, real[::1] variance):
    """mean[C], variance[C] = those of x[P C, :batch]; the variance divides by their number."""
    by_channel[real](x, x, mean.shape[0], batch, "channel_moments")
    need(variance.shape[0] == mean.shape[0], "channel_moments: mean and variance must have one length")
    with nogil:
        c_moments(&x[0, 0], &mean[0], &variance[0], x.shape[0] // mean.shape[0], mean.shape[0], x.shape[1], batch)


def channel_affine(const real[:, ::1] x, const real[::1] mean, const real[::1] factor, const real[::1] offset,
                   real[:, ::1] y):
    """y[P C, N] = (x - mean[C]) * factor[C] + offset[C]."""
    by_channel[real](x, y, mean.shape[0], 1, "channel_affine")
    need(mean.shape[0] == factor.shape[0] == offset.shape[0], "channel_affine: three vectors of one length")
    with nogil:
        c_affine(&x[0, 0], &mean[0], &factor[0], &offset[0], &y[0, 0], x.shape[0] // mean.shape[0],
                 mean.shape[0], x.shape[1])


def batch_norm_gradient(const real[:, ::1] x, const real[:, ::1] dy, Py_ssize_t batch, const real[::1] mean,
                        const real[::1] inverse, real[::1] dgamma, real[::1] dbeta):
    """dgamma[C] = the sum of dy (x - mean) inverse over pixels and x[P C, :batch], dbeta[C] = that of dy."""
    by_channel[real](x, dy, mean.shape[0], batch, "batch_norm_gradient")
    need(mean.shape[0] == inverse.shape[0] == dgamma.shape[0] == dbeta.shape[0],
         "batch_norm_gradient: four vectors of one length")
    with nogil:
        c_gradient(&x[0, 0], &dy[0, 0], &mean[0], &inverse[0], &dgamma[0], &dbeta[0],
                   x.shape[0] // mean.shape[0], mean.shape[0], x.shape[1], batch)


def batch_norm_backward(const real[:, ::1] x, const real[:, ::1] dy, Py_ssize_t batch, const real[::1] mean,
                        const real[::1] inverse, const real[::1] factor, const real[::1] dgamma,
                        const real[::1] dbeta, real[:, ::1] dx):
    """dx[P C, N] = factor (dy - (dbeta + (x - mean) inverse dgamma) / (P batch)), 0 past the batch."""
    by_channel[real](x, dy, mean.shape[0], batch, "batch_norm_backward")
    by_channel[real](x, dx, mean.shape[0], batch, "batch_norm_backward")
    need(mean.shape[0] == inverse.shape[0] == factor.shape[0] == dgamma.shape[0] == dbeta.shape[0],
         "batch_norm_backward: five vectors of one length")
    with nogil:
        c_backward(&x[0, 0], &dy[0, 0], &mean[0], &inverse[0], &factor[0], &dgamma[0], &dbeta[0], &dx[0, 0],
                   x.shape[0] // mean.shape[0], mean.shape[0], x.shape[1], batch)


def layer_norm_forward(const real[:, ::1] x, const real[::1] gamma, const real[::1] beta, double epsilon,
                       real[:, ::1] xhat, real[:, ::1] inverse, real[:, ::1] y):
    """y[P C, N] = xhat gamma[C] + beta[C], xhat = (x - mean) inverse, inverse[P, N] = 1 / sqrt(variance + epsilon)."""
    by_channel[real](x, y, gamma.shape[0], 1, "layer_norm_forward")
    by_channel[real](x, xhat, beta.shape[0], 1, "layer_norm_forward")
    need(gamma.shape[0] == beta.shape[0] and inverse.shape[0] * gamma.shape[0] == x.shape[0]
         and inverse.shape[1] == x.shape[1], "layer_norm_forward: gamma, beta and inverse[P, N] do not fit")
    with nogil:
        c_layer(&x[0, 0], &gamma[0], &beta[0], <real>epsilon, &xhat[0, 0], &inverse[0, 0], &y[0, 0],
                inverse.shape[0], gamma.shape[0], x.shape[1])


def layer_norm_backward(const real[:, ::1] xhat, const real[:, ::1] inverse, const real[::1] gamma,
                        const real[:, ::1] dy, real[:, ::1] dx):
    """dx[P C, N] from dy, by what layer_norm_forward left."""
    by_channel[real](xhat, dy, gamma.shape[0], 1, "layer_norm_backward")
    by_channel[real](xhat, dx, gamma.shape[0], 1, "layer_norm_backward")
    need(inverse.shape[0] * gamma.shape[0] == xhat.shape[0] and inverse.shape[1] == xhat.shape[1],
         "layer_norm_backward: inverse[P, N] does not fit")
    with nogil:
        c_layer_backward(&xhat[0, 0], &inverse[0, 0], &gamma[0], &dy[0, 0], &dx[0, 0],
                         inverse.shape[0], gamma.shape[0], xhat.shape[1])
