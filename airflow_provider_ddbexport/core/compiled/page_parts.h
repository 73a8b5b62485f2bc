/* What is in a page, for those who deal its rows. */
#ifndef DDBEXPORT_PAGE_PARTS_H
#define DDBEXPORT_PAGE_PARTS_H

#include "pages.h"

/* A page taken apart. */
typedef struct {
    uint32_t *rep, *def, *numbers, *levels, *picked; /* the last two: of one half */
    const uint8_t *entry_gone, *value_gone;
    int all_present; /* then def is not filled in, and value_gone is entry_gone */
    const uint8_t *values_at;
    size_t values_size, values;
    int width; /* bits of PAGE_INDEXES and PAGE_RUN_BITS */
} parts;

/* Takes a page apart into `*t`, in memory of `room`, until the next one; `gone`, `rows` and `row` as page_split has them. */
enum page_status read_page(page_room *room, const page *p, const uint8_t *gone, int64_t rows, int64_t *row, parts *t);

#endif
