/* Losses that are taken of the outputs alone, found by Keras's names, in double. Each returns the sum over
   examples of weight * loss and fills the gradient of scale * that sum, 0 in the padding. */
#pragma once
#include "vmath.h"

#define KERAS_EPSILON 1e-7

INLINE double exp1(double x) { return vexp<double>(splat(x))[0]; }
INLINE double within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }    /* NaN stays */
INLINE double sign(double x) { return (double)((x > 0) - (x < 0)); }

/* -- f(y, t) of each output and its slope df/dy; p are the loss's own parameters */

struct SquaredError {
    INLINE_ME double operator()(double y, double t, const double *, double &slope) const
    { double e = y - t; slope = 2 * e; return e * e; }
};
struct AbsoluteError {
    INLINE_ME double operator()(double y, double t, const double *, double &slope) const
    { double e = y - t; slope = sign(e); return e < 0 ? -e : e; }
};
struct AbsolutePercentageError {
    INLINE_ME double operator()(double y, double t, const double *, double &slope) const
    {
        double size = t < 0 ? -t : t, e = y - t;
        double share = 100 / (size < KERAS_EPSILON ? KERAS_EPSILON : size);
        slope = share * sign(e);
        return share * (e < 0 ? -e : e);
    }
};
struct SquaredLogarithmicError {
    INLINE_ME double operator()(double y, double t, const double *, double &slope) const
    {
        double low = y < KERAS_EPSILON ? KERAS_EPSILON : y;
        double e = log1(low + 1) - log1((t < KERAS_EPSILON ? KERAS_EPSILON : t) + 1);
        slope = y < KERAS_EPSILON ? 0 : 2 * e / (low + 1);
        return e * e;
    }
};
struct HuberError {
    INLINE_ME double operator()(double y, double t, const double *p, double &slope) const
    {
        double e = y - t, size = e < 0 ? -e : e;
        slope = size > *p ? *p * sign(e) : e;
        return size > *p ? *p * size - 0.5 * *p * *p : 0.5 * e * e;
    }
};
struct LogCosh {                                        /* |e| + log((1 + e^-2|e|) / 2) */
    INLINE_ME double operator()(double y, double t, const double *, double &slope) const
    {
        double e = y - t, size = e < 0 ? -e : e, q = exp1(-2 * size);
        slope = sign(e) * (1 - q) / (1 + q);
        return size + log1(1 + q) - 0.6931471805599453;
    }
};
template <int POWER> struct HingeLoss {                 /* a target of 0 is one of -1 */
    INLINE_ME double operator()(double y, double t, const double *, double &slope) const
    {
        double side = t == 0 ? -1 : t, gap = 1 - side * y;
        gap = gap < 0 ? 0 : gap;
        slope = POWER == 2 ? -2 * side * gap : gap == 0 ? 0 : -side;
        return POWER == 2 ? gap * gap : gap;
    }
};
struct Divergence {                                     /* Kullback and Leibler's */
    INLINE_ME double operator()(double y, double t, const double *, double &slope) const
    {
        double p = within(y, KERAS_EPSILON, 1), q = within(t, KERAS_EPSILON, 1);
        slope = p == y ? -q / p : 0;
        return q * log1(q / p);
    }
};
struct PoissonLoss {
    INLINE_ME double operator()(double y, double t, const double *, double &slope) const
    { slope = 1 - t / (y + KERAS_EPSILON); return y - t * log1(y + KERAS_EPSILON); }
};
/* q^power of a share q, and its slope there; 0 for what is below 0 */
INLINE double to_power(double q, double power, double &slope)
{
    if (q <= 0) { slope = power == 1; return power == 0; }
    double found = exp1(power * log1(q));
    slope = power * found / q;
    return found;
}
struct BinaryFocal {            /* p: gamma, the weights of targets 1 and 0, from_logits, label_smoothing */
    INLINE_ME double operator()(double z, double t, const double *p, double &slope) const
    {
        double y = p[3] ? 1 / (1 + exp1(-z)) : z, inside = within(y, KERAS_EPSILON, 1 - KERAS_EPSILON), turn;
        t = t * (1 - p[4]) + 0.5 * p[4];
        double loss = -t * log1(inside) - (1 - t) * log1(1 - inside), weight = t * p[1] + (1 - t) * p[2];
        double factor = to_power(t + y - 2 * t * y, p[0], turn);
        slope = weight * (turn * (1 - 2 * t) * loss + (inside == y ? factor * (y - t) / (y * (1 - y)) : 0)) * (p[3] ? y * (1 - y) : 1);
        return weight * factor * loss;
    }
};

/* sum over C of f, divided by `count` */
template <class T, class F> static double mean_loss_of(const T *y, const T *t, const T *weight, double scale, const double *p,
                                                       double count, T *dy, long C, long N, long B)
{
    F f;
    double loss = 0;
    for (long n = 0; n < N; n += LANES) {
        double own[LANES] = {}, factor[LANES];
        for (int i = 0; i < LANES; i++) factor[i] = n + i < B ? (double)weight[n + i] * scale / count : 0;
        for (long c = 0; c < C; c++)
            for (int i = 0; i < LANES; i++) {
                long at = c * N + n + i;
                double slope;
                own[i] += f((double)y[at], (double)t[at], p, slope);
                dy[at] = n + i < B ? (T)(slope * factor[i]) : (T)0;     /* a slope in the padding may be NaN */
            }
        for (long i = 0; i < LANES && n + i < B; i++) loss += (double)weight[n + i] * own[i] / count;
    }
    return loss;
}

/* -- losses of whole rows of K outputs: what was seen of a row gives its loss and its slopes */

struct CategoricalHinge {                               /* max(0, 1 + largest (1 - t) y - sum of t y) */
    enum { TWICE = 0 };
    double own = 0, other = -__builtin_inf();
    long at = 0;
    INLINE_ME void see(double y, double t, long k)
    {
        own = fma1(t, y, own);
        if ((1 - t) * y > other) other = (1 - t) * y, at = k;
    }
    INLINE_ME double value() const { double gap = other - own + 1; return gap < 0 ? 0 : gap; }
    INLINE_ME double slope(double, double t, long k) const { return value() == 0 ? 0 : (k == at ? 1 - t : 0) - t; }
};
struct Cosine {                                         /* -y.t / |y| |t|, lengths from 1e-7 on */
    enum { TWICE = 0 };
    double yy = 0, tt = 0, yt = 0;
    INLINE_ME void see(double y, double t, long) { yy = fma1(y, y, yy), tt = fma1(t, t, tt), yt = fma1(y, t, yt); }
    static INLINE_ME double inverse(double square)
    { double r = 1 / __builtin_sqrt(square); return r > 1 / KERAS_EPSILON ? 1 / KERAS_EPSILON : r; }
    INLINE_ME double value() const { return -yt * inverse(yy) * inverse(tt); }
    INLINE_ME double slope(double y, double t, long) const
    {
        double r = inverse(yy);
        return (r < 1 / KERAS_EPSILON ? y * (yt * r * r) - t : -t) * r * inverse(tt);
    }
};
struct CategoricalFocal {       /* of outputs divided by their sum; p: gamma, alpha, label_smoothing */
    enum { TWICE = 1 };
    const double *p = nullptr;
    long K = 0;
    double sum = 0, loss = 0, along = 0;
    INLINE_ME double of(double o, double t, double &slope) const
    {
        double inside = within(o, KERAS_EPSILON, 1 - KERAS_EPSILON), turn;
        t = t * (1 - p[2]) + p[2] / K;
        double own = -t * log1(inside), factor = to_power(1 - inside, p[0], turn);
        slope = inside == o ? -p[1] * (turn * own + factor * t / o) : 0;
        return p[1] * factor * own;
    }
    INLINE_ME void see(double y, double, long) { sum += y; }
    INLINE_ME void again(double y, double t)
    { double slope; loss += of(y / sum, t, slope); along = fma1(y / sum, slope, along); }
    INLINE_ME double value() const { return loss; }
    INLINE_ME double slope(double y, double t, long) const { double slope; of(y / sum, t, slope); return (slope - along) / sum; }
};

/* mean over the C / K rows of an example */
template <class T, class Row> static double row_loss_of(const T *y, const T *t, const T *weight, double scale, const double *p, long K,
                                                        T *dy, long C, long N, long B)
{
    double loss = 0;
    for (long n = 0; n < N; n += LANES)
        for (long c = 0; c < C; c += K) {
            Row rows[LANES];
            for (long k = 0; k < K; k++)
                for (int i = 0; i < LANES; i++) rows[i].see((double)y[(c + k) * N + n + i], (double)t[(c + k) * N + n + i], k);
            if constexpr (Row::TWICE)
                for (int i = 0; i < LANES; i++) {
                    rows[i].p = p, rows[i].K = K;
                    for (long k = 0; k < K; k++) rows[i].again((double)y[(c + k) * N + n + i], (double)t[(c + k) * N + n + i]);
                }
            for (long k = 0; k < K; k++)
                for (int i = 0; i < LANES; i++) {
                    long at = (c + k) * N + n + i;
                    dy[at] = n + i < B ? (T)(rows[i].slope((double)y[at], (double)t[at], k) * (double)weight[n + i] * scale * K / C) : (T)0;
                }
            for (long i = 0; i < LANES && n + i < B; i++) loss += (double)weight[n + i] * rows[i].value() * K / C;
        }
    return loss;
}

/* -- by name; null where there is none */

template <class F> struct Named { const char *name; F function; };
template <class F, int n> static F found(const Named<F> (&table)[n], const char *name)
{
    for (const Named<F> &entry : table) if (!strcmp(entry.name, name)) return entry.function;
    return nullptr;
}
template <class T> static auto find_mean_loss(const char *name)
{
    static const Named<decltype(&mean_loss_of<T, SquaredError>)> table[] = {
        {"mean_squared_error", mean_loss_of<T, SquaredError>},
        {"mean_absolute_error", mean_loss_of<T, AbsoluteError>},
        {"mean_absolute_percentage_error", mean_loss_of<T, AbsolutePercentageError>},
        {"mean_squared_logarithmic_error", mean_loss_of<T, SquaredLogarithmicError>},
        {"huber", mean_loss_of<T, HuberError>},
        {"log_cosh", mean_loss_of<T, LogCosh>},
        {"hinge", mean_loss_of<T, HingeLoss<1>>},
        {"squared_hinge", mean_loss_of<T, HingeLoss<2>>},
        {"kl_divergence", mean_loss_of<T, Divergence>},
        {"poisson", mean_loss_of<T, PoissonLoss>},
        {"binary_focal_crossentropy", mean_loss_of<T, BinaryFocal>},
    };
    return found(table, name);
}
template <class T> static auto find_row_loss(const char *name)
{
    static const Named<decltype(&row_loss_of<T, Cosine>)> table[] = {
        {"categorical_hinge", row_loss_of<T, CategoricalHinge>},
        {"cosine_similarity", row_loss_of<T, Cosine>},
        {"categorical_focal_crossentropy", row_loss_of<T, CategoricalFocal>},
    };
    return found(table, name);
}
static bool has_mean_loss(const char *name) { return find_mean_loss<float>(name) != nullptr; }
static bool has_row_loss(const char *name) { return find_row_loss<float>(name) != nullptr; }
template <class T> static double mean_loss(const char *name, const T *y, const T *t, const T *weight, double scale, const double *p,
                                           double count, T *dy, long C, long N, long B)
{
    const flushing on;
    return find_mean_loss<T>(name)(y, t, weight, scale, p, count, dy, C, N, B);
}
template <class T> static double row_loss(const char *name, const T *y, const T *t, const T *weight, double scale, const double *p, long K,
                                          T *dy, long C, long N, long B)
{
    const flushing on;
    return find_row_loss<T>(name)(y, t, weight, scale, p, K, dy, C, N, B);
}
