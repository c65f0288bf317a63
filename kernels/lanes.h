/* Vectors of the build's CPU level, and the arithmetic that gives the same bits at every level.

   vec<T> is one register; its width W<T> differs by level, results do not: elementwise code is
   independent of it, and a sum across a vector runs in LANES fixed lanes (class lanesum).
   Multiply-adds are written as fma() and never left to the compiler (-ffp-contract=off). */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define INLINE_ME inline __attribute__((always_inline))
#if defined(__AVX512F__)
enum { WIDTH = 64 };
#elif defined(__AVX2__)
enum { WIDTH = 32 };
#else
enum { WIDTH = 16 };
#endif
enum { LANES = 16 };

typedef float vfloat __attribute__((vector_size(WIDTH)));
typedef double vdouble __attribute__((vector_size(WIDTH)));
typedef int32_t vint32 __attribute__((vector_size(WIDTH)));
typedef int64_t vint64 __attribute__((vector_size(WIDTH)));

template <class T> struct traits;
template <> struct traits<float> { typedef vfloat vec; typedef vint32 vint; typedef int32_t integer; };
template <> struct traits<double> { typedef vdouble vec; typedef vint64 vint; typedef int64_t integer; };
template <class T> using vec = typename traits<T>::vec;
template <class T> using vint = typename traits<T>::vint;
template <class T> constexpr int W = WIDTH / sizeof(T);

template <class T> INLINE vec<T> load(const T *p) { vec<T> v; memcpy(&v, p, WIDTH); return v; }
template <class T> INLINE void store(T *p, vec<T> v) { memcpy(p, &v, WIDTH); }
template <class T> INLINE vec<T> splat(T a) { return a - vec<T>{}; }
/* the first n lanes only; the others are read as 0 and left alone */
#if defined(__AVX512F__)
INLINE vfloat load(const float *p, long n) { return (vfloat)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INLINE vdouble load(const double *p, long n) { return (vdouble)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p); }
INLINE void store(float *p, vfloat v, long n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
INLINE void store(double *p, vdouble v, long n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v); }
#elif defined(__AVX2__)
INLINE __m256i below(int n) { return (__m256i)((vint32){0, 1, 2, 3, 4, 5, 6, 7} < n); }
INLINE __m256i below(long n) { return (__m256i)((vint64){0, 1, 2, 3} < n); }
INLINE vfloat load(const float *p, long n) { return (vfloat)_mm256_maskload_ps(p, below((int)n)); }
INLINE vdouble load(const double *p, long n) { return (vdouble)_mm256_maskload_pd(p, below(n)); }
INLINE void store(float *p, vfloat v, long n) { _mm256_maskstore_ps(p, below((int)n), (__m256)v); }
INLINE void store(double *p, vdouble v, long n) { _mm256_maskstore_pd(p, below(n), (__m256d)v); }
#else
template <class T> INLINE vec<T> load(const T *p, long n)
{
    vec<T> v = {};
    for (int i = 0; i < W<T>; i++) if (i < n) v[i] = p[i];
    return v;
}
template <class T> INLINE void store(T *p, vec<T> v, long n)
{
    for (int i = 0; i < W<T>; i++) if (i < n) p[i] = v[i];
}
#endif

/* one value at a time, as the vectors do it */
#if defined(__FMA__) || (defined(__FP_FAST_FMAF) && defined(__FP_FAST_FMA))
INLINE float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
INLINE double fma1(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else   /* without fused multiply-add: a numeric profile of its own */
INLINE float fma1(float a, float b, float c) { return a * b + c; }
INLINE double fma1(double a, double b, double c) { return a * b + c; }
#endif

#if defined(__AVX512F__)
INLINE vfloat fma(vfloat a, vfloat b, vfloat c) { return (vfloat)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE vdouble fma(vdouble a, vdouble b, vdouble c) { return (vdouble)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
INLINE vfloat root(vfloat a) { return (vfloat)_mm512_sqrt_ps((__m512)a); }
INLINE vdouble root(vdouble a) { return (vdouble)_mm512_sqrt_pd((__m512d)a); }
#elif defined(__FMA__)
INLINE vfloat fma(vfloat a, vfloat b, vfloat c) { return (vfloat)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE vdouble fma(vdouble a, vdouble b, vdouble c) { return (vdouble)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
INLINE vfloat root(vfloat a) { return (vfloat)_mm256_sqrt_ps((__m256)a); }
INLINE vdouble root(vdouble a) { return (vdouble)_mm256_sqrt_pd((__m256d)a); }
#else
template <class V> INLINE V fma(V a, V b, V c)
{
    for (size_t i = 0; i < sizeof(V) / sizeof(a[0]); i++) c[i] = fma1(a[i], b[i], c[i]);
    return c;
}
INLINE vfloat root(vfloat a) { for (int i = 0; i < W<float>; i++) a[i] = __builtin_sqrtf(a[i]); return a; }
INLINE vdouble root(vdouble a) { for (int i = 0; i < W<double>; i++) a[i] = __builtin_sqrt(a[i]); return a; }
#endif

/* the larger and the smaller one; b where either is NaN */
#if defined(__AVX512F__)
INLINE vfloat larger(vfloat a, vfloat b) { return (vfloat)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vdouble larger(vdouble a, vdouble b) { return (vdouble)_mm512_max_pd((__m512d)a, (__m512d)b); }
INLINE vfloat smaller(vfloat a, vfloat b) { return (vfloat)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vdouble smaller(vdouble a, vdouble b) { return (vdouble)_mm512_min_pd((__m512d)a, (__m512d)b); }
#else
template <class V> INLINE V larger(V a, V b) { return a > b ? a : b; }
template <class V> INLINE V smaller(V a, V b) { return a < b ? a : b; }
#endif

/* the lanes of a vector, the upper half added to the lower until one is left */
#if defined(__SSE2__)
INLINE float folded(__m128 v)
{
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}
INLINE double folded(__m128d v) { return _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v))); }
#if defined(__AVX__)
INLINE float folded(__m256 v) { return folded(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1))); }
INLINE double folded(__m256d v) { return folded(_mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1))); }
#endif
#if defined(__AVX512F__)
INLINE double folded(__m512d v) { return folded(_mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1))); }
INLINE float folded(__m512 v)
{
    __m512d d = _mm512_castps_pd(v);
    return folded(_mm256_add_ps(_mm512_castps512_ps256(v), _mm256_castpd_ps(_mm512_extractf64x4_pd(d, 1))));
}
#endif
#else
template <class V> INLINE auto folded(V v)
{
    for (int half = sizeof v / sizeof v[0] / 2; half; half /= 2)
        for (int i = 0; i < half; i++) v[i] += v[i + half];
    return v[0];
}
#endif

/* A sum in 16 fixed lanes, folded in one order: the same bits at every width. */
template <class T> struct lanesum {
    vec<T> s[LANES / W<T>] = {};
    INLINE_ME void add(const T *p)                                  /* 16 values */
    { for (int j = 0; j < LANES / W<T>; j++) s[j] += load(p + j * W<T>); }
    INLINE_ME void add_product(const T *p, const T *q)              /* 16 products */
    { for (int j = 0; j < LANES / W<T>; j++) s[j] = fma(load(p + j * W<T>), load(q + j * W<T>), s[j]); }
    INLINE_ME T fold() const                                        /* a[i] += a[i + half] for half = 8, 4, 2, 1 */
    {
        vec<T> a[LANES / W<T>];
        memcpy(a, s, sizeof a);
        for (int half = LANES / W<T> / 2; half; half /= 2)
            for (int j = 0; j < half; j++) a[j] += a[j + half];
        return folded(a[0]);
    }
};
