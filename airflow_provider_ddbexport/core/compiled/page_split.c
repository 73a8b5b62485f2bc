/* The rows of a page dealt to two pages, as they are encoded. */
#include <stdlib.h>
#include <string.h>

#include "hybrid.h"
#include "page_parts.h"
#include "varint.h"

/* Picks the numbers that are not marked. Few are, so what lies between them is copied at once. */
static size_t pick_kept(const uint32_t *numbers, const uint8_t *marks, size_t count, uint32_t *picked) {
    size_t found = 0;
    for (size_t i = 0; i < count;) {
        const uint8_t *marked = memchr(marks + i, 1, count - i);
        size_t end = marked == NULL ? count : (size_t)(marked - marks);
        memcpy(picked + found, numbers + i, (end - i) * sizeof *numbers);
        found += end - i;
        i = end + 1;
    }
    return found;
}

static size_t pick_gone(const uint32_t *numbers, const uint8_t *marks, size_t count, uint32_t *picked) {
    size_t found = 0;
    const uint8_t *end = marks + count, *at = marks;
    while (at < end && (at = memchr(at, 1, (size_t)(end - at))) != NULL) picked[found++] = numbers[at++ - marks];
    return found;
}

static size_t count_marks(const uint8_t *marks, size_t count) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) found += marks[i];
    return found;
}

/* Copies the values that are marked as `wanted`, run by run. */
static uint8_t *copy_values(uint8_t *out, const page *p, const parts *t, int wanted) {
    const uint8_t *at = t->values_at, *end = at + t->values_size;
    for (size_t i = 0; i < t->values;) {
        const uint8_t *start = at, *marked = memchr(t->value_gone + i, !t->value_gone[i], t->values - i);
        size_t next = marked == NULL ? t->values : (size_t)(marked - t->value_gone);
        int here = t->value_gone[i];
        if (p->values == PAGE_BYTE_ARRAYS) {
            for (; i < next; i++) {
                if (end - at < 4 || (size_t)(end - at - 4) < little_endian(at)) return NULL;
                at += 4 + (size_t)little_endian(at);
            }
        } else {
            if (p->width && (next - i) > (size_t)(end - at) / p->width) return NULL;
            at += (next - i) * p->width;
            i = next;
        }
        if (here == wanted) {
            memcpy(out, start, (size_t)(at - start));
            out += at - start;
        }
    }
    return out;
}

static int make_room(page_half *half, size_t room) {
    if (room <= half->room) return 1;
    free(half->at);
    half->at = malloc(room);
    half->room = half->at == NULL ? 0 : room;
    return half->at != NULL;
}

static uint8_t *write_levels(uint8_t *out, const page *p, const parts *t, int wanted, size_t entries) {
    size_t (*pick)(const uint32_t *, const uint8_t *, size_t, uint32_t *) = wanted ? pick_gone : pick_kept;
    if (p->max_rep) out = encode_levels(out, p->max_rep, t->levels, pick(t->rep, t->entry_gone, p->entries, t->levels));
    if (!p->max_def) return out;
    if (!t->all_present)
        return encode_levels(out, p->max_def, t->levels, pick(t->def, t->entry_gone, p->entries, t->levels));
    uint8_t *start = out;
    out += 4;
    if (entries) {
        out = write_varint(out, (uint64_t)entries << 1);
        *out++ = (uint8_t)p->max_def;
    }
    for (int i = 0; i < 4; i++) start[i] = (uint8_t)((size_t)(out - start - 4) >> 8 * i);
    return out;
}

/* Adds up the bytes of `count` values of the dictionary; 0 where it has not all of them. */
static int size_of(const page_dictionary *d, const uint32_t *picked, size_t count, size_t *size) {
    for (size_t i = 0; i < count; i++) {
        if (picked[i] >= d->count) return 0;
        *size += d->starts[picked[i] + 1] - d->starts[picked[i]];
    }
    return 1;
}

static uint8_t *look_up(uint8_t *out, const page_dictionary *d, const uint32_t *picked, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t size = d->starts[picked[i] + 1] - d->starts[picked[i]];
        memcpy(out, d->at + d->starts[picked[i]], size);
        out += size;
    }
    return out;
}

static enum page_status write_half(const page *p, const parts *t, int wanted, page_half *half) {
    size_t gone_entries = count_marks(t->entry_gone, p->entries);
    size_t gone_values = t->all_present ? gone_entries : count_marks(t->value_gone, t->values);
    size_t entries = wanted ? gone_entries : p->entries - gone_entries;
    size_t values = wanted ? gone_values : t->values - gone_values;
    half->entries = (uint32_t)entries;
    half->nulls = (uint32_t)(entries - values);
    if (p->values == PAGE_INDEXES || p->values == PAGE_BITS || p->values == PAGE_RUN_BITS)
        (wanted ? pick_gone : pick_kept)(t->numbers, t->value_gone, t->values, t->picked);
    size_t looked_up = 0;
    if (p->values == PAGE_INDEXES && wanted && !size_of(p->dictionary, t->picked, values, &looked_up)) return PAGE_MALFORMED;
    size_t room = 16 + t->values_size + looked_up + hybrid_room(entries, bits_of((uint32_t)p->max_rep)) +
                  hybrid_room(entries, bits_of((uint32_t)p->max_def)) + hybrid_room(values, t->width);
    if (!make_room(half, room)) return PAGE_NO_MEMORY;
    uint8_t *out = write_levels(half->at, p, t, wanted, entries);
    switch (p->values) {
    case PAGE_INDEXES:
        if (wanted) {
            out = look_up(out, p->dictionary, t->picked, values);
            break;
        }
        *out++ = (uint8_t)t->width;
        out = encode_hybrid(out, t->width, t->picked, values);
        break;
    case PAGE_RUN_BITS:
        out = encode_levels(out, 1, t->picked, values);
        break;
    case PAGE_BITS:
        memset(out, 0, (values + 7) / 8);
        for (size_t i = 0; i < values; i++) out[i / 8] |= (uint8_t)(t->picked[i] << i % 8);
        out += (values + 7) / 8;
        break;
    default:
        out = copy_values(out, p, t, wanted);
        if (out == NULL) return PAGE_MALFORMED;
    }
    half->size = (size_t)(out - half->at);
    return PAGE_OK;
}

enum page_status page_split(page_room *room, const page *p, const uint8_t *gone, int64_t rows, int64_t *row, int kept) {
    parts t;
    enum page_status status = read_page(room, p, gone, rows, row, &t);
    if (status == PAGE_OK && kept) status = write_half(p, &t, 0, &room->halves[0]);
    return status == PAGE_OK ? write_half(p, &t, 1, &room->halves[1]) : status;
}

/* Of Thrift's compact protocol: a byte has the step from the field before and the type. */
static uint8_t *write_number(uint8_t *out, uint64_t number) {
    *out++ = 1 << 4 | 5;
    return write_varint(out, number << 1);
}

size_t page_header(uint8_t *out, uint64_t size, uint64_t compressed, uint32_t entries, uint32_t encoding) {
    const uint32_t data_page = 0, rle = 3;
    uint8_t *at = write_number(out, data_page);
    at = write_number(at, size);
    at = write_number(at, compressed);
    *at++ = 2 << 4 | 12; /* DataPageHeader */
    at = write_number(at, entries);
    at = write_number(at, encoding);
    at = write_number(at, rle);
    at = write_number(at, rle);
    *at++ = 0;
    *at++ = 0;
    return (size_t)(at - out);
}
