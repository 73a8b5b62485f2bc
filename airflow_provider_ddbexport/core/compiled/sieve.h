/* A set of values that may say of one it was not given that it has it; never the other way round (a Bloom filter). */
#ifndef DDBEXPORT_SIEVE_H
#define DDBEXPORT_SIEVE_H

#include <stddef.h>
#include <stdint.h>

#include "hash.h"

/* The six bits of a value are in one word, so that looking a value up waits for memory once. Zeroes have nothing. */
typedef struct {
    uint64_t *words;
    uint64_t last; /* number of the last word; all bits below its highest are set */
} sieve;

/* A sieve of so many bytes stays in the processor's cache. */
#define SIEVE_NEAR_BYTES (UINT64_C(1) << 20)

/* Words for `values`, a power of two in at most `most_bytes`: two for each value as long as they are near, which takes a few
 * in a million others for one of them; a quarter for each of more, which takes one or two in a thousand. */
static inline uint64_t sieve_words(uint64_t values, uint64_t most_bytes) {
    uint64_t words = 1;
    for (uint64_t bytes = 16; bytes <= most_bytes; bytes *= 2, words *= 2)
        if (words * 4 >= values && (words >= values * 2 || bytes > SIEVE_NEAR_BYTES)) break;
    return words;
}

static inline uint64_t sieve_bits(uint64_t hash) {
    return UINT64_C(1) << (hash >> 28 & 63) | UINT64_C(1) << (hash >> 34 & 63) | UINT64_C(1) << (hash >> 40 & 63) |
           UINT64_C(1) << (hash >> 46 & 63) | UINT64_C(1) << (hash >> 52 & 63) | UINT64_C(1) << (hash >> 58);
}

static inline void sieve_add(sieve *s, const uint8_t *at, size_t size) {
    uint64_t hash = hash_bytes(0, at, size);
    s->words[hash & s->last] |= sieve_bits(hash);
}

static inline int sieve_has(const sieve *s, const uint8_t *at, size_t size) {
    uint64_t hash = hash_bytes(0, at, size), bits = sieve_bits(hash);
    return (s->words[hash & s->last] & bits) == bits;
}

#endif
