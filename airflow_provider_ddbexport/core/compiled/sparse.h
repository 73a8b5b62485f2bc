/* Columns as Parquet has their values: a data page for one that is mostly null, data pages for one that has no null, and
 * whether values repeat. */
#ifndef DDBEXPORT_SPARSE_H
#define DDBEXPORT_SPARSE_H

#include <stddef.h>
#include <stdint.h>

enum sparse_values { SPARSE_BITS, SPARSE_INTEGERS, SPARSE_DOUBLES, SPARSE_DECIMALS, SPARSE_BYTE_ARRAYS };

/* An Arrow array of one level. */
typedef struct {
    enum sparse_values values;
    const uint8_t *validity; /* a bit for each row, of which the first is number `offset`; NULL where none is null */
    int64_t offset, rows;
    const uint8_t *fixed;   /* of fixed width, 8 or 16 bytes, or bits; of byte arrays their int32 offsets */
    const uint8_t *bytes;   /* of byte arrays */
    int width;              /* bytes of a decimal in Parquet */
} sparse_column;

/* Which rows of a column have a value. */
typedef struct {
    const uint8_t *bits; /* one for each row, of which the first is number `offset` */
    int64_t offset, rows;
} sparse_levels;

typedef struct {
    size_t size;             /* of the page, once written */
    int64_t lowest, highest; /* values; -1 where there is none */
} sparse_page;

/* Bytes that the page takes at most. */
size_t sparse_room(const sparse_levels *levels, const sparse_column *values);

/* Writes the page of a column with `values`, none of which is null, in the rows that `levels` say, to `out`, which has
 * room for it. */
void sparse_write(const sparse_levels *levels, const sparse_column *values, uint8_t *out, sparse_page *page);

/* The row behind the last that fits into a page of a column without nulls that begins with `row`, where a page has values
 * of `most` bytes, or one value. */
int64_t plain_end(const sparse_column *values, int64_t row, size_t most);
/* Bytes of the page of the rows up to `end`. */
size_t plain_size(const sparse_column *values, int64_t row, int64_t end);
/* Writes that page to `out`. `page` has to be what the page before it left there, or begin with both rows at -1: they
 * become those of the lowest and the highest value so far. */
void plain_write(const sparse_column *values, int64_t row, int64_t end, uint8_t *out, sparse_page *page);

/* Returns how many different values there are among the first `wanted` that are there, and how many those are in
 * `*found`; -1 when there is no memory. Values with equal hashes of 64 bits count as equal. */
int64_t sparse_distinct(const sparse_column *column, int64_t wanted, int64_t *found);

/* Whether the value of `row` orders before that of `other`, as statistics have it. */
int sparse_is_less(const sparse_column *column, int64_t row, int64_t other);
/* Writes the value of `row`, plain, to `out` and returns where it ends. Bits go into the byte before `out`, but for every
 * eighth row, which begins one. */
uint8_t *sparse_write_value(const sparse_column *column, int64_t row, uint8_t *out);

/* The value of `row` as statistics have it: in place, or in `scratch`. */
const uint8_t *sparse_statistic(const sparse_column *column, int64_t row, uint8_t scratch[16], size_t *size);

#endif
