#include "sorted_keys.h"

#include <string.h>

static int compare(const uint8_t *key, size_t key_size, const binary_array *table, int64_t place) {
    size_t size = (size_t)(table->offsets[place + 1] - table->offsets[place]);
    int order = memcmp(key, table->bytes + table->offsets[place], key_size < size ? key_size : size);
    return order ? order : (key_size > size) - (key_size < size);
}

int64_t places_in(const binary_array *table, const binary_array *keys, int32_t *which, int32_t *places) {
    int64_t found = 0;
    for (int64_t i = 0; i < keys->count; i++) {
        const uint8_t *key = keys->bytes + keys->offsets[i];
        size_t size = (size_t)(keys->offsets[i + 1] - keys->offsets[i]);
        int64_t low = 0, high = table->count;
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            if (compare(key, size, table, middle) > 0) low = middle + 1;
            else high = middle;
        }
        if (low == table->count || compare(key, size, table, low)) continue;
        which[found] = (int32_t)i;
        places[found++] = (int32_t)low;
    }
    return found;
}

int64_t values_of(const binary_array *keys, int which, uint8_t type, int32_t *offsets, uint8_t *out) {
    int64_t found = 0;
    int32_t size = 0;
    offsets[0] = 0;
    for (int64_t i = 0; i < keys->count; i++) {
        const uint8_t *at = keys->bytes + keys->offsets[i], *end = keys->bytes + keys->offsets[i + 1];
        for (int number = 0; at < end; number++) {
            uint8_t here = *at++;
            size_t length = 0;
            for (; at < end && *at >= '0' && *at <= '9' && length < INT32_MAX / 10; at++) length = 10 * length + (*at - '0');
            if (at == end || *at++ != ':' || (size_t)(end - at) < length) return -1;
            if (number == which && here == type) {
                memcpy(out + size, at, length);
                size += (int32_t)length;
                offsets[++found] = size;
            }
            at += length;
        }
    }
    return found;
}
