/* Rows of a table[V][D] by ids[T][N]: y[T][D][N]. */
#pragma once
#include "flushing.h"

/* y[t][d][n] = table[ids[t][n]][d], LANES columns at a time, whose rows stay in the first cache */
template <class T> static void embedding_forward(const T *table, const int32_t *ids, T *y, long steps, long D, long N)
{
    for (long t = 0; t < steps; t++, ids += N, y += D * N)
        for (long n = 0; n < N; n += LANES)
            for (long d = 0; d < D; d++)
                for (long j = n; j < n + LANES; j++) y[d * N + j] = table[ids[j] * D + d];
}
/* dtable[ids[t][n]] += dy[t][:][n] for the first B columns, t and n ascending */
template <class T> static void embedding_gradient(const T *dy, const int32_t *ids, T *dtable, long steps, long D, long N, long B)
{
    const flushing on;
    for (long t = 0; t < steps; t++, ids += N, dy += D * N)
        for (long n = 0; n < B; n++)
            for (long d = 0; d < D; d++) dtable[ids[n] * D + d] += dy[d * N + n];
}
