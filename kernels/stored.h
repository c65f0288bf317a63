/* Features in the type of a dataset, and what is known of each row. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef double double4 __attribute__((vector_size(32)));
typedef float float4 __attribute__((vector_size(16)));
typedef int64_t long4 __attribute__((vector_size(32)));
typedef int32_t int4 __attribute__((vector_size(16)));
#define WITHIN static inline __attribute__((always_inline))      /* so that it has the instructions of its caller */

template <class T> struct Lanes;
template <> struct Lanes<float> { typedef float4 V; typedef int4 I; };
template <> struct Lanes<double> { typedef double4 V; typedef long4 I; };

/* What is known of four lanes of features: all bits set where it is so of all of them. */
template <class T> struct Known {
    typedef typename Lanes<T>::I I;
    I whole = I{} - 1, fits = I{} - 1;          /* in T: whole numbers of 0..255; finite */
    long4 finite = long4{} - 1;                 /* before */

    /* Four features in T. -0.0 and 0.0 are one number. */
    __attribute__((always_inline)) typename Lanes<T>::V store(const double4 &given) {
        typedef typename Lanes<T>::V V;
        const V value = __builtin_convertvector(given, V) + (T)0;
        const V top = V{} + 255, above = value > 0 ? value : V{}, near = above < top ? above : top;
        whole &= (value == near) & (near == __builtin_convertvector(__builtin_convertvector(near, int4), V));
        fits &= value - value == 0;
        finite &= given - given == 0;
        return value;
    }
};

WITHIN double4 four_at(const double *x, ptrdiff_t step) { return double4{x[0], x[step], x[2 * step], x[3 * step]}; }
WITHIN double4 four_at(const double *x) {
    double4 four;
    memcpy(&four, x, sizeof four);
    return four;
}

/* The transposed matrix of four vectors. */
template <class V, class I> WITHIN void turn(V *v) {
    const V a = __builtin_shuffle(v[0], v[1], I{0, 4, 1, 5}), b = __builtin_shuffle(v[2], v[3], I{0, 4, 1, 5});
    const V c = __builtin_shuffle(v[0], v[1], I{2, 6, 3, 7}), d = __builtin_shuffle(v[2], v[3], I{2, 6, 3, 7});
    v[0] = __builtin_shuffle(a, b, I{0, 1, 4, 5}), v[1] = __builtin_shuffle(a, b, I{2, 3, 6, 7});
    v[2] = __builtin_shuffle(c, d, I{0, 1, 4, 5}), v[3] = __builtin_shuffle(c, d, I{2, 3, 6, 7});
}

/* out[width] = a row that lies in one piece, or with `step` between its features; flags: as of store_rows. */
template <class T> WITHIN void store_row(const double *x, ptrdiff_t step, size_t width, T *out, unsigned char *flags) {
    typedef typename Lanes<T>::V V;
    Known<T> known;
    size_t f = 0;
    for (; f + 4 <= width; f += 4) {
        const V value = known.store(step == 1 ? four_at(x + f) : four_at(x + f * step, step));
        memcpy(out + f, &value, sizeof value);
    }
    if (f < width) {
        double rest[4] = {0, 0, 0, 0};
        for (size_t i = f; i < width; i++)
            rest[i - f] = x[i * step];
        const V value = known.store(four_at(rest));
        memcpy(out + f, &value, (width - f) * sizeof(T));
    }
    flags[0] = flags[1] = flags[2] = 1;
    for (int i = 0; i < 4; i++)
        flags[0] &= known.whole[i] & 1, flags[1] &= known.finite[i] & 1, flags[2] &= known.fits[i] & 1;
}

enum { TILE = 16 };             /* rows: a few cache lines of each column */

/* The same of TILE rows, each feature of which lies in one piece; `step` between the features, `across` between the rows of out. */
template <class T> WITHIN void store_tile(const double *x, ptrdiff_t step, size_t width, T *out, ptrdiff_t across, unsigned char (*flags)[3]) {
    typedef typename Lanes<T>::V V;
    Known<T> known[TILE / 4];
    size_t f = 0;
    for (; f + 4 <= width; f += 4)
        for (int k = 0; k < TILE / 4; k++) {
            V v[4];
            for (int j = 0; j < 4; j++)
                v[j] = known[k].store(four_at(x + (f + j) * step + 4 * k));
            turn<V, typename Lanes<T>::I>(v);
            for (int j = 0; j < 4; j++)
                memcpy(out + (4 * k + j) * across + f, &v[j], sizeof v[j]);
        }
    for (; f < width; f++)
        for (int k = 0; k < TILE / 4; k++) {
            const V value = known[k].store(four_at(x + f * step + 4 * k));
            for (int j = 0; j < 4; j++)
                out[(4 * k + j) * across + f] = value[j];
        }
    for (int i = 0; i < TILE; i++)
        flags[i][0] = known[i / 4].whole[i % 4] & 1, flags[i][1] = known[i / 4].finite[i % 4] & 1, flags[i][2] = known[i / 4].fits[i % 4] & 1;
}

/* out[n, width] = x, which has steps between its rows and between its features; out has one between its rows. Of each row whether all of out are whole numbers
   of 0 to 255, all of x are finite, all of out are. */
template <class T> WITHIN void store_all(const double *x, ptrdiff_t down, ptrdiff_t step, size_t n, size_t width, T *out, ptrdiff_t across,
                                      unsigned char *whole, unsigned char *finite, unsigned char *fits) {
    for (size_t i = 0; i < n;) {
        unsigned char flags[TILE][3];
        size_t count = 1;
        if (down == 1 && n - i >= TILE)
            count = TILE, store_tile(x + i, step, width, out + i * across, across, flags);
        else if (step == 1)
            store_row(x + i * down, 1, width, out + i * across, flags[0]);
        else
            store_row(x + i * down, step, width, out + i * across, flags[0]);
        for (size_t k = 0; k < count; k++, i++)
            whole[i] = flags[k][0], finite[i] = flags[k][1], fits[i] = flags[k][2];
    }
}

#if defined(__x86_64__)
template <class T> __attribute__((target("avx2"))) static void store_wide(
        const double *x, ptrdiff_t down, ptrdiff_t step, size_t n, size_t width, T *out, ptrdiff_t across,
        unsigned char *whole, unsigned char *finite, unsigned char *fits) {
    store_all(x, down, step, n, width, out, across, whole, finite, fits);
}
#endif

template <class T> static void store_rows(const double *x, ptrdiff_t down, ptrdiff_t step, size_t n, size_t width, T *out, ptrdiff_t across,
                                          unsigned char *whole, unsigned char *finite, unsigned char *fits) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return store_wide(x, down, step, n, width, out, across, whole, finite, fits);
#endif
    store_all(x, down, step, n, width, out, across, whole, finite, fits);
}
