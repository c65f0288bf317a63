/* Updaters: one pass over weights, gradient and slots, which returns the sum of squares of g. */
#pragma once
#include "vmath.h"

/* Keras's rules: SLOTS vectors of state s beside the weights w, and numbers, in the order of the fields.
   g has been scaled and clipped, w has decayed. */
template <class T> struct Sgd {
    enum { SLOTS = 0 };
    T rate;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *) const { w = fma(-splat(rate), g, w); }
};
template <class T> struct Momentum {
    enum { SLOTS = 1 };
    T rate, momentum;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *m) const
    { *m = fma(splat(momentum), *m, -(rate * g)); w += *m; }
};
template <class T> struct Nesterov {
    enum { SLOTS = 1 };
    T rate, momentum;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *m) const
    { vec<T> step = rate * g; *m = fma(splat(momentum), *m, -step); w += fma(splat(momentum), *m, -step); }
};
template <class T> struct Rmsprop {
    enum { SLOTS = 1 };
    T rate, rho, epsilon;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *v) const
    { *v = fma(splat(rho), *v, ((T)1 - rho) * (g * g)); w -= rate * g / root(*v + epsilon); }
};
template <class T> struct RmspropMomentum {     /* s: mean of g^2, the last step */
    enum { SLOTS = 2 };
    T rate, rho, epsilon, momentum;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *s) const
    {
        s[0] = fma(splat(rho), s[0], ((T)1 - rho) * (g * g));
        s[1] = fma(splat(momentum), s[1], rate * g / root(s[0] + epsilon));
        w -= s[1];
    }
};
template <class T> INLINE vec<T> centered(vec<T> *v, vec<T> *a, vec<T> g, T rho, T epsilon)    /* of means of g^2 and of g */
{
    *v = fma(splat(rho), *v, ((T)1 - rho) * (g * g));
    *a = fma(splat(rho), *a, ((T)1 - rho) * g);
    return root(fma(-*a, *a, *v) + epsilon);
}
template <class T> struct RmspropCentered {     /* s: means of g^2 and of g */
    enum { SLOTS = 2 };
    T rate, rho, epsilon;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *s) const
    { w -= rate * g / centered(s, s + 1, g, rho, epsilon); }
};
template <class T> struct RmspropCenteredMomentum {     /* s: mean of g^2, the last step, mean of g */
    enum { SLOTS = 3 };
    T rate, rho, epsilon, momentum;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *s) const
    { s[1] = fma(splat(momentum), s[1], rate * g / centered(s, s + 2, g, rho, epsilon)); w -= s[1]; }
};
template <class T> struct Ftrl {                /* s: sum of g^2, and what w follows from; l1, l2 and shrink hold their factors */
    enum { SLOTS = 2 };
    T rate, l1, l2, shrink;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *s) const
    {
        vec<T> before = root(s[0]);
        s[0] = fma(g, g, s[0]);
        vec<T> after = root(s[0]);
        s[1] += fma(splat(shrink), w, g) - (after - before) / rate * w;
        w = (clamp<T>(s[1], -l1, l1) - s[1]) / (after / rate + l2);
    }
};
template <class T> struct Adagrad {
    enum { SLOTS = 1 };
    T rate, epsilon;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *v) const
    { *v = fma(g, g, *v); w -= rate * g / root(*v + epsilon); }
};
template <class T> struct Adadelta {            /* s: mean squares of the gradient and of the steps */
    enum { SLOTS = 2 };
    T rate, rho, epsilon;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *s) const
    {
        s[0] = fma(splat(rho), s[0], ((T)1 - rho) * (g * g));
        vec<T> step = root(s[1] + epsilon) * g / root(s[0] + epsilon);
        s[1] = fma(splat(rho), s[1], ((T)1 - rho) * (step * step));
        w = fma(-splat(rate), step, w);
    }
};
template <class T> struct Lion {
    enum { SLOTS = 1 };
    T rate, beta1, beta2;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *m) const
    {
        vec<T> c = fma(splat(beta1), *m, ((T)1 - beta1) * g);
        w -= c > vec<T>{} ? splat(rate) : c < vec<T>{} ? splat(-rate) : c;      /* NaN stays */
        *m = fma(splat(beta2), *m, ((T)1 - beta2) * g);
    }
};
template <class T> INLINE void moments(vec<T> *s, vec<T> g, T beta1, T beta2)   /* of g and of g^2 */
{
    s[0] = fma(g - s[0], splat((T)1 - beta1), s[0]);
    s[1] = fma(fma(g, g, -s[1]), splat((T)1 - beta2), s[1]);
}
template <class T> struct Adam {
    enum { SLOTS = 2 };
    T rate, beta1, beta2, epsilon;              /* rate holds the bias corrections */
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *s) const
    { moments(s, g, beta1, beta2); w -= rate * s[0] / (root(s[1]) + epsilon); }
};
template <class T> struct Amsgrad {
    enum { SLOTS = 3 };
    T rate, beta1, beta2, epsilon;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *s) const
    {
        moments(s, g, beta1, beta2);
        s[2] = larger(s[2], s[1]);
        w -= rate * s[0] / (root(s[2]) + epsilon);
    }
};
template <class T> struct Nadam {               /* the shares of m and g hold the rate */
    enum { SLOTS = 2 };
    T of_m, of_g, beta1, beta2, epsilon, correction;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *s) const
    {
        moments(s, g, beta1, beta2);
        w -= fma(splat(of_m), s[0], of_g * g) / (root(s[1] * correction) + epsilon);
    }
};
template <class T> struct Adamax {
    enum { SLOTS = 2 };
    T rate, beta1, beta2, epsilon;
    INLINE_ME void operator()(vec<T> &w, vec<T> g, vec<T> *s) const
    {
        s[0] = fma(g - s[0], splat((T)1 - beta1), s[0]);
        s[1] = larger(beta2 * s[1], larger(g, -g));
        w -= rate * s[0] / (s[1] + epsilon);
    }
};

/* LANES values of each array; MORE: with decay of the weights and clipping of values */
template <bool MORE, class T, class Rule>
INLINE void update_lanes(T *w, const T *g, T *const *slots, long i, const Rule &rule, T decay, T scale, T clip,
                         lanesum<T> &squares)
{
    squares.add_product(g + i, g + i);
    for (long j = i; j < i + LANES; j += W<T>) {
        vec<T> vw = load(w + j), vg = load(g + j) * scale, s[Rule::SLOTS + 1];
        if (MORE) vw = fma(-splat(decay), vw, vw), vg = clamp<T>(vg, -clip, clip);
#pragma GCC unroll 3
        for (int k = 0; k < Rule::SLOTS; k++) s[k] = load(slots[k] + j);
        rule(vw, vg, s);
        store(w + j, vw);
#pragma GCC unroll 3
        for (int k = 0; k < Rule::SLOTS; k++) store(slots[k] + j, s[k]);
    }
}
template <bool MORE, class T, class Rule>
static double update_all(T *w, const T *g, T *const *given, long n, const Rule rule, T decay, T scale, T clip)
{
    enum { FOLD = 1 << 16, S = Rule::SLOTS };   /* so many squares to a partial sum */
    T *slots[S + 1];                            /* in registers: a store could change what was given */
#pragma GCC unroll 3
    for (int k = 0; k < S; k++) slots[k] = given[k];
    double total = 0;
    long i = 0;
    while (n - i >= LANES) {
        lanesum<T> squares;
        long stop = n - i < FOLD ? n / LANES * LANES : i + FOLD;
        for (; i < stop; i += LANES) update_lanes<MORE>(w, g, slots, i, rule, decay, scale, clip, squares);
        total += squares.fold();
    }
    if (i < n) {                                /* the last few, in full vectors of their own */
        T lanes[2 + S][LANES] = {}, *own[S + 1];
        long size = (n - i) * sizeof(T);
        lanesum<T> squares;
        memcpy(lanes[0], w + i, size);
        memcpy(lanes[1], g + i, size);
        for (int k = 0; k < S; k++) memcpy(own[k] = lanes[2 + k], slots[k] + i, size);
        update_lanes<MORE>(lanes[0], lanes[1], own, 0, rule, decay, scale, clip, squares);
        memcpy(w + i, lanes[0], size);
        for (int k = 0; k < S; k++) memcpy(slots[k] + i, lanes[2 + k], size);
        total += squares.fold();
    }
    return total;
}
template <class T, class Rule>
static double update(T *w, const T *g, T *const *slots, long n, const T *numbers, T decay, T scale, T clip)
{
    const flushing on;
    Rule rule;
    memcpy(&rule, numbers, sizeof rule);
    bool more = decay != 0 || clip < (T)__builtin_inf();
    return more ? update_all<true>(w, g, slots, n, rule, decay, scale, clip)
                : update_all<false>(w, g, slots, n, rule, decay, scale, clip);
}

/* A rule by its name; one without a name ends the table. */
template <class T> struct entry {
    const char *name;
    int slots, numbers;
    double (*run)(T *, const T *, T *const *, long, const T *, T, T, T);
};
template <class T, template <class> class Rule> constexpr entry<T> row(const char *name)
{ return {name, Rule<T>::SLOTS, sizeof(Rule<T>) / sizeof(T), update<T, Rule<T>>}; }
template <class T> static constexpr entry<T> RULES[] = {
    row<T, Sgd>("sgd"), row<T, Momentum>("momentum"), row<T, Nesterov>("nesterov"), row<T, Rmsprop>("rmsprop"),
    row<T, RmspropMomentum>("rmsprop_momentum"), row<T, RmspropCentered>("rmsprop_centered"),
    row<T, RmspropCenteredMomentum>("rmsprop_centered_momentum"), row<T, Ftrl>("ftrl"),
    row<T, Adagrad>("adagrad"), row<T, Adadelta>("adadelta"), row<T, Lion>("lion"), row<T, Adam>("adam"),
    row<T, Amsgrad>("amsgrad"), row<T, Nadam>("nadam"), row<T, Adamax>("adamax"), {}};
template <class T> static const entry<T> *rules(const T *) { return RULES<T>; }

template <class T> static double sum_squares(const T *g, long n)
{
    const flushing on;
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
    const flushing on;
    double penalty = 0;
    for (long i = 0; i < n; i++) {
        T sign = (T)((w[i] > 0) - (w[i] < 0));
        g[i] = fma1((T)2 * l2, w[i], fma1(l1, sign, g[i]));
        penalty += (double)(l1 * sign * w[i]) + (double)l2 * ((double)w[i] * (double)w[i]);
    }
    return penalty;
}
