/* Dense layers, feature-major: x[I][N], w[O][I], y[O][N], N a multiple of LANES. */
#pragma once
#include "tile.h"

/* Epilogues: what becomes of n lanes of row r, columns from c on. Each kind compiles all tiles anew, so what differs in
   a step asks at run time. */
template <class T> struct Bias {
    T *out; long ld; const T *bias; bool relu;
    INLINE_ME void operator()(long r, long c, vec<T> v, long) const
    {
        v += splat(bias[r]);
        if (relu) v = v <= vec<T>{} ? vec<T>{} : v;     /* NaN stays */
        store(out + r * ld + c, v);
    }
};
template <class T> struct Masked {                      /* zero where the relu below was, if there is one */
    T *out; long ld; const T *below;
    INLINE_ME void operator()(long r, long c, vec<T> v, long) const
    {
        if (below) v = load(below + r * ld + c) > vec<T>{} ? v : vec<T>{};
        store(out + r * ld + c, v);
    }
};

template <class T> static void dense_forward(const T *w, const T *bias, const T *x, T *y, long O, long I, long N, bool relu)
{
    const flushing on;
    product<T>(O, N, Matrices<T>{I, w, I, 1, x, N}, Bias<T>{y, N, bias, relu});
}
template <class T> static void dense_backward(const T *w, const T *dy, const T *below, T *dx, long O, long I, long N)
{
    const flushing on;
    product<T>(I, N, Matrices<T>{O, w, 1, I, dy, N}, Masked<T>{dx, N, below});
}
/* the product of the steps' matrices, one after the other */
template <class T> struct Steps {
    long steps, K; const T *a; long rs, as; const T *b; long ldb, bs;
    template <int R, int C> INLINE_ME void operator()(vec<T> (&acc)[R][C], long row, long col) const
    {
        for (long s = 0; s < steps; s++) {
            const T *now = a + s * as + row * rs;
            if (s + 1 < steps)                  /* the next step's rows lie far away: ask for them in time */
                for (long i = 0; i < R; i++)
                    for (long k = 0; k < K; k += 64 / sizeof(T)) __builtin_prefetch(now + as + i * rs + k);
            multiply_add<T, R, C>(acc, K, now, rs, 1, b + s * bs + col, ldb);
        }
    }
};
enum { STEPS = 16 };                                    /* whose rows stay in the second cache */
/* What an update reads after its gradient: arrays of the gradient's shape, at addresses from Python. Asking for them
   while the gradient is computed hides the way from the third cache or memory. Nothing is read here. */
struct Ahead {
    const unsigned long long *arrays; long count;
    INLINE_ME void ask(long at) const                   /* bytes from their beginning */
    {
        for (long i = 0; i < count; i++) __builtin_prefetch((const void *)(arrays[i] + at), 0, 2);    /* into the second cache */
    }
};
template <class T> struct Gradient {                    /* rows of any length; `more` of a sum that has begun */
    T *out; long ld; Ahead ahead; bool more;
    INLINE_ME void operator()(long r, long c, vec<T> v, long n) const
    {
        T *o = out + r * ld + c;
        if (c % LANES == 0) ahead.ask((r * ld + c) * sizeof(T));
        if (n == W<T>) store(o, more ? load(o) + v : v); else store(o, more ? load(o, n) + v : v, n);
    }
};
/* dw[O][I], of rows of dy[steps][whole][N] over its first B columns; rows[steps][N][ld] is x batch-major, padded to
   LANES. Of many steps the products take so long that the update's arrays would be gone again: they are not asked for. */
template <class T> static void dense_gradient(const T *dy, const T *rows, T *dw, long O, long I, long N, long B, long ld, long steps, long whole, Ahead ahead)
{
    const flushing on;
    if (steps > STEPS) ahead.count = 0;
    for (long s = 0; s < steps; s += STEPS) {
        Steps<T> part{steps - s < STEPS ? steps - s : (long)STEPS, B, dy + s * whole * N, N, whole * N, rows + s * N * ld, ld, N * ld};
        product<T>(O, I, part, Gradient<T>{dw, I, ahead, s > 0});
    }
}
/* rows[i] = x[index[i]] * scale + offset, 0 past the B rows and past their F values */
template <class S, class T> static void gather(const S *x, const long long *index, double scale, double offset, T *rows,
                                               long F, long B, long N, long ld)
{
    const flushing on;
    enum { AHEAD = 4, LINE = 64 / sizeof(S) };      /* rows lie anywhere in memory: ask for them in time */
    T a = (T)scale, b = (T)offset;
    for (long i = 0; i < B; i++) {
        if (i + AHEAD < B)
            for (long f = 0; f < F; f += LINE) __builtin_prefetch(x + index[i + AHEAD] * F + f);
        const S *from = x + index[i] * F;
        T *to = rows + i * ld;
        for (long f = 0; f < F; f++) to[f] = (T)from[f] * a + b;
        memset(to + F, 0, (ld - F) * sizeof(T));
    }
    memset(rows + B * ld, 0, (N - B) * ld * sizeof(T));
}

/* Rows r and r + S of a square block change the lanes that a transposed one has from the other: W rows of W lanes are
   turned by S = 1, 2, 4... (Eklundh 1972). */
template <class T, int S> INLINE void turn(vec<T> (&v)[W<T>])
{
    if constexpr (S < W<T>) {
        vint<T> low, high;
        for (int i = 0; i < W<T>; i++) { low[i] = i & S ? W<T> + i - S : i; high[i] = i & S ? W<T> + i : i + S; }
#pragma GCC unroll 16
        for (int r = 0; r < W<T>; r++)
            if (!(r & S)) {
                vec<T> a = v[r], b = v[r + S];
                v[r] = __builtin_shuffle(a, b, low);
                v[r + S] = __builtin_shuffle(a, b, high);
            }
        turn<T, 2 * S>(v);
    }
}
/* to[c][r] = from[r][c] for R x C */
template <class T> static void transpose(const T *from, long ldf, T *to, long ldt, long R, long C)
{
    for (long r = 0; r < R; r += W<T>)
        for (long c = 0; c < C; c += W<T>) {
            long rows = R - r < W<T> ? R - r : (long)W<T>, columns = C - c < W<T> ? C - c : (long)W<T>;
            vec<T> v[W<T>] = {};
            if (rows == W<T> && columns == W<T>) {
#pragma GCC unroll 16
                for (int i = 0; i < W<T>; i++) v[i] = load(from + (r + i) * ldf + c);
                turn<T, 1>(v);
#pragma GCC unroll 16
                for (int j = 0; j < W<T>; j++) store(to + (c + j) * ldt + r, v[j]);
                continue;
            }
            for (long i = 0; i < rows; i++) v[i] = load(from + (r + i) * ldf + c, columns);
            turn<T, 1>(v);
            for (long j = 0; j < columns; j++) store(to + (c + j) * ldt + r, v[j], rows);
        }
}
