/* Between images [H][W][F][N] and tiles of their rows, POINTS combinations of neighbouring pixels each. A tile's
   point p of row h lies at (h sh + t st + p sp) F-blocks of N; its first pixel is t step - left. */
#pragma once
#include "flushing.h"

enum { POINTS = 6 };
struct Tiling { long H, W, T, F, step, left, sh, st, sp; };

/* `use` gets every place of a block of `length` values, a vector or the last n lanes at a time */
template <class T, class Use> INLINE void each_vector(long length, const Use &use)
{
    long i = 0;
    for (; i + W<T> <= length; i += W<T>) use(i, (long)W<T>);
    if (i < length) use(i, length - i);
}
template <class T> INLINE vec<T> some(const T *p, long n) { return n == W<T> ? load(p) : load(p, n); }
template <class T> INLINE void put(T *p, vec<T> v, long n) { if (n == W<T>) store(p, v); else store(p, v, n); }

/* tile[p] = sum of matrix[p][j] pixel[j] over those of the J pixels that lie inside the image */
template <class T, int J>
static void to_tiles_of(const T *x, const T *matrix, T *tiles, const Tiling &g, long N)
{
    long block = g.F * N;
    for (long h = 0; h < g.H; h++)
        for (long t = 0; t < g.T; t++) {
            long first = t * g.step - g.left;
            const T *from = x + (h * g.W + first) * block;
            T *to = tiles + (h * g.sh + t * g.st) * N;
            each_vector<T>(block, [=](long i, long n) {
                vec<T> pixel[J];
                for (int j = 0; j < J; j++)
                    pixel[j] = first + j >= 0 && first + j < g.W ? some(from + j * block + i, n) : vec<T>{};
#pragma GCC unroll 6
                for (int p = 0; p < POINTS; p++) {
                    vec<T> sum = {};
#pragma GCC unroll 6
                    for (int j = 0; j < J; j++) sum = fma(splat(matrix[p * J + j]), pixel[j], sum);
                    put(to + p * g.sp * N + i, sum, n);
                }
            });
        }
}
/* pixel w = sum of matrix[j][p] tile[p] over the tiles whose pixel number j it is, then what `out` makes of it */
template <class T, class Epilogue>
static void from_tiles_to(const T *tiles, const T *matrix, long J, T *y, const Tiling &g, long N, const Epilogue &out)
{
    long block = g.F * N;
    for (long h = 0; h < g.H; h++)
        for (long w = 0; w < g.W; w++) {
            long at = (h * g.W + w) * block, last = (w + g.left) / g.step, begin = (w + g.left - J) / g.step;
            long from = w + g.left < J ? 0 : begin + 1, stop = last + 1 < g.T ? last + 1 : g.T;
            each_vector<T>(block, [=, &out](long i, long n) {
                vec<T> sum = {};
                for (long t = from; t < stop; t++) {
                    const T *row = matrix + (w + g.left - t * g.step) * POINTS, *tile = tiles + (h * g.sh + t * g.st) * N + i;
#pragma GCC unroll 6
                    for (int p = 0; p < POINTS; p++) sum = fma(splat(row[p]), some(tile + p * g.sp * N, n), sum);
                }
                put(y + at + i, out(sum, at + i, i / N, n), n);
            });
        }
}
template <class T> static void to_tiles(const T *x, const T *matrix, long J, T *tiles, const Tiling &g, long N)
{
    const flushing on;
    switch (J) {
    case 1: return to_tiles_of<T, 1>(x, matrix, tiles, g, N);
    case 2: return to_tiles_of<T, 2>(x, matrix, tiles, g, N);
    case 3: return to_tiles_of<T, 3>(x, matrix, tiles, g, N);
    case 4: return to_tiles_of<T, 4>(x, matrix, tiles, g, N);
    case 5: return to_tiles_of<T, 5>(x, matrix, tiles, g, N);
    default: return to_tiles_of<T, 6>(x, matrix, tiles, g, N);
    }
}
/* with bias[F]: added, then max(0, y) where relu; with `below`: 0 where that is not above 0 */
template <class T> static void from_tiles(const T *tiles, const T *matrix, long J, T *y, const Tiling &g, long N, const T *bias, const T *below, bool relu)
{
    const flushing on;
    if (bias && relu) from_tiles_to(tiles, matrix, J, y, g, N, [=](vec<T> v, long, long f, long) {
        v += splat(bias[f]);
        return v <= vec<T>{} ? vec<T>{} : v;                    /* NaN stays */
    });
    else if (bias) from_tiles_to(tiles, matrix, J, y, g, N, [=](vec<T> v, long, long f, long) { return v + splat(bias[f]); });
    else if (below) from_tiles_to(tiles, matrix, J, y, g, N, [=](vec<T> v, long at, long, long n) {
        return some(below + at, n) > vec<T>{} ? v : vec<T>{};
    });
    else from_tiles_to(tiles, matrix, J, y, g, N, [](vec<T> v, long, long, long) { return v; });
}
