/* The register tile: out[M][N] = a[M][K] . b[K][N], every element one chain of multiply-adds with k
   ascending. `a` has any strides and is broadcast; `b` has rows of whole vectors (padded to LANES);
   what becomes of a finished vector is the epilogue's business. */
#pragma once
#include "flushing.h"

/* acc += the product of R rows of a with C vectors of columns of b, K long */
template <class T, int R, int C>
INLINE void multiply_add(vec<T> (&acc)[R][C], long K, const T *a, long rs, long cs, const T *b, long ldb)
{
    for (long k = 0; k < K; k++) {
        vec<T> line[C];
#pragma GCC unroll 4
        for (int j = 0; j < C; j++) line[j] = load(b + k * ldb + j * W<T>);
#pragma GCC unroll 16
        for (int i = 0; i < R; i++) {
            vec<T> factor = splat(a[i * rs + k * cs]);
#pragma GCC unroll 4
            for (int j = 0; j < C; j++) acc[i][j] = fma(factor, line[j], acc[i][j]);
        }
    }
}

/* What a tile multiplies: two matrices, or pieces of them (conv.h). */
template <class T> struct Matrices {
    long K; const T *a; long rs, cs; const T *b; long ldb;
    template <int R, int C> INLINE_ME void operator()(vec<T> (&acc)[R][C], long row, long col) const
    { multiply_add<T, R, C>(acc, K, a + row * rs, rs, cs, b + col, ldb); }
};

/* R rows times C vectors in registers. One vector register stays free for the broadcast. */
template <class T, int R, int C, class Factors, class Epilogue>
INLINE void tile(const Factors &factors, const Epilogue &out, long row, long col, long N)
{
    vec<T> acc[R][C];
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int j = 0; j < C; j++) acc[i][j] = vec<T>{};
    factors(acc, row, col);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int j = 0; j < C; j++) {
            long c = col + j * W<T>;
            if (c + W<T> <= N) out(row + i, c, acc[i][j], (long)W<T>);
            else if (c < N) out(row + i, c, acc[i][j], N - c);
        }
}

/* All rows of one panel of C vectors: R and R - 1 at a time where that comes out even, as few rows are slow by
   themselves; else R, and the rest by halves. Doubles, which serve to check, go without the tiles for odd sizes: half
   of what there is to compile. */
template <class T> constexpr bool ODD = sizeof(T) == sizeof(float);

template <class T, int R, int C, class Factors, class Epilogue>
INLINE void panel(const Factors &factors, const Epilogue &out, long row, long M, long col, long N)
{
    if constexpr (R > 2 && ODD<T>) {
        long shorter = (R - (M - row) % R) % R;
        if (shorter * (R - 1) <= M - row)
            for (; shorter; shorter--, row += R - 1) tile<T, R - 1, C>(factors, out, row, col, N);
    }
    for (; row + R <= M; row += R) tile<T, R, C>(factors, out, row, col, N);
    if constexpr (R > 1) panel<T, R / 2, C>(factors, out, row, M, col, N);
}

/* Rows a tile takes beside its C columns: 24 accumulators of 32 registers, 12 of 16. */
constexpr int tile_rows(int C) { return (WIDTH == 64 ? 24 : 12) / C; }
enum { TILE_COLUMNS = WIDTH == 64 ? 4 : 2 };

template <class T, class Factors, class Epilogue>
static void product(long M, long N, const Factors &factors, const Epilogue &out)
{
    for (long col = 0; col < N; ) {
        long left = (N - col + W<T> - 1) / W<T>;
        if constexpr (TILE_COLUMNS == 4 && ODD<T>)
            if (left == 3 || left == 5) { panel<T, tile_rows(3), 3>(factors, out, 0, M, col, N); col += 3 * W<T>; continue; }
        if constexpr (TILE_COLUMNS == 4) {
            if (left >= 4) { panel<T, tile_rows(4), 4>(factors, out, 0, M, col, N); col += 4 * W<T>; continue; }
        }
        if (left >= 2) { panel<T, tile_rows(2), 2>(factors, out, 0, M, col, N); col += 2 * W<T>; continue; }
        panel<T, tile_rows(2), 1>(factors, out, 0, M, col, N);
        return;
    }
}
