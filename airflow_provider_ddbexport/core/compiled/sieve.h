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

static inline void sieve_add(sieve *s, const uint8_t *at, size_t size) {
    uint64_t hash = hash_bytes(0, at, size);
    s->rough[hash & s->last_rough] |= sieve_rough_bits(hash);
    s->words[hash & s->last] |= sieve_bits(hash);
}

static inline int sieve_has(const sieve *s, const uint8_t *at, size_t size) {
    uint64_t hash = hash_bytes(0, at, size), bits = sieve_rough_bits(hash);
    if ((s->rough[hash & s->last_rough] & bits) != bits) return 0;
    bits = sieve_bits(hash);
    return (s->words[hash & s->last] & bits) == bits;
}

#endif
