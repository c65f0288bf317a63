/* Elementwise activations and softmax over features, along the batch. */
#pragma once
#include "vmath.h"

template <class T> struct Relu { INLINE_ME vec<T> operator()(vec<T> x) const { return x <= vec<T>{} ? vec<T>{} : x; } };
template <class T> struct Sigmoid { INLINE_ME vec<T> operator()(vec<T> x) const { return vsigmoid<T>(x); } };
template <class T> struct Tanh { INLINE_ME vec<T> operator()(vec<T> x) const { return vtanh<T>(x); } };
/* dx from y and dy: each of these derivatives is a function of the output */
template <class T> struct ReluSlope { INLINE_ME vec<T> operator()(vec<T> y, vec<T> dy) const { return y > vec<T>{} ? dy : vec<T>{}; } };
template <class T> struct SigmoidSlope { INLINE_ME vec<T> operator()(vec<T> y, vec<T> dy) const { return dy * y * ((T)1 - y); } };
template <class T> struct TanhSlope { INLINE_ME vec<T> operator()(vec<T> y, vec<T> dy) const { return dy * fma(-y, y, splat((T)1)); } };

/* n is a multiple of LANES: features times padded batch */
template <class F, class T> static void map_forward(const F &f, const T *x, T *y, long n)
{
    for (long i = 0; i < n; i += W<T>) store(y + i, f(load(x + i)));
}
template <class F, class T> static void map_backward(const F &f, const T *y, const T *dy, T *dx, long n)
{
    for (long i = 0; i < n; i += W<T>) store(dx + i, f(load(y + i), load(dy + i)));
}
template <class T> static void relu_forward(const T *x, T *y, long n) { map_forward(Relu<T>(), x, y, n); }
template <class T> static void sigmoid_forward(const T *x, T *y, long n) { map_forward(Sigmoid<T>(), x, y, n); }
template <class T> static void tanh_forward(const T *x, T *y, long n) { map_forward(Tanh<T>(), x, y, n); }
template <class T> static void relu_backward(const T *y, const T *dy, T *dx, long n) { map_backward(ReluSlope<T>(), y, dy, dx, n); }
template <class T> static void sigmoid_backward(const T *y, const T *dy, T *dx, long n) { map_backward(SigmoidSlope<T>(), y, dy, dx, n); }
template <class T> static void tanh_backward(const T *y, const T *dy, T *dx, long n) { map_backward(TanhSlope<T>(), y, dy, dx, n); }

/* y = softmax(x) over C for the vector of columns at n; returns the largest x and the sum of e^(x - largest) */
template <class T> INLINE void softmax_columns(const T *x, T *y, long C, long N, long n, vec<T> &largest, vec<T> &sum)
{
    largest = load(x + n);
    for (long c = 1; c < C; c++) largest = larger(load(x + c * N + n), largest);
    sum = vec<T>{};
    for (long c = 0; c < C; c++) {
        vec<T> e = vexp<T>(load(x + c * N + n) - largest);
        store(y + c * N + n, e);
        sum += e;
    }
    for (long c = 0; c < C; c++) store(y + c * N + n, load(y + c * N + n) / sum);
}
template <class T> static void softmax_forward(const T *x, T *y, long C, long N)
{
    vec<T> largest, sum;
    for (long n = 0; n < N; n += W<T>) softmax_columns<T>(x, y, C, N, n, largest, sum);
}
template <class T> static void softmax_backward(const T *y, const T *dy, T *dx, long C, long N)
{
    for (long n = 0; n < N; n += W<T>) {
        vec<T> dot = {};
        for (long c = 0; c < C; c++) dot = fma(load(y + c * N + n), load(dy + c * N + n), dot);
        for (long c = 0; c < C; c++)
            store(dx + c * N + n, load(y + c * N + n) * (load(dy + c * N + n) - dot));
    }
}

/* Philox 4x32-10 (Salmon et al., SC 2011): four words of 32 bits for a counter and a key */
INLINE void philox(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
        uint32_t c0 = (uint32_t)(b >> 32) ^ c[1] ^ k0, c2 = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[0] = c0, c[1] = (uint32_t)b, c[2] = c2, c[3] = (uint32_t)a;
    }
}
/* mask[f][n] = 1 / (1 - rate) where the word of (n, f, stream, step) is at least rate 2^32, else 0 */
template <class T> static void dropout_mask(T *mask, long F, long N, uint32_t k0, uint32_t k1, uint32_t stream, uint32_t step, double rate)
{
    uint32_t least = (uint32_t)(rate * 4294967296.0);
    T keep = (T)(1 / (1 - rate));
    for (long f = 0; f < F; f++)
        for (long n = 0; n < N; n += 4) {
            uint32_t c[4] = {(uint32_t)(n / 4), (uint32_t)f, stream, step};
            philox(c, k0, k1);
            for (int i = 0; i < 4; i++) mask[f * N + n + i] = c[i] >= least ? keep : (T)0;
        }
}
