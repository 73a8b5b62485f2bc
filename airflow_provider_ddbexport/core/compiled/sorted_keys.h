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

#endif
