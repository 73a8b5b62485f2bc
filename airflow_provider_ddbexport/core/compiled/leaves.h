/* Leaves of columns as data pages of Parquet: levels, and values or their numbers in a dictionary. */
#ifndef DDBEXPORT_LEAVES_H
#define DDBEXPORT_LEAVES_H

#include <stddef.h>
#include <stdint.h>

#include "sparse.h"

/* An Arrow array on the way from a column to its leaf, or the leaf. */
typedef struct {
    const uint8_t *validity; /* a bit for each row, of which the first is number `offset`; NULL where none is null */
    const int32_t *offsets;  /* of lists: where each begins in the next array; there may be none where that is empty */
    int64_t offset;
    int is_nullable; /* whether there is a level for it */
    int is_list;
    int is_sparse;   /* whether the array has only the rows with a value */
} leaf_node;

/* Entries of a leaf: its values, its nulls, and what ends above it. Zeroes to begin with. */
typedef struct {
    int32_t *rows; /* of the array that was entered last; -1 where there is none */
    uint8_t *reps, *defs;
    size_t count, ended; /* the latter: without a row */
    int max_rep, max_def;
} leaf_entries;

/* Makes an entry of each of so many rows of a column; 0 when there is no memory. */
int leaf_begin(leaf_entries *entries, int64_t rows);
/* Goes on to the array below; 0 when there is no memory. */
int leaf_enter(leaf_entries *entries, const leaf_node *node);
void leaf_entries_free(leaf_entries *entries);

/* The rows of a leaf that have a value, and the first row with each different one. Zeroes to begin with. */
typedef struct {
    const sparse_column *column;
    int32_t *rows;
    size_t count;
    uint32_t *numbers; /* of each of them in the dictionary; NULL without one */
    int32_t *firsts;
    uint32_t different;
    size_t dictionary_bytes;
} leaf_values;

/* Finds the rows of `entries`, which have to be those of the leaf; 0 when there is no memory. */
int leaf_find_values(leaf_values *values, const leaf_entries *entries, const sparse_column *column);
/* Makes a dictionary, unless it were empty or its values would take more than `most` bytes; 0 when there is no memory. */
int leaf_make_dictionary(leaf_values *values, size_t most);
/* Writes the values of the dictionary to `out`, which has room for its bytes. */
void leaf_write_dictionary(const leaf_values *values, uint8_t *out);
/* Tells the rows of the lowest and the highest value; -1 where there is none. */
void leaf_bounds(const leaf_values *values, int64_t *lowest, int64_t *highest);
void leaf_values_free(leaf_values *values);

/* A page: from which entry and value on, and how many of them. */
typedef struct {
    size_t entry, entries, value, values;
} leaf_page;

/* Makes `page`, which may be zeroes, the one behind it, of whole rows: as many as take `most` bytes, or one. */
void leaf_next_page(const leaf_entries *entries, const leaf_values *values, size_t most, leaf_page *page);
/* Bytes that the page takes at most. */
size_t leaf_page_room(const leaf_values *values, const leaf_page *page);
/* Writes it to `out`, which has room for it, and returns its bytes. */
size_t leaf_write_page(const leaf_entries *entries, const leaf_values *values, const leaf_page *page, uint8_t *out);

#endif
