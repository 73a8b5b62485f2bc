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

/* Whether `count` levels are one run of `most`, as they are where nothing is null; `*in` is behind them then. */
static int is_one_run(input *in, int most, size_t count) {
    if (in->end - in->at < 4) return 0;
    size_t size = little_endian(in->at);
    const uint8_t *at = in->at + 4, *end = at + size;
    if ((size_t)(in->end - at) < size) return 0;
    uint64_t header;
    if (!read_varint(&at, end, &header) || header & 1 || header >> 1 < count || end - at != 1 || *at != most) return 0;
    in->at = end;
    return 1;
}

static enum page_status read_levels(const page *p, input *in, parts *t) {
    if (p->max_rep && !decode_levels(in, p->max_rep, t->rep, p->entries)) return PAGE_MALFORMED;
    t->all_present = !p->max_def || (p->entries && is_one_run(in, p->max_def, p->entries));
    if (!t->all_present && !decode_levels(in, p->max_def, t->def, p->entries)) return PAGE_MALFORMED;
    return PAGE_OK;
}

static enum page_status mark_entries(const page *p, const uint8_t *gone, int64_t rows, int64_t *row, uint8_t *marks, parts *t) {
    if (!p->max_rep) {
        if (*row < 0 || (int64_t)p->entries > rows - *row) return PAGE_MALFORMED;
        t->entry_gone = gone + *row;
        *row += p->entries;
    } else {
        const uint32_t *rep = t->rep;
        int64_t at = *row;
        t->entry_gone = marks;
        for (uint32_t i = 0; i < p->entries; i++) {
            at += rep[i] == 0;
            if (at < 1 || at > rows) return PAGE_MALFORMED;
            marks[i] = gone[at - 1];
        }
        *row = at;
        marks += p->entries;
    }
    t->value_gone = t->entry_gone;
    t->values = p->entries;
    if (!t->all_present) {
        const uint32_t *def = t->def, most = (uint32_t)p->max_def;
        const uint8_t *entry_gone = t->entry_gone;
        size_t values = 0;
        for (uint32_t i = 0; i < p->entries; i++) {
            marks[values] = entry_gone[i];
            values += def[i] == most;
        }
        t->value_gone = marks;
        t->values = values;
    }
    return PAGE_OK;
}

static enum page_status read_values(const page *p, input *in, parts *t) {
    if (p->values == PAGE_INDEXES) {
        if (in->at == in->end) {
            if (t->values) return PAGE_MALFORMED;
        } else if ((t->width = *in->at++) > 32)
            return PAGE_MALFORMED;
        if (!decode_hybrid(in, t->width, t->numbers, t->values)) return PAGE_MALFORMED;
    } else if (p->values == PAGE_RUN_BITS) {
        t->width = 1;
        if (t->values && !decode_levels(in, 1, t->numbers, t->values)) return PAGE_MALFORMED;
    } else if (p->values == PAGE_BITS) {
        if ((size_t)(in->end - in->at) < (t->values + 7) / 8) return PAGE_MALFORMED;
        for (size_t i = 0; i < t->values; i++) t->numbers[i] = in->at[i / 8] >> i % 8 & 1;
    }
    t->values_at = in->at;
    t->values_size = (size_t)(in->end - in->at);
    return PAGE_OK;
}

static int make_numbers(page_room *room, size_t count, parts *t) {
    if (count > room->entries) {
        free(room->numbers);
        free(room->marks);
        room->numbers = malloc(5 * count * sizeof *room->numbers);
        room->marks = malloc(2 * count);
        room->entries = room->numbers != NULL && room->marks != NULL ? count : 0;
        if (!room->entries) return 0;
    }
    memset(t, 0, sizeof *t);
    t->rep = room->numbers;
    t->def = t->rep + count;
    t->numbers = t->def + count;
    t->levels = t->numbers + count;
    t->picked = t->levels + count;
    return 1;
}

enum page_status read_page(page_room *room, const page *p, const uint8_t *gone, int64_t rows, int64_t *row, parts *t) {
    /* One more than entries, because marks are written one beyond the last value. */
    if (!make_numbers(room, (size_t)p->entries + 1, t)) return PAGE_NO_MEMORY;
    input in = {p->at, p->at + p->size};
    enum page_status status = read_levels(p, &in, t);
    if (status == PAGE_OK) status = mark_entries(p, gone, rows, row, room->marks, t);
    return status == PAGE_OK ? read_values(p, &in, t) : status;
}

enum page_status page_dictionary_init(page_dictionary *d, const uint8_t *at, size_t size, uint32_t count, uint32_t width) {
    page_dictionary_free(d);
    if (count > size) return PAGE_MALFORMED;
    d->starts = malloc(((size_t)count + 1) * sizeof *d->starts);
    if (d->starts == NULL) return PAGE_NO_MEMORY;
    size_t start = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t left = size - start, room = width;
        d->starts[i] = start;
        if (!width) {
            if (left < 4) return PAGE_MALFORMED;
            room = 4 + (size_t)little_endian(at + start);
        }
        if (left < room) return PAGE_MALFORMED;
        start += room;
    }
    d->starts[count] = start;
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
    enum page_status status = read_page(room, p, found, rows, row, &t);
    if (status != PAGE_OK) return status;
    found += *row - p->entries;
    const uint8_t *at = t.values_at, *end = at + t.values_size;
    size_t value = 0;
    for (uint32_t i = 0; i < p->entries; i++) {
        if (!t.all_present && t.def[i] != (uint32_t)p->max_def) continue;
        if (p->values == PAGE_INDEXES) {
            uint32_t index = t.numbers[value++];
            if (index >= p->dictionary->count) return PAGE_MALFORMED;
            at = p->dictionary->at + p->dictionary->starts[index];
            end = p->dictionary->at + p->dictionary->starts[index + 1];
        }
        size_t size = p->width;
        if (!size) {
            if (end - at < 4) return PAGE_MALFORMED;
            size = little_endian(at);
            at += 4;
        }
        if ((size_t)(end - at) < size) return PAGE_MALFORMED;
        if (found[i] && add) sieve_add(s, at, size);
        else if (found[i]) found[i] = (uint8_t)sieve_has(s, at, size);
        at += size;
    }
    return PAGE_OK;
}

void page_room_free(page_room *room) {
    free(room->numbers);
    free(room->marks);
    for (int i = 0; i < 2; i++) free(room->halves[i].at);
    memset(room, 0, sizeof *room);
}
