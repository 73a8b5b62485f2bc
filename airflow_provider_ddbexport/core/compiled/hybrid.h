/* The hybrid of runs and packed bits, in which Parquet has levels and the indexes of dictionaries. */
#ifndef DDBEXPORT_HYBRID_H
#define DDBEXPORT_HYBRID_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *at, *end;
} input;

static inline uint32_t little_endian(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Bits that hold the numbers up to `most`. */
int bits_of(uint32_t most);

/* Decodes `count` numbers of `width` bits; 0 when the input ends before. */
int decode_hybrid(input *in, int width, uint32_t *numbers, size_t count);

/* Bytes that encode_hybrid writes at most. */
size_t hybrid_room(size_t count, int width);

uint8_t *encode_hybrid(uint8_t *out, int width, const uint32_t *numbers, size_t count);

/* Levels of 0 to `most` as a page has them: their size, then the hybrid. */
int decode_levels(input *in, int most, uint32_t *levels, size_t count);
uint8_t *encode_levels(uint8_t *out, int most, const uint32_t *levels, size_t count);

#endif
