/* Sorted tables of keys as core/keys.py makes them: for each value its type, its length in decimal, a colon, and it. */
#ifndef DDBEXPORT_SORTED_KEYS_H
#define DDBEXPORT_SORTED_KEYS_H

#include <stddef.h>
#include <stdint.h>

/* Of Arrow's type binary: keys lie between one offset and the next. */
typedef struct {
    const int32_t *offsets;
    const uint8_t *bytes;
    int64_t count;
} binary_array;

/* Puts into `which` the numbers of those of `keys` that are in `table`, which is in order, and into `places` where; both
 * have room for all keys. Returns how many they are. */
int64_t places_in(const binary_array *table, const binary_array *keys, int32_t *which, int32_t *places);

/* Copies the values number `which`, counted from 0, of the keys where they are of `type`, to `out`, which has room for
 * all keys; `offsets` has room for one more than keys. Returns how many, or -1 where bytes are no keys. */
int64_t values_of(const binary_array *keys, int which, uint8_t type, int32_t *offsets, uint8_t *out);

/* Bytes of the keys that are made of `parts`, of so many `attributes` and all as long; -1 where offsets are not in order. */
int64_t keys_size(const binary_array *parts, uint32_t attributes);

/* Puts those keys into `out`, which has room for them; `offsets` has room for one more than keys. */
void put_keys(const binary_array *parts, const uint8_t *types, uint32_t attributes, int32_t *offsets, uint8_t *out);

/* Copies the texts that are the plain values of a page, none of them null, behind those that end at `offsets[0]` of `out`,
 * which has room for all of `body`; `offsets` has room for `most` more. Returns how many, or -1 where `body` is no such
 * page. */
int64_t plain_texts(const uint8_t *body, size_t size, int has_levels, int64_t most, int32_t *offsets, uint8_t *out);

/* Puts `texts` as the plain values of a page into `out`, which has so much room. Returns 0 where that is not enough, or
 * offsets are not in order. */
int put_plain(const binary_array *texts, uint8_t *out, size_t room);

#endif
