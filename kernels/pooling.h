/* Pooling of images [H][W][C][N]: a pixel is C N values that lie together. */
#pragma once
#include "conv.h"

/* where the pixels of the window of output pixel p begin, in values; returns how many lie inside x */
INLINE long window(const Geometry &g, long p, long N, long *starts)
{
    long count = 0;
    for (long y = 0; y < g.kh; y++)
        for (long x = 0; x < g.kw; x++) {
            long r = p / g.OW * g.sh - g.top + y, c = p % g.OW * g.sw - g.left + x;
            if (r >= 0 && r < g.H && c >= 0 && c < g.W) starts[count++] = (r * g.W + c) * g.C * N;
        }
    return count;
}
/* where pixel k begins of a window that is all of x */
struct Whole {
    long pixel;
    INLINE_ME long operator[](long k) const { return k * pixel; }
};
/* use(p, count, starts) for each output pixel p: its window has so many pixels inside x, which begin there. No list is
   made of one that is all of x: it may be of any size */
template <class Use> INLINE void windows(const Geometry &g, long N, Use use)
{
    if (g.OH * g.OW == 1 && g.kh == g.H && g.kw == g.W && !g.top && !g.left)
        return use(0, g.H * g.W, Whole{g.C * N});
    long list[g.kh * g.kw], *starts = list;
    for (long p = 0; p < g.OH * g.OW; p++) use(p, window(g, p, N, starts), starts);
}
template <class T> static void max_pool_forward(const T *x, T *y, const Geometry &g, long N)
{
    const flushing on;
    const long pixel = g.C * N;
    windows(g, N, [=](long p, long count, auto starts) __attribute__((always_inline)) {
        for (long i = 0; i < pixel; i += W<T>) {
            vec<T> largest = load(x + starts[0] + i);
            for (long k = 1; k < count; k++) largest = larger(load(x + starts[k] + i), largest);
            store(y + p * pixel + i, largest);
        }
    });
}
/* the first of a window's equal maxima takes all of dy, as in Keras; none that is not above 0 where relu.
   ALONE: each pixel lies in one window, whose share is all that it gets */
template <bool ALONE, class T>
static void max_pool_shares(const T *x, const T *y, const T *dy, T *dx, const Geometry &g, long N, bool relu)
{
    const long pixel = g.C * N;
    windows(g, N, [=](long p, long count, auto starts) __attribute__((always_inline)) {
        for (long i = 0; i < pixel; i += W<T>) {
            vec<T> largest = load(y + p * pixel + i), left = load(dy + p * pixel + i);
            if (relu) left = largest > vec<T>{} ? left : vec<T>{};
            for (long k = 0; k < count; k++) {
                T *to = dx + starts[k] + i;
                vint<T> hit = load(x + starts[k] + i) == largest;
                vec<T> share = hit ? left : vec<T>{};
                store(to, ALONE ? share : load(to) + share);
                left = hit ? vec<T>{} : left;
            }
        }
    });
}
template <class T> static void max_pool_backward(const T *x, const T *y, const T *dy, T *dx, const Geometry &g, long N, bool relu)
{
    const flushing on;
    bool alone = g.kh == g.sh && g.kw == g.sw && g.OH * g.kh == g.H && g.OW * g.kw == g.W && !g.top && !g.left;
    if (alone) return max_pool_shares<true>(x, y, dy, dx, g, N, relu);
    memset(dx, 0, g.H * g.W * g.C * N * sizeof(T));
    max_pool_shares<false>(x, y, dy, dx, g, N, relu);
}
/* the mean of those pixels of the window that lie inside x */
template <class T> static void average_pool_forward(const T *x, T *y, const Geometry &g, long N)
{
    const flushing on;
    const long pixel = g.C * N;
    windows(g, N, [=](long p, long count, auto starts) __attribute__((always_inline)) {
        for (long i = 0; i < pixel; i += W<T>) {
            vec<T> sum = {};
            for (long k = 0; k < count; k++) sum += load(x + starts[k] + i);
            store(y + p * pixel + i, sum / (T)count);
        }
    });
}
template <class T> static void average_pool_backward(const T *dy, T *dx, const Geometry &g, long N)
{
    const flushing on;
    const long pixel = g.C * N;
    memset(dx, 0, g.H * g.W * pixel * sizeof(T));
    windows(g, N, [=](long p, long count, auto starts) __attribute__((always_inline)) {
        for (long i = 0; i < pixel; i += W<T>) {
            vec<T> share = load(dy + p * pixel + i) / (T)count;
            for (long k = 0; k < count; k++) {
                T *to = dx + starts[k] + i;
                store(to, load(to) + share);
            }
        }
    });
}
/* y[i] = x[from[i]], or 0 where from[i] is negative */
template <class T> static void take_rows(const T *x, const long long *from, T *y, long M, long N)
{
    for (long i = 0; i < M; i++, y += N)
        if (from[i] >= 0) memcpy(y, x + from[i] * N, N * sizeof(T));
        else memset(y, 0, N * sizeof(T));
}
/* dx[from[i]] += dy[i], from zero on */
template <class T> static void add_rows(const T *dy, const long long *from, T *dx, long M, long F, long N)
{
    const flushing on;
    memset(dx, 0, F * N * sizeof(T));
    for (long i = 0; i < M; i++, dy += N) {
        if (from[i] < 0) continue;
        T *to = dx + from[i] * N;
        for (long n = 0; n < N; n += W<T>) store(to + n, load(to + n) + load(dy + n));
    }
}
