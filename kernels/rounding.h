/* Decimal numbers to doubles: Lemire, Number parsing at a gigabyte per second (2021). */
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

/* m 10^power, rounded to the nearest double; false where 128 bits do not decide it or it is denormal.
   fives[power + 342]: the leading 128 bits of 5^power, high word first; from -27 to -1 rounded up. */
static inline bool round_decimal(uint64_t m, long power, const uint64_t (*fives)[2],
                                 double *value) {
    typedef unsigned __int128 wide;
    if (m == 0 || power < -342 || power > 308) {
        *value = m && power > 0 ? INFINITY : 0;
        return true;
    }
    int zeros = __builtin_clzll(m);
    m <<= zeros;
    const uint64_t *five = fives[power + 342];
    wide product = (wide)m * five[0];
    if ((uint64_t)(product >> 64) % 512 == 511)         /* more bits may carry into the first 55 */
        product += (uint64_t)((wide)m * five[1] >> 64);
    uint64_t high = product >> 64, low = (uint64_t)product;
    if (low == UINT64_MAX)
        return false;
    int top = high >> 63, shift = top + 9;
    long exponent = (217706 * power >> 16) + 63 + top - zeros + 1023;   /* 217706 / 2^16: log2 10 */
    if (exponent <= 0)
        return false;
    uint64_t bits = high >> shift;                      /* 53 bits and the one to round by */
    if (low <= 1 && -4 <= power && power <= 23 && bits % 4 == 1 && bits << shift == high)
        bits--;                                         /* halfway: to the even one */
    bits = (bits + (bits & 1)) >> 1;
    if (bits >> 53) {
        bits >>= 1;
        exponent++;
    }
    if (exponent >= 2047) {
        *value = INFINITY;
        return true;
    }
    bits = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)exponent << 52;
    memcpy(value, &bits, sizeof bits);
    return true;
}
