/* Random numbers that depend on what they are for alone: no thread, padding, batch or order. */
#pragma once
#include "vmath.h"

/* Philox 4x32-10 (Salmon et al., SC 2011): four words of 32 bits for a counter and a key */
INLINE void philox(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
        uint32_t c0 = (uint32_t)(b >> 32) ^ c[1] ^ k0, c2 = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[0] = c0, c[1] = (uint32_t)b, c[2] = c2, c[3] = (uint32_t)a;
    }
}
/* out[f][n] = value(word number n % 4 of the counter (n / 4, f, stream, step)) */
template <class T, class F> static void draw(T *out, long rows, long N, uint64_t key, uint32_t stream, uint32_t step, const F &value)
{
    for (long f = 0; f < rows; f++)
        for (long n = 0; n < N; n += 4) {
            uint32_t c[4] = {(uint32_t)(n / 4), (uint32_t)f, stream, step};
            philox(c, (uint32_t)key, (uint32_t)(key >> 32));
            for (int i = 0; i < 4; i++) out[f * N + n + i] = value(c[i]);
        }
}
/* 1 / (1 - rate) where the word is at least rate 2^32, else 0 */
template <class T> static void dropout_mask(T *mask, long F, long N, uint64_t key, uint32_t stream, uint32_t step, double rate)
{
    uint32_t least = (uint32_t)(rate * 4294967296.0);
    T keep = (T)(1 / (1 - rate));
    draw(mask, F, N, key, stream, step, [=](uint32_t word) { return word >= least ? keep : (T)0; });
}
template <class T> static void normal_noise(T *noise, long F, long N, uint64_t key, uint32_t stream, uint32_t step, double mean, double stddev)
{
    const flushing on;
    draw(noise, F, N, key, stream, step,
         [=](uint32_t word) { return (T)(mean + stddev * normal1((word + 0.5) / 4294967296.0)); });
}
/* y[F][N] = x * mask[M][N], the mask again for every M rows */
template <class T> static void multiply(const T *x, const T *mask, T *y, long n, long period)
{
    const flushing on;
    for (long from = 0; from < n; from += period)
        for (long i = 0; i < period; i += W<T>) store(y + from + i, load(x + from + i) * load(mask + i));
}
