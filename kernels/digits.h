/* Short decimal numbers, eight digits at a time (Lemire's parse_eight_digits), without a branch on what they look like. */
#pragma once
#include "words.h"

enum { AHEAD_OF_DIGITS = 24 };  /* bytes from its begin on that `short_decimal` may look at */

static const uint64_t TENS_TO_EIGHT[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
static const double DIVISORS[2][9] = {{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}, {-1, -1e1, -1e2, -1e3, -1e4, -1e5, -1e6, -1e7, -1e8}};

#define EACH_BYTE(byte) ((byte) * 0x0101010101010101u)

/* The number that `count` digits make, of the characters in `word`, the first one lowest; other bytes make *wrong not 0. */
static inline uint64_t eight_digits(uint64_t word, int count, uint64_t *wrong) {
    const int before = 4 * (8 - count);                 /* half the bits that zeros in front take */
    word = (word ^ EACH_BYTE(0x30)) << before << before;
    *wrong |= ((word + EACH_BYTE(0x76)) | word) & EACH_BYTE(0x80);
    word = word * 10 + (word >> 8);
    return ((word & 0x000000ff000000ff) * 0x000f424000000064
            + (word >> 16 & 0x000000ff000000ff) * 0x0000271000000001) >> 32;
}

/* Whether the `size` bytes at p are -d.d with at most 8 digits before the point and 8 behind it, with or without minus and point,
   and their value is one rounding away; it is in *value then. */
static inline bool short_decimal(text p, size_t size, unsigned char point, double *value) {
    const uint64_t minus = *p == '-';
    p += minus, size -= minus;
    const uint64_t word = read<uint64_t>(p), same = word ^ EACH_BYTE(point);
    uint64_t points = (same - EACH_BYTE(1)) & ~same & EACH_BYTE(0x80), wrong = 0;       /* its lowest bit is right */
    const size_t at = points ? __builtin_ctzll(points) / 8 : 8;
    const size_t whole = at < size ? at : size;         /* digits before the point */
    const bool pointed = at < size && points;
    const size_t fraction = size - whole - pointed;
    if (fraction > 8 || whole + fraction == 0 || (whole == 8 && fraction))
        return false;
    const uint64_t head = eight_digits(word, (int)whole, &wrong);
    const uint64_t tail = eight_digits(read<uint64_t>(p + whole + pointed), (int)fraction, &wrong);
    const uint64_t digits = head * TENS_TO_EIGHT[fraction] + tail;
    if (wrong | (digits >> 53))
        return false;
    *value = (double)digits / DIVISORS[minus][fraction];        /* -0.0 where they are 0 */
    return true;
}
