/* exp, sigmoid, tanh, log(1 + x) and erfc on vectors, log and the inverse normal on one double: our own, so that their bits are the same at
   every CPU level and with every C library. Errors: a few units in the last place (tests say how many). */
#pragma once
#include "flushing.h"

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
{ return smaller(splat(high), larger(splat(low), x)); }
template <class T> INLINE vec<T> vexp(vec<T> x)
{
    vec<T> q, s;
    exp_parts<T>(clamp<T>(x, exp_constants<T>::low, exp_constants<T>::high), q, s);
    return fma(s, q, s);
}
template <class T> INLINE vec<T> vsigmoid(vec<T> x) { return (T)1 / ((T)1 + vexp<T>(-x)); }
template <class T> INLINE vec<T> vtanh(vec<T> x)        /* t / (t + 2) with t = e^2x - 1 */
{
    constexpr T limit = exp_constants<T>::tanh_limit;
    vec<T> q, s;
    exp_parts<T>((T)2 * clamp<T>(x, -limit, limit), q, s);
    vec<T> t = fma(s, q, s - (T)1);
    return t / (t + (T)2);
}

template <class T> INLINE vec<T> magnitude(vec<T> x) { return x < vec<T>{} ? -x : x; }
/* e^x over every x, which vexp ends at its limits: up to inf and down to 0 */
template <class T> INLINE vec<T> vexp_whole(vec<T> x) { vec<T> e = vexp<T>(x * (T)0.5); return e * e; }
/* e^x - 1 for x <= 0; of a larger x that of 0 */
template <class T> INLINE vec<T> vexpm1(vec<T> x)
{
    vec<T> q, s;
    exp_parts<T>(clamp<T>(x, exp_constants<T>::low, 0), q, s);
    return fma(s, q, s - (T)1);
}
/* log(1 + x) for 0 <= x <= 1: 2 atanh(x / (x + 2)) */
template <class T> INLINE vec<T> vlog1p(vec<T> x)
{
    constexpr int last = sizeof(T) == 4 ? 15 : 31;
    vec<T> s = x / (x + (T)2), z = s * s, p = splat((T)(1.0 / last));
#pragma GCC unroll 16
    for (int k = last - 2; k >= 1; k -= 2) p = fma(p, z, splat((T)(1.0 / k)));
    return (T)2 * s * p;
}
/* the polynomial of n coefficients, the highest power first */
template <class T, int n> INLINE vec<T> polynomial(const double (&c)[n], vec<T> x)
{
    vec<T> p = splat((T)c[0]);
#pragma GCC unroll 9
    for (int i = 1; i < n; i++) p = fma(p, x, splat((T)c[i]));
    return p;
}
/* 1 - erf(a) for a >= 0: Cephes' ratios of polynomials (Moshier 1989), below and above 1 */
template <class T> INLINE vec<T> verfc(vec<T> a)
{
    constexpr double p[] = {2.46196981473530512524e-10, 5.64189564831068821977e-1, 7.46321056442269912687,
        4.86371970985681366614e1, 1.96520832956077098242e2, 5.26445194995477358631e2, 9.34528527171957607540e2,
        1.02755188689515710272e3, 5.57535335369399327526e2};
    constexpr double q[] = {1, 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2,
        9.75708501743205489753e2, 1.82390916687909736289e3, 2.24633760818710981792e3, 1.65666309194161350182e3,
        5.57535340817727675546e2};
    constexpr double t[] = {9.60497373987051638749, 9.00260197203842689217e1, 2.23200534594684319226e3,
        7.00332514112805075473e3, 5.55923013010394962768e4};
    constexpr double u[] = {1, 3.35617141647503099647e1, 5.21357949780152679795e2, 4.59432382970980127987e3,
        2.26290000613890934246e4, 4.92673942608635921086e4};
    a = a > (T)27 ? splat((T)27) : a;               /* e^-729 is 0 in double */
    vec<T> z = a * a;
    vec<T> tail = vexp_whole<T>(-z) * polynomial<T>(p, a) / polynomial<T>(q, a);
    return a < (T)1 ? (T)1 - a * polynomial<T>(t, z) / polynomial<T>(u, z) : tail;
}

/* log x for x > 0 and normal: 2^e m, log m = 2 atanh((m - 1) / (m + 1)) */
INLINE double log1(double x)
{
    int64_t bits;
    memcpy(&bits, &x, 8);
    if (bits >= 0x7ff0000000000000 || bits < 0x0010000000000000)        /* inf, NaN; 0, subnormal, < 0 */
        return bits >= 0x7ff0000000000000 || x != x ? x : x < 0 ? __builtin_nan("") : -__builtin_inf();
    int64_t e = (bits - 0x3fe6a09e667f3bcd) >> 52;                      /* m in sqrt(1/2) .. sqrt(2) */
    bits -= e * ((int64_t)1 << 52);                                     /* e may be below 0 */
    double m, s, z, p = 1.0 / 23;
    memcpy(&m, &bits, 8);
    s = (m - 1) / (m + 1), z = s * s;
    for (int k = 21; k >= 1; k -= 2) p = fma1(p, z, 1.0 / k);
    return fma1((double)e, 0.6931471805599453, 2 * s * p);
}
INLINE double polynomial1(const double (&c)[8], double x)
{
    double p = c[0];
    for (int i = 1; i < 8; i++) p = fma1(p, x, c[i]);
    return p;
}
/* The x that a normal value is below with probability u, 1.4e-11 < u < 1 - 1.4e-11 (Wichura, AS 241, 1988) */
INLINE double normal1(double u)
{
    constexpr double a[] = {2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4,
        4.5921953931549871457e+4, 1.3731693765509461125e+4, 1.9715909503065514427e+3, 1.3314166789178437745e+2,
        3.3871328727963666080};
    constexpr double b[] = {5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4,
        2.1213794301586595867e+4, 5.3941960214247511077e+3, 6.8718700749205790830e+2, 4.2313330701600911252e+1, 1};
    constexpr double c[] = {7.7454501427834140764e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
        1.27045825245236838258, 3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590,
        1.42343711074968357734};
    constexpr double d[] = {1.05075007164441684324e-9, 5.4759380849953449460e-4, 1.51986665636164571966e-2,
        1.4810397642748007459e-1, 6.8976733498510000455e-1, 1.67638483018380384940, 2.05319162663775882187, 1};
    double middle = u - 0.5;
    if (middle <= 0.425 && middle >= -0.425) {
        double r = 0.180625 - middle * middle;
        return polynomial1(a, r) / polynomial1(b, r) * middle;
    }
    double r = __builtin_sqrt(-log1(middle < 0 ? u : 1 - u)) - 1.6;
    double x = polynomial1(c, r) / polynomial1(d, r);
    return middle < 0 ? -x : x;
}
