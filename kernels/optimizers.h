/* Updaters: one pass over weights, gradient and slots. Each returns the sum of squares of g. */
#pragma once
#include "lanes.h"

/* Keras's rules; g is already scaled. */
template <class T> struct Sgd {
    T rate;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> &, vec<T> &) const { w = fma(-splat(rate), g, w); }
};
template <class T> struct Momentum {
    T rate, momentum;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> &m, vec<T> &) const
    { m = fma(splat(momentum), m, -(rate * g)); w += m; }
};
template <class T> struct Nesterov {
    T rate, momentum;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> &m, vec<T> &) const
    { vec<T> step = rate * g; m = fma(splat(momentum), m, -step); w += fma(splat(momentum), m, -step); }
};
template <class T> struct Rmsprop {
    T rate, rho, epsilon;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> &v, vec<T> &) const
    { v = fma(splat(rho), v, ((T)1 - rho) * (g * g)); w -= rate * g / root(v + epsilon); }
};
template <class T> struct Adam {
    T rate, beta1, beta2, epsilon;              /* rate holds the bias corrections */
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> &m, vec<T> &v) const
    {
        m = fma(g - m, splat((T)1 - beta1), m);
        v = fma(fma(g, g, -v), splat((T)1 - beta2), v);
        w -= rate * m / (root(v) + epsilon);
    }
};

template <int SLOTS, class T, class Rule>
static double update(T *w, const T *g, T *first, T *second, long n, T scale, const Rule &rule)
{
    lanesum<T> squares;
    double total = 0;
    for (long i = 0; i < n; i += LANES) {
        T gradient[LANES], tail[3][LANES] = {};
        long here = n - i < LANES ? n - i : (long)LANES;
        T *pw = w + i, *p1 = first + i, *p2 = second + i;
        const T *pg = g + i;
        if (here < LANES) {                     /* the last few in full vectors of their own */
            memset(gradient, 0, sizeof gradient);
            memcpy(gradient, pg, here * sizeof(T)), memcpy(tail[0], pw, here * sizeof(T));
            if (SLOTS > 0) memcpy(tail[1], p1, here * sizeof(T));
            if (SLOTS > 1) memcpy(tail[2], p2, here * sizeof(T));
            pg = gradient, pw = tail[0], p1 = tail[1], p2 = tail[2];
        }
        squares.add_product(pg, pg);
        for (int j = 0; j < LANES; j += W<T>) {
            vec<T> vw = load(pw + j), v1 = {}, v2 = {};
            if (SLOTS > 0) v1 = load(p1 + j);
            if (SLOTS > 1) v2 = load(p2 + j);
            rule(vw, load(pg + j) * scale, v1, v2);
            store(pw + j, vw);
            if (SLOTS > 0) store(p1 + j, v1);
            if (SLOTS > 1) store(p2 + j, v2);
        }
        if (here < LANES) {
            memcpy(w + i, tail[0], here * sizeof(T));
            if (SLOTS > 0) memcpy(first + i, tail[1], here * sizeof(T));
            if (SLOTS > 1) memcpy(second + i, tail[2], here * sizeof(T));
        }
        if (i % 65536 == 65536 - LANES) { total += squares.fold(); squares = lanesum<T>(); }
    }
    return total + squares.fold();
}

template <class T> static double sgd(T *w, const T *g, long n, T scale, T rate)
{ return update<0>(w, g, (T *)0, (T *)0, n, scale, Sgd<T>{rate}); }
template <class T> static double momentum(T *w, const T *g, T *m, long n, T scale, T rate, T decay)
{ return update<1>(w, g, m, (T *)0, n, scale, Momentum<T>{rate, decay}); }
template <class T> static double nesterov(T *w, const T *g, T *m, long n, T scale, T rate, T decay)
{ return update<1>(w, g, m, (T *)0, n, scale, Nesterov<T>{rate, decay}); }
template <class T> static double rmsprop(T *w, const T *g, T *v, long n, T scale, T rate, T rho, T epsilon)
{ return update<1>(w, g, v, (T *)0, n, scale, Rmsprop<T>{rate, rho, epsilon}); }
template <class T> static double adam(T *w, const T *g, T *m, T *v, long n, T scale, T rate, T beta1, T beta2, T epsilon)
{ return update<2>(w, g, m, v, n, scale, Adam<T>{rate, beta1, beta2, epsilon}); }

template <class T> static double sum_squares(const T *g, long n)
{
    double total = 0;
    for (long from = 0; from < n; from += 65536) {
        long count = n - from < 65536 ? n - from : 65536, whole = count / LANES * LANES;
        lanesum<T> sum;
        for (long i = 0; i < whole; i += LANES) sum.add_product(g + from + i, g + from + i);
        T tail[LANES] = {};
        memcpy(tail, g + from + whole, (count - whole) * sizeof(T));
        sum.add_product(tail, tail);
        total += sum.fold();
    }
    return total;
}
/* g += the gradient of l1 |w| + l2 w^2; returns that penalty */
template <class T> static double regularize(const T *w, T *g, long n, T l1, T l2)
{
    double penalty = 0;
    for (long i = 0; i < n; i++) {
        T sign = (T)((w[i] > 0) - (w[i] < 0));
        g[i] = fma1((T)2 * l2, w[i], fma1(l1, sign, g[i]));
        penalty += (double)(l1 * sign * w[i]) + (double)l2 * ((double)w[i] * (double)w[i]);
    }
    return penalty;
}
