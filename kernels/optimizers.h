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

/* LANES values of each array */
template <int SLOTS, class T, class Rule>
INLINE void update_lanes(T *w, const T *g, T *first, T *second, T scale, const Rule &rule, lanesum<T> &squares)
{
    squares.add_product(g, g);
    for (int j = 0; j < LANES; j += W<T>) {
        vec<T> vw = load(w + j), v1 = {}, v2 = {};
        if (SLOTS > 0) v1 = load(first + j);
        if (SLOTS > 1) v2 = load(second + j);
        rule(vw, load(g + j) * scale, v1, v2);
        store(w + j, vw);
        if (SLOTS > 0) store(first + j, v1);
        if (SLOTS > 1) store(second + j, v2);
    }
}
template <int SLOTS, class T, class Rule>
static double update(T *w, const T *g, T *first, T *second, long n, T scale, const Rule &rule)
{
    enum { FOLD = 1 << 16 };            /* so many squares to a partial sum */
    double total = 0;
    long i = 0;
    while (n - i >= LANES) {
        lanesum<T> squares;
        long stop = n - i < FOLD ? n / LANES * LANES : i + FOLD;
        for (; i < stop; i += LANES)
            update_lanes<SLOTS>(w + i, g + i, first + i, second + i, scale, rule, squares);
        total += squares.fold();
    }
    if (i < n) {                        /* the last few, in full vectors of their own */
        T lanes[4][LANES] = {};
        T *arrays[4] = {w + i, (T *)g + i, first + i, second + i};
        lanesum<T> squares;
        for (int k = 0; k < 2 + SLOTS; k++) memcpy(lanes[k], arrays[k], (n - i) * sizeof(T));
        update_lanes<SLOTS>(lanes[0], lanes[1], lanes[2], lanes[3], scale, rule, squares);
        for (int k = 0; k < 2 + SLOTS; k++) if (k != 1) memcpy(arrays[k], lanes[k], (n - i) * sizeof(T));
        total += squares.fold();
    }
    return total;
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
