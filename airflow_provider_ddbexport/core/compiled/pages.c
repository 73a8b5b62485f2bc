/* Data pages of Parquet taken apart without decoding their values, and looked through.
 *
 * A page is: repetition levels, if lists are around it; definition levels, if anything is optional; then the values of
 * those entries that have one. Levels and indexes of dictionaries are in the hybrid of runs and packed bits; an entry
 * whose repetition level is 0 begins a row. Nothing is read beyond the page's size, whatever the page says.
 */
#include "pages.h"

#include <stdlib.h>
#include <string.h>

#include "hybrid.h"
#include "page_parts.h"
#include "varint.h"

/* Returns what each of `count` levels is, where they are one run, as they are where nothing is null; else -1. */
static int only_level(input in, int most, size_t count) {
    uint64_t header;
    if (!count || !read_varint(&in.at, in.end, &header) || header & 1 || header >> 1 < count) return -1;
    return in.end - in.at == 1 && most <= UINT8_MAX && *in.at <= most ? *in.at : -1;
}

static int read_levels(input *in, size_t count, page_levels *levels) {
    if (!levels->most) return 1;
    if (!take_sized(in, &levels->encoded)) return 0;
    input encoded = levels->encoded;
    levels->all = only_level(encoded, levels->most, count);
    return levels->all >= 0 || decode_hybrid(&encoded, bits_of((uint32_t)levels->most), levels->each, count);
}

static int make_numbers(page_room *room, size_t count, parts *t) {
    if (count > room->entries) {
        free(room->numbers);
        room->numbers = malloc(5 * count * sizeof *room->numbers);
        room->entries = room->numbers != NULL ? count : 0;
        if (!room->entries) return 0;
    }
    memset(t, 0, sizeof *t);
    t->rep.each = room->numbers;
    t->def.each = t->rep.each + count;
    t->numbers = t->def.each + count;
    t->entries_gone = t->numbers + count;
    t->values_gone = t->entries_gone + count;
    return 1;
}

size_t count_values(const parts *t, size_t first, size_t end) {
    const uint32_t *def = t->def.each, most = (uint32_t)t->def.most;
    if (t->def.all >= 0) return t->def.all == t->def.most ? end - first : 0;
    uint32_t found = 0;
    for (size_t i = first; i < end; i++) found += def[i] == most;
    return found;
}

enum page_status read_page(page_room *room, const page *p, parts *t) {
    if (!make_numbers(room, (size_t)p->entries + 1, t)) return PAGE_NO_MEMORY;
    input in = {p->at, p->at + p->size};
    t->rep.most = p->max_rep;
    t->def.most = p->max_def;
    if (!read_levels(&in, p->entries, &t->rep) || !read_levels(&in, p->entries, &t->def)) return PAGE_MALFORMED;
    t->values = count_values(t, 0, p->entries);
    t->encoded = in;
    return PAGE_OK;
}

int take_width(parts *t, int *width) {
    *width = 0;
    if (t->encoded.at == t->encoded.end) return t->values == 0;
    *width = *t->encoded.at++;
    return *width <= 32;
}

const uint8_t *skip_values(const uint8_t *at, const uint8_t *end, uint32_t width, size_t count) {
    if (width) return count > (size_t)(end - at) / width ? NULL : at + count * width;
    while (count) {
        if (end - at < 4 || (size_t)(end - at - 4) < little_endian(at)) return NULL;
        uint32_t length = little_endian(at);
        size_t size = 4 + (size_t)length;
        at += size;
        /* Those of one length, as keys are, need not be waited for one by one. */
        for (count--; count >= 4 && (size_t)(end - at) / 4 >= size; count -= 4, at += 4 * size)
            if ((little_endian(at) ^ length) | (little_endian(at + size) ^ length) | (little_endian(at + 2 * size) ^ length) |
                (little_endian(at + 3 * size) ^ length))
                break;
    }
    return at;
}

/* What each of byte arrays takes, with its length, where all have one; else 0. */
static uint32_t only_width(const uint8_t *at, size_t size, size_t count) {
    if (size < 4 || !count) return 0;
    uint32_t length = little_endian(at);
    if (size % count || size / count != 4 + (size_t)length) return 0;
    size_t width = size / count, same = 0;
    for (size_t i = 0; i < count; i++) same += little_endian(at + i * width) == length;
    return same == count ? (uint32_t)width : 0;
}

enum page_status page_dictionary_init(page_dictionary *d, const uint8_t *at, size_t size, uint32_t count, uint32_t width) {
    page_dictionary_free(d);
    if (count > size || size > UINT32_MAX || (width && count > size / width)) return PAGE_MALFORMED;
    d->width = width ? width : only_width(at, size, count);
    if (!d->width) {
        d->starts = malloc(((size_t)count + 1) * sizeof *d->starts);
        if (d->starts == NULL) return PAGE_NO_MEMORY;
        const uint8_t *value = at, *end = at + size;
        for (uint32_t i = 0; i < count; i++) {
            d->starts[i] = (uint32_t)(value - at);
            if ((value = skip_values(value, end, 0, 1)) == NULL) return PAGE_MALFORMED;
        }
        d->starts[count] = (uint32_t)(value - at);
    }
    d->at = at;
    d->count = count;
    return PAGE_OK;
}

void page_dictionary_free(page_dictionary *d) {
    free(d->starts);
    memset(d, 0, sizeof *d);
}

enum page_status page_sift(page_room *room, const page *p, sieve *s, int add, uint8_t *found, int64_t rows, int64_t *row) {
    parts t;
    if (p->max_rep || p->values == PAGE_BITS || p->values == PAGE_RUN_BITS) return PAGE_MALFORMED;
    enum page_status status = read_page(room, p, &t);
    if (status != PAGE_OK) return status;
    if (*row < 0 || (int64_t)p->entries > rows - *row) return PAGE_MALFORMED;
    found += *row;
    *row += p->entries;
    const page_dictionary *d = p->values == PAGE_INDEXES ? p->dictionary : NULL;
    int width;
    if (d != NULL && (!take_width(&t, &width) || !decode_hybrid(&t.encoded, width, t.numbers, t.values))) return PAGE_MALFORMED;
    /* Not read again and again, as what is behind a pointer would be, for all that is known of the marks that are written. */
    const sieve values = *s;
    sieve_lookups lookups = {.count = 0};
    const size_t entries = p->entries, fixed = p->width;
    const int has_nulls = t.values < entries;
    const uint8_t *at = t.encoded.at, *end = t.encoded.end;
    const uint32_t *index = t.numbers;
    for (size_t i = 0; i < entries; i++) {
        if (!found[i]) {
            const uint8_t *marked = memchr(found + i, 1, entries - i);
            size_t next = marked == NULL ? entries : (size_t)(marked - found), passed = count_values(&t, i, next);
            if (d != NULL) index += passed;
            else if ((at = skip_values(at, end, p->width, passed)) == NULL) return PAGE_MALFORMED;
            if ((i = next) == entries) break;
        }
        if (has_nulls && !count_values(&t, i, i + 1)) continue;
        if (d != NULL) {
            if (*index >= d->count) return PAGE_MALFORMED;
            at = d->at + page_dictionary_start(d, *index);
            end = d->at + page_dictionary_start(d, *index++ + 1);
        }
        size_t size = fixed;
        if (!size) {
            if (end - at < 4) return PAGE_MALFORMED;
            size = little_endian(at);
            at += 4;
        }
        if ((size_t)(end - at) < size) return PAGE_MALFORMED;
        if (add) sieve_add(&values, at, size);
        else sieve_ask(&values, &lookups, at, size, found + i);
        at += size;
    }
    sieve_look_up(&values, &lookups);
    return PAGE_OK;
}

void page_room_free(page_room *room) {
    free(room->numbers);
    for (int i = 0; i < 2; i++) free(room->halves[i].at);
    memset(room, 0, sizeof *room);
}
