/* Values behind values: what all that builds columns does. */
#ifndef DDBEXPORT_APPEND_H
#define DDBEXPORT_APPEND_H

#include "kernel.h"

static inline int64_t fail(builder *b, enum status status) {
    b->failed = status;
    return -1;
}

/* The first null before a value, or a value behind nulls. */
static inline int mark_behind_nulls(column *c, int64_t row) {
    if (!c->has_nulls) {
        if (row < c->count || !buffer_room(&c->rows, (size_t)c->count * sizeof(int32_t))) return 0;
        for (int32_t i = 0; i < c->count; i++) buffer_add_int32(&c->rows, i);
        c->has_nulls = 1;
    }
    c->count++;
    return row <= INT32_MAX && buffer_add_int32(&c->rows, (int32_t)row);
}

/* A value that is there: `row` is the first behind all rows so far, or behind some nulls. */
static inline int mark(column *c, int64_t row) {
    if (c->has_nulls || row != c->count) return mark_behind_nulls(c, row);
    c->count++;
    return 1;
}

/* Where the next value begins. */
static inline int32_t end_of(const column *c) {
    int32_t end = 0;
    if (c->ends.size) memcpy(&end, c->ends.at + c->ends.size - sizeof end, sizeof end);
    return end;
}

/* Makes ends begin with their zero. */
static inline int have_ends(column *c) { return c->ends.size != 0 || buffer_add_int32(&c->ends, 0); }

static inline int end_at(column *c, size_t end) {
    return have_ends(c) && buffer_add_int32(&c->ends, (int32_t)end);
}

static inline int64_t put_text(builder *b, column *c, int64_t row, const uint8_t *text, size_t size) {
    if (size > INT32_MAX - c->contents.size) return fail(b, TOO_LARGE);
    if (!mark(c, row) || !buffer_add(&c->contents, text, size) || !end_at(c, c->contents.size))
        return fail(b, NO_MEMORY);
    return 8;
}

static inline int64_t put_fixed(builder *b, column *c, int64_t row, const void *value, size_t width) {
    if (!mark(c, row) || !buffer_add(&c->contents, value, width)) return fail(b, NO_MEMORY);
    return 8;
}

static inline int64_t put_boolean(builder *b, column *c, int64_t row, int is_true) {
    uint8_t value = is_true != 0;
    return put_fixed(b, c, row, &value, 1);
}

enum { NEAR = 32 };

/* The same with text behind which NEAR bytes can be read: most is shorter, and is copied without asking how long. */
static inline int64_t put_near_text(builder *b, column *c, int64_t row, const uint8_t *text, size_t size) {
    if (size > NEAR) return put_text(b, c, row, text, size);
    if (size > INT32_MAX - c->contents.size) return fail(b, TOO_LARGE);
    if (!mark(c, row) || !buffer_room(&c->contents, NEAR)) return fail(b, NO_MEMORY);
    memcpy(c->contents.at + c->contents.size, text, NEAR);
    c->contents.size += size;
    return end_at(c, c->contents.size) ? 8 : fail(b, NO_MEMORY);
}

/* Clears `*fits` for a number that the column does not hold. */
int64_t put_number(builder *b, column *c, int64_t row, const node *n, int *fits);

/* Misfits: values that have no column, or not one that holds them. */
/* Rescues the value at `at`. It is counted under `label` and the names among the steps from `base` on. Returns 0, for
 * its bytes are counted with those of the row. */
int64_t rescue(builder *b, const node *nodes, uint32_t at, const column *label, uint32_t base);
/* Enters the row's misfits into _rescued. Returns their size. */
int64_t keep_misfits(builder *b);

#endif
