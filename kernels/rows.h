/* BLAKE2b (RFC 7693) of many rows, and their text: the same bytes on every CPU. Rows of equally many
   blocks are hashed side by side, one in each lane of a vector. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef const unsigned char *text;
typedef uint64_t four __attribute__((vector_size(32)));
typedef uint64_t eight __attribute__((vector_size(64)));
#define INLINE static inline __attribute__((always_inline))

enum { BLOCK = 128 };
static const uint64_t INITIAL[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
static constexpr unsigned char SIGMA[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}};

/* Little-endian on every CPU. */
INLINE uint64_t word_at(text p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

template <class V> INLINE void turn(V &x, int right) { x = x >> right | x << (64 - right); }

template <class V> INLINE void mix(V *v, int a, int b, int c, int d, const V &x, const V &y) {
    v[a] += v[b] + x;
    v[d] ^= v[a];
    turn(v[d], 32);
    v[c] += v[d];
    v[b] ^= v[c];
    turn(v[b], 24);
    v[a] += v[b] + y;
    v[d] ^= v[a];
    turn(v[d], 16);
    v[c] += v[d];
    v[b] ^= v[c];
    turn(v[b], 63);
}

/* h = the state after one more block m; size: bytes so far; last: all bits set in the last block. */
template <class V> INLINE void compress(V *h, const V *m, const V &size, uint64_t last) {
    V v[16];
    for (int i = 0; i < 8; i++)
        v[i] = h[i], v[i + 8] = V{} + INITIAL[i];
    v[12] ^= size;
    v[14] ^= last;
#pragma GCC unroll 12
    for (int round = 0; round < 12; round++) {
        const unsigned char *s = SIGMA[round];
        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

INLINE size_t blocks(size_t size) { return size ? (size + BLOCK - 1) / BLOCK : 1; }

INLINE uint64_t &lane(uint64_t &word, int) { return word; }
template <class V> INLINE uint64_t &lane(V &words, int i) { return ((uint64_t *)&words)[i]; }

/* The first 8 bytes of the digests of sizeof(V) / 8 rows of equally many blocks; read as big-endian. */
template <class V> INLINE void digests(const text *rows, const size_t *sizes, const uint64_t *begin, uint64_t *out) {
    enum { N = sizeof(V) / 8 };
    V h[8], m[16], size;
    const size_t count = blocks(sizes[0]);
    for (int i = 0; i < 8; i++)
        h[i] = V{} + begin[i];
    for (size_t block = 0; block < count; block++) {
        const bool last = block + 1 == count;
        for (int i = 0; i < N; i++) {
            unsigned char padded[BLOCK];
            text from = rows[i] + block * BLOCK;
            lane(size, i) = last ? sizes[i] : (block + 1) * BLOCK;
            if (last) {
                memset(padded, 0, BLOCK);
                memcpy(padded, from, sizes[i] - block * BLOCK);
                from = padded;
            }
            for (int j = 0; j < 16; j++)
                lane(m[j], i) = word_at(from + 8 * j);
        }
        compress(h, m, size, last ? ~(uint64_t)0 : 0);
    }
    for (int i = 0; i < N; i++)
        out[i] = __builtin_bswap64(lane(h[0], i));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "out is the bytes of a little-endian word, read as big-endian"
#endif
}

static void one_row(const text *rows, const size_t *sizes, const uint64_t *begin, uint64_t *out) {
    digests<uint64_t>(rows, sizes, begin, out);
}
#if defined(__x86_64__)
__attribute__((target("avx2"))) static void four_rows(
        const text *rows, const size_t *sizes, const uint64_t *begin, uint64_t *out) {
    digests<four>(rows, sizes, begin, out);
}
__attribute__((target("avx512f"))) static void eight_rows(
        const text *rows, const size_t *sizes, const uint64_t *begin, uint64_t *out) {
    digests<eight>(rows, sizes, begin, out);
}
#endif

/* out[n] of rows whose parameters made the state `begin`; starts and stops have strides, in items. */
static void hash_rows(text data, const int64_t *starts, ptrdiff_t start_step, const int64_t *stops, ptrdiff_t stop_step,
                      size_t n, const uint64_t *begin, uint64_t *out) {
    size_t most = 1, sizes[8];
    text rows[8];
    void (*many)(const text *, const size_t *, const uint64_t *, uint64_t *) = one_row;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        most = 8, many = eight_rows;
    else if (__builtin_cpu_supports("avx2"))
        most = 4, many = four_rows;
#endif
    for (size_t i = 0; i < n;) {
        size_t count = 0;
        for (; count < most && i + count < n; count++) {
            const size_t at = i + count;
            rows[count] = data + starts[at * start_step];
            sizes[count] = stops[at * stop_step] - starts[at * start_step];
            if (blocks(sizes[count]) != blocks(sizes[0]))
                break;
        }
        if (count == most)
            many(rows, sizes, begin, out + i);
        else
            for (size_t k = 0; k < count; k++)
                one_row(rows + k, sizes + k, begin, out + i + k);
        i += count;
    }
}

/* Base64 of a row, with padding; gives its end. PAIRS: the characters of 12 bits, in memory's order. */
static uint16_t PAIRS[4096];

static void fill_pairs() {
    static const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 4096; i++) {
        const char pair[2] = {alphabet[i >> 6], alphabet[i & 63]};
        memcpy(&PAIRS[i], pair, 2);
    }
}

static inline unsigned char *put_base64(text p, size_t size, unsigned char *out) {
    for (; size >= 3; size -= 3, p += 3, out += 4) {
        unsigned bits = p[0] << 16 | p[1] << 8 | p[2];
        memcpy(out, &PAIRS[bits >> 12], 2);
        memcpy(out + 2, &PAIRS[bits & 4095], 2);
    }
    if (size) {
        unsigned bits = p[0] << 16 | (size == 2 ? p[1] << 8 : 0);
        memcpy(out, &PAIRS[bits >> 12], 2);
        memcpy(out + 2, &PAIRS[bits & 4095], 2);
        out[3] = '=';
        if (size == 1)
            out[2] = '=';
        out += 4;
    }
    return out;
}

#if defined(__x86_64__)
/* The same, 24 bytes a turn (Mula and Lemire 2018): six bits a byte, then what lies between them and their characters, by ranges. */
__attribute__((target("avx2"))) static unsigned char *put_base64_wide(text p, size_t size, unsigned char *out) {
    const __m256i places = _mm256_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10, 1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    const __m256i beyond = _mm256_setr_epi8(71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 65, 0, 0,
                                            71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 65, 0, 0);
    for (; size >= 28; size -= 24, p += 24, out += 32) {
        const __m256i bytes = _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(
            _mm_loadu_si128((const __m128i *)p)), _mm_loadu_si128((const __m128i *)(p + 12)), 1), places);
        const __m256i sixths = _mm256_or_si256(
            _mm256_mulhi_epu16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x0fc0fc00)), _mm256_set1_epi32(0x04000040)),
            _mm256_mullo_epi16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x003f03f0)), _mm256_set1_epi32(0x01000010)));
        const __m256i ranges = _mm256_or_si256(_mm256_subs_epu8(sixths, _mm256_set1_epi8(51)),
                                               _mm256_and_si256(_mm256_cmpgt_epi8(_mm256_set1_epi8(26), sixths), _mm256_set1_epi8(13)));
        _mm256_storeu_si256((__m256i *)out, _mm256_add_epi8(sixths, _mm256_shuffle_epi8(beyond, ranges)));
    }
    return put_base64(p, size, out);
}
#endif

typedef unsigned char *(*Base64)(text p, size_t size, unsigned char *out);

static inline Base64 base64_here() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return put_base64_wide;
#endif
    return put_base64;
}

static inline unsigned char *put_hex(uint64_t word, unsigned char *out) {
    for (int shift = 60; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[word >> shift & 15];
    return out;
}

/* The bits of a character of base64; 64: none. */
static unsigned char SIXTH[256];

static void fill_sixth() {
    memset(SIXTH, 64, sizeof SIXTH);
    for (int i = 0; i < 4096; i += 65) {
        unsigned char pair[2];
        memcpy(pair, &PAIRS[i], 2);
        SIXTH[pair[0]] = i & 63;
    }
}

/* The bytes of base64 with padding: `size` characters, a multiple of four; gives their end, or NULL. */
static inline unsigned char *put_bytes(text p, size_t size, unsigned char *out) {
    unsigned wrong = 0;
    const size_t padding = size ? (p[size - 1] == '=') + (p[size - 1] == '=' && p[size - 2] == '=') : 0;
    const size_t whole = padding ? size - 4 : size;
    for (text end = p + whole; p < end; p += 4, out += 3) {
        const unsigned a = SIXTH[p[0]], b = SIXTH[p[1]], c = SIXTH[p[2]], d = SIXTH[p[3]];
        const unsigned bits = a << 18 | b << 12 | c << 6 | d;
        wrong |= a | b | c | d;
        out[0] = bits >> 16, out[1] = bits >> 8, out[2] = bits;
    }
    if (padding) {
        const unsigned a = SIXTH[p[0]], b = SIXTH[p[1]], c = padding == 1 ? SIXTH[p[2]] : 0;
        wrong |= a | b | c;
        *out++ = a << 2 | b >> 4;
        if (padding == 1)
            *out++ = b << 4 | c >> 2;
    }
    return wrong & 64 ? NULL : out;
}
