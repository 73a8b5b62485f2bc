/* Splitting data pages of Parquet by rows without decoding their values.
 *
 * A page is: repetition levels, if lists are around it; definition levels, if anything is optional; then the values of
 * those entries that have one. Levels and indexes of dictionaries are in the hybrid of runs and packed bits; an entry
 * whose repetition level is 0 begins a row. Nothing is read beyond the page's size, whatever the page says.
 */
#include "pages.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *at, *end;
} input;

static int bits_of(uint32_t most) {
    int bits = 0;
    for (; most; most >>= 1) bits++;
    return bits;
}

static uint32_t little_endian(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Decodes `count` numbers of `width` bits; 0 when the input ends before. */
static int decode_hybrid(input *in, int width, uint32_t *numbers, size_t count) {
    const uint32_t mask = width < 32 ? ((uint32_t)1 << width) - 1 : UINT32_MAX;
    size_t done = 0;
    while (done < count) {
        uint64_t header = 0;
        for (int shift = 0;; shift += 7) {
            if (in->at == in->end || shift > 28) return 0;
            header |= (uint64_t)(*in->at & 0x7F) << shift;
            if (!(*in->at++ & 0x80)) break;
        }
        size_t run = (size_t)(header >> 1), left = count - done;
        if (!run) return 0;
        if (header & 1) {
            size_t size = run * (size_t)width, here = run * 8 < left ? run * 8 : left;
            if ((size_t)(in->end - in->at) < size) {
                /* The last group may be cut behind its last value. */
                if (here != left || (size_t)(in->end - in->at) < (here * (size_t)width + 7) / 8) return 0;
                size = (size_t)(in->end - in->at);
            }
            size_t i = 0, bit = 0, bytes = (size_t)(in->end - in->at);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            for (; i < here && bit / 8 + 8 <= bytes; i++, bit += (size_t)width) {
                uint64_t word;
                memcpy(&word, in->at + bit / 8, 8);
                numbers[done++] = (uint32_t)(word >> bit % 8) & mask;
            }
#endif
            for (; i < here; i++, bit += (size_t)width) {
                uint64_t word = 0;
                for (size_t byte = bit / 8; byte * 8 < bit + (size_t)width; byte++)
                    word |= (uint64_t)in->at[byte] << (byte - bit / 8) * 8;
                numbers[done++] = (uint32_t)(word >> bit % 8) & mask;
            }
            in->at += size;
        } else {
            int size = (width + 7) / 8;
            uint32_t number = 0;
            if (in->end - in->at < size) return 0;
            for (int i = 0; i < size; i++) number |= (uint32_t)*in->at++ << 8 * i;
            if (run > left) run = left;
            for (size_t i = 0; i < run; i++) numbers[done++] = number;
        }
    }
    return 1;
}

static size_t run_at(const uint32_t *numbers, size_t start, size_t end) {
    size_t i = start + 1;
    while (i < end && numbers[i] == numbers[start]) i++;
    return i - start;
}

static uint8_t *write_header(uint8_t *out, uint64_t header) {
    for (; header >= 0x80; header >>= 7) *out++ = (uint8_t)(header | 0x80);
    *out++ = (uint8_t)header;
    return out;
}

/* Bytes that encode_hybrid writes at most. */
static size_t hybrid_room(size_t count, int width) { return (count / 8 + 2) * (size_t)(10 + (width > 4 ? width : 4)); }

static uint8_t *encode_hybrid(uint8_t *out, int width, const uint32_t *numbers, size_t count) {
    size_t start = 0;
    while (start < count) {
        size_t run = run_at(numbers, start, count);
        if (run >= 8) {
            out = write_header(out, (uint64_t)run << 1);
            for (int i = 0; i < (width + 7) / 8; i++) *out++ = (uint8_t)(numbers[start] >> 8 * i);
            start += run;
            continue;
        }
        size_t end = start;
        do {
            end = end + 8 < count ? end + 8 : count;
        } while (end < count && run_at(numbers, end, end + 16 < count ? end + 16 : count) < 16);
        size_t groups = (end - start + 7) / 8;
        out = write_header(out, (uint64_t)groups << 1 | 1);
        uint64_t bits = 0;
        int have = 0;
        for (size_t i = start; i < start + groups * 8; i++) {
            bits |= (uint64_t)(i < end ? numbers[i] : 0) << have;
            for (have += width; have >= 8; have -= 8, bits >>= 8) *out++ = (uint8_t)bits;
        }
        start = end;
    }
    return out;
}

/* Levels as a page has them: their size, then the hybrid. */
static int decode_levels(input *in, int most, uint32_t *levels, size_t count) {
    if (in->end - in->at < 4) return 0;
    size_t size = little_endian(in->at);
    in->at += 4;
    if ((size_t)(in->end - in->at) < size) return 0;
    input here = {in->at, in->at + size};
    in->at += size;
    return decode_hybrid(&here, bits_of((uint32_t)most), levels, count);
}

static uint8_t *encode_levels(uint8_t *out, int most, const uint32_t *levels, size_t count) {
    uint8_t *end = encode_hybrid(out + 4, bits_of((uint32_t)most), levels, count);
    size_t size = (size_t)(end - out - 4);
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(size >> 8 * i);
    return end;
}

/* Picks the numbers whose mark is `wanted`. Few are marked, so what lies between them is copied at once. */
static size_t pick(const uint32_t *numbers, const uint8_t *marks, uint8_t wanted, size_t count, uint32_t *picked) {
    size_t found = 0;
    for (size_t i = 0; i < count;) {
        const uint8_t *marked = memchr(marks + i, 1, count - i);
        size_t end = marked == NULL ? count : (size_t)(marked - marks);
        if (!wanted) {
            memcpy(picked + found, numbers + i, (end - i) * sizeof *numbers);
            found += end - i;
        } else if (end < count)
            picked[found++] = numbers[end];
        i = end + 1;
    }
    return found;
}

typedef struct {
    uint32_t *rep, *def, *numbers, *picked;
    uint8_t *entry_gone, *value_gone;
    const uint8_t *values_at;
    size_t values_size, values;
    int width; /* bits of PAGE_INDEXES and PAGE_RUN_BITS */
} parts;

static enum page_status read_page(const page *p, const uint8_t *gone, int64_t rows, int64_t *row, parts *t) {
    input in = {p->at, p->at + p->size};
    if (p->max_rep && !decode_levels(&in, p->max_rep, t->rep, p->entries)) return PAGE_MALFORMED;
    if (p->max_def && !decode_levels(&in, p->max_def, t->def, p->entries)) return PAGE_MALFORMED;
    if (!p->max_rep) {
        if (*row < 0 || (int64_t)p->entries > rows - *row) return PAGE_MALFORMED;
        memcpy(t->entry_gone, gone + *row, p->entries);
        *row += p->entries;
    } else {
        for (uint32_t i = 0; i < p->entries; i++) {
            *row += t->rep[i] == 0;
            if (*row < 1 || *row > rows) return PAGE_MALFORMED;
            t->entry_gone[i] = gone[*row - 1];
        }
    }
    for (uint32_t i = 0; i < p->entries; i++) {
        t->value_gone[t->values] = t->entry_gone[i];
        t->values += !p->max_def || t->def[i] == (uint32_t)p->max_def;
    }
    if (p->values == PAGE_INDEXES) {
        if (in.at == in.end) {
            if (t->values) return PAGE_MALFORMED;
        } else if ((t->width = *in.at++) > 32)
            return PAGE_MALFORMED;
        if (!decode_hybrid(&in, t->width, t->numbers, t->values)) return PAGE_MALFORMED;
    } else if (p->values == PAGE_RUN_BITS) {
        t->width = 1;
        if (t->values && !decode_levels(&in, 1, t->numbers, t->values)) return PAGE_MALFORMED;
    } else if (p->values == PAGE_BITS) {
        if ((size_t)(in.end - in.at) < (t->values + 7) / 8) return PAGE_MALFORMED;
        for (size_t i = 0; i < t->values; i++) t->numbers[i] = in.at[i / 8] >> i % 8 & 1;
    }
    t->values_at = in.at;
    t->values_size = (size_t)(in.end - in.at);
    return PAGE_OK;
}

/* Copies the values whose mark is `wanted`, run by run. */
static uint8_t *copy_values(uint8_t *out, const page *p, const parts *t, uint8_t wanted) {
    const uint8_t *at = t->values_at, *end = at + t->values_size, *run = NULL;
    for (size_t i = 0; i < t->values; i++) {
        size_t size = p->width, left = (size_t)(end - at);
        if (p->values == PAGE_BYTE_ARRAYS) {
            if (left < 4) return NULL;
            size = 4 + (size_t)little_endian(at);
        }
        if (left < size) return NULL;
        if (t->value_gone[i] == wanted) {
            if (run == NULL) run = at;
        } else if (run != NULL) {
            memcpy(out, run, (size_t)(at - run));
            out += at - run;
            run = NULL;
        }
        at += size;
    }
    if (run != NULL) {
        memcpy(out, run, (size_t)(at - run));
        out += at - run;
    }
    return out;
}

static enum page_status write_half(const page *p, const parts *t, uint8_t wanted, page_half *half) {
    size_t entries = 0, values = 0;
    for (uint32_t i = 0; i < p->entries; i++) entries += t->entry_gone[i] == wanted;
    for (size_t i = 0; i < t->values; i++) values += t->value_gone[i] == wanted;
    half->entries = (uint32_t)entries;
    half->nulls = (uint32_t)(entries - values);
    size_t room = 16 + t->values_size + hybrid_room(entries, bits_of((uint32_t)p->max_rep)) +
                  hybrid_room(entries, bits_of((uint32_t)p->max_def)) + hybrid_room(values, t->width);
    if (room > half->room) {
        free(half->at);
        half->room = 0;
        half->at = malloc(room);
        if (half->at == NULL) return PAGE_NO_MEMORY;
        half->room = room;
    }
    uint8_t *out = half->at;
    if (p->max_rep) out = encode_levels(out, p->max_rep, t->picked, pick(t->rep, t->entry_gone, wanted, p->entries, t->picked));
    if (p->max_def) out = encode_levels(out, p->max_def, t->picked, pick(t->def, t->entry_gone, wanted, p->entries, t->picked));
    switch (p->values) {
    case PAGE_INDEXES:
        *out++ = (uint8_t)t->width;
        pick(t->numbers, t->value_gone, wanted, t->values, t->picked);
        out = encode_hybrid(out, t->width, t->picked, values);
        break;
    case PAGE_RUN_BITS:
        pick(t->numbers, t->value_gone, wanted, t->values, t->picked);
        out = encode_levels(out, 1, t->picked, values);
        break;
    case PAGE_BITS:
        pick(t->numbers, t->value_gone, wanted, t->values, t->picked);
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

enum page_status page_split(page_room *room, const page *p, const uint8_t *gone, int64_t rows, int64_t *row) {
    /* One more than entries, because marks are written one beyond the last value. */
    size_t count = (size_t)p->entries + 1;
    if (count > room->entries) {
        free(room->numbers);
        free(room->marks);
        room->numbers = malloc(4 * count * sizeof *room->numbers);
        room->marks = malloc(2 * count);
        room->entries = room->numbers != NULL && room->marks != NULL ? count : 0;
        if (!room->entries) return PAGE_NO_MEMORY;
    }
    uint32_t *numbers = room->numbers;
    uint8_t *marks = room->marks;
    parts t = {numbers, numbers + count, numbers + 2 * count, numbers + 3 * count, marks, marks + count, NULL, 0, 0, 0};
    enum page_status status = read_page(p, gone, rows, row, &t);
    for (uint8_t wanted = 0; wanted < 2 && status == PAGE_OK; wanted++)
        status = write_half(p, &t, wanted, &room->halves[wanted]);
    return status;
}

void page_room_free(page_room *room) {
    free(room->numbers);
    free(room->marks);
    for (int i = 0; i < 2; i++) free(room->halves[i].at);
    memset(room, 0, sizeof *room);
}
