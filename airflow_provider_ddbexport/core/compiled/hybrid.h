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

/* Numbers that follow each other: `number` again and again, or those at `packed`, where `size` bytes can be read. */
typedef struct {
    size_t count, size;
    const uint8_t *packed;
    uint32_t number;
} hybrid_run;

/* Takes the next run of numbers of `width` bits, of which at most `left` count; 0 when the input ends before. */
int next_run(input *in, int width, size_t left, hybrid_run *run);

/* Decodes `count` numbers of `width` bits; 0 when the input ends before. */
int decode_hybrid(input *in, int width, uint32_t *numbers, size_t count);

/* Bytes that encode_hybrid and split_hybrid write at most. */
size_t hybrid_room(size_t count, int width);

uint8_t *encode_hybrid(uint8_t *out, int width, const uint32_t *numbers, size_t count);

/* Behind the last of places. */
#define NO_PLACE UINT32_MAX

/* Decodes those of `count` numbers of `width` bits that are at the places `gone`, in order and with NO_PLACE behind them,
 * to `picked`. Unless `kept` is NULL the `stays` others are put at `*kept`, which has room for so many and moves behind them:
 * packed bits are copied as they are, and runs get shorter. Returns 0 when the input ends before, or where a run is
 * of a number that has more bits. */
int split_hybrid(
    input *in, int width, size_t count, const uint32_t *gone, uint32_t *picked, size_t stays, uint8_t **kept
);

/* The same with bits that are packed in `size` bytes, enough for them, and nothing else. */
void split_bits(const uint8_t *in, size_t size, size_t count, const uint32_t *gone, uint32_t *picked, uint8_t *kept);

/* A size, as it lies before levels in a page, and what has that size; 0 when the input ends before. */
int take_sized(input *in, input *sized);
void put_size(uint8_t *out, size_t size);

#endif
