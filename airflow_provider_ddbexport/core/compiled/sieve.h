/* A set of values that may say of one it was not given that it has it; never the other way round (a Bloom filter). */
#ifndef DDBEXPORT_SIEVE_H
#define DDBEXPORT_SIEVE_H

#include <stddef.h>
#include <stdint.h>

#include "hash.h"

/* The bits of a value are in one word of each, so that looking a value up waits for memory once: most are told by the rough
 * words, which are few and near. Zeroes have nothing. The numbers of the last words have all bits set below their highest. */
typedef struct {
    uint64_t *words, *rough;
    uint64_t last, last_rough;
} sieve;

#define SIEVE_FINE_BYTES (UINT64_C(1) << 24)

/* Rough words for `values`: a quarter for each, which takes one or two in a thousand others for one of them; a power of two
 * in at most `most_bytes`. */
static inline uint64_t sieve_rough_words(uint64_t values, uint64_t most_bytes) {
    uint64_t words = 1;
    while (words * 4 < values && words * 16 <= most_bytes) words *= 2;
    return words;
}

/* Words for `values`: two for each, or as many as are in SIEVE_FINE_BYTES, which lets one or two in a million others through;
 * the rough ones where those are more. */
static inline uint64_t sieve_words(uint64_t values, uint64_t most_bytes) {
    uint64_t words = sieve_rough_words(values, most_bytes);
    while (words < values * 2 && words * 16 <= SIEVE_FINE_BYTES) words *= 2;
    return words;
}

static inline uint64_t sieve_rough_bits(uint64_t hash) {
    return UINT64_C(1) << (hash >> 28 & 63) | UINT64_C(1) << (hash >> 34 & 63) | UINT64_C(1) << (hash >> 40 & 63);
}

static inline uint64_t sieve_bits(uint64_t hash) {
    return sieve_rough_bits(hash) | UINT64_C(1) << (hash >> 46 & 63) | UINT64_C(1) << (hash >> 52 & 63) |
           UINT64_C(1) << (hash >> 58);
}

static inline void sieve_add(const sieve *s, const uint8_t *at, size_t size) {
    uint64_t hash = hash_bytes(0, at, size);
    s->rough[hash & s->last_rough] |= sieve_rough_bits(hash);
    s->words[hash & s->last] |= sieve_bits(hash);
}

/* Values that are looked up together, so that their words are waited for at the same time. */
typedef struct {
    size_t count;
    uint64_t hashes[64];
    uint8_t *marks[64];
} sieve_lookups;

/* Takes away the marks of those that the sieve has not, and forgets all. */
static inline void sieve_look_up(const sieve *s, sieve_lookups *l) {
    size_t passed = 0;
    for (size_t i = 0; i < l->count; i++) {
        uint64_t hash = l->hashes[i], bits = sieve_rough_bits(hash);
        if ((s->rough[hash & s->last_rough] & bits) != bits) {
            *l->marks[i] = 0;
            continue;
        }
        __builtin_prefetch(&s->words[hash & s->last]);
        l->hashes[passed] = hash;
        l->marks[passed++] = l->marks[i];
    }
    for (size_t i = 0; i < passed; i++) {
        uint64_t bits = sieve_bits(l->hashes[i]);
        *l->marks[i] = (s->words[l->hashes[i] & s->last] & bits) == bits;
    }
    l->count = 0;
}

/* Has the value at `at` looked up, if not at once; its `mark` is 1. */
static inline void sieve_ask(const sieve *s, sieve_lookups *l, const uint8_t *at, size_t size, uint8_t *mark) {
    uint64_t hash = hash_bytes(0, at, size);
    __builtin_prefetch(&s->rough[hash & s->last_rough]);
    l->hashes[l->count] = hash;
    l->marks[l->count++] = mark;
    if (l->count == sizeof l->hashes / sizeof *l->hashes) sieve_look_up(s, l);
}

#endif
