/* The loops over bytes that words.pyx is made of: the same results on every CPU. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef const unsigned char *text;

/* The first a or b in [p, stop), else stop; up to `end` there are bytes that may be looked at. */
static inline text find(text p, text stop, text end, unsigned char a, unsigned char b) {
#if defined(__SSE2__)
    const __m128i as = _mm_set1_epi8((char)a), bs = _mm_set1_epi8((char)b);
    for (; p < stop && end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(bytes, as), _mm_cmpeq_epi8(bytes, bs));
        unsigned hits = _mm_movemask_epi8(found);
        if (hits) {
            int at = __builtin_ctz(hits);
            return stop - p > at ? p + at : stop;
        }
    }
#endif
    while (p < stop && *p != a && *p != b)
        p++;
    return p < stop ? p : stop;
}

/* out[i] = the place of the i-th newline in [p, p + size), of up to n; returns how many there are. */
static inline size_t put_line_ends(text p, size_t size, int64_t *out, size_t n) {
    size_t count = 0, at = 0;
#if defined(__SSE2__)
    const __m128i newlines = _mm_set1_epi8('\n');
    for (; size - at >= 64; at += 64) {
        uint64_t hits = 0;
        for (int i = 0; i < 64; i += 16)
            hits |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + at + i)), newlines)) << i;
        for (; hits; hits &= hits - 1, count++)
            if (count < n)
                out[count] = (int64_t)at + __builtin_ctzll(hits);
    }
#endif
    for (; at < size; at++)
        if (p[at] == '\n') {
            if (count < n)
                out[count] = (int64_t)at;
            count++;
        }
    return count;
}

/* Little-endian on every CPU. */
template <class T> static inline uint64_t read(text p) {
    T word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = sizeof word == 8 ? __builtin_bswap64(word) : __builtin_bswap32(word);
#endif
    return word;
}

/* One to one, and each bit of it depends on each of x (splitmix64). */
static inline uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* 8 bytes a turn; the last turn may read some of them again. Two words of one size, up to 8, never
   share a hash. */
static inline uint64_t hash_word(text p, size_t size) {
    uint64_t hash = (size + 1) * 0x9e3779b97f4a7c15, last = 0;
    text end = p + size;
    for (; end - p > 8; p += 8)
        hash = mix(hash ^ read<uint64_t>(p));
    if (size >= 8)
        last = read<uint64_t>(end - 8);
    else if (size >= 4)
        last = read<uint32_t>(p) | read<uint32_t>(end - 4) << 32;
    else if (size)
        last = p[0] | p[size / 2] << 8 | p[size - 1] << 16;
    return mix(hash ^ last);
}
