"""Dense layers over those features alone that are not 0 in the whole minibatch; the results are the same.

used[F / 16] has a bit for each feature, made by used_features.
"""
include "common.pxi"
include "ahead.pxi"
from libc.stdint cimport uint16_t

cdef extern from "sparse.h" nogil:
    long c_used "used_features"[T](const T *, uint16_t *, long, long)
    void c_forward "used_forward"[T](const T *, const T *, const T *, const uint16_t *, T *, long, long, long, bint)
    void c_pack "pack_used"[T](const T *, const uint16_t *, T *, long, long, long)
    void c_gradient "used_gradient"[T](const T *, const T *, const uint16_t *, T *, long, long, long, long, long, long, Ahead)


cdef int words(const uint16_t[::1] used, Py_ssize_t features) except -1:
    return need(used.shape[0] == (features + 15) // 16, "used must have a bit for each feature, 16 to a word")


cdef Py_ssize_t bits(const uint16_t[::1] used, Py_ssize_t features) except -1:
    """How many are set; ValueError where one is set past the features."""
    cdef Py_ssize_t i, count = 0
    words(used, features)
    for i in range(used.shape[0]):
        count += bin(used[i]).count("1")
    need(not features % 16 or not used[features // 16] >> features % 16, "used has a bit past the features")
    return count


def used_features(const real[:, ::1] x, uint16_t[::1] used):
    """Bit f of used is set where x[f, N] is not all 0; returns how many are."""
    need(padded(x), "used_features: x[F, N] with N a multiple of 16")
    words(used, x.shape[0])
    cdef long count
    with nogil:
        count = c_used(&x[0, 0], &used[0], x.shape[0], x.shape[1])
    return count


def used_forward(const real[:, ::1] w, const real[::1] bias, const real[:, ::1] x, const uint16_t[::1] used,
                 real[:, ::1] y, bint relu):
    """y[O, N] = w[O, used] . x[used, N] + bias[O], then max(0, y) where relu."""
    need(w.shape[0] == y.shape[0] == bias.shape[0] and w.shape[1] == x.shape[0]
         and x.shape[1] == y.shape[1] and filled(w) and padded(x),
         "used_forward: w[O, I], bias[O], x[I, N], y[O, N] with N a multiple of 16 do not fit")
    bits(used, x.shape[0])
    with nogil:
        c_forward(&w[0, 0], &bias[0], &x[0, 0], &used[0], &y[0, 0], y.shape[0], x.shape[0], y.shape[1], relu)


def pack_used(const real[:, ::1] rows, const uint16_t[::1] used, Py_ssize_t features, real[:, ::1] packed):
    """packed[N, :count] = the used ones of rows[N, :features], then zeros up to a multiple of 16."""
    need(filled(rows) and rows.shape[0] == packed.shape[0] and rows.shape[1] == packed.shape[1]
         and 0 < features <= rows.shape[1] and rows.shape[1] % 16 == 0,
         "pack_used: rows and packed[N, F padded to 16] do not fit")
    bits(used, features)
    with nogil:
        c_pack(&rows[0, 0], &used[0], &packed[0, 0], features, rows.shape[0], rows.shape[1])


def used_gradient(const real[:, ::1] dy, const real[:, ::1] packed, Py_ssize_t batch, const uint16_t[::1] used,
                  real[:, ::1] dw, const unsigned long long[::1] ahead=None):
    """dw[O, used] = dy[O, :batch] . packed[:batch]: k runs over the examples, in order; the rest becomes 0. ahead: as of
    dense_gradient."""
    need(dy.shape[0] == dw.shape[0] and 0 < batch <= dy.shape[1] and batch <= packed.shape[0]
         and packed.shape[1] >= dw.shape[1] and packed.shape[1] % 16 == 0 and filled(dw),
         "used_gradient: dy[O, N], packed[N, I padded to 16], batch and dw[O, I] do not fit")
    cdef long count = bits(used, dw.shape[1])
    cdef Ahead later = asked(ahead)
    with nogil:
        c_gradient(&dy[0, 0], &packed[0, 0], &used[0], &dw[0, 0], dw.shape[0], dw.shape[1], dy.shape[1], batch,
                   packed.shape[1], count, later)
