/* Short texts as numbers: words of them, and hashes. */
#ifndef DDBEXPORT_HASH_H
#define DDBEXPORT_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t word_at(const uint8_t *text) {
    uint64_t word;
    memcpy(&word, text, sizeof word);
    return word;
}

static inline uint32_t half_word_at(const uint8_t *text) {
    uint32_t word;
    memcpy(&word, text, sizeof word);
    return word;
}

/* Of less than eight bytes. */
static inline uint64_t short_word_at(const uint8_t *text, size_t size) {
    if (size >= 4) return (uint64_t)half_word_at(text) << 32 | half_word_at(text + size - 4);
    if (size == 0) return 0;
    return (uint64_t)text[0] << 16 | (uint64_t)text[size / 2] << 8 | text[size - 1];
}

/* The first eight bytes as a number that orders as they do. */
static inline uint64_t beginning_of(const uint8_t *text, size_t size) {
    uint64_t beginning = 0;
    if (size >= 8)
        return (uint64_t)text[0] << 56 | (uint64_t)text[1] << 48 | (uint64_t)text[2] << 40 | (uint64_t)text[3] << 32 |
               (uint64_t)text[4] << 24 | (uint64_t)text[5] << 16 | (uint64_t)text[6] << 8 | text[7];
    for (size_t i = 0; i < size; i++) beginning |= (uint64_t)text[i] << (56 - 8 * i);
    return beginning;
}

/* Drawn once by a module that has it, so that nobody can choose texts that collide. Nothing that is written depends on
 * it. */
extern uint64_t hash_seed;

static inline uint64_t hash_bytes(uint64_t seed, const uint8_t *text, size_t size) {
    uint64_t hash = seed ^ size;
    if (size < 8) return hash_mix(hash ^ short_word_at(text, size), 0xD6E8FEB86659FD93u);
    for (size_t i = 0; i + 8 < size; i += 8) hash = hash_mix(hash ^ word_at(text + i), 0x9E3779B97F4A7C15u);
    return hash_mix(hash ^ word_at(text + size - 8), 0xD6E8FEB86659FD93u);
}

#endif
