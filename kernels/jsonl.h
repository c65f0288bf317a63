/* The loops over bytes that jsonl.pyx is made of: the same results on every CPU. */
#pragma once
#include "words.h"

/* The first byte of [p, stop) that ends a run of text in a JSON string: a quote, a backslash or a control character;
   else stop. Up to `end` there are bytes that may be looked at. */
static inline text run_end(text p, text stop, text end) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1f);
    for (; p < stop && end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        __m128i found = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)),
                                     _mm_cmpeq_epi8(_mm_max_epu8(bytes, control), control));
        unsigned hits = _mm_movemask_epi8(found);
        if (hits) {
            int at = __builtin_ctz(hits);
            return stop - p > at ? p + at : stop;
        }
    }
#endif
    while (p < stop && *p != '"' && *p != '\\' && *p > 0x1f)
        p++;
    return p < stop ? p : stop;
}

/* The first byte of [p, stop) that is not ASCII, else stop. */
static inline text ascii_end(text p, text stop) {
    for (; stop - p >= 8; p += 8)
        if (read<uint64_t>(p) & 0x8080808080808080)
            break;
    while (p < stop && *p < 0x80)
        p++;
    return p;
}

/* The first byte of [p, stop) at which it is not UTF-8, else stop. */
static inline text utf8_end(text p, text stop) {
    while ((p = ascii_end(p, stop)) < stop) {
        int more = *p < 0xc2 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : *p < 0xf5 ? 3 : 0;
        if (!more || stop - p <= more)
            return p;
        unsigned char low = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80, high = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;
        if (p[1] < low || p[1] > high)
            return p;
        for (int i = 2; i <= more; i++)
            if ((p[i] & 0xc0) != 0x80)
                return p;
        p += more + 1;
    }
    return p;
}
