/* Dense layers whose input is 0 in many features of a whole minibatch: the borders of images, columns of one-hot
   codes. `used` has a bit for each feature, 16 to a word; what is left out would have added exact zeros. */
#pragma once
#include "dense.h"

template <class T> static long used_features(const T *x, uint16_t *used, long F, long N)
{
    const flushing on;
    long count = 0;
    memset(used, 0, (F + LANES - 1) / LANES * sizeof *used);
    for (long f = 0; f < F; f++) {
        vint<T> any = {};
        for (long n = 0; n < N; n += W<T>) any |= load(x + f * N + n) != vec<T>{};
        bool found = false;
        for (int i = 0; i < W<T>; i++) found |= any[i] != 0;
        used[f / LANES] |= found << f % LANES;
        count += found;
    }
    return count;
}
/* Matrices, but for the k that are not used */
template <class T> struct Used {
    const uint16_t *used; long K; const T *a; long rs; const T *b; long N;
    template <int R, int C> INLINE_ME void operator()(vec<T> (&acc)[R][C], long row, long col) const
    {
        for (long from = 0; from < K; from += LANES)
            for (unsigned bits = used[from / LANES]; bits; bits &= bits - 1) {
                long k = from + __builtin_ctz(bits);
                multiply_add<T, R, C>(acc, 1, a + row * rs + k, rs, 1, b + k * N + col, N);
            }
    }
};
template <class T> static void used_forward(const T *w, const T *bias, const T *x, const uint16_t *used, T *y, long O, long I, long N, bool relu)
{
    const flushing on;
    product<T>(O, N, Used<T>{used, I, w, I, x, N}, Bias<T>{y, N, bias, relu});
}
/* packed[n] = the used values of rows[n], then zeros up to whole vectors */
template <class T> static void pack_used(const T *rows, const uint16_t *used, T *packed, long F, long N, long ld)
{
    for (long n = 0; n < N; n++, rows += ld, packed += ld) {
        long count = 0;
        for (long f = 0; f < F; f++) {
            packed[count] = rows[f];
            count += used[f / LANES] >> f % LANES & 1;
        }
        for (; count % LANES; count++) packed[count] = 0;
    }
}
/* W values: those at p, in their order, where a bit is set, else 0 */
#if defined(__AVX512F__)
INLINE vfloat expanded(const float *p, unsigned bits) { return (vfloat)_mm512_maskz_expandloadu_ps(bits, p); }
INLINE vdouble expanded(const double *p, unsigned bits) { return (vdouble)_mm512_maskz_expandloadu_pd(bits, p); }
#else
template <class T> INLINE vec<T> expanded(const T *p, unsigned bits)
{
    vec<T> v = {};
    for (int i = 0; i < W<T>; i++)
        if (bits >> i & 1) v[i] = *p++;
    return v;
}
#endif
/* dw[O][I] as dense_gradient has it: `count` columns, at the end of each row, are spread over it */
template <class T> static void used_gradient(const T *dy, const T *packed, const uint16_t *used, T *dw, long O, long I, long N, long B, long ld, long count, Ahead ahead)
{
    const flushing on;
    if (count) product<T>(O, count, Matrices<T>{B, dy, N, 1, packed, ld}, Gradient<T>{dw + I - count, I, ahead, false});
    for (long o = 0; o < O; o++) {
        T *to = dw + o * I, *from = to + I - count;     /* never behind `to` */
        for (long i = 0; i < I; i += W<T>) {
            if (i >= count && i % LANES == 0) ahead.ask((o * I + i) * sizeof(T));
            unsigned bits = used[i / LANES] >> i % LANES & ((1u << W<T>) - 1);
            vec<T> v = expanded(from, bits);
            from += __builtin_popcount(bits);
            if (i + W<T> <= I) store(to + i, v); else store(to + i, v, I - i);
        }
    }
}
