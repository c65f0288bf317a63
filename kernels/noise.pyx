"""What random layers draw, on [feature][N]; every function fills its outputs and returns None.

The word for (f, n) is number n % 4 of Philox 4x32-10 at the counter (n // 4, f, stream, step) under
`key`: it depends on no thread, padding or order."""
include "common.pxi"
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "noise.h" nogil:
    void c_dropout "dropout_mask"[T](T *, long, long, uint64_t, uint32_t, uint32_t, double)
    void c_normal "normal_noise"[T](T *, long, long, uint64_t, uint32_t, uint32_t, double, double)
    void c_multiply "multiply"[T](const T *, const T *, T *, long, long)


def multiply(const real[:, ::1] x, const real[:, ::1] mask, real[:, ::1] y):
    """y[F, N] = x * mask[F % M, N]."""
    need(x.shape[0] == y.shape[0] and x.shape[1] == y.shape[1] == mask.shape[1] and padded(x)
         and filled(mask) and x.shape[0] % mask.shape[0] == 0,
         "multiply: x[F, N], y[F, N] and mask[M, N], N a multiple of 16 and F one of M, do not fit")
    with nogil:
        c_multiply(&x[0, 0], &mask[0, 0], &y[0, 0], x.shape[0] * x.shape[1],
                   mask.shape[0] * mask.shape[1])


def dropout_mask(real[:, ::1] mask, unsigned long long key, unsigned int stream, unsigned int step,
                 double rate):
    """mask[F, N] = 1 / (1 - rate) with probability 1 - rate, else 0."""
    need(0 <= rate < 1 and padded(mask),
         "dropout_mask: needs 0 <= rate < 1 and mask[F, N] with N a multiple of 16")
    with nogil:
        c_dropout(&mask[0, 0], mask.shape[0], mask.shape[1], key, stream, step, rate)


def normal_noise(real[:, ::1] noise, unsigned long long key, unsigned int stream, unsigned int step,
                 double mean, double stddev):
    """noise[F, N] = mean + stddev z, z the normal quantile of (word + 1/2) / 2^32."""
    need(stddev >= 0 and padded(noise),
         "normal_noise: needs stddev >= 0 and noise[F, N] with N a multiple of 16")
    with nogil:
        c_normal(&noise[0, 0], noise.shape[0], noise.shape[1], key, stream, step, mean, stddev)
