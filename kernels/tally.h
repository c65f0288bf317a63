/* The tables that tally.pyx is made of: open addressing, from the top bits of a hash on. */
#pragma once
#include "words.h"
#include <stdlib.h>

struct Entry {
    uint64_t hash;
    int64_t count;
    size_t start;               /* of its word in the text */
    uint32_t length, low, high; /* low, high: of its labels */
};

/* Zero bytes are an empty one. */
struct Sample {
    size_t most, bytes_most;    /* how many words are kept at most, and bytes of them */
    unsigned level, bits;       /* bits: 2^bits slots, or none yet */
    Entry *entries;
    size_t size, room;
    uint32_t *slots;            /* 1 + the place of an entry; 0: free */
    unsigned char *text;
    size_t bytes, used, space;  /* bytes: of the words; used: of the text, with those of words that are gone */
};

static inline bool sampled(const Sample *s, uint64_t hash) {
    return s->level < 64 ? !(hash & (((uint64_t)1 << s->level) - 1)) : !hash;
}

/* The slot of a hash, or the free one where it would be. */
static inline size_t slot_of(const Sample *s, uint64_t hash) {
    size_t at = hash >> (64 - s->bits), mask = ((size_t)1 << s->bits) - 1;
    while (s->slots[at] && s->entries[s->slots[at] - 1].hash != hash)
        at = (at + 1) & mask;
    return at;
}

static inline bool is_word(const Sample *s, const Entry *e, text p, size_t length) {
    return e->length == length && (!length || !memcmp(s->text + e->start, p, length));
}

static inline void fill_slots(Sample *s) {
    memset(s->slots, 0, sizeof(uint32_t) << s->bits);
    for (size_t i = 0; i < s->size; i++)
        s->slots[slot_of(s, s->entries[i].hash)] = (uint32_t)i + 1;
}

/* Room for one entry more. Each function here returns false where no memory is left. */
static inline bool make_room(Sample *s) {
    if (s->size < s->room)
        return true;
    unsigned bits = s->bits ? s->bits + 1 : 5;
    size_t room = (size_t)1 << (bits - 1);
    Entry *entries = (Entry *)realloc(s->entries, room * sizeof(Entry));
    if (entries)
        s->entries = entries;
    uint32_t *slots = (uint32_t *)realloc(s->slots, sizeof(uint32_t) << bits);
    if (slots)
        s->slots = slots;
    if (!entries || !slots)
        return false;
    s->bits = bits, s->room = room;
    fill_slots(s);
    return true;
}

static inline bool keep_text(Sample *s, Entry *e, text p, size_t length) {
    if (length > s->space - s->used) {
        size_t space = 2 * s->space > s->used + length ? 2 * s->space : s->used + length;
        unsigned char *to = (unsigned char *)realloc(s->text, space);
        if (!to)
            return false;
        s->text = to, s->space = space;
    }
    if (length)
        memcpy(s->text + s->used, p, length);
    e->start = s->used, e->length = (uint32_t)length;
    s->used += length, s->bytes += length;
    return true;
}

/* Leaves the words that are of this level, and the text of these alone. */
static inline bool raise_level(Sample *s, unsigned level) {
    unsigned char *old = s->text;
    Entry *to = s->entries;
    s->level = level;
    s->text = NULL, s->used = s->bytes = 0;
    for (size_t i = 0; i < s->size; i++)
        if (sampled(s, s->entries[i].hash))
            s->bytes += s->entries[i].length;
    s->space = s->bytes, s->bytes = 0;
    if (s->space && !(s->text = (unsigned char *)malloc(s->space))) {
        s->text = old;
        return false;
    }
    for (size_t i = 0; i < s->size; i++) {
        Entry e = s->entries[i];
        if (sampled(s, e.hash)) {
            keep_text(s, &e, old + e.start, e.length);
            *to++ = e;
        }
    }
    s->size = to - s->entries;
    if (s->bits)
        fill_slots(s);
    free(old);
    return true;
}

/* Counts a word whose hash is of the level. Words of one hash count as the first of them. */
static inline bool count_word(Sample *s, uint64_t hash, text p, size_t length, int64_t count, uint32_t low, uint32_t high) {
    if (s->bits) {
        size_t at = slot_of(s, hash);
        if (s->slots[at]) {
            Entry *e = s->entries + s->slots[at] - 1;
            e->count += count;
            e->low = low < e->low ? low : e->low;
            e->high = high > e->high ? high : e->high;
            if (is_word(s, e, p, length))
                return true;
            size_t shared = length < e->length ? length : e->length;
            int order = shared ? memcmp(p, s->text + e->start, shared) : 0;
            if (order > 0 || (order == 0 && length > e->length))
                return true;
            s->bytes -= e->length;
            return keep_text(s, e, p, length);
        }
    }
    while (s->size >= s->most && s->level < 64) {   /* before there is room for more than that */
        if (!raise_level(s, s->level + 1))
            return false;
        if (!sampled(s, hash))
            return true;
    }
    if (!make_room(s))
        return false;
    Entry e = {hash, count, 0, 0, low, high};
    if (!keep_text(s, &e, p, length))
        return false;
    s->slots[slot_of(s, hash)] = (uint32_t)s->size + 1;
    s->entries[s->size++] = e;
    while (s->bytes > s->bytes_most && s->level < 64)
        if (!raise_level(s, s->level + 1))
            return false;
    return true;
}

/* Tables of many columns do not stay in the cache: what a word will need is asked for some words ahead, step by step. GCC leaves
   out calls that do nothing else, so there must be none. */
__attribute__((always_inline)) static inline void fetch(const Sample *s, uint64_t hash, int step) {
    if (!s->bits || !sampled(s, hash))
        return;
    const uint32_t *slot = s->slots + (hash >> (64 - s->bits));
    if (step == 0)
        __builtin_prefetch(slot);
    else if (*slot) {
        const Entry *e = s->entries + *slot - 1;
        __builtin_prefetch(step == 1 ? (const void *)e : (const void *)(s->text + e->start));
    }
}

struct Bin {
    int64_t key, count;         /* count 0: free */
};

/* Zero bytes are an empty one. */
struct Histogram {
    Bin *bins;
    size_t size;
    unsigned bits;              /* 2^bits bins, or none yet */
};

static inline size_t first_bin(const Histogram *h, int64_t key) {
    return (uint64_t)key * 0x9e3779b97f4a7c15 >> (64 - h->bits);
}

/* As `fetch`. */
__attribute__((always_inline)) static inline void fetch_bin(const Histogram *h, int64_t key) {
    if (h->bits)
        __builtin_prefetch(h->bins + first_bin(h, key));
}

static inline Bin *bin_of(const Histogram *h, int64_t key) {
    size_t at = first_bin(h, key), mask = ((size_t)1 << h->bits) - 1;
    while (h->bins[at].count && h->bins[at].key != key)
        at = (at + 1) & mask;
    return h->bins + at;
}

static inline bool count_key(Histogram *h, int64_t key) {
    if (2 * h->size >= (h->bits ? (size_t)1 << h->bits : 0)) {
        Histogram more = {NULL, h->size, h->bits ? h->bits + 1 : 6};
        if (!(more.bins = (Bin *)calloc((size_t)1 << more.bits, sizeof(Bin))))
            return false;
        for (size_t i = 0; h->bits && i < (size_t)1 << h->bits; i++)
            if (h->bins[i].count)
                *bin_of(&more, h->bins[i].key) = h->bins[i];
        free(h->bins);
        *h = more;
    }
    Bin *bin = bin_of(h, key);
    h->size += !bin->count;
    bin->key = key, bin->count++;
    return true;
}
