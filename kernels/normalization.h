/* Normalisation of x[P][C][N], P pixels (or 1) of C channels; the first B of N columns are examples. */
#pragma once
#include "flushing.h"

enum { CHAIN = 64 };            /* so many additions in single precision before a sum goes on in double */

/* totals[k] = the sum over pixels and examples of term(values of channel c)[k]; at is where 16 of them lie */
template <class T, int K, class Term>
static void channel_totals(long c, long P, long C, long N, long B, const Term &term, double (&totals)[K])
{
    lanesum<T> sums[K];
    long chain = 0;
    for (int k = 0; k < K; k++) totals[k] = 0;
    for (long p = 0; p < P; p++)
        for (long n = 0; n < B; n += LANES) {
            T values[K][LANES];
            term((p * C + c) * N + n, values);
            for (int k = 0; k < K; k++) {
                for (long i = B - n; i < LANES; i++) values[k][i] = 0;
                sums[k].add(values[k]);
            }
            if (++chain == CHAIN || (p == P - 1 && n + LANES >= B)) {
                for (int k = 0; k < K; k++) totals[k] += (double)sums[k].fold(), sums[k] = lanesum<T>();
                chain = 0;
            }
        }
}
/* mean and variance (of the whole, not a sample) of each channel, in two passes */
template <class T> static void channel_moments(const T *x, T *mean, T *variance, long P, long C, long N, long B)
{
    const flushing on;
    for (long c = 0; c < C; c++) {
        double total[1];
        channel_totals<T, 1>(c, P, C, N, B, [=](long at, T (&v)[1][LANES]) {
            for (int i = 0; i < LANES; i++) v[0][i] = x[at + i];
        }, total);
        T m = mean[c] = (T)(total[0] / (P * B));
        channel_totals<T, 1>(c, P, C, N, B, [=](long at, T (&v)[1][LANES]) {
            for (int i = 0; i < LANES; i++) v[0][i] = (x[at + i] - m) * (x[at + i] - m);
        }, total);
        variance[c] = (T)(total[0] / (P * B));
    }
}
/* y = (x - mean) * factor + offset, by channel */
template <class T> static void channel_affine(const T *x, const T *mean, const T *factor, const T *offset, T *y, long P, long C, long N)
{
    const flushing on;
    for (long r = 0; r < P * C; r++) {
        vec<T> m = splat(mean[r % C]), a = splat(factor[r % C]), b = splat(offset[r % C]);
        for (long i = r * N; i < (r + 1) * N; i += W<T>) store(y + i, fma(load(x + i) - m, a, b));
    }
}
/* dgamma = the sum of dy (x - mean) * inverse, dbeta = that of dy, by channel */
template <class T> static void batch_norm_gradient(const T *x, const T *dy, const T *mean, const T *inverse, T *dgamma, T *dbeta,
                                                   long P, long C, long N, long B)
{
    const flushing on;
    for (long c = 0; c < C; c++) {
        double totals[2];
        T m = mean[c], a = inverse[c];
        channel_totals<T, 2>(c, P, C, N, B, [=](long at, T (&v)[2][LANES]) {
            for (int i = 0; i < LANES; i++) v[0][i] = dy[at + i] * ((x[at + i] - m) * a), v[1][i] = dy[at + i];
        }, totals);
        dgamma[c] = (T)totals[0], dbeta[c] = (T)totals[1];
    }
}
/* dx = factor (dy - dbeta / M - xhat dgamma / M) for M = P B values a channel; 0 in the padding */
template <class T> static void batch_norm_backward(const T *x, const T *dy, const T *mean, const T *inverse, const T *factor,
                                                   const T *dgamma, const T *dbeta, T *dx, long P, long C, long N, long B)
{
    const flushing on;
    for (long r = 0; r < P * C; r++) {
        long c = r % C;
        T count = (T)(P * B);
        vec<T> m = splat(mean[c]), a = splat(inverse[c]), f = splat(factor[c]), g = splat(dgamma[c] / count), b = splat(dbeta[c] / count);
        for (long i = r * N; i < (r + 1) * N; i += W<T>)
            store(dx + i, f * fma(-((load(x + i) - m) * a), g, load(dy + i) - b));
        for (long n = B; n < N; n++) dx[r * N + n] = 0;
    }
}
/* y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, moments over C for each pixel and example;
   xhat[P][C][N] and inverse[P][N] are for the way back */
template <class T> static void layer_norm_forward(const T *x, const T *gamma, const T *beta, T epsilon, T *xhat, T *inverse, T *y,
                                                  long P, long C, long N)
{
    const flushing on;
    for (long p = 0; p < P; p++)
        for (long n = 0; n < N; n += W<T>) {
            const T *from = x + p * C * N + n;
            T *to = xhat + p * C * N + n, *out = y + p * C * N + n;
            vec<T> mean = {}, variance = {};
            for (long c = 0; c < C; c++) mean += load(from + c * N);
            mean /= splat((T)C);
            for (long c = 0; c < C; c++) { vec<T> d = load(from + c * N) - mean; variance = fma(d, d, variance); }
            vec<T> a = (T)1 / root(variance / splat((T)C) + epsilon);
            store(inverse + p * N + n, a);
            for (long c = 0; c < C; c++) {
                vec<T> v = (load(from + c * N) - mean) * a;
                store(to + c * N, v);
                store(out + c * N, fma(v, splat(gamma[c]), splat(beta[c])));
            }
        }
}
template <class T> static void layer_norm_backward(const T *xhat, const T *inverse, const T *gamma, const T *dy, T *dx, long P, long C, long N)
{
    const flushing on;
    for (long p = 0; p < P; p++)
        for (long n = 0; n < N; n += W<T>) {
            const T *hat = xhat + p * C * N + n, *d = dy + p * C * N + n;
            vec<T> sum = {}, dot = {}, a = load(inverse + p * N + n);
            for (long c = 0; c < C; c++) {
                vec<T> v = load(d + c * N) * gamma[c];
                sum += v, dot = fma(v, load(hat + c * N), dot);
            }
            sum /= splat((T)C), dot /= splat((T)C);
            for (long c = 0; c < C; c++)
                store(dx + (p * C + c) * N + n, a * fma(-load(hat + c * N), dot, load(d + c * N) * gamma[c] - sum));
        }
}
