/* Rows of bytes without their zeros: kernels/short.pyx says how they are written. */
#pragma once
#include "words.h"
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { HEAD = 6 };              /* bytes: the two letters, the count of words */

/* A bit for each of `count` words, up to four: whether it is not 0. */
static inline unsigned which_words(text p, size_t count) {
#if defined(__SSE2__)
    if (count >= 4)
        return 15 ^ (unsigned)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)p), _mm_setzero_si128())));
#endif
    unsigned found = 0;
    for (size_t i = 0; i < count && i < 4; i++)
        found |= (unsigned)(read<uint32_t>(p + 4 * i) != 0) << i;
    return found;
}

enum { WIDE = 128 };            /* bytes of a row, from which on what is read and written eight words at a time stays within it */

#if defined(__x86_64__)
static uint32_t PACKED[256][8]; /* by the bits of eight words: the places of those that are not 0, one after the other */

static void fill_packed() {
    for (int which = 0; which < 256; which++)
        for (int i = 0, k = 0; i < 8; i++)
            if (which >> i & 1)
                PACKED[which][k++] = i;
}

__attribute__((target("avx2"))) static inline unsigned which_eight(__m256i words) {
    return 255 ^ (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(words, _mm256_setzero_si256())));
}

/* How many of the words are not 0, as far as they come by eight. */
__attribute__((target("avx2,popcnt"))) static size_t full_wide(text p, size_t words) {
    size_t full = 0;
    for (size_t i = 0; i + 8 <= words; i += 8)
        full += __builtin_popcount(which_eight(_mm256_loadu_si256((const __m256i *)(p + 4 * i))));
    return full;
}

/* Writes these and their bits; gives the end, behind which 32 bytes may change. */
__attribute__((target("avx2,popcnt"))) static unsigned char *put_wide(text p, size_t words, unsigned char *bits, unsigned char *to) {
    for (size_t i = 0; i + 8 <= words; i += 8) {
        const __m256i eight = _mm256_loadu_si256((const __m256i *)(p + 4 * i));
        const unsigned which = which_eight(eight);
        bits[i / 8] = (unsigned char)which;
        _mm256_storeu_si256((__m256i *)to, _mm256_permutevar8x32_epi32(eight, _mm256_loadu_si256((const __m256i *)PACKED[which])));
        to += 4 * __builtin_popcount(which);
    }
    return to;
}

static bool wide_here() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"); }
#else
static void fill_packed() {}
static size_t full_wide(text, size_t) { return 0; }
static unsigned char *put_wide(text, size_t, unsigned char *, unsigned char *to) { return to; }
static bool wide_here() { return false; }
#endif

/* The bytes of a row without its zeros, or of itself where that does not save a quarter of them. */
static inline size_t short_size(text row, size_t size, bool wide) {
    if (size < 4 * HEAD)
        return size;
    const size_t words = (size - 1) / 4;
    wide &= size >= WIDE;
    size_t full = wide ? full_wide(row + 1, words) : 0;
    for (size_t i = wide ? words & ~(size_t)7 : 0; i < words; i += 4)
        full += (size_t)(0x4332322132212110u >> 4 * which_words(row + 1 + 4 * i, words - i) & 15);     /* how many bits are set */
    const size_t shorter = HEAD + (words + 7) / 8 + 4 * full + (size - 1) % 4;
    return 4 * shorter <= 3 * size ? shorter : size;
}

/* A row of which short_size says that it is shorter so; what is behind it may change, as far as the row would have reached. */
static inline unsigned char *put_short(text row, size_t size, unsigned char letter, unsigned char *out, bool wide) {
    const size_t words = (size - 1) / 4, rest = (size - 1) % 4;
    unsigned char *bits = out + HEAD, *to = bits + (words + 7) / 8;
    out[0] = letter, out[1] = row[0];
    for (int i = 0; i < 4; i++)
        out[2 + i] = (unsigned char)(words >> 8 * i);
    memset(bits, 0, to - bits);
    wide &= size >= WIDE;
    if (wide)
        to = put_wide(row + 1, words, bits, to);
    for (size_t i = wide ? words & ~(size_t)7 : 0; i < words; i += 4) {
        unsigned which = which_words(row + 1 + 4 * i, words - i);
        bits[i / 8] |= (unsigned char)(which << i % 8);
        for (; which; which &= which - 1, to += 4)
            memcpy(to, row + 1 + 4 * (i + __builtin_ctz(which)), 4);
    }
    memcpy(to, row + 1 + 4 * words, rest);
    return to + rest;
}

static inline size_t words_of(text row) { return read<uint32_t>(row + 2); }

/* The bytes of a row that is without its zeros, with them; -1: it is damaged. */
static inline ptrdiff_t long_size(text row, size_t size) {
    if (size < HEAD)
        return -1;
    const size_t words = words_of(row), marks = (words + 7) / 8;
    if (marks > size - HEAD || (words % 8 && row[HEAD + words / 8] >> words % 8))
        return -1;
    size_t full = 0, i = 0;
    for (; i + 8 <= marks; i += 8)
        full += __builtin_popcountll(read<uint64_t>(row + HEAD + i));
    for (; i < marks; i++)
        full += __builtin_popcount(row[HEAD + i]);
    const size_t before = HEAD + marks + 4 * full;
    return before <= size && size - before < 4 ? (ptrdiff_t)(1 + 4 * words + size - before) : -1;
}

/* A row that long_size can read. */
static inline unsigned char *put_long(text row, size_t size, unsigned char *out) {
    const size_t words = words_of(row);
    text bits = row + HEAD, from = bits + (words + 7) / 8;
    *out++ = row[1];
    memset(out, 0, 4 * words);
    for (size_t i = 0; i < words; i += 8)
        for (unsigned which = bits[i / 8]; which; which &= which - 1, from += 4)
            memcpy(out + 4 * (i + __builtin_ctz(which)), from, 4);
    const size_t rest = row + size - from;
    memcpy(out + 4 * words, from, rest);
    return out + 4 * words + rest;
}
