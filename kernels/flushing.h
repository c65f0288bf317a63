/* Denormal numbers, those too small for a full significand, cost some CPUs 150 cycles each, and training makes them
   without end: a gradient that vanishes, a weight that decays, a moment nobody feeds. While a `flushing` lives, its
   thread takes them as 0 and makes none. Every kernel that computes holds one: outside, nobody sees it. */
#pragma once
#include "lanes.h"

#if defined(__SSE2__)
INLINE uint32_t control() { uint32_t word; __asm__ volatile("stmxcsr %0" : "=m"(word) : : "memory"); return word; }
INLINE void control(uint32_t word) { __asm__ volatile("ldmxcsr %0" : : "m"(word) : "memory"); }
enum : uint32_t { FLUSH = 0x8040 };             /* MXCSR: flush to zero, denormals are zero */
#elif defined(__aarch64__)
INLINE uint64_t control() { uint64_t word; __asm__ volatile("mrs %0, fpcr" : "=r"(word) : : "memory"); return word; }
INLINE void control(uint64_t word) { __asm__ volatile("msr fpcr, %0" : : "r"(word) : "memory"); }
enum : uint64_t { FLUSH = 1 << 24 };            /* FPCR.FZ: both */
#else
INLINE uint32_t control() { return 0; }
INLINE void control(uint32_t) {}
enum : uint32_t { FLUSH = 0 };
#endif

class flushing {
    const decltype(control()) before = control();
public:
    INLINE_ME flushing() { if ((before & FLUSH) != FLUSH) control(before | FLUSH); }
    INLINE_ME ~flushing() { if ((before & FLUSH) != FLUSH) control(before); }
    flushing(const flushing &) = delete;
};

/* what is denormal becomes 0 of its sign: for arithmetic that is not a kernel's */
template <class T> static void flush(T *x, long n)
{
    typedef typename traits<T>::integer integer;
    constexpr T infinity = __builtin_inf(), zero = (T)-0.0;
    integer exponent, sign;
    memcpy(&exponent, &infinity, sizeof(T));
    memcpy(&sign, &zero, sizeof(T));
    for (long i = 0; i < n; i++) {
        integer bits;
        memcpy(&bits, x + i, sizeof(T));
        bits = bits & exponent ? bits : bits & sign;
        memcpy(x + i, &bits, sizeof(T));
    }
}
