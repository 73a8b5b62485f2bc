/* Numbers of seven bits a byte, the lowest first, as Parquet and Thrift write them. */
#ifndef DDBEXPORT_VARINT_H
#define DDBEXPORT_VARINT_H

#include <stdint.h>

enum { LONGEST_VARINT = 10 };

/* Returns where it ends; `out` has room for LONGEST_VARINT. */
static inline uint8_t *write_varint(uint8_t *out, uint64_t number) {
    for (; number >= 0x80; number >>= 7) *out++ = (uint8_t)(number | 0x80);
    *out++ = (uint8_t)number;
    return out;
}

/* Reads one of at most 35 bits, and moves `*at` behind it; 0 when `end` comes before, or it is longer. */
static inline int read_varint(const uint8_t **at, const uint8_t *end, uint64_t *number) {
    *number = 0;
    for (int shift = 0; *at < end && shift <= 28; shift += 7) {
        *number |= (uint64_t)(**at & 0x7F) << shift;
        if (!(*(*at)++ & 0x80)) return 1;
    }
    return 0;
}

#endif
