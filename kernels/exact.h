/* Sums of doubles without rounding: integers of many words of 32 bits, each kept in 64 so that much
   can be added to it before it must carry. See Kulisch, Computer Arithmetic and Validity (2013);
   Neal, Fast exact summation using small and large superaccumulators (2015). */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { OFTEN = 1024 };      /* values between two carries: each adds less than 2^53 to a word */

/* Each word but the last into [0, 2^32). */
static inline void carry(int64_t *words, size_t count) {
    for (size_t i = 0; i + 1 < count; i++) {
        int64_t over = words[i] >> 32;
        words[i] &= 0xffffffff;
        words[i + 1] = (int64_t)((uint64_t)words[i + 1] + (uint64_t)over);
    }
}

/* |x| = mantissa 2^(exponent - 1074), x finite. */
struct parts {
    uint64_t mantissa, negative;
    unsigned exponent;
    explicit parts(double x) {
        uint64_t bits;
        memcpy(&bits, &x, sizeof bits);
        unsigned biased = bits >> 52 & 2047, normal = biased != 0;
        negative = -(bits >> 63);
        mantissa = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)normal << 52;
        exponent = biased - normal;
    }
};

/* words += x 2^1074 */
static inline void add_values(const double *x, size_t n, int64_t *words, size_t count) {
    for (size_t i = 0; i < n; i++) {
        if (i % OFTEN == 0)
            carry(words, count);
        parts p(x[i]);
        unsigned shift = p.exponent % 32;
        uint64_t low = p.mantissa << shift & 0xffffffff, high = p.mantissa >> (32 - shift);
        int64_t *word = words + p.exponent / 32;
        word[0] += (int64_t)((low ^ p.negative) - p.negative);
        word[1] += (int64_t)((high ^ p.negative) - p.negative);
    }
    carry(words, count);
}

/* words += x^2 2^2148 */
static inline void add_squares(const double *x, size_t n, int64_t *words, size_t count) {
    for (size_t i = 0; i < n; i++) {
        if (i % OFTEN == 0)
            carry(words, count);
        parts p(x[i]);
        unsigned __int128 square = (unsigned __int128)p.mantissa * p.mantissa;
        unsigned shift = 2 * p.exponent % 32;
        unsigned __int128 low = (unsigned __int128)(uint64_t)square << shift;
        unsigned __int128 high = square >> 64 << shift;
        int64_t *word = words + 2 * p.exponent / 32;
        word[0] += (int64_t)(low & 0xffffffff);
        word[1] += (int64_t)(low >> 32 & 0xffffffff);
        word[2] += (int64_t)((low >> 64) + (high & 0xffffffff));
        word[3] += (int64_t)(high >> 32);
    }
    carry(words, count);
}
