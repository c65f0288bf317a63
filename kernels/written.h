/* Numbers as printf's %.{digits}g writes them, by whole numbers alone: the same bytes in every locale. */
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { FIVES_KNOWN = 83, LONGEST = 24 };       /* 5^0 to 5^82 are below 2^192; -1.2345678901234567e-300 has 24 bytes */

/* m 5^k 2^-shift, rounded to the nearest whole number, half to even; it must be below 2^64. */
static inline uint64_t scaled(uint64_t m, const uint64_t five[3], int shift) {
    uint64_t limbs[5] = {0, 0, 0, 0, 0}, above = 0;
    for (int i = 0; i < 3; i++) {
        unsigned __int128 product = (unsigned __int128)m * five[i] + above;
        limbs[i] = (uint64_t)product;
        above = (uint64_t)(product >> 64);
    }
    limbs[3] = above;
    if (shift <= 0)
        return limbs[0] << -shift;
    const int word = shift / 64, bit = shift % 64;
    uint64_t whole = bit ? limbs[word] >> bit | limbs[word + 1] << (64 - bit) : limbs[word];
    const int half = (shift - 1) / 64, at = (shift - 1) % 64;
    if (limbs[half] >> at & 1) {
        uint64_t rest = limbs[half] & (((uint64_t)1 << at) - 1);
        for (int i = 0; i < half; i++)
            rest |= limbs[i];
        whole += rest || (whole & 1);
    }
    return whole;
}

/* Writes a number; returns its size, or 0 where it is too large or too small for `scaled`. */
static inline int write_number(double value, int digits, const uint64_t (*fives)[3], const uint64_t *tens,
                               unsigned char *out) {
    unsigned char *p = out, text[20];
    uint64_t bits, m;
    memcpy(&bits, &value, 8);
    if (isnan(value)) {
        memcpy(p, "nan", 3);
        return 3;
    }
    if (bits >> 63)
        *p++ = '-';
    if (isinf(value)) {
        memcpy(p, "inf", 3);
        return (int)(p + 3 - out);
    }
    if (value == 0) {
        *p++ = '0';
        return (int)(p - out);
    }
    int power = (int)(bits >> 52 & 2047);
    if (!power)
        return 0;
    m = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
    power -= 1075;                              /* value = m 2^power */
    const int product = (power + 52) * 30103;   /* the exponent, or 1 less */
    int e = product / 100000 - (product % 100000 < 0), k = digits - 1 - e;
    uint64_t whole = 0;
    for (int turn = 0; turn < 2; turn++, e++, k--) {
        if (k < 0 || k >= FIVES_KNOWN || power + k <= -256)
            return 0;
        whole = scaled(m, fives[k], -power - k);
        if (whole < tens[digits])
            break;
    }
    for (int i = digits - 1; i >= 0; i--, whole /= 10)
        text[i] = (unsigned char)('0' + whole % 10);
    int size = digits;                          /* without the zeros at the end */
    while (size > 1 && text[size - 1] == '0')
        size--;
    const bool fixed = -4 <= e && e < digits;
    const int before = fixed ? (e < 0 ? 0 : e + 1) : 1;         /* digits before the point */
    if (fixed && e < 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = -1; i > e; i--)
            *p++ = '0';
    }
    for (int i = 0; i < (size > before ? size : before); i++) {
        if (i == before && i)
            *p++ = '.';
        *p++ = text[i];
    }
    if (!fixed) {
        *p++ = 'e';
        *p++ = e < 0 ? '-' : '+';
        const int size = e < 0 ? -e : e;
        if (size >= 100)
            *p++ = (unsigned char)('0' + size / 100);
        *p++ = (unsigned char)('0' + size / 10 % 10);
        *p++ = (unsigned char)('0' + size % 10);
    }
    return (int)(p - out);
}
