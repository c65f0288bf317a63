/* Sparse rows: of each example only the features that are not 0. Those of column n are ids[bounds[n]] to ids[bounds[n + 1] - 1],
   with their values beside them. A table has the weights of a feature in one row: w[V][O]. */
#pragma once
#include "flushing.h"

enum { FAR = 16, LINE = 64, NEAR = 1 << 18 };   /* rows of a table above NEAR bytes lie far away: so many ids ahead they are asked for */

/* the rows `index` of a matrix, one after the other */
template <class S, class T> static long csr_gather(const long long *starts, const int32_t *ids, const S *values, const long long *index,
                                                   long B, long long *bounds, int32_t *to_ids, T *to)
{
    const flushing on;
    long at = bounds[0] = 0;
    for (long i = 0; i < B; i++) {
        if (i + 4 < B) {
            long from = starts[index[i + 4]];
            for (long line = 0; line < 4; line++) {
                __builtin_prefetch((const char *)(ids + from) + line * LINE);
                __builtin_prefetch((const char *)(values + from) + line * LINE);
            }
        }
        for (long k = starts[index[i]]; k < starts[index[i] + 1]; k++, at++) {
            to_ids[at] = ids[k];
            to[at] = (T)values[k];
        }
        bounds[i + 1] = at;
    }
    return at;
}
/* rows[slots[k]] = ids[k], each id once, in the order in which they come first. where[id] is its place in rows, if that is
   below their count and the id stands there; else it is anything (Briggs & Torczon 1993): nothing has to be cleared. No
   branch depends on an id, as none could be foretold. rows has room for one id more. */
template <class T> static long csr_distinct(const T *w, long O, const int32_t *ids, long n, int32_t *where, int32_t *rows, int32_t *slots)
{
    uint32_t count = 0;
    for (long k = 0; k < n; k++) {
        if (k + FAR < n) {
            __builtin_prefetch(where + ids[k + FAR], 1);
            __builtin_prefetch(w + ids[k + FAR] * O);       /* for csr_take */
        }
        int32_t id = ids[k];
        uint32_t slot = (uint32_t)where[id];
        bool known = (rows[slot < n ? slot : n] == id) & (slot < count);
        slot = known ? slot : count;
        rows[slot] = id;
        where[id] = slots[k] = (int32_t)slot;
        count += !known;
    }
    return count;
}
template <class T> INLINE void ask(const T *row, long O)
{ for (long o = 0; o < O; o += LINE / (long)sizeof(T)) __builtin_prefetch(row + o); }

template <class T> INLINE void copy(const T *from, T *to, long O)
{
    long o = 0;
    for (; o + W<T> <= O; o += W<T>) store(to + o, load(from + o));
    if (o < O) store(to + o, load(from + o, O - o), O - o);
}
template <class T> static void csr_take(const T *w, const int32_t *rows, T *own, long O, long n)
{
    if (O == 1) {
        for (long i = 0; i < n; i++) { if (i + FAR < n) __builtin_prefetch(w + rows[i + FAR]); own[i] = w[rows[i]]; }
        return;
    }
    for (long i = 0; i < n; i++) {
        if (i + FAR < n) ask(w + rows[i + FAR] * O, O);
        copy(w + rows[i] * O, own + i * O, O);
    }
}
template <class T> static void csr_put(const T *own, const int32_t *rows, T *w, long O, long n)
{
    if (O == 1) {
        for (long i = 0; i < n; i++) w[rows[i]] = own[i];
        return;
    }
    for (long i = 0; i < n; i++) copy(own + i * O, w + rows[i] * O, O);
}
/* Outputs o to o + C vectors (the last has n lanes) of one example: a chain of multiply-adds for each, k ascending. */
template <class T, int C, bool WHOLE> INLINE void sums(const T *w, const int32_t *ids, const T *values, long from, long to, long all, long O, long n, bool far, T *out)
{
    vec<T> acc[C] = {};
    for (long k = from; k < to; k++) {
        const T *row = w + ids[k] * O;
        if (far && k + FAR < all) ask(w + ids[k + FAR] * O, WHOLE ? C * W<T> : n);
        vec<T> value = splat(values[k]);
#pragma GCC unroll 4
        for (int j = 0; j < C; j++) acc[j] = fma(value, WHOLE ? load(row + j * W<T>) : load(row + j * W<T>, n), acc[j]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) store(out + j * W<T>, acc[j]);
}
/* a single output in 8 chains, so that no multiply-add waits for the one before it */
template <class T> INLINE T sum(const T *w, const int32_t *ids, const T *values, long from, long to, long all, bool far)
{
    enum { CHAINS = 8 };
    T s[CHAINS] = {};
    for (long k = from; k < to; k += CHAINS) {
        long n = to - k < CHAINS ? to - k : (long)CHAINS;
        if (n == CHAINS) {
            if (far && k + FAR + CHAINS < all)
                for (int j = 0; j < CHAINS; j++) __builtin_prefetch(w + ids[k + FAR + j]);
#pragma GCC unroll 8
            for (int j = 0; j < CHAINS; j++) s[j] = fma1(values[k + j], w[ids[k + j]], s[j]);
        } else
            for (int j = 0; j < n; j++) s[j] = fma1(values[k + j], w[ids[k + j]], s[j]);
    }
    for (int half = CHAINS / 2; half; half /= 2)
        for (int j = 0; j < half; j++) s[j] += s[j + half];
    return s[0];
}
/* y[o][n] = bias[o] + the sum of value w[id][o] over column n, then max(0, y) where relu */
template <class T> static void csr_forward(const T *w, const T *bias, const long long *bounds, const int32_t *ids, const T *values, T *y,
                                           long O, long V, long B, long N, bool relu)
{
    const flushing on;
    bool far = V * O * sizeof(T) > NEAR;
    long all = bounds[B], some;
    for (long o = 0; o < O; o += some) {
        long left = O - o;
        some = O == 1 ? 1 : left >= 4 * W<T> ? 4 * W<T> : left >= 2 * W<T> ? 2 * W<T> : left >= W<T> ? (long)W<T> : left;
        T out[4 * W<T>];
        for (long i = 0; i < N; i++) {
            long from = i < B ? bounds[i] : all, to = i < B ? bounds[i + 1] : all;
            if (O == 1) out[0] = sum(w, ids, values, from, to, all, far);
            else if (some == 4 * W<T>) sums<T, 4, true>(w + o, ids, values, from, to, all, O, 0, far, out);
            else if (some == 2 * W<T>) sums<T, 2, true>(w + o, ids, values, from, to, all, O, 0, far, out);
            else if (some == W<T>) sums<T, 1, true>(w + o, ids, values, from, to, all, O, 0, far, out);
            else sums<T, 1, false>(w + o, ids, values, from, to, all, O, some, far, out);
            for (long j = 0; j < some; j++) {
                T v = out[j] + bias[o + j];
                y[(o + j) * N + i] = relu && v <= 0 ? (T)0 : v;     /* NaN stays */
            }
        }
    }
}
/* w[id][o] -= rate value dy[o][n] for all columns, n and k ascending */
template <class T> static void csr_descend(const T *dy, const long long *bounds, const int32_t *ids, const T *values, T rate, T *w,
                                           long O, long V, long B, long N)
{
    const flushing on;
    long all = bounds[B];
    bool far = V * O * sizeof(T) > NEAR;
    if (O == 1) {
        for (long i = 0; i < B; i++) {
            T step = -rate * dy[i];
            for (long k = bounds[i]; k < bounds[i + 1]; k++) {
                if (far && k + FAR < all) __builtin_prefetch(w + ids[k + FAR], 1);
                w[ids[k]] = fma1(values[k], step, w[ids[k]]);
            }
        }
        return;
    }
    for (long o = 0; o < O; o += W<T>) {
        long n = O - o < W<T> ? O - o : (long)W<T>;
        for (long i = 0; i < B; i++) {
            T column[W<T>] = {};
            for (long j = 0; j < n; j++) column[j] = dy[(o + j) * N + i];
            vec<T> step = -splat(rate) * load(column);
            long stop = bounds[i + 1], k = bounds[i];
            if (n == W<T>)
                for (; k < stop; k++) {
                    if (far && k + FAR < all) __builtin_prefetch(w + ids[k + FAR] * O + o, 1);
                    T *to = w + ids[k] * O + o;
                    store(to, fma(splat(values[k]), step, load(to)));
                }
            for (; k < stop; k++) {             /* the last units: fewer than a vector */
                T *to = w + ids[k] * O + o;
                store(to, fma(splat(values[k]), step, load(to, n)), n);
            }
        }
    }
}
/* g[id][o] = the sum of value dy[o][n] over all columns, n and k ascending; of R rows */
template <class T> static void csr_gradient(const T *dy, const long long *bounds, const int32_t *ids, const T *values, T *g,
                                            long O, long R, long B, long N)
{
    memset(g, 0, R * O * sizeof(T));
    csr_descend(dy, bounds, ids, values, (T)-1, g, O, R, B, N);     /* a step of - -1 dy is dy itself */
}
/* whether all are in 0..rows - 1 */
static bool csr_within(const int32_t *ids, long n, int32_t rows)
{
    bool odd = false;
    for (long k = 0; k < n; k++) odd |= (uint32_t)ids[k] >= (uint32_t)rows;
    return !odd;
}
