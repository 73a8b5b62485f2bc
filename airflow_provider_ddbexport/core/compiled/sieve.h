/* A set of values that may say of one it was not given that it has it; never the other way round (a Bloom filter). */
#ifndef DDBEXPORT_SIEVE_H
#define DDBEXPORT_SIEVE_H

#include <stddef.h>
#include <stdint.h>

#include "hash.h"

/* The three bits of a value are in one word, so that looking a value up waits for memory once. Zeroes have nothing. */
typedef struct {
    uint64_t *words;
    uint64_t last; /* number of the last word; all bits below its highest are set */
} sieve;

static inline uint64_t sieve_bits(uint64_t hash) {
    return UINT64_C(1) << (hash & 63) | UINT64_C(1) << (hash >> 6 & 63) | UINT64_C(1) << (hash >> 12 & 63);
}

static inline void sieve_add(sieve *s, const uint8_t *at, size_t size) {
    uint64_t hash = hash_bytes(0, at, size);
    s->words[hash >> 18 & s->last] |= sieve_bits(hash);
}

static inline int sieve_has(const sieve *s, const uint8_t *at, size_t size) {
    uint64_t hash = hash_bytes(0, at, size), bits = sieve_bits(hash);
    return (s->words[hash >> 18 & s->last] & bits) == bits;
}

#endif
