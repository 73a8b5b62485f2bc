/* Bits packed from the lowest of the first byte on, as Parquet packs numbers. */
#ifndef DDBEXPORT_BITS_H
#define DDBEXPORT_BITS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BITS_ARE_WORDS 1
#else
#define BITS_ARE_WORDS 0
#endif

/* Bytes behind the last bit that are written, too. */
enum { BITS_ROOM = 8 };

/* At least 57 bits from number `bit` on; behind the `size` bytes there are zeroes. */
static inline uint64_t bits_at(const uint8_t *in, size_t size, size_t bit) {
    uint64_t word = 0;
    size_t first = bit / 8;
    if (BITS_ARE_WORDS && first + 8 <= size) memcpy(&word, in + first, 8);
    else
        for (size_t i = 0; i < 8 && first + i < size; i++) word |= (uint64_t)in[first + i] << 8 * i;
    return word >> bit % 8;
}

/* Puts up to 57 bits behind the first `bit` of `out`; all others of `bits` are to be zeroes. */
static inline void put_bits(uint8_t *out, size_t bit, uint64_t bits) {
    uint64_t word = bits << bit % 8;
    out += bit / 8;
    if (bit % 8) word |= *out & ((1u << bit % 8) - 1);
    if (BITS_ARE_WORDS) memcpy(out, &word, 8);
    else
        for (int i = 0; i < 8; i++) out[i] = (uint8_t)(word >> 8 * i);
}

/* Copies `count` bits from number `from` of `in`, which has `size` bytes, behind the first `to` bits of `out`. */
static inline void copy_bits(uint8_t *out, size_t to, const uint8_t *in, size_t size, size_t from, size_t count) {
    size_t odd = to % 8 ? 8 - to % 8 : 0;
    if (odd > count) odd = count;
    if (odd) put_bits(out, to, bits_at(in, size, from) & ((UINT64_C(1) << odd) - 1));
    to += odd, from += odd, count -= odd;
    if (from % 8 == 0 && count >= 8) {
        size_t whole = count / 8;
        memcpy(out + to / 8, in + from / 8, whole);
        to += 8 * whole, from += 8 * whole, count -= 8 * whole;
    }
    for (; count >= 56; to += 56, from += 56, count -= 56) put_bits(out, to, bits_at(in, size, from) & ((UINT64_C(1) << 56) - 1));
    if (count) put_bits(out, to, bits_at(in, size, from) & ((UINT64_C(1) << count) - 1));
}

#endif
