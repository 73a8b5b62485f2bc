/* Numbers taken out of the hybrid without decoding those between them. */
#include <string.h>

#include "bits.h"
#include "hybrid.h"
#include "varint.h"

/* A group of packed numbers, and how many are worth a run of their own. */
enum { GROUP = 8 };

/* The hybrid that stays. A packed run is open, with room for its header, until a run of one number comes. */
typedef struct {
    uint8_t *out; /* behind the last run that is closed */
    int width, header; /* bytes of room */
    size_t left; /* numbers behind it */
    size_t packed; /* of them in the packed run that is open; 0 where none is */
    uint32_t number; /* comes `run` times behind those */
    size_t run;
} writer;

/* Takes the numbers of a packed `run`, the first of which is at the place `first`, to `*picked`, or behind the first `bit` of
 * `kept`, unless that is NULL. Returns how many are kept. */
static size_t split_packed(
    const hybrid_run *run, int width, size_t first, const uint32_t **gone, uint32_t **picked, uint8_t *kept, size_t bit
) {
    const uint64_t mask = ((uint64_t)1 << width) - 1;
    const size_t end = first + run->count;
    size_t found = 0, at = first;
    for (;;) {
        size_t stop = **gone < end ? **gone : end;
        if (kept != NULL)
            copy_bits(
                kept, bit + found * (size_t)width, run->packed, run->size, (at - first) * (size_t)width,
                (stop - at) * (size_t)width
            );
        found += stop - at;
        if (stop == end) return found;
        *(*picked)++ = (uint32_t)(bits_at(run->packed, run->size, (stop - first) * (size_t)width) & mask);
        (*gone)++;
        at = stop + 1;
    }
}

static uint8_t *open_packed(writer *w) {
    uint8_t header[LONGEST_VARINT];
    if (!w->packed) w->header = (int)(write_varint(header, (w->left + GROUP - 1) / GROUP << 1 | 1) - header);
    return w->out + w->header;
}

static void close_packed(writer *w) {
    if (!w->packed) return;
    uint8_t header[LONGEST_VARINT], *packed = w->out + w->header;
    size_t groups = (w->packed + GROUP - 1) / GROUP, size = groups * (size_t)w->width;
    size_t filled = (w->packed * (size_t)w->width + 7) / 8, room = (size_t)(write_varint(header, groups << 1 | 1) - header);
    memset(packed + filled, 0, size - filled);
    memmove(w->out + room, packed, size);
    memcpy(w->out, header, room);
    w->out += room + size;
    w->left -= w->packed;
    w->packed = 0;
}

static void pack_number(writer *w, size_t times) {
    for (; times; times--) {
        put_bits(open_packed(w), w->packed * (size_t)w->width, w->number);
        w->packed++;
    }
}

/* What begins behind a packed run begins behind whole groups. */
static void close_run(writer *w, int is_last) {
    size_t run = w->run, odd = w->packed % GROUP ? GROUP - w->packed % GROUP : 0;
    if (odd > run) odd = run;
    pack_number(w, odd);
    run -= odd;
    w->run = 0;
    if (run < GROUP && !is_last) {
        pack_number(w, run);
    } else if (run) {
        close_packed(w);
        w->out = write_varint(w->out, (uint64_t)run << 1);
        for (int i = 0; i < (w->width + 7) / 8; i++) *w->out++ = (uint8_t)(w->number >> 8 * i);
        w->left -= run;
    }
}

static void put_run(writer *w, uint32_t number, size_t times) {
    if (number != w->number) close_run(w, 0);
    w->number = number;
    w->run += times;
}

int split_hybrid(
    input *in, int width, size_t count, const uint32_t *gone, uint32_t *picked, size_t stays, uint8_t **kept
) {
    writer w = {.out = kept == NULL ? NULL : *kept, .width = width, .left = stays};
    hybrid_run run;
    for (size_t done = 0; done < count; done += run.count) {
        if (!next_run(in, width, count - done, &run)) return 0;
        if (run.packed != NULL) {
            uint8_t *out = NULL;
            if (kept != NULL) {
                close_run(&w, 0);
                out = open_packed(&w);
            }
            w.packed += split_packed(&run, width, done, &gone, &picked, out, w.packed * (size_t)width);
            continue;
        }
        if ((uint64_t)run.number >> width) return 0;
        size_t left = run.count;
        for (; *gone < done + run.count; gone++, left--) *picked++ = run.number;
        if (kept != NULL) put_run(&w, run.number, left);
    }
    if (kept != NULL) {
        close_run(&w, 1);
        close_packed(&w);
        *kept = w.out;
    }
    return 1;
}

void split_bits(const uint8_t *in, size_t size, size_t count, const uint32_t *gone, uint32_t *picked, uint8_t *kept) {
    const hybrid_run run = {.count = count, .size = size, .packed = in};
    split_packed(&run, 1, 0, &gone, &picked, kept, 0);
}
