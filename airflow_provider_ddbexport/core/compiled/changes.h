/* The changes of an increment: taken out of its lines, dealt by the hash of their keys to buckets, and what those of a
 * bucket come to. The reference is core/merge: take_changes.py, spill.py and settle.py. */
#ifndef DDBEXPORT_CHANGES_H
#define DDBEXPORT_CHANGES_H

#include "kernel.h"

enum { MAX_KEY_ATTRIBUTES = 2 };

/* Before each change of a bucket, as spill.py writes it; behind it are its key, and the lines of both images. */
typedef struct {
    int64_t micros;
    uint32_t key, old, new; /* sizes; 0 for an image that there is none of */
    uint16_t window;
    uint16_t tells;         /* whether it tells what was before */
} change_header;

/* What changes are dealt to, and how their keys are made. */
typedef struct {
    const uint8_t *names[MAX_KEY_ATTRIBUTES]; /* of the key's attributes, in order */
    size_t name_sizes[MAX_KEY_ATTRIBUTES];
    uint32_t attributes;
    buffer *buckets;
    uint32_t bucket_count;
    uint32_t crc[256];
    buffer key, image_key;
} dealer;

/* What is true of all changes of a file: its window, whether they tell what was before, and when they do not. */
typedef struct {
    uint16_t window, tells;
    int64_t untold_micros; /* NEVER_UNTOLD for never */
} file_terms;

#define NEVER_UNTOLD INT64_MIN

/* 0 when there is no memory. */
int dealer_init(dealer *d, uint32_t bucket_count);
void dealer_free(dealer *d);
/* Deals the change in the line at `line`, which ends before the first line break or at `limit`, as parse_line() reads
 * it; `*end` is where, and `*bucket` has it. IRREGULAR, and nothing is dealt, where the reference has to look at it. */
enum status deal_line(dealer *d, tape *t, const file_terms *terms, const uint8_t *line, const uint8_t *limit,
                      const uint8_t **end, uint32_t *bucket);

typedef struct {
    uint64_t beginning;   /* eight bytes of its key, behind those that all keys begin with */
    const uint8_t *first; /* header of a change; once settled the first of its key */
    const uint8_t *last;  /* once settled the last of its key */
} settled_key;

/* Two lines that are to be of the same item but are not the same bytes. */
typedef struct {
    uint64_t left, left_size, found, found_size;
} doubt;

/* What the changes in `spilled` come to. */
typedef struct {
    const uint8_t *spilled;
    settled_key *keys; /* in the order of their bytes */
    size_t count, there, left; /* keys; those that had an item before, and those that have one after */
    size_t key_bytes;
    uint64_t breaks;   /* changes that do not go on from the one before, but for those in doubt */
    buffer doubts;     /* of doubt */
} settled;

/* `stretches` has a number for each of `windows`: what is between two windows of the same is told. IRREGULAR where
 * `spilled` is not what deal_line() makes. */
enum status settle(settled *s, const uint8_t *spilled, size_t size, const int64_t *stretches, size_t windows);
void settled_free(settled *s);

/* Columns of the table of keys, zeroed and with room for `count`. */
typedef struct {
    int32_t *offsets; /* one more */
    uint8_t *keys;    /* `key_bytes` of them */
    uint8_t *is_told, *was_there, *has_before; /* bits */
    int64_t *before;
} key_table;

/* Lines before begin so far behind the first of them all, or, `in_place`, in `spilled`. */
void settled_table(const settled *s, key_table *table, int in_place);

enum image { OLD, NEW };

/* The lines of an image of keys from number `*key` on, until they are `most_bytes`, or there are no more: how many, their
 * bytes, and in `*key` the number of the key behind them. */
size_t settled_lines(const settled *s, enum image image, size_t most_bytes, size_t *key, size_t *size);
/* Copies those of keys from `key` up to `end`. */
void settled_copy(const settled *s, enum image image, size_t key, size_t end, uint8_t *to);

#endif
