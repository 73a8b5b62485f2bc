/* The rows of a page dealt to two pages, as they are encoded. */
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "hybrid.h"
#include "page_parts.h"
#include "varint.h"

/* A page that is dealt. */
typedef struct {
    const page *like;
    parts t;
    size_t entries, values; /* that are gone, at the places in t */
    page_half *kept, *dropped; /* kept may be NULL */
} split;

/* Finds which entries are of rows that are gone, and which values. Of rows beyond the last there are readers that know
 * nothing. */
static enum page_status find_gone(split *s, const uint8_t *gone, int64_t rows, int64_t *row) {
    const page *p = s->like;
    uint32_t *entries = s->t.entries_gone, *values = s->t.values_gone;
    int64_t at = *row;
    if (at < 0 || at > rows) return PAGE_MALFORMED;
    if (s->t.rep.all == 0) {
        if ((int64_t)p->entries > rows - at) return PAGE_UNKNOWN;
        const uint8_t *start = gone + at, *end = start + p->entries, *marked = start;
        while (marked < end && (marked = memchr(marked, 1, (size_t)(end - marked))) != NULL)
            entries[s->entries++] = (uint32_t)(marked++ - start);
        at += p->entries;
    } else {
        const uint32_t *rep = s->t.rep.each;
        for (uint32_t i = 0; i < p->entries; i++) {
            at += s->t.rep.all < 0 && rep[i] == 0;
            if (at < 1) return PAGE_MALFORMED;
            if (at > rows) return PAGE_UNKNOWN;
            if (gone[at - 1] == 1) entries[s->entries++] = i;
        }
    }
    *row = at;
    entries[s->entries] = NO_PLACE;
    if (s->t.values == p->entries) {
        s->t.values_gone = entries;
        s->values = s->entries;
        return PAGE_OK;
    }
    size_t passed = 0;
    for (size_t i = 0, counted = 0; i < s->entries; i++) {
        passed += count_values(&s->t, counted, entries[i]);
        counted = entries[i];
        if (count_values(&s->t, counted, counted + 1)) values[s->values++] = (uint32_t)passed;
    }
    values[s->values] = NO_PLACE;
    return PAGE_OK;
}

/* Returns where the next `size` bytes of a half go, which may be none; NULL where there is no memory. */
static uint8_t *room_for(page_half *half, size_t size) {
    if (size >= half->room - half->size) {
        size_t room = half->size + size >= 2 * half->room ? half->size + size + 1 : 2 * half->room;
        uint8_t *at = realloc(half->at, room);
        if (at == NULL) return NULL;
        half->at = at;
        half->room = room;
    }
    return half->at + half->size;
}

/* Takes numbers apart as split_hybrid does, to t.numbers and `*kept`. */
static enum page_status split_numbers(
    split *s, input encoded, int width, size_t count, const uint32_t *places, size_t stays, uint8_t **kept
) {
    input again = encoded;
    if (split_hybrid(&encoded, width, count, places, s->t.numbers, stays, kept)) return PAGE_OK;
    return decode_hybrid(&again, width, s->t.numbers, count) ? PAGE_UNKNOWN : PAGE_MALFORMED;
}

/* Puts numbers in the hybrid behind their size; those that are gone are in t.numbers then, too. */
static enum page_status split_sized(split *s, input encoded, int width, size_t count, const uint32_t *places, size_t gone) {
    uint8_t *out = NULL, *start = NULL;
    size_t stays = count - gone;
    if (s->kept != NULL) {
        if ((start = room_for(s->kept, 4 + hybrid_room(stays, width) + BITS_ROOM)) == NULL) return PAGE_NO_MEMORY;
        out = start + 4;
    }
    enum page_status status = split_numbers(s, encoded, width, count, places, stays, start == NULL ? NULL : &out);
    if (status != PAGE_OK) return status;
    if (start != NULL) {
        put_size(start, (size_t)(out - start - 4));
        s->kept->size += (size_t)(out - start);
    }
    if ((start = room_for(s->dropped, 4 + hybrid_room(gone, width))) == NULL) return PAGE_NO_MEMORY;
    out = encode_hybrid(start + 4, width, s->t.numbers, gone);
    put_size(start, (size_t)(out - start - 4));
    s->dropped->size += (size_t)(out - start);
    return PAGE_OK;
}

/* One run of `count` levels. */
static int write_level(page_half *half, int level, size_t count) {
    uint8_t *start = room_for(half, 4 + LONGEST_VARINT + 1);
    if (start == NULL) return 0;
    uint8_t *out = start + 4;
    if (count) {
        out = write_varint(out, (uint64_t)count << 1);
        *out++ = (uint8_t)level;
    }
    put_size(start, (size_t)(out - start - 4));
    half->size += (size_t)(out - start);
    return 1;
}

static enum page_status split_levels(split *s, const page_levels *levels) {
    size_t entries = s->like->entries;
    if (!levels->most) return PAGE_OK;
    if (levels->all < 0)
        return split_sized(s, levels->encoded, bits_of((uint32_t)levels->most), entries, s->t.entries_gone, s->entries);
    if (s->kept != NULL && !write_level(s->kept, levels->all, entries - s->entries)) return PAGE_NO_MEMORY;
    return write_level(s->dropped, levels->all, s->entries) ? PAGE_OK : PAGE_NO_MEMORY;
}

/* Puts values of the dictionary where its indexes were. */
static enum page_status look_up(page_half *half, const page_dictionary *d, const uint32_t *indexes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (indexes[i] >= d->count) return PAGE_MALFORMED;
        size_t start = page_dictionary_start(d, indexes[i]), size = page_dictionary_start(d, indexes[i] + 1) - start;
        uint8_t *out = room_for(half, size);
        if (out == NULL) return PAGE_NO_MEMORY;
        memcpy(out, d->at + start, size);
        half->size += size;
    }
    return PAGE_OK;
}

static enum page_status split_indexes(split *s) {
    size_t stays = s->t.values - s->values;
    uint8_t *start = NULL, *out = NULL;
    int width;
    if (!take_width(&s->t, &width)) return PAGE_MALFORMED;
    if (s->kept != NULL) {
        if ((start = room_for(s->kept, 1 + hybrid_room(stays, width) + BITS_ROOM)) == NULL) return PAGE_NO_MEMORY;
        *start = (uint8_t)width;
        out = start + 1;
    }
    uint8_t **kept = start == NULL ? NULL : &out;
    enum page_status status = split_numbers(s, s->t.encoded, width, s->t.values, s->t.values_gone, stays, kept);
    if (status != PAGE_OK) return status;
    if (start != NULL) s->kept->size += (size_t)(out - start);
    return look_up(s->dropped, s->like->dictionary, s->t.numbers, s->values);
}

static enum page_status split_packed_bits(split *s) {
    size_t stays = s->t.values - s->values, size = (size_t)(s->t.encoded.end - s->t.encoded.at);
    uint8_t *kept = NULL, *dropped = room_for(s->dropped, (s->values + 7) / 8);
    if (s->kept != NULL && (kept = room_for(s->kept, (stays + 7) / 8 + BITS_ROOM)) == NULL) return PAGE_NO_MEMORY;
    if (dropped == NULL) return PAGE_NO_MEMORY;
    if (size < (s->t.values + 7) / 8) return PAGE_MALFORMED;
    split_bits(s->t.encoded.at, size, s->t.values, s->t.values_gone, s->t.numbers, kept);
    memset(dropped, 0, (s->values + 7) / 8);
    for (size_t i = 0; i < s->values; i++) dropped[i / 8] |= (uint8_t)(s->t.numbers[i] << i % 8);
    if (kept != NULL) s->kept->size += (stays + 7) / 8;
    s->dropped->size += (s->values + 7) / 8;
    return PAGE_OK;
}

static int put_bytes(page_half *half, const uint8_t *at, const uint8_t *end) {
    size_t size = (size_t)(end - at);
    uint8_t *out = half == NULL ? NULL : room_for(half, size);
    if (out == NULL) return half == NULL;
    memcpy(out, at, size);
    half->size += size;
    return 1;
}

/* Values that lie one behind the other: those between two that are gone are copied at once. */
static enum page_status split_plain(split *s) {
    const uint8_t *at = s->t.encoded.at, *end = s->t.encoded.end;
    size_t passed = 0;
    for (const uint32_t *place = s->t.values_gone;; place++) {
        size_t stop = *place == NO_PLACE ? s->t.values : *place;
        const uint8_t *gone = skip_values(at, end, s->like->width, stop - passed);
        if (gone == NULL) return PAGE_MALFORMED;
        if (!put_bytes(s->kept, at, gone)) return PAGE_NO_MEMORY;
        if (*place == NO_PLACE) return PAGE_OK;
        if ((at = skip_values(gone, end, s->like->width, 1)) == NULL) return PAGE_MALFORMED;
        if (!put_bytes(s->dropped, gone, at)) return PAGE_NO_MEMORY;
        passed = stop + 1;
    }
}

static enum page_status split_values(split *s) {
    input runs = {NULL, NULL};
    switch (s->like->values) {
    case PAGE_INDEXES:
        return split_indexes(s);
    case PAGE_BITS:
        return split_packed_bits(s);
    case PAGE_RUN_BITS:
        if (s->t.values && !take_sized(&s->t.encoded, &runs)) return PAGE_MALFORMED;
        return split_sized(s, runs, 1, s->t.values, s->t.values_gone, s->values);
    default:
        return split_plain(s);
    }
}

enum page_status page_split(page_room *room, const page *p, const uint8_t *gone, int64_t rows, int64_t *row, int kept) {
    page_half *halves = room->halves;
    split s = {.like = p, .kept = kept ? &halves[0] : NULL, .dropped = &halves[1]};
    halves[0].size = halves[1].size = 0;
    enum page_status status = read_page(room, p, &s.t);
    if (status == PAGE_OK) status = find_gone(&s, gone, rows, row);
    if (status == PAGE_OK) status = split_levels(&s, &s.t.rep);
    if (status == PAGE_OK) status = split_levels(&s, &s.t.def);
    if (status == PAGE_OK) status = split_values(&s);
    halves[1].entries = (uint32_t)s.entries;
    halves[1].nulls = (uint32_t)(s.entries - s.values);
    halves[0].entries = p->entries - halves[1].entries;
    halves[0].nulls = (uint32_t)(p->entries - s.t.values) - halves[1].nulls;
    return status;
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
