/* Recurrent layers over sequences [T][F][N]: what the input gives to the gates of all steps stands in z[T][G U][N];
   here the steps follow each other. h and c hold T + 1 states, the first before the sequence. Where mask[T][N] is 0
   a step changes nothing. On the way back `work` comes in with the gradients of the states after the last step, h and
   then c, and goes out with those of the states before the first; the rest of it is scratch, 0 before and after.
   Matrices r[G U][U] are the recurrent kernel; what it multiplies is h, or with drop[U][N] h drop, which is kept in
   seen[T][U][N]. */
#pragma once
#include "activations.h"
#include "dense.h"

template <class T> struct Added {                       /* times `by`, where there is one */
    T *out; long ld; const T *by;
    INLINE_ME void operator()(long r, long c, vec<T> v, long) const
    { long i = r * ld + c; store(out + i, by ? fma(v, load(by + i), load(out + i)) : load(out + i) + v); }
};
/* the two activations: of the state, and of the gates */
struct Acts { int state, gate; };
template <class T> INLINE void activate(int a, T *x, T *y, long n) { activations<T>[a].forward(x, y, n, activations<T>[a].parameters); }
/* dx = dx times the slope where the activation gave y */
template <class T> INLINE void slope(int a, const T *y, T *dx, long n) { activations<T>[a].backward(y, dx, dx, n, activations<T>[a].parameters); }
/* f(i, n, u) for each vector of [U][N] from place `at` to `end`: its place, its column and its row */
template <class T, class F> INLINE void each(long at, long end, long N, const F &f)
{
    for (long u = at / N, n = at % N; at < end; u++, n = 0)
        for (; n < N && at < end; n += W<T>, at += W<T>) f(at, n, u);
}
template <class T, class F> INLINE void each(long U, long N, const F &f) { each<T>(0, U * N, N, f); }
/* f(at, n) for the n values from `at` on, a few at a time: what all gates have of them stays in the first cache */
enum { STRIP = 8 * LANES };
template <class F> INLINE void strips(long size, const F &f)
{ for (long at = 0; at < size; at += STRIP) f(at, size - at < STRIP ? size - at : (long)STRIP); }
/* what was, where the mask is 0 */
template <class T> static void keep_masked(const T *mask, const T *before, T *now, long U, long N)
{
    if (mask) each<T>(U, N, [=](long i, long n, long) { store(now + i, load(mask + n) != vec<T>{} ? load(now + i) : load(before + i)); });
}
/* d += dy; then d goes on to `kept` where the mask is 0, and is 0 there itself */
template <class T> static void part_masked(const T *mask, const T *dy, T *d, T *kept, long U, long N)
{
    each<T>(U, N, [=](long i, long n, long) {
        vec<T> sum = load(d + i) + load(dy + i), zero = {};
        vint<T> counts = mask ? load(mask + n) != zero : zero == zero;
        store(d + i, counts ? sum : zero);
        store(kept + i, counts ? zero : sum);
    });
}

/* what the recurrent kernel multiplies in this step */
template <class T> static const T *dropped(const T *h, const T *drop, T *seen, long n)
{
    if (!drop) return h;
    for (long i = 0; i < n; i += W<T>) store(seen + i, load(h + i) * load(drop + i));
    return seen;
}

/* h = act(z + r h) */
template <class T> static void simple_rnn_forward(const T *r, const T *mask, const T *drop, T *seen, T *z, T *h, long steps, long U, long N, Acts a)
{
    const flushing on;
    for (long s = 0; s < steps; s++, z += U * N, h += U * N, seen += U * N) {
        product<T>(U, N, Matrices<T>{U, r, U, 1, dropped(h, drop, seen, U * N), N}, Added<T>{z, N, nullptr});
        activate(a.state, z, z, U * N);
        memcpy(h + U * N, z, U * N * sizeof(T));
        keep_masked(mask ? mask + s * N : mask, h, h + U * N, U, N);
    }
}
template <class T> static void simple_rnn_backward(const T *r, const T *mask, const T *drop, const T *z, const T *dy, T *dz, T *work, long steps, long U, long N, Acts a)
{
    const flushing on;
    long size = U * N;
    T *dh = work, *kept = work + size;
    for (long s = steps - 1; s >= 0; s--) {
        part_masked(mask ? mask + s * N : mask, dy + s * size, dh, kept, U, N);
        memcpy(dz + s * size, dh, size * sizeof(T));
        slope(a.state, z + s * size, dz + s * size, size);
        memcpy(dh, kept, size * sizeof(T));
        product<T>(U, N, Matrices<T>{U, r, 1, U, dz + s * size, N}, Added<T>{dh, N, drop});
    }
    memset(kept, 0, size * sizeof(T));
}

/* gates i f g o: c = f c + i g, h = o act(c); with peepholes p[3][U] i and f see the c before, o that after */
template <class T> static void lstm_forward(const T *r, const T *p, const T *mask, const T *drop, T *seen, T *z, T *c, T *tanhs, T *h, long steps, long U, long N, Acts a)
{
    const flushing on;
    long size = U * N;
    for (long s = 0; s < steps; s++, z += 4 * size, c += size, h += size, tanhs += size, seen += size) {
        T *f = z + size, *g = f + size, *o = g + size, *next = c + size, *out = h + size;
        product<T>(4 * U, N, Matrices<T>{U, r, U, 1, dropped(h, drop, seen, size), N}, Added<T>{z, N, nullptr});
        strips(size, [=](long at, long n) {
            if (p) each<T>(at, at + n, N, [=](long i, long, long u) {
                store(z + i, fma(splat(p[u]), load(c + i), load(z + i)));
                store(f + i, fma(splat(p[U + u]), load(c + i), load(f + i)));
            });
            activate(a.gate, z + at, z + at, n);
            activate(a.gate, f + at, f + at, n);
            activate(a.state, g + at, g + at, n);
            each<T>(at, at + n, N, [=](long i, long, long u) {
                vec<T> now = fma(load(f + i), load(c + i), load(z + i) * load(g + i));
                store(next + i, now);
                if (p) store(o + i, fma(splat(p[2 * U + u]), now, load(o + i)));
            });
            activate(a.gate, o + at, o + at, n);
            activate(a.state, next + at, tanhs + at, n);
            each<T>(at, at + n, N, [=](long i, long, long) { store(out + i, load(o + i) * load(tanhs + i)); });
        });
        keep_masked(mask ? mask + s * N : mask, h, out, U, N);
        keep_masked(mask ? mask + s * N : mask, c, next, U, N);
    }
}
/* dz may be z */
template <class T> static void lstm_backward(const T *r, const T *p, const T *mask, const T *drop, const T *z, const T *c, const T *tanhs, const T *dy, T *dz, T *work, long steps, long U, long N, Acts a)
{
    const flushing on;
    long size = U * N;
    T *dh = work, *dc = work + size, *kept_h = work + 2 * size, *kept_c = work + 3 * size;
    for (long s = steps - 1; s >= 0; s--) {
        const T *gates = z + s * 4 * size, *before = c + s * size, *t = tanhs + s * size, *given = dy + s * size, *m = mask ? mask + s * N : mask;
        T *di = dz + s * 4 * size, *df = di + size, *dg = df + size, *dout = dg + size;
        strips(size, [=](long at, long n) {
            T gate[4][STRIP];
            const T *input = gate[0], *forget = gate[1], *made = gate[2], *output = gate[3];
            for (int k = 0; k < 4; k++) memcpy(gate[k], gates + k * size + at, n * sizeof(T));
            each<T>(at, at + n, N, [=](long i, long column, long) {
                vec<T> sum = load(dh + i) + load(given + i), zero = {};
                if (m) {                        /* where it is 0, both gradients go on to the step before */
                    vint<T> counts = load(m + column) != zero;
                    store(kept_h + i, counts ? zero : sum);
                    store(kept_c + i, counts ? zero : load(dc + i));
                    store(dc + i, counts ? load(dc + i) : zero);
                    sum = counts ? sum : zero;
                }
                store(dout + i, sum * load(t + i));
                store(dg + i, sum * load(output + (i - at)));
            });
            slope(a.gate, output, dout + at, n);
            slope(a.state, t + at, dg + at, n);
            each<T>(at, at + n, N, [=](long i, long, long u) {
                vec<T> sum = load(dc + i) + load(dg + i);
                if (p) sum = fma(splat(p[2 * U + u]), load(dout + i), sum);
                store(di + i, sum * load(made + (i - at)));
                store(df + i, sum * load(before + i));
                store(dg + i, sum * load(input + (i - at)));
                store(dc + i, fma(sum, load(forget + (i - at)), load(kept_c + i)));
            });
            slope(a.gate, input, di + at, n);
            slope(a.gate, forget, df + at, n);
            slope(a.state, made, dg + at, n);
            if (p) each<T>(at, at + n, N, [=](long i, long, long u) {
                store(dc + i, fma(splat(p[u]), load(di + i), fma(splat(p[U + u]), load(df + i), load(dc + i))));
            });
        });
        memcpy(dh, kept_h, size * sizeof(T));
        product<T>(U, N, Matrices<T>{4 * U, r, 1, U, di, N}, Added<T>{dh, N, drop});
    }
    memset(kept_h, 0, 2 * size * sizeof(T));
}
/* dp[3][U] = sums over steps and batch of dz_i c, dz_f c (before) and dz_o c (after, as the step made it) */
template <class T> static void peephole_gradient(const T *dz, const T *c, T *dp, long steps, long U, long N)
{
    const flushing on;
    static constexpr int gate[] = {0, 1, 3};
    for (int k = 0; k < 3; k++)
        for (long u = 0; u < U; u++) {
            lanesum<T> sum;
            for (long s = 0; s < steps; s++)
                for (long n = 0; n < N; n += LANES)
                    sum.add_product(dz + ((s * 4 + gate[k]) * U + u) * N + n, c + ((s + k / 2) * U + u) * N + n);
            dp[k * U + u] = sum.fold();
        }
}

/* gates z r h: h = z h + (1 - z) act(z_h + r (r_h h + b)), or with `early` act(z_h + r_h (r h)); q[T][3 U][N] keeps
   r h + b of all gates, or r h */
template <class T> static void gru_forward(const T *r, const T *bias, const T *mask, const T *drop, T *seen, T *z, T *q, T *h, long steps, long U, long N, bool early, Acts a)
{
    const flushing on;
    long size = U * N;
    for (long s = 0; s < steps; s++, z += 3 * size, q += 3 * size, h += size, seen += size) {
        T *out = h + size, *candidate = z + 2 * size;
        const T *in = dropped(h, drop, seen, size);
        if (early) product<T>(2 * U, N, Matrices<T>{U, r, U, 1, in, N}, Added<T>{z, N, nullptr});
        else {
            product<T>(3 * U, N, Matrices<T>{U, r, U, 1, in, N}, Bias<T>{q, N, bias, false});
            each<T>(2 * U, N, [=](long i, long, long) { store(z + i, load(z + i) + load(q + i)); });
        }
        activate(a.gate, z, z, 2 * size);
        if (early) {
            each<T>(U, N, [=](long i, long, long) { store(q + i, load(z + size + i) * load(in + i)); });
            product<T>(U, N, Matrices<T>{U, r + 2 * U * U, U, 1, q, N}, Added<T>{candidate, N, nullptr});
        } else each<T>(U, N, [=](long i, long, long) {
            store(candidate + i, fma(load(z + size + i), load(q + 2 * size + i), load(candidate + i)));
        });
        activate(a.state, candidate, candidate, size);
        each<T>(U, N, [=](long i, long, long) {
            store(out + i, fma(load(z + i), load(h + i) - load(candidate + i), load(candidate + i)));
        });
        keep_masked(mask ? mask + s * N : mask, h, out, U, N);
    }
}
/* dz: what goes to the input; dq: to r h + b (unless early) */
template <class T> static void gru_backward(const T *r, const T *mask, const T *drop, const T *z, const T *q, const T *h, const T *seen, const T *dy, T *dz, T *dq, T *work, long steps, long U, long N, bool early, Acts a)
{
    const flushing on;
    long size = U * N;
    T *dh = work, *kept = work + size, *drh = work + 2 * size;
    for (long s = steps - 1; s >= 0; s--) {
        const T *gate = z + s * 3 * size, *candidate = gate + 2 * size, *before = h + s * size, *made = q + s * 3 * size, *in = drop ? seen + s * size : before;
        T *d = dz + s * 3 * size, *dr = d + size, *dn = d + 2 * size, *e = dq + s * 3 * size;
        part_masked(mask ? mask + s * N : mask, dy + s * size, dh, kept, U, N);
        each<T>(U, N, [=](long i, long, long) {
            vec<T> g = load(dh + i), update = load(gate + i);
            store(d + i, g * (load(before + i) - load(candidate + i)));
            store(dn + i, g - g * update);
            store(kept + i, fma(g, update, load(kept + i)));
        });
        slope(a.state, candidate, dn, size);
        if (early) {
            product<T>(U, N, Matrices<T>{U, r + 2 * U * U, 1, U, dn, N}, Masked<T>{drh, N, nullptr});
            each<T>(U, N, [=](long i, long, long) {
                vec<T> back = load(drh + i) * load(gate + size + i);
                store(dr + i, load(drh + i) * load(in + i));
                store(kept + i, drop ? fma(back, load(drop + i), load(kept + i)) : load(kept + i) + back);
            });
        } else each<T>(U, N, [=](long i, long, long) {
            store(dr + i, load(dn + i) * load(made + 2 * size + i));
            store(e + 2 * size + i, load(dn + i) * load(gate + size + i));
        });
        slope(a.gate, gate, d, 2 * size);
        memcpy(dh, kept, size * sizeof(T));
        if (!early) memcpy(e, d, 2 * size * sizeof(T));
        product<T>(U, N, Matrices<T>{(early ? 2 : 3) * U, r, 1, U, early ? d : e, N}, Added<T>{dh, N, drop});
    }
    memset(kept, 0, 2 * size * sizeof(T));
}

/* the product of w[O][F] with one-hot columns: z[t][o][n] = w[o][ids[t][n]] + bias[o]; turned[F][O padded] is scratch */
template <class T> static void ids_forward(const T *w, const T *bias, const int32_t *ids, T *z, T *turned, long steps, long O, long F, long N, long ld)
{
    const flushing on;
    transpose(w, F, turned, ld, O, F);
    for (long s = 0; s < steps; s++, ids += N, z += O * N)
        for (long n = 0; n < N; n += W<T>)
            for (long o = 0; o < O; o += W<T>) {
                vec<T> v[W<T>];
#pragma GCC unroll 16
                for (int i = 0; i < W<T>; i++) v[i] = load(turned + ids[n + i] * ld + o);
                turn<T, 1>(v);
                long rows = O - o < W<T> ? O - o : (long)W<T>;
                for (long i = 0; i < rows; i++) store(z + (o + i) * N + n, v[i] + splat(bias[o + i]));
            }
}
/* dw[o][id] = the sum of dz[t][first + o][n] over the steps and the first B columns where ids is that, in that order */
template <class T> static void ids_gradient(const T *dz, const int32_t *ids, T *dw, T *turned, long steps, long O, long F, long N, long B, long first, long count, long ld)
{
    const flushing on;
    memset(turned, 0, F * ld * sizeof(T));
    for (long s = 0; s < steps; s++, ids += N, dz += O * N)
        for (long o = 0; o < count; o += W<T>) {
            long rows = count - o < W<T> ? count - o : (long)W<T>;
            for (long n = 0; n < B; n += W<T>) {
                vec<T> v[W<T>] = {};
                for (long i = 0; i < rows; i++) v[i] = load(dz + (first + o + i) * N + n);
                turn<T, 1>(v);
                long columns = B - n < W<T> ? B - n : (long)W<T>;
                for (long j = 0; j < columns; j++) {
                    T *sum = turned + ids[n + j] * ld + o;
                    store(sum, load(sum) + v[j]);
                }
            }
        }
    transpose(turned, ld, dw, F, F, count);
}
