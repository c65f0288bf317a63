/* Losses with their gradients. Each returns the sum over examples of weight * loss in double and
   fills the gradient of scale * that sum; columns from B on are padding and get a gradient of 0. */
#pragma once
#include "activations.h"

/* weight[n] * scale for the vector of columns at n, 0 in the padding */
template <class T> INLINE vec<T> factors(const T *weight, T scale, long n, long B)
{
    return B - n >= W<T> ? load(weight + n) * scale : B > n ? load(weight + n, B - n) * scale : vec<T>{};
}

template <class T> static double sparse_categorical_crossentropy(const T *z, const int32_t *t, const T *weight,
                                                                 T scale, T *y, T *dz, long C, long N, long B)
{
    const flushing on;
    double loss = 0;
    for (long n = 0; n < N; n += W<T>) {
        vec<T> largest, sum, factor = factors(weight, scale, n, B);
        softmax_columns<T>(z, y, C, N, n, largest, sum);
        for (long c = 0; c < C; c++) store(dz + c * N + n, load(y + c * N + n) * factor);
        for (long i = 0; i < W<T> && n + i < B; i++) {
            long at = t[n + i] * N + n + i;
            dz[at] = (y[at] - (T)1) * factor[i];
            loss += (double)weight[n + i] * (log1((double)sum[i]) + ((double)largest[i] - (double)z[at]));
        }
    }
    return loss;
}
/* targets of 1 become 1 - s (C - 1) / C, those of 0 become s / C; binary: C = 2 */
template <class T> struct Smooth {
    T keep, rest;
    Smooth(double s, double C) : keep((T)(1 - s)), rest((T)(s / C)) {}
    INLINE_ME vec<T> operator()(const T *t) const { return fma(load(t), splat(keep), splat(rest)); }
    INLINE_ME T one(T t) const { return fma1(t, keep, rest); }
};
template <class T> static double categorical_crossentropy(const T *z, const T *t, const T *weight, T scale, double smoothing,
                                                          T *y, T *dz, long C, long N, long B)
{
    const flushing on;
    Smooth<T> smooth(smoothing, C);
    double loss = 0;
    for (long n = 0; n < N; n += W<T>) {
        vec<T> largest, sum, factor = factors(weight, scale, n, B), mass = {};
        softmax_columns<T>(z, y, C, N, n, largest, sum);
        for (long c = 0; c < C; c++) mass += smooth(t + c * N + n);
        for (long c = 0; c < C; c++)
            store(dz + c * N + n, fma(load(y + c * N + n), mass, -smooth(t + c * N + n)) * factor);
        for (long i = 0; i < W<T> && n + i < B; i++) {
            double whole = log1((double)sum[i]) + (double)largest[i], own = 0;
            for (long c = 0; c < C; c++)
                own = fma1((double)smooth.one(t[c * N + n + i]), whole - (double)z[c * N + n + i], own);
            loss += (double)weight[n + i] * own;
        }
    }
    return loss;
}
template <class T> static double binary_crossentropy(const T *z, const T *t, const T *weight, T scale, double smoothing,
                                                     T *y, T *dz, long C, long N, long B)
{
    const flushing on;
    Smooth<T> smooth(smoothing, 2);
    double loss = 0;
    for (long n = 0; n < N; n += W<T>) {
        vec<T> factor = factors(weight, scale, n, B) / (T)C;
        double own[W<T>] = {};
        for (long c = 0; c < C; c++) {
            vec<T> logit = load(z + c * N + n), p = vsigmoid<T>(logit), target = smooth(t + c * N + n);
            store(y + c * N + n, p);
            store(dz + c * N + n, (p - target) * factor);
            vec<T> tail = vexp<T>(logit > vec<T>{} ? -logit : logit);       /* e^-|z| */
            for (int i = 0; i < W<T>; i++)
                own[i] += (double)(logit[i] > 0 ? logit[i] : (T)0) - (double)logit[i] * (double)target[i]
                          + log1(1 + (double)tail[i]);
        }
        for (long i = 0; i < W<T> && n + i < B; i++) loss += (double)weight[n + i] * own[i] / C;
    }
    return loss;
}
