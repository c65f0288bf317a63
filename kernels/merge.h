/* The mean of vectors weighted by their examples, summed in double in the order given. */
#pragma once
#include "flushing.h"

template <class T> static void accumulate(double *total, const T *values, double n, long size)
{
    const flushing on;
    for (long i = 0; i < size; i++) total[i] = fma1(n, (double)values[i], total[i]);
}
template <class T> static void mean(const double *total, double n, T *out, long size)
{
    const flushing on;
    for (long i = 0; i < size; i++) out[i] = (T)(total[i] / n);
}
/* Both for the sum of several vectors, block by block, so that sums stay in the cache. */
template <class T> static void means(T **values, const double *n, long count, double all, T *out, long size)
{
    const flushing on;
    enum { BLOCK = 512 };
    double total[BLOCK];
    for (long start = 0; start < size; start += BLOCK) {
        const long stop = size - start < BLOCK ? size - start : BLOCK;
        for (long i = 0; i < stop; i++) total[i] = 0;
        for (long w = 0; w < count; w++) {
            const T *own = values[w] + start;
            for (long i = 0; i < stop; i++) total[i] = fma1(n[w], (double)own[i], total[i]);
        }
        for (long i = 0; i < stop; i++) out[start + i] = (T)(total[i] / all);
    }
}
