"""Losses, some fused with the output activation they are stable with, each with its gradient.

B = len(weight) examples stand in the first columns of N; a loss returns the sum of weight * loss
over them and fills the gradient of scale * that sum, 0 in the padding."""
include "common.pxi"
from libc.stdint cimport int32_t

cdef extern from "losses.h" nogil:
    double c_sparse "sparse_categorical_crossentropy"[T](
        const T *, const int32_t *, const T *, T, T *, T *, long, long, long)
    double c_categorical "categorical_crossentropy"[T](
        const T *, const T *, const T *, T, double, T *, T *, long, long, long)
    double c_binary "binary_crossentropy"[T](
        const T *, const T *, const T *, T, double, T *, T *, long, long, long)

cdef extern from "mean_losses.h" nogil:
    bint has_mean_loss(const char *)
    bint has_row_loss(const char *)
    double c_mean "mean_loss"[T](
        const char *, const T *, const T *, const T *, double, const double *, double, T *, long, long, long)
    double c_row "row_loss"[T](
        const char *, const T *, const T *, const T *, double, const double *, long, T *, long, long, long)


cdef int fit(const real[:, ::1] a, const real[:, ::1] b, const real[::1] weight, str name) except -1:
    return need(a.shape[0] == b.shape[0] and a.shape[1] == b.shape[1] and padded(a)
                and 0 < weight.shape[0] <= a.shape[1],
                name + ": arrays [C, N] with N a multiple of 16 and weight[B], 0 < B <= N, do not fit")


def sparse_categorical_crossentropy(const real[:, ::1] z, const int[::1] t, const real[::1] weight,
                                    double scale, real[:, ::1] y, real[:, ::1] dz):
    """y[C, N] = softmax(z); loss = -log y[t]; dz = scale weight (y - 1[t])."""
    fit[real](z, y, weight, "sparse_categorical_crossentropy")
    fit[real](z, dz, weight, "sparse_categorical_crossentropy")
    need(t.shape[0] == weight.shape[0], "sparse_categorical_crossentropy: t[B] and weight[B] differ")
    cdef Py_ssize_t n
    for n in range(t.shape[0]):
        if not 0 <= t[n] < z.shape[0]:
            raise ValueError(f"label {t[n]} is outside 0..{z.shape[0] - 1}: the output has {z.shape[0]} units")
    cdef double loss
    with nogil:
        loss = c_sparse(&z[0, 0], <const int32_t *>&t[0], &weight[0], <real>scale, &y[0, 0],
                              &dz[0, 0], z.shape[0], z.shape[1], t.shape[0])
    return loss


def categorical_crossentropy(const real[:, ::1] z, const real[:, ::1] t, const real[::1] weight,
                             double scale, double smoothing, real[:, ::1] y, real[:, ::1] dz):
    """y[C, N] = softmax(z); s = (1 - smoothing) t + smoothing / C; loss = -sum of s log y over C;
    dz = scale weight (y sum(s) - s)."""
    fit[real](z, y, weight, "categorical_crossentropy")
    fit[real](z, dz, weight, "categorical_crossentropy")
    fit[real](z, t, weight, "categorical_crossentropy")
    cdef double loss
    with nogil:
        loss = c_categorical(&z[0, 0], &t[0, 0], &weight[0], <real>scale, smoothing, &y[0, 0], &dz[0, 0],
                             z.shape[0], z.shape[1], weight.shape[0])
    return loss


def binary_crossentropy(const real[:, ::1] z, const real[:, ::1] t, const real[::1] weight,
                        double scale, double smoothing, real[:, ::1] y, real[:, ::1] dz):
    """y[C, N] = sigmoid(z); s = (1 - smoothing) t + smoothing / 2; loss = mean over C of
    -s log y - (1 - s) log(1 - y)."""
    fit[real](z, y, weight, "binary_crossentropy")
    fit[real](z, dz, weight, "binary_crossentropy")
    fit[real](z, t, weight, "binary_crossentropy")
    cdef double loss
    with nogil:
        loss = c_binary(&z[0, 0], &t[0, 0], &weight[0], <real>scale, smoothing, &y[0, 0], &dz[0, 0],
                        z.shape[0], z.shape[1], weight.shape[0])
    return loss


cdef int take(tuple parameters, double *p) except -1:
    cdef Py_ssize_t i
    for i in range(5):
        p[i] = parameters[i] if i < len(parameters) else 0
    return need(len(parameters) <= 5, "a loss has at most 5 parameters")


def mean_loss(str name, const real[:, ::1] y, const real[:, ::1] t, const real[::1] weight,
              double scale, tuple parameters, double count, real[:, ::1] dy):
    """loss = sum over C of f(y, t) / count, f by the loss's name, with its up to 5 parameters; Huber's is delta."""
    fit[real](y, t, weight, "mean_loss")
    fit[real](y, dy, weight, "mean_loss")
    cdef bytes text = name.encode()
    cdef const char *c_name = text
    need(has_mean_loss(c_name) and count > 0, "mean_loss: there is no " + name + ", or count is not above 0")
    cdef double p[5]
    take(parameters, p)
    cdef double loss
    with nogil:
        loss = c_mean(c_name, &y[0, 0], &t[0, 0], &weight[0], scale, p, count, &dy[0, 0],
                      y.shape[0], y.shape[1], weight.shape[0])
    return loss


def row_loss(str name, const real[:, ::1] y, const real[:, ::1] t, const real[::1] weight,
             double scale, tuple parameters, long units, real[:, ::1] dy):
    """loss = mean over the C / units rows of an example of the loss of that name, with its up to 5 parameters."""
    fit[real](y, t, weight, "row_loss")
    fit[real](y, dy, weight, "row_loss")
    cdef bytes text = name.encode()
    cdef const char *c_name = text
    need(has_row_loss(c_name), "row_loss: there is no " + name)
    need(units > 0 and y.shape[0] % units == 0, "row_loss: units do not divide the outputs")
    cdef double p[5]
    take(parameters, p)
    cdef double loss
    with nogil:
        loss = c_row(c_name, &y[0, 0], &t[0, 0], &weight[0], scale, p, units, &dy[0, 0], y.shape[0],
                     y.shape[1], weight.shape[0])
    return loss
