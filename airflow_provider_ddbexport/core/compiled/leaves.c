/* Writing leaves of columns as data pages of Parquet, with a dictionary where their values repeat.
 *
 * A page is: repetition levels, if lists are around the leaf; definition levels, if anything is optional; then the values
 * of those entries that have one, or their numbers in the dictionary. Levels and numbers are one run where all are equal,
 * else they are packed in one go: what repeats in them is for the compression to find. Both sides are little-endian.
 */
#include "leaves.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "hybrid.h"
#include "varint.h"

static int is_there(const leaf_node *node, int64_t row) {
    int64_t bit = node->offset + row;
    return node->validity == NULL || (node->validity[bit / 8] >> bit % 8 & 1);
}

static int make_entries(leaf_entries *entries, size_t count) {
    size_t room = count ? count : 1;
    entries->rows = malloc(room * sizeof *entries->rows);
    entries->reps = malloc(room);
    entries->defs = malloc(room);
    entries->count = count;
    return entries->rows != NULL && entries->reps != NULL && entries->defs != NULL;
}

void leaf_entries_free(leaf_entries *entries) {
    free(entries->rows);
    free(entries->reps);
    free(entries->defs);
    memset(entries, 0, sizeof *entries);
}

int leaf_begin(leaf_entries *entries, int64_t rows) {
    if (!make_entries(entries, (size_t)rows)) return 0;
    for (int64_t row = 0; row < rows; row++) entries->rows[row] = (int32_t)row;
    memset(entries->reps, 0, (size_t)rows);
    memset(entries->defs, 0, (size_t)rows);
    return 1;
}

static void enter_value(leaf_entries *entries, const leaf_node *node) {
    int32_t there = 0;
    entries->max_def += node->is_nullable;
    if (!entries->ended && node->validity == NULL) {
        memset(entries->defs, entries->max_def, entries->count);
        return;
    }
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->rows[i] < 0) continue;
        if (!is_there(node, entries->rows[i])) {
            entries->rows[i] = -1;
            entries->ended++;
            continue;
        }
        entries->defs[i] = (uint8_t)(entries->defs[i] + node->is_nullable);
        if (node->is_sparse) entries->rows[i] = there++;
    }
}

/* How many elements the list has that an entry is; -1 where there is no list. */
static int32_t elements_of(const leaf_node *node, int32_t row) {
    if (row < 0 || !is_there(node, row)) return -1;
    return node->offsets[node->offset + row + 1] - node->offsets[node->offset + row];
}

static int enter_lists(leaf_entries *entries, const leaf_node *node) {
    leaf_entries next = {0};
    size_t count = 0;
    for (size_t i = 0; i < entries->count; i++) {
        int32_t elements = elements_of(node, entries->rows[i]);
        count += elements > 0 ? (size_t)elements : 1;
    }
    if (!make_entries(&next, count)) {
        leaf_entries_free(&next);
        return 0;
    }
    next.max_rep = entries->max_rep + 1;
    next.max_def = entries->max_def + node->is_nullable + 1;
    size_t at = 0;
    for (size_t i = 0; i < entries->count; i++) {
        int32_t elements = elements_of(node, entries->rows[i]);
        next.reps[at] = entries->reps[i];
        if (elements <= 0) {
            next.rows[at] = -1;
            next.ended++;
            next.defs[at++] = (uint8_t)(entries->defs[i] + (elements == 0 ? node->is_nullable : 0));
            continue;
        }
        int32_t first = node->offsets[node->offset + entries->rows[i]];
        for (int32_t element = 0; element < elements; element++, at++) {
            if (element) next.reps[at] = (uint8_t)next.max_rep;
            next.rows[at] = first + element;
            next.defs[at] = (uint8_t)(entries->defs[i] + node->is_nullable + 1);
        }
    }
    leaf_entries_free(entries);
    *entries = next;
    return 1;
}

int leaf_enter(leaf_entries *entries, const leaf_node *node) {
    if (node->is_list) return enter_lists(entries, node);
    enter_value(entries, node);
    return 1;
}

int leaf_find_values(leaf_values *values, const leaf_entries *entries, const sparse_column *column) {
    values->column = column;
    values->rows = malloc((entries->count + 1) * sizeof *values->rows);
    if (values->rows == NULL) return 0;
    if (!entries->ended) {
        memcpy(values->rows, entries->rows, entries->count * sizeof *values->rows);
        values->count = entries->count;
        return 1;
    }
    for (size_t i = 0; i < entries->count; i++) {
        values->rows[values->count] = entries->rows[i];
        values->count += entries->rows[i] >= 0;
    }
    return 1;
}

void leaf_values_free(leaf_values *values) {
    free(values->rows);
    free(values->numbers);
    free(values->firsts);
    memset(values, 0, sizeof *values);
}

/* As Arrow has it. */
static inline const uint8_t *value_at(const sparse_column *column, enum sparse_values type, int64_t row, size_t *size) {
    if (type == SPARSE_BYTE_ARRAYS) {
        int32_t ends[2];
        memcpy(ends, column->fixed + 4 * (column->offset + row), 8);
        *size = (size_t)(ends[1] - ends[0]);
        return column->bytes + ends[0];
    }
    *size = type == SPARSE_DECIMALS ? 16 : 8;
    return column->fixed + *size * (size_t)(column->offset + row);
}

static inline int is_same(const uint8_t *value, const uint8_t *other, size_t size) {
    if (size < 8) return short_word_at(value, size) == short_word_at(other, size);
    if (word_at(value) != word_at(other) || word_at(value + size - 8) != word_at(other + size - 8)) return 0;
    return size <= 16 || memcmp(value + 8, other + 8, size - 16) == 0;
}

/* Where each value is among the different ones. A slot has half a hash, and the number of a value plus one. */
typedef struct {
    uint64_t *slots;
    size_t last;
} numbering;

static int widen(numbering *table) {
    size_t last = 2 * table->last + 1;
    uint64_t *slots = calloc(last + 1, sizeof *slots);
    if (slots == NULL) return 0;
    for (size_t i = 0; i <= table->last; i++) {
        if (!table->slots[i]) continue;
        size_t slot = table->slots[i] >> 32 & last;
        while (slots[slot]) slot = (slot + 1) & last;
        slots[slot] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->last = last;
    return 1;
}

static inline int number_values(leaf_values *values, enum sparse_values type, numbering *table, size_t most) {
    const sparse_column *column = values->column;
    size_t plain = type == SPARSE_BYTE_ARRAYS ? 4 : type == SPARSE_DECIMALS ? (size_t)column->width : 8;
    for (size_t i = 0; i < values->count; i++) {
        size_t size, other_size;
        const uint8_t *value = value_at(column, type, values->rows[i], &size);
        uint64_t hash = hash_bytes(hash_seed, value, size) >> 32;
        size_t slot = hash & table->last;
        for (; table->slots[slot]; slot = (slot + 1) & table->last) {
            if (table->slots[slot] >> 32 != hash) continue;
            uint32_t number = (uint32_t)table->slots[slot] - 1;
            const uint8_t *other = value_at(column, type, values->firsts[number], &other_size);
            if (size == other_size && is_same(value, other, size)) break;
        }
        if (table->slots[slot]) {
            values->numbers[i] = (uint32_t)table->slots[slot] - 1;
            continue;
        }
        values->dictionary_bytes += plain + (type == SPARSE_BYTE_ARRAYS ? size : 0);
        if (values->dictionary_bytes > most) return 1;
        values->numbers[i] = values->different;
        values->firsts[values->different++] = values->rows[i];
        table->slots[slot] = hash << 32 | values->different;
        if (2 * (size_t)values->different > table->last && !widen(table)) return 0;
    }
    return 1;
}

static int number_values_of(leaf_values *values, numbering *table, size_t most) {
    switch (values->column->values) {
    case SPARSE_BITS: break;
    case SPARSE_INTEGERS: return number_values(values, SPARSE_INTEGERS, table, most);
    case SPARSE_DOUBLES: return number_values(values, SPARSE_DOUBLES, table, most);
    case SPARSE_DECIMALS: return number_values(values, SPARSE_DECIMALS, table, most);
    case SPARSE_BYTE_ARRAYS: return number_values(values, SPARSE_BYTE_ARRAYS, table, most);
    }
    values->dictionary_bytes = most + 1;
    return 1;
}

int leaf_make_dictionary(leaf_values *values, size_t most) {
    if (!values->count) return 1;
    numbering table = {calloc(1024, sizeof *table.slots), 1023};
    values->numbers = malloc(values->count * sizeof *values->numbers);
    values->firsts = malloc(values->count * sizeof *values->firsts);
    int done = table.slots != NULL && values->numbers != NULL && values->firsts != NULL;
    done = done && number_values_of(values, &table, most);
    free(table.slots);
    if (values->dictionary_bytes > most) {
        free(values->numbers);
        values->numbers = NULL;
        values->different = 0;
        values->dictionary_bytes = 0;
    }
    return done;
}

void leaf_write_dictionary(const leaf_values *values, uint8_t *out) {
    for (uint32_t i = 0; i < values->different; i++) out = sparse_write_value(values->column, values->firsts[i], out);
}

void leaf_bounds(const leaf_values *values, int64_t *lowest, int64_t *highest) {
    const int32_t *rows = values->numbers == NULL ? values->rows : values->firsts;
    size_t count = values->numbers == NULL ? values->count : values->different;
    *lowest = *highest = count ? rows[0] : -1;
    for (size_t i = 1; i < count; i++) {
        if (sparse_is_less(values->column, rows[i], *lowest)) *lowest = rows[i];
        else if (sparse_is_less(values->column, *highest, rows[i])) *highest = rows[i];
    }
}

static size_t plain_bytes(const sparse_column *column, int32_t row) {
    size_t size;
    if (column->values == SPARSE_BITS) return 1;
    if (column->values == SPARSE_DECIMALS) return (size_t)column->width;
    value_at(column, column->values, row, &size);
    return column->values == SPARSE_BYTE_ARRAYS ? 4 + size : size;
}

/* Entries from `first` on that take `most` bytes, or one: of nulls and numbers of a dictionary each is counted four. */
static size_t entries_in(const leaf_entries *entries, const leaf_values *values, size_t first, size_t most) {
    size_t left = entries->count - first, most_entries = most / 4 ? most / 4 : 1, taken = 0, size = 0;
    if (values->numbers != NULL) return left < most_entries ? left : most_entries;
    for (; taken < left; taken++) {
        int32_t row = entries->rows[first + taken];
        size += row < 0 ? 4 : plain_bytes(values->column, row);
        if (size > most && taken) break;
    }
    return taken;
}

void leaf_next_page(const leaf_entries *entries, const leaf_values *values, size_t most, leaf_page *page) {
    size_t first = page->entry + page->entries, end = first + entries_in(entries, values, first, most);
    if (entries->max_rep && end < entries->count) {
        while (end > first && entries->reps[end]) end--;
        if (end == first)
            for (end++; end < entries->count && entries->reps[end];) end++;
    }
    page->entry = first;
    page->entries = end - first;
    page->value += page->values;
    page->values = page->entries;
    if (!entries->ended) return;
    page->values = 0;
    for (size_t i = first; i < end; i++) page->values += entries->rows[i] >= 0;
}

/* At least one: there are readers that take none for an empty page. */
static int number_bits(const leaf_values *values) { return values->different > 1 ? bits_of(values->different - 1) : 1; }

size_t leaf_page_room(const leaf_values *values, const leaf_page *page) {
    /* Sizes and headers of runs, and levels of a byte. */
    size_t room = 64 + 2 * (page->entries + 8);
    if (values->numbers != NULL) return room + (page->values + 8) * 4;
    if (values->column->values != SPARSE_BYTE_ARRAYS) return room + 16 * page->values;
    for (size_t i = 0; i < page->values; i++) room += plain_bytes(values->column, values->rows[page->value + i]);
    return room;
}

static inline uint32_t number_at(const void *numbers, int size, size_t i) {
    return size == 1 ? ((const uint8_t *)numbers)[i] : ((const uint32_t *)numbers)[i];
}

/* Writes `count` numbers of `size` bytes with `width` bits. */
static inline uint8_t *write_numbers(uint8_t *out, int width, const void *numbers, int size, size_t count) {
    if (!count) return out;
    if (count == 1 || memcmp(numbers, (const uint8_t *)numbers + size, (count - 1) * (size_t)size) == 0) {
        out = write_varint(out, (uint64_t)count << 1);
        uint32_t number = number_at(numbers, size, 0);
        for (int i = 0; i < (width + 7) / 8; i++, number >>= 8) *out++ = (uint8_t)number;
        return out;
    }
    size_t groups = (count + 7) / 8;
    out = write_varint(out, (uint64_t)groups << 1 | 1);
    uint8_t *end = out + groups * (size_t)width;
    uint64_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < count; i++) {
        bits |= (uint64_t)number_at(numbers, size, i) << have;
        if ((have += width) < 32) continue;
        uint32_t word = (uint32_t)bits;
        memcpy(out, &word, 4);
        out += 4;
        bits >>= 32;
        have -= 32;
    }
    for (; out < end; bits >>= 8) *out++ = (uint8_t)bits;
    return out;
}

static uint8_t *write_levels(uint8_t *out, int most, const uint8_t *levels, size_t count) {
    if (!most) return out;
    uint8_t *end = write_numbers(out + 4, bits_of((uint32_t)most), levels, 1, count);
    uint32_t size = (uint32_t)(end - out - 4);
    memcpy(out, &size, 4);
    return end;
}

static uint8_t *write_bits(uint8_t *out, const sparse_column *column, const int32_t *rows, size_t count) {
    memset(out, 0, (count + 7) / 8);
    for (size_t i = 0; i < count; i++) {
        int64_t bit = column->offset + rows[i];
        out[i / 8] |= (uint8_t)((column->fixed[bit / 8] >> bit % 8 & 1) << i % 8);
    }
    return out + (count + 7) / 8;
}

size_t leaf_write_page(const leaf_entries *entries, const leaf_values *values, const leaf_page *page, uint8_t *out) {
    uint8_t *start = out;
    const int32_t *rows = values->rows + page->value;
    out = write_levels(out, entries->max_rep, entries->reps + page->entry, page->entries);
    out = write_levels(out, entries->max_def, entries->defs + page->entry, page->entries);
    if (values->numbers != NULL) {
        *out++ = (uint8_t)number_bits(values);
        out = write_numbers(out, number_bits(values), values->numbers + page->value, 4, page->values);
    } else if (values->column->values == SPARSE_BITS) {
        out = write_bits(out, values->column, rows, page->values);
    } else {
        for (size_t i = 0; i < page->values; i++) out = sparse_write_value(values->column, rows[i], out);
    }
    return (size_t)(out - start);
}
