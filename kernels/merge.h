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
