/* Data pages of Parquet, taken apart into the rows that stay and the rows that do not. */
#ifndef DDBEXPORT_PAGES_H
#define DDBEXPORT_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "sieve.h"

/* PAGE_UNKNOWN: not to be dealt here, though there are readers for it. */
enum page_status { PAGE_OK = 0, PAGE_MALFORMED = 1, PAGE_NO_MEMORY = 2, PAGE_UNKNOWN = 3 };

enum page_values { PAGE_FIXED, PAGE_BYTE_ARRAYS, PAGE_INDEXES, PAGE_BITS, PAGE_RUN_BITS };

/* The values of a dictionary page, plain. Zeroes stand for none. */
typedef struct {
    const uint8_t *at;
    uint32_t *starts; /* one more than values; NULL where each takes `width` bytes */
    uint32_t count, width;
} page_dictionary;

/* Where a value begins; the one behind the last, where that ends. */
static inline size_t page_dictionary_start(const page_dictionary *d, uint32_t index) {
    return d->starts == NULL ? (size_t)index * d->width : d->starts[index];
}

typedef struct {
    const uint8_t *at; /* uncompressed, of version 1 */
    size_t size;
    uint32_t entries; /* num_values of its header */
    int max_rep, max_def;
    enum page_values values;
    uint32_t width; /* bytes of each value of PAGE_FIXED, and of each that PAGE_INDEXES stand for; 0 for byte arrays */
    const page_dictionary *dictionary;
} page;

typedef struct {
    uint8_t *at;
    size_t size, room;
    uint32_t entries, nulls;
} page_half;

/* Memory that is used again for every page: getting it anew costs more than what is done in it. Zeroes to begin with. */
typedef struct {
    uint32_t *numbers;
    size_t entries;
    page_half halves[2];
} page_room;

/* Splits a page by `gone`, a byte for each of `rows` rows of the row group; `*row` of them began before this page.
 * room->halves[0] becomes the page of the rows that stay, if `kept`, and [1] that of those that are gone, until the next
 * call. In [1] are values where the page has indexes. */
enum page_status page_split(page_room *room, const page *p, const uint8_t *gone, int64_t rows, int64_t *row, int kept);

/* Takes away the marks in `found`, a byte for each of `rows` rows, of those of a page without lists that have a value which
 * `s` has not; or, to `add`, gives `s` the values of those that are marked. */
enum page_status page_sift(page_room *room, const page *p, sieve *s, int add, uint8_t *found, int64_t rows, int64_t *row);

enum { PAGE_HEADER_ROOM = 48 };

/* Writes the header of a data page of version 1 to `out`, which has PAGE_HEADER_ROOM, and returns its size. */
size_t page_header(uint8_t *out, uint64_t size, uint64_t compressed, uint32_t entries, uint32_t encoding);

/* Finds the `count` values at `at`, which has to stay; as page has it, no `width` is for byte arrays. */
enum page_status page_dictionary_init(page_dictionary *d, const uint8_t *at, size_t size, uint32_t count, uint32_t width);

void page_dictionary_free(page_dictionary *d);
void page_room_free(page_room *room);

#endif
