/* exp, sigmoid and tanh on vectors, log on one double: our own, so that their bits are the same at
   every CPU level and with every C library. Errors: a few units in the last place (tests say how many). */
#pragma once
#include "lanes.h"

template <class T> struct exp_constants;
template <> struct exp_constants<float> {       /* Cody and Waite's reduction, Cephes' polynomial */
    static constexpr float low = -87.0f, high = 88.0f, tanh_limit = 9.5f, round = 12582912.0f;
    static constexpr float log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr int bits = 23, bias = 127, terms = 6;
    static constexpr float p[terms] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                       4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
};
template <> struct exp_constants<double> {      /* Taylor's series up to r^13 / 13! */
    static constexpr double low = -708.0, high = 709.0, tanh_limit = 20.0, round = 6755399441055744.0;
    static constexpr double log2e = 1.4426950408889634, ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
    static constexpr int bits = 52, bias = 1023, terms = 12;
    static constexpr double p[terms] = {1.6059043836821613e-10, 2.0876756987868099e-09, 2.5052108385441720e-08,
        2.7557319223985893e-07, 2.7557319223985888e-06, 2.4801587301587302e-05, 1.9841269841269841e-04,
        1.3888888888888889e-03, 8.3333333333333332e-03, 4.1666666666666664e-02, 1.6666666666666666e-01, 0.5};
};

/* e^x = s (1 + q) with s a power of two and |log(1 + q)| <= log(2)/2; x within the constants' limits */
template <class T> INLINE void exp_parts(vec<T> x, vec<T> &q, vec<T> &s)
{
    typedef exp_constants<T> C;
    typedef typename traits<T>::integer integer;
    vec<T> shifted = fma(x, splat(C::log2e), splat(C::round));
    vec<T> k = shifted - C::round;
    vec<T> r = fma(k, splat(-C::ln2_high), x);
    r = fma(k, splat(-C::ln2_low), r);
    vec<T> p = splat(C::p[0]);
#pragma GCC unroll 12
    for (int i = 1; i < C::terms; i++) p = fma(p, r, splat(C::p[i]));
    q = fma(p, r * r, r);
    s = (vec<T>)(((vint<T>)shifted + (integer)C::bias) << C::bits);
}
template <class T> INLINE vec<T> clamp(vec<T> x, T low, T high)         /* NaN stays */
{
    x = x < low ? splat(low) : x;
    return x > high ? splat(high) : x;
}
template <class T> INLINE vec<T> vexp(vec<T> x)
{
    vec<T> q, s;
    exp_parts<T>(clamp<T>(x, exp_constants<T>::low, exp_constants<T>::high), q, s);
    return x != x ? x : fma(s, q, s);
}
template <class T> INLINE vec<T> vsigmoid(vec<T> x) { return (T)1 / ((T)1 + vexp<T>(-x)); }
template <class T> INLINE vec<T> vtanh(vec<T> x)        /* t / (t + 2) with t = e^2x - 1 */
{
    constexpr T limit = exp_constants<T>::tanh_limit;
    vec<T> q, s;
    exp_parts<T>((T)2 * clamp<T>(x, -limit, limit), q, s);
    vec<T> t = fma(s, q, s - (T)1);
    return x != x ? x : t / (t + (T)2);
}

/* log x for x > 0 and normal: 2^e m, log m = 2 atanh((m - 1) / (m + 1)) */
INLINE double log1(double x)
{
    int64_t bits;
    memcpy(&bits, &x, 8);
    if (bits >= 0x7ff0000000000000 || bits < 0x0010000000000000)        /* inf, NaN; 0, subnormal, < 0 */
        return bits >= 0x7ff0000000000000 ? x : x < 0 ? __builtin_nan("") : -__builtin_inf();
    int64_t e = (bits - 0x3fe6a09e667f3bcd) >> 52;                      /* m in sqrt(1/2) .. sqrt(2) */
    bits -= e << 52;
    double m, s, z, p = 1.0 / 23;
    memcpy(&m, &bits, 8);
    s = (m - 1) / (m + 1), z = s * s;
    for (int k = 21; k >= 1; k -= 2) p = fma1(p, z, 1.0 / k);
    return fma1((double)e, 0.6931471805599453, 2 * s * p);
}
