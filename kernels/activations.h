/* Elementwise activations and softmax over features, along the batch. */
#pragma once
#include "vmath.h"

/* An activation: y = f(x), and dx from dy and from s, which is y or x as the table at the end says.
   p are its parameters. Of +-inf y is the limit, and NaN stays NaN. */
#define FORWARD static INLINE_ME vec<T> y(vec<T> x, const T *p)
#define BACKWARD static INLINE_ME vec<T> dx(vec<T> s, vec<T> dy, const T *p)

/* beyond it e^-|x| is 0 in either type; keeps 0 * inf out of what x is a factor of */
template <class T> INLINE vec<T> bounded(vec<T> x) { return clamp<T>(x, -1500, 1500); }

template <class T> struct Linear { FORWARD { return x; } BACKWARD { return dy; } };
template <class T> struct Relu {
    FORWARD { return x <= vec<T>{} ? vec<T>{} : x; }
    BACKWARD { return s > vec<T>{} ? dy : vec<T>{}; }
};
template <class T> struct Rectifier {           /* p: slope below the threshold, largest y, threshold >= 0 */
    FORWARD
    {
        vec<T> below = p[0] ? p[0] * (x - p[2]) : vec<T>{};
        return x <= p[2] ? below : x > p[1] ? splat(p[1]) : x;
    }
    BACKWARD
    {
        vec<T> above = p[1] < (T)__builtin_inf() ? s < p[1] ? dy : vec<T>{} : dy;
        return s > vec<T>{} ? above : p[0] * dy;
    }
};
template <class T> struct Elu {                 /* p: factor below 0, factor above 0 */
    FORWARD { return x <= vec<T>{} ? p[0] * vexpm1<T>(x) : p[1] * x; }
    BACKWARD { return s > vec<T>{} ? p[1] * dy : dy * (s + p[0]); }
};
template <class T> struct Sigmoid {
    FORWARD { return vsigmoid<T>(x); }
    BACKWARD { return dy * s * ((T)1 - s); }
};
template <class T> struct HardSigmoid {
    FORWARD { return clamp<T>(x + (T)3, 0, 6) / (T)6; }
    BACKWARD { return s > vec<T>{} ? s < (T)1 ? dy / (T)6 : vec<T>{} : vec<T>{}; }
};
template <class T> struct Tanh {
    FORWARD { return vtanh<T>(x); }
    BACKWARD { return dy * fma(-s, s, splat((T)1)); }
};
template <class T> struct Softplus {            /* log(1 + e^x); its slope is 1 - e^-y */
    FORWARD { return larger(x, vec<T>{}) + vlog1p<T>(vexp_whole<T>(-magnitude<T>(x))); }
    BACKWARD { return -dy * vexpm1<T>(-s); }
};
template <class T> struct Softsign {            /* x / (1 + |x|) */
    FORWARD { constexpr T far = sizeof(T) == 4 ? (T)1e30 : (T)1e300;
              x = clamp<T>(x, -far, far); return x / ((T)1 + magnitude<T>(x)); }
    BACKWARD { vec<T> r = (T)1 - magnitude<T>(s); return dy * r * r; }
};
template <class T> struct Exponential {
    FORWARD { return vexp_whole<T>(x); }
    BACKWARD { return dy * s; }
};
template <class T> struct Silu {                /* x / (1 + e^-x) */
    FORWARD
    {
        vec<T> e = vexp_whole<T>(-magnitude<T>(x));
        return x > vec<T>{} ? x / ((T)1 + e) : bounded<T>(x) * e / ((T)1 + e);
    }
    BACKWARD
    {
        vec<T> x = bounded<T>(s), a = vsigmoid<T>(x);
        return dy * a * fma(x, (T)1 - a, splat((T)1));
    }
};
template <class T> struct Mish {                /* x tanh(softplus(x)), the tanh a ratio of polynomials of e = e^-|x| */
    static INLINE_ME vec<T> ratio(vec<T> x, vec<T> e, vec<T> &rest)     /* tanh, and 1 - tanh */
    {
        vec<T> over = fma(e, e, e + e), top = x > vec<T>{} ? fma(splat((T)2), e, splat((T)1)) : over;
        vec<T> more = x > vec<T>{} ? (T)2 * e * e : splat((T)2), bottom = top + more;
        rest = more / bottom;
        return top / bottom;
    }
    FORWARD
    {
        vec<T> rest, a = ratio(x, vexp_whole<T>(-magnitude<T>(x)), rest);
        return x > vec<T>{} ? x * a : bounded<T>(x) * a;
    }
    BACKWARD
    {
        vec<T> x = bounded<T>(s), rest, a = ratio(x, vexp_whole<T>(-magnitude<T>(x)), rest);
        return dy * fma(x * vsigmoid<T>(x), rest * ((T)1 + a), a);
    }
};
template <class T> struct Gelu {                /* x P(x), P the normal distribution function */
    static INLINE_ME vec<T> normal(vec<T> x)
    {
        vec<T> tail = (T)0.5 * verfc<T>(magnitude<T>(x) * (T)0.70710678118654752);
        return x > vec<T>{} ? (T)1 - tail : tail;
    }
    FORWARD { return (x > vec<T>{} ? x : bounded<T>(x)) * normal(x); }
    BACKWARD
    {
        vec<T> x = bounded<T>(s), density = vexp_whole<T>((T)-0.5 * x * x) * (T)0.39894228040143268;
        return dy * fma(x, density, normal(x));
    }
};

/* n is a multiple of LANES: features times padded batch */
template <template <class> class F, class T> static void map_forward(const T *x, T *y, long n, const double *parameters)
{
    T p[3] = {(T)parameters[0], (T)parameters[1], (T)parameters[2]};
    for (long i = 0; i < n; i += W<T>) store(y + i, F<T>::y(load(x + i), p));
}
template <template <class> class F, class T> static void map_backward(const T *s, const T *dy, T *dx, long n, const double *parameters)
{
    T p[3] = {(T)parameters[0], (T)parameters[1], (T)parameters[2]};
    for (long i = 0; i < n; i += W<T>) store(dx + i, F<T>::dx(load(s + i), load(dy + i), p));
}

template <class T> struct Activation {
    const char *name, *slope_of;                /* "y" or "x": what dx is computed from */
    void (*forward)(const T *, T *, long, const double *);
    void (*backward)(const T *, const T *, T *, long, const double *);
    double parameters[3];                       /* Keras's defaults */
};
#define ROW(name, functor, of, ...) {name, of, map_forward<functor, T>, map_backward<functor, T>, {__VA_ARGS__}}
template <class T> static const Activation<T> activations[] = {
    ROW("linear", Linear, "y"), ROW("relu", Relu, "y"), ROW("sigmoid", Sigmoid, "y"), ROW("tanh", Tanh, "y"),
    ROW("leaky_relu", Rectifier, "y", 0.2, __builtin_inf()), ROW("relu6", Rectifier, "y", 0, 6),
    ROW("elu", Elu, "y", 1, 1),
    ROW("selu", Elu, "y", 1.7580993408473768599402175208123, 1.0507009873554804934193349852946),
    ROW("hard_sigmoid", HardSigmoid, "y"), ROW("softplus", Softplus, "y"), ROW("softsign", Softsign, "y"),
    ROW("exponential", Exponential, "y"), ROW("silu", Silu, "x"), ROW("mish", Mish, "x"), ROW("gelu", Gelu, "x"), {},
};
/* for who cannot name the template; the last row has no name */
INLINE const Activation<double> &activation_row(int i) { return activations<double>[i]; }
template <class T> static void activation_forward(int i, const T *x, T *y, long n, const double *p)
{
    const flushing on;
    activations<T>[i].forward(x, y, n, p);
}
template <class T> static void activation_backward(int i, const T *s, const T *dy, T *dx, long n, const double *p)
{
    const flushing on;
    activations<T>[i].backward(s, dy, dx, n, p);
}

/* a = alpha[of[f]] for row f: y = x above 0, a x below */
template <class T> static void prelu_forward(const T *x, const T *alpha, const long long *of, T *y, long F, long N)
{
    const flushing on;
    for (long f = 0; f < F; f++)
        for (long i = f * N; i < (f + 1) * N; i += W<T>) {
            vec<T> v = load(x + i), a = splat(alpha[of[f]]);
            store(y + i, v <= vec<T>{} ? a == vec<T>{} ? vec<T>{} : a * v : v);
        }
}
template <class T> static void prelu_backward(const T *x, const T *dy, const T *alpha, const long long *of, T *dx, long F, long N)
{
    const flushing on;
    for (long f = 0; f < F; f++)
        for (long i = f * N; i < (f + 1) * N; i += W<T>) {
            vec<T> d = load(dy + i);
            store(dx + i, load(x + i) > vec<T>{} ? d : alpha[of[f]] * d);
        }
}
/* dalpha[A] = the sum of x dy where x is below 0, over the batch and over the rows of each alpha in their order */
template <class T> static void prelu_gradient(const T *x, const T *dy, const long long *of, T *dalpha, long A, long F, long N)
{
    const flushing on;
    memset(dalpha, 0, A * sizeof(T));
    for (long f = 0; f < F; f++) {
        lanesum<T> sum;
        for (long n = 0; n < N; n += LANES) {
            T below[LANES];
            for (int i = 0; i < LANES; i += W<T>) {
                vec<T> v = load(x + f * N + n + i);
                store(below + i, v <= vec<T>{} ? v : vec<T>{});
            }
            sum.add_product(below, dy + f * N + n);
        }
        dalpha[of[f]] += sum.fold();
    }
}

/* y = softmax(x) over C for the vector of columns at n; returns the largest x and the sum of e^(x - largest) */
template <class T> INLINE void softmax_columns(const T *x, T *y, long C, long N, long n, vec<T> &largest, vec<T> &sum)
{
    largest = load(x + n);
    for (long c = 1; c < C; c++) largest = larger(load(x + c * N + n), largest);
    sum = vec<T>{};
    for (long c = 0; c < C; c++) {
        vec<T> e = vexp<T>(load(x + c * N + n) - largest);
        store(y + c * N + n, e);
        sum += e;
    }
    for (long c = 0; c < C; c++) store(y + c * N + n, load(y + c * N + n) / sum);
}
template <class T> static void softmax_forward(const T *x, T *y, long C, long N)
{
    const flushing on;
    vec<T> largest, sum;
    for (long n = 0; n < N; n += W<T>) softmax_columns<T>(x, y, C, N, n, largest, sum);
}
template <class T> static void softmax_backward(const T *y, const T *dy, T *dx, long C, long N)
{
    const flushing on;
    for (long n = 0; n < N; n += W<T>) {
        vec<T> dot = {};
        for (long c = 0; c < C; c++) dot = fma(load(y + c * N + n), load(dy + c * N + n), dot);
        for (long c = 0; c < C; c++)
            store(dx + c * N + n, load(y + c * N + n) * (load(dy + c * N + n) - dot));
    }
}
