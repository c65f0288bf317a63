/* Convolution without im2col. Images are x[H][W][C][N], the batch innermost; weights w[O][kh][kw][C/groups].
   The rows of x that meet a row of w are the same for a whole tile, so a product runs over a list of them. */
#pragma once
#include "dense.h"

struct Geometry { long H, W, C, OH, OW, O, kh, kw, sh, sw, dh, dw, top, left, groups; };

/* so many rows of both factors of a product lie together */
struct Run { long a, b, length; };

/* The runs' products, one after the other: a + run.a with rows rs apart, b + run.b rows of N. */
template <class T> struct Runs {
    const Run *runs; long count; const T *a; long rs; const T *b; long N;
    template <int R, int C> INLINE_ME void operator()(vec<T> (&acc)[R][C], long row, long col) const
    {
        for (long i = 0; i < count; i++)
            multiply_add<T, R, C>(acc, runs[i].length, a + row * rs + runs[i].a, rs, 1, b + runs[i].b * N + col, N);
    }
};

INLINE long add_run(Run *runs, long count, long a, long b, long length)
{
    if (count && runs[count - 1].a + runs[count - 1].length == a && runs[count - 1].b + runs[count - 1].length == b)
        runs[count - 1].length += length;
    else runs[count++] = Run{a, b, length};
    return count;
}
/* what output pixel (h, w) is made of: rows of x, and their places in a row of weights */
INLINE long input_runs(const Geometry &g, long h, long w, Run *runs)
{
    long count = 0, C = g.C / g.groups;
    for (long y = 0; y < g.kh; y++)
        for (long x = 0; x < g.kw; x++) {
            long r = h * g.sh - g.top + y * g.dh, c = w * g.sw - g.left + x * g.dw;
            if (r >= 0 && r < g.H && c >= 0 && c < g.W)
                count = add_run(runs, count, (y * g.kw + x) * C, (r * g.W + c) * g.C, C);
        }
    return count;
}
/* what input pixel (h, w) goes into: rows of y, and their places in the transposed weights [kh][kw][C/groups][O] */
INLINE long output_runs(const Geometry &g, long h, long w, Run *runs)
{
    long count = 0;
    for (long y = 0; y < g.kh; y++)
        for (long x = 0; x < g.kw; x++) {
            long r = h + g.top - y * g.dh, c = w + g.left - x * g.dw;
            if (r >= 0 && c >= 0 && r % g.sh == 0 && c % g.sw == 0 && r / g.sh < g.OH && c / g.sw < g.OW)
                count = add_run(runs, count, (y * g.kw + x) * (g.C / g.groups) * g.O,
                                (r / g.sh * g.OW + c / g.sw) * g.O, g.O / g.groups);
        }
    return count;
}

/* y[OH][OW][O][N] = x * w + bias, then max(0, y) where relu */
template <class T> static void conv_forward(const T *w, const T *bias, const T *x, T *y, const Geometry &g, long N, bool relu)
{
    const flushing on;
    Run runs[g.kh * g.kw];
    long K = g.kh * g.kw * (g.C / g.groups), O = g.O / g.groups;
    for (long p = 0; p < g.OH * g.OW; p++) {
        long count = input_runs(g, p / g.OW, p % g.OW, runs);
        for (long i = 0; i < g.groups; i++) {
            Runs<T> factors{runs, count, w + i * O * K, K, x + i * (g.C / g.groups) * N, N};
            product<T>(O, N, factors, Bias<T>{y + (p * g.O + i * O) * N, N, bias + i * O, relu});
        }
    }
}
/* dx[H][W][C][N] from dy; turned[kh][kw][C/groups][O] are the weights, transposed. `make` gives the epilogue
   of the C/groups channels from c on of pixel p. */
template <class T, class Make>
static void conv_transposed(const T *turned, const T *dy, const Geometry &g, long N, const Make &make)
{
    Run runs[g.kh * g.kw];
    long C = g.C / g.groups, O = g.O / g.groups;
    for (long p = 0; p < g.H * g.W; p++) {
        long count = output_runs(g, p / g.W, p % g.W, runs);
        for (long i = 0; i < g.groups; i++)
            product<T>(C, N, Runs<T>{runs, count, turned + i * O, g.O, dy + i * O * N, N},
                       make((p * g.C + i * C) * N, i * C));
    }
}
template <class T> static void conv_backward(const T *turned, const T *dy, const T *below, T *dx, const Geometry &g, long N)
{
    const flushing on;
    conv_transposed(turned, dy, g, N, [=](long at, long) { return Masked<T>{dx + at, N, below ? below + at : below}; });
}
template <class T> static void conv_transpose_forward(const T *turned, const T *bias, const T *x, T *y, const Geometry &g, long N, bool relu)
{
    const flushing on;
    conv_transposed(turned, x, g, N, [=](long at, long c) { return Bias<T>{y + at, N, bias + c, relu}; });
}

/* A rectangle of output pixels, and where its first meets x. */
struct Window { long h0, h1, w0, w1; };

/* dw[R][C] += the sum over the window's pixels and the batch of dy[o..] x[c..]: R * C sums in LANES lanes */
template <class T, int R, int C>
INLINE void dot_tile(const T *dy, const T *x, T *dw, long ld, const Window &v, const Geometry &g, long N)
{
    enum { V = LANES / W<T> };
    vec<T> acc[R][C][V];
#pragma GCC unroll 8
    for (int i = 0; i < R; i++)
#pragma GCC unroll 8
        for (int j = 0; j < C; j++)
#pragma GCC unroll 8
            for (int k = 0; k < V; k++) acc[i][j][k] = vec<T>{};
    for (long h = v.h0; h < v.h1; h++)
        for (long w = v.w0; w < v.w1; w++) {
            const T *a = dy + (h * g.OW + w) * g.O * N, *b = x + (h * g.sh * g.W + w * g.sw) * g.C * N;
            for (long n = 0; n < N; n += LANES)
#pragma GCC unroll 8
                for (int k = 0; k < V; k++) {
                    vec<T> line[C];
#pragma GCC unroll 8
                    for (int j = 0; j < C; j++) line[j] = load(b + j * N + n + k * W<T>);
#pragma GCC unroll 8
                    for (int i = 0; i < R; i++) {
                        vec<T> factor = load(a + i * N + n + k * W<T>);
#pragma GCC unroll 8
                        for (int j = 0; j < C; j++) acc[i][j][k] = fma(factor, line[j], acc[i][j][k]);
                    }
                }
        }
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) {
            lanesum<T> sum;
            memcpy(sum.s, acc[i][j], sizeof sum.s);
            dw[i * ld + j] += sum.fold();
        }
}
template <class T, int R, int C>
static void dot_columns(const T *dy, const T *x, T *dw, long ld, long c, long M, const Window &v, const Geometry &g, long N)
{
    for (; c + C <= M; c += C) dot_tile<T, R, C>(dy, x + c * N, dw + c, ld, v, g, N);
    if constexpr (C > 1) dot_columns<T, R, C / 2>(dy, x, dw, ld, c, M, v, g, N);
}
INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long most(long a, long b) { return a > b ? a : b; }
/* the outputs 0..count whose input at * stride + offset lies in 0..size: from first on, up to (not with) the result */
INLINE long inside(long offset, long stride, long size, long count, long &first)
{
    first = offset < 0 ? (-offset + stride - 1) / stride : 0;
    return offset >= size ? 0 : least(count, (size - 1 - offset) / stride + 1);
}
enum { DOT = WIDTH == 64 ? 5 : 2, SLICE = 1 << 18 };       /* rows and columns of a tile; bytes of 5 rows of dy between two folds */

/* R rows of dw from row o on; x and the weights' rows begin with the group's first channel */
template <class T, int R>
static void conv_rows(const T *dy, const T *x, T *dw, const Geometry &g, long N)
{
    long C = g.C / g.groups, K = g.kh * g.kw * C, w0, w1;
    bool together = g.dw == 1 && g.groups == 1;             /* a whole row of a kernel meets rows that lie together */
    long first, last = inside((g.kw - 1) * g.dw - g.left, g.sw, g.W, g.OW, w0);
    w1 = least(last, inside(-g.left, g.sw, g.W, g.OW, first)), w0 = most(w0, first);
    /* w0..w1: pixels whose kernel lies inside x from edge to edge */
    together = together && w0 < w1;
    long step = most(1, SLICE / (long)(g.OW * 5 * N * sizeof(T)));      /* at every level, and for every R */
    for (long from = 0; from < g.OH; from += step)
        for (long r = 0; r < g.kh; r++) {
            long h0, h1 = least(inside(r * g.dh - g.top, g.sh, g.H, g.OH, h0), from + step);
            h0 = most(h0, from);
            const T *row = x + (r * g.dh - g.top) * g.W * g.C * N;
            if (together)
                dot_columns<T, R, DOT>(dy, row - g.left * g.C * N, dw + r * g.kw * C, K, 0, g.kw * C, Window{h0, h1, w0, w1}, g, N);
            for (long c = 0; c < g.kw; c++) {
                long left, right = inside(c * g.dw - g.left, g.sw, g.W, g.OW, left);
                Window edges[2] = {{h0, h1, left, together ? least(w0, right) : right}, {h0, h1, most(w1, left), right}};
                for (int e = 0; e < 1 + together; e++)
                    if (edges[e].w0 < edges[e].w1)
                        dot_columns<T, R, DOT>(dy, row + (c * g.dw - g.left) * g.C * N, dw + (r * g.kw + c) * C, K, 0, C, edges[e], g, N);
            }
        }
}
template <class T, int R>
static void conv_panel(const T *dy, const T *x, T *dw, const Geometry &g, long N, long o, long stop, long K)
{
    for (; o + R <= stop; o += R) conv_rows<T, R>(dy + o * N, x, dw + o * K, g, N);
    if constexpr (R > 1) conv_panel<T, R / 2>(dy, x, dw, g, N, o, stop, K);
}
/* dw[o..stop][kh][kw][C/groups], rows o..stop of the weights' gradient; the padding of dy is 0 */
template <class T> static void conv_gradient(const T *dy, const T *x, T *dw, const Geometry &g, long N, long o, long stop)
{
    const flushing on;
    long C = g.C / g.groups, O = g.O / g.groups, K = g.kh * g.kw * C;
    memset(dw, 0, (stop - o) * K * sizeof(T));
    for (long i = o / O; i * O < stop; i++)
        conv_panel<T, DOT>(dy, x + i * C * N, dw - o * K, g, N, most(o, i * O), least(stop, (i + 1) * O), K);
}
/* sums[C] = the sum of x[P][C][N] over P and N */
template <class T> static void channel_sums(const T *x, T *sums, long P, long C, long N)
{
    const flushing on;
    for (long c = 0; c < C; c++) {
        lanesum<T> sum;
        for (long p = 0; p < P; p++)
            for (long n = 0; n < N; n += LANES) sum.add(x + (p * C + c) * N + n);
        sums[c] = sum.fold();
    }
}
