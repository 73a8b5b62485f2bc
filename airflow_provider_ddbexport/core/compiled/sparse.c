/* Writing columns as data pages of Parquet: one that is mostly null at the cost of the values it has, one without nulls
 * with nothing between its values and the page; and counting values.
 *
 * A page is: the size of the definition levels; the levels; then the values of those rows that have one. Levels are one
 * packed run with a bit for each row, which is what Arrow's validity is; or where no row is null, one run of ones. Both
 * sides are little-endian.
 */
#include "sparse.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "varint.h"

static size_t level_bytes(int64_t rows) { return (size_t)(rows + 7) / 8; }

/* Up to 64 bits from `row` on, the first in the lowest bit; none behind the last row. */
static uint64_t bits_at(const uint8_t *bits, int64_t offset, int64_t rows, int64_t row) {
    int64_t first = offset + row, left = rows - row;
    const uint8_t *at = bits + first / 8;
    int shift = (int)(first % 8);
    int64_t count = left < 64 ? left : 64;
    size_t bytes = (size_t)(shift + count + 7) / 8;
    uint64_t low = 0;
    memcpy(&low, at, bytes < 8 ? bytes : 8);
    low >>= shift;
    if (bytes == 9) low |= (uint64_t)at[8] << (64 - shift);
    return count == 64 ? low : low & (((uint64_t)1 << count) - 1);
}

static int64_t integer_at(const sparse_column *column, int64_t row) {
    int64_t value;
    memcpy(&value, column->fixed + 8 * (column->offset + row), 8);
    return value;
}

static double double_at(const sparse_column *column, int64_t row) {
    double value;
    memcpy(&value, column->fixed + 8 * (column->offset + row), 8);
    return value;
}

static __int128 decimal_at(const sparse_column *column, int64_t row) {
    __int128 value;
    memcpy(&value, column->fixed + 16 * (column->offset + row), 16);
    return value;
}

static int bit_at(const sparse_column *column, int64_t row) {
    int64_t bit = column->offset + row;
    return column->fixed[bit / 8] >> bit % 8 & 1;
}

static const uint8_t *bytes_at(const sparse_column *column, int64_t row, uint32_t *size) {
    int32_t ends[2];
    memcpy(ends, column->fixed + 4 * (column->offset + row), 8);
    *size = (uint32_t)(ends[1] - ends[0]);
    return column->bytes + ends[0];
}

int sparse_is_less(const sparse_column *column, int64_t row, int64_t other) {
    switch (column->values) {
    case SPARSE_BITS: return bit_at(column, row) < bit_at(column, other);
    case SPARSE_INTEGERS: return integer_at(column, row) < integer_at(column, other);
    case SPARSE_DOUBLES: return double_at(column, row) < double_at(column, other);
    case SPARSE_DECIMALS: return decimal_at(column, row) < decimal_at(column, other);
    case SPARSE_BYTE_ARRAYS: break;
    }
    uint32_t size, other_size;
    const uint8_t *bytes = bytes_at(column, row, &size), *others = bytes_at(column, other, &other_size);
    uint32_t least = size < other_size ? size : other_size;
    int difference = least ? memcmp(bytes, others, least) : 0;
    return difference ? difference < 0 : size < other_size;
}

uint8_t *sparse_write_value(const sparse_column *column, int64_t row, uint8_t *out) {
    switch (column->values) {
    case SPARSE_BITS:
        if (row % 8 == 0) *out++ = 0;
        out[-1] |= (uint8_t)(bit_at(column, row) << row % 8);
        return out;
    case SPARSE_INTEGERS:
    case SPARSE_DOUBLES: memcpy(out, column->fixed + 8 * (column->offset + row), 8); return out + 8;
    case SPARSE_DECIMALS: {
        unsigned __int128 value = (unsigned __int128)decimal_at(column, row);
        for (int i = column->width; i-- > 0; value >>= 8) out[i] = (uint8_t)value;
        return out + column->width;
    }
    case SPARSE_BYTE_ARRAYS: break;
    }
    uint32_t size;
    const uint8_t *bytes = bytes_at(column, row, &size);
    memcpy(out, &size, 4);
    if (size) memcpy(out + 4, bytes, size);
    return out + 4 + size;
}

size_t sparse_room(const sparse_levels *levels, const sparse_column *values) {
    size_t count = (size_t)values->rows, room = 16 + level_bytes(levels->rows) + 8;
    if (values->values != SPARSE_BYTE_ARRAYS || count == 0) return room + 16 * count;
    int32_t first, end;
    memcpy(&first, values->fixed + 4 * values->offset, 4);
    memcpy(&end, values->fixed + 4 * (values->offset + values->rows), 4);
    return room + 4 * count + (size_t)(end - first);
}

static uint8_t *write_levels(const sparse_levels *levels, uint8_t *out) {
    uint8_t *start = out, *run = out + 4;
    out = write_varint(run, (uint64_t)level_bytes(levels->rows) << 1 | 1);
    for (int64_t row = 0; row < levels->rows; row += 64) {
        uint64_t bits = bits_at(levels->bits, levels->offset, levels->rows, row);
        size_t left = level_bytes(levels->rows - row);
        memcpy(out, &bits, left < 8 ? left : 8);
        out += left < 8 ? left : 8;
    }
    uint32_t size = (uint32_t)(out - run);
    memcpy(start, &size, 4);
    return out;
}

void sparse_write(const sparse_levels *levels, const sparse_column *values, uint8_t *out, sparse_page *page) {
    uint8_t *start = out;
    out = write_levels(levels, out);
    page->lowest = page->highest = values->rows ? 0 : -1;
    for (int64_t row = 0; row < values->rows; row++) {
        out = sparse_write_value(values, row, out);
        if (sparse_is_less(values, row, page->lowest)) page->lowest = row;
        else if (sparse_is_less(values, page->highest, row)) page->highest = row;
    }
    page->size = (size_t)(out - start);
}

static size_t value_bytes(const sparse_column *column, int64_t row, int64_t end) {
    if (column->values == SPARSE_INTEGERS || column->values == SPARSE_DOUBLES) return 8 * (size_t)(end - row);
    int32_t first, last;
    memcpy(&first, column->fixed + 4 * (column->offset + row), 4);
    memcpy(&last, column->fixed + 4 * (column->offset + end), 4);
    return 4 * (size_t)(end - row) + (size_t)(last - first);
}

int64_t plain_end(const sparse_column *values, int64_t row, size_t most) {
    int64_t fits = row + 1, beyond = values->rows + 1;
    while (beyond - fits > 1) {
        int64_t middle = fits + (beyond - fits) / 2;
        if (value_bytes(values, row, middle) <= most) fits = middle;
        else beyond = middle;
    }
    return fits;
}

static size_t varint_bytes(uint64_t value) {
    uint8_t scratch[LONGEST_VARINT];
    return (size_t)(write_varint(scratch, value) - scratch);
}

size_t plain_size(const sparse_column *values, int64_t row, int64_t end) {
    return 4 + varint_bytes((uint64_t)(end - row) << 1) + 1 + value_bytes(values, row, end);
}

static uint64_t prefix_at(const sparse_column *column, int64_t row) {
    uint32_t size;
    const uint8_t *bytes = bytes_at(column, row, &size);
    return beginning_of(bytes, size);
}

static void write_byte_arrays(const sparse_column *values, int64_t row, int64_t end, uint8_t *out, sparse_page *page) {
    uint64_t lowest = prefix_at(values, page->lowest), highest = prefix_at(values, page->highest);
    for (; row < end; row++) {
        uint32_t size;
        const uint8_t *bytes = bytes_at(values, row, &size);
        memcpy(out, &size, 4);
        if (size) memcpy(out + 4, bytes, size);
        out += 4 + size;
        uint64_t prefix = beginning_of(bytes, size);
        if (prefix <= lowest && sparse_is_less(values, row, page->lowest)) {
            page->lowest = row;
            lowest = prefix;
        } else if (prefix >= highest && sparse_is_less(values, page->highest, row)) {
            page->highest = row;
            highest = prefix;
        }
    }
}

void plain_write(const sparse_column *values, int64_t row, int64_t end, uint8_t *out, sparse_page *page) {
    uint8_t *start = out, *run = out + 4;
    out = write_varint(run, (uint64_t)(end - row) << 1);
    *out++ = 1;
    uint32_t size = (uint32_t)(out - run);
    memcpy(start, &size, 4);
    page->size = plain_size(values, row, end);
    if (page->lowest < 0) page->lowest = page->highest = row;
    if (values->values == SPARSE_BYTE_ARRAYS) {
        write_byte_arrays(values, row, end, out, page);
        return;
    }
    memcpy(out, values->fixed + 8 * (values->offset + row), value_bytes(values, row, end));
    for (; row < end; row++) {
        if (sparse_is_less(values, row, page->lowest)) page->lowest = row;
        else if (sparse_is_less(values, page->highest, row)) page->highest = row;
    }
}

const uint8_t *sparse_statistic(const sparse_column *column, int64_t row, uint8_t scratch[16], size_t *size) {
    uint32_t bytes_size;
    if (column->values == SPARSE_BYTE_ARRAYS) {
        const uint8_t *bytes = bytes_at(column, row, &bytes_size);
        *size = bytes_size;
        return bytes;
    }
    *size = column->values == SPARSE_BITS ? 1 : (size_t)(sparse_write_value(column, row, scratch) - scratch);
    if (column->values == SPARSE_BITS) scratch[0] = (uint8_t)bit_at(column, row);
    return scratch;
}

static uint64_t hash_at(const sparse_column *column, int64_t row) {
    uint8_t scratch[16];
    size_t size;
    const uint8_t *value = sparse_statistic(column, row, scratch, &size);
    uint64_t hash = hash_bytes(0, value, size);
    return hash ? hash : 1; /* 0 is a free slot */
}

int64_t sparse_distinct(const sparse_column *column, int64_t wanted, int64_t *found) {
    if (wanted > column->rows) wanted = column->rows;
    size_t room = 64;
    while (room < 2 * (size_t)wanted) room *= 2;
    uint64_t *slots = calloc(room, sizeof *slots);
    if (slots == NULL) return -1;
    int64_t distinct = 0;
    *found = 0;
    for (int64_t row = 0; row < column->rows && *found < wanted; row += 64) {
        int64_t left = column->rows - row;
        uint64_t all = left < 64 ? ((uint64_t)1 << left) - 1 : ~(uint64_t)0;
        uint64_t valid = column->validity ? bits_at(column->validity, column->offset, column->rows, row) : all;
        for (; valid && *found < wanted; valid &= valid - 1, (*found)++) {
            uint64_t hash = hash_at(column, row + __builtin_ctzll(valid));
            size_t slot = hash & (room - 1);
            while (slots[slot] && slots[slot] != hash) slot = (slot + 1) & (room - 1);
            distinct += slots[slot] == 0;
            slots[slot] = hash;
        }
    }
    free(slots);
    return distinct;
}
