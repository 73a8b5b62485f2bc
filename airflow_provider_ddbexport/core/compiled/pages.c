/* Splitting data pages of Parquet by rows without decoding their values.
 *
 * A page is: repetition levels, if lists are around it; definition levels, if anything is optional; then the values of
 * those entries that have one. Levels and indexes of dictionaries are in the hybrid of runs and packed bits; an entry
 * whose repetition level is 0 begins a row. Nothing is read beyond the page's size, whatever the page says.
 */
#include "pages.h"

#include <stdlib.h>
#include <string.h>

#include "varint.h"

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
        uint64_t header;
        if (!read_varint(&in->at, in->end, &header)) return 0;
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

/* Bytes that encode_hybrid writes at most. */
static size_t hybrid_room(size_t count, int width) { return (count / 8 + 2) * (size_t)(10 + (width > 4 ? width : 4)); }

static uint8_t *encode_hybrid(uint8_t *out, int width, const uint32_t *numbers, size_t count) {
    size_t start = 0;
    while (start < count) {
        size_t run = run_at(numbers, start, count);
        if (run >= 8) {
            out = write_varint(out, (uint64_t)run << 1);
            for (int i = 0; i < (width + 7) / 8; i++) *out++ = (uint8_t)(numbers[start] >> 8 * i);
            start += run;
            continue;
        }
        size_t end = start;
        do {
            end = end + 8 < count ? end + 8 : count;
        } while (end < count && run_at(numbers, end, end + 16 < count ? end + 16 : count) < 16);
        size_t groups = (end - start + 7) / 8;
        out = write_varint(out, (uint64_t)groups << 1 | 1);
        uint64_t bits = 0;
        int have = 0;
        for (size_t i = start; i < end; i++) {
            bits |= (uint64_t)numbers[i] << have;
            if ((have += width) < 32) continue;
            for (int byte = 0; byte < 4; byte++, bits >>= 8) *out++ = (uint8_t)bits;
            have -= 32;
        }
        for (have += (int)(start + groups * 8 - end) * width; have > 0; have -= 8, bits >>= 8) *out++ = (uint8_t)bits;
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

/* A page taken apart. */
typedef struct {
    uint32_t *rep, *def, *numbers, *levels, *picked; /* the last two: of one half */
    const uint8_t *entry_gone, *value_gone;
    int all_present; /* then def is not filled in, and value_gone is entry_gone */
    const uint8_t *values_at;
    size_t values_size, values;
    int width; /* bits of PAGE_INDEXES and PAGE_RUN_BITS */
} parts;

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

static enum page_status read_page(page_room *room, const page *p, const uint8_t *gone, int64_t rows, int64_t *row, parts *t) {
    /* One more than entries, because marks are written one beyond the last value. */
    if (!make_numbers(room, (size_t)p->entries + 1, t)) return PAGE_NO_MEMORY;
    input in = {p->at, p->at + p->size};
    enum page_status status = read_levels(p, &in, t);
    if (status == PAGE_OK) status = mark_entries(p, gone, rows, row, room->marks, t);
    return status == PAGE_OK ? read_values(p, &in, t) : status;
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
