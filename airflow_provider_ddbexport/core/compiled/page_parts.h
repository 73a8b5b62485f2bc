/* What is in a page, for those who deal its rows. */
#ifndef DDBEXPORT_PAGE_PARTS_H
#define DDBEXPORT_PAGE_PARTS_H

#include "hybrid.h"
#include "pages.h"

/* Levels of 0 to `most`, as they are in a page. */
typedef struct {
    int most;
    int all;        /* what each of them is; -1 where they differ */
    uint32_t *each; /* filled in where they differ */
    input encoded;  /* without its size; nothing where `most` is 0 */
} page_levels;

/* A page taken apart. */
typedef struct {
    page_levels rep, def;
    size_t values; /* entries that have one */
    input encoded; /* the values */
    uint32_t *numbers, *entries_gone, *values_gone; /* have room for one more than entries; nothing is in them yet */
} parts;

/* Takes a page apart into `*t`, in memory of `room`, until the next one. */
enum page_status read_page(page_room *room, const page *p, parts *t);

/* Takes the width of a page's indexes of a dictionary; 0 where there is none, or too large a one. */
int take_width(parts *t, int *width);

/* Those of the entries from one to before another that have a value. */
size_t count_values(const parts *t, size_t first, size_t end);

/* Returns where `count` values of `width` bytes end, each of which says its own behind which they lie where that is 0; NULL
 * where that is behind `end`. */
const uint8_t *skip_values(const uint8_t *at, const uint8_t *end, uint32_t width, size_t count);

#endif
