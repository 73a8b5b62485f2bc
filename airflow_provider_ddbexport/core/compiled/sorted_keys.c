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

static int decimal_digits(uint32_t number) {
    int digits = 1;
    while (number /= 10) digits++;
    return digits;
}

int64_t keys_size(const binary_array *parts, uint32_t attributes) {
    int64_t size = 0;
    for (uint32_t part = 0; part < attributes; part++) {
        const int32_t *offsets = parts[part].offsets;
        for (int64_t i = 0; i < parts[part].count; i++) {
            if (offsets[i] < 0 || offsets[i + 1] < offsets[i]) return -1;
            uint32_t length = (uint32_t)(offsets[i + 1] - offsets[i]);
            size += 2 + decimal_digits(length) + (int64_t)length;
        }
    }
    return size;
}

void put_keys(const binary_array *parts, const uint8_t *types, uint32_t attributes, int32_t *offsets, uint8_t *out) {
    uint8_t *to = out;
    offsets[0] = 0;
    for (int64_t i = 0; i < parts[0].count; i++) {
        for (uint32_t part = 0; part < attributes; part++) {
            const int32_t *at = parts[part].offsets + i;
            uint32_t length = (uint32_t)(at[1] - at[0]), left = length;
            *to++ = types[part];
            uint8_t *digit = to += decimal_digits(length);
            do *--digit = (uint8_t)('0' + left % 10);
            while (left /= 10);
            *to++ = ':';
            if (length) memcpy(to, parts[part].bytes + at[0], length);
            to += length;
        }
        offsets[i + 1] = (int32_t)(to - out);
    }
}

int64_t plain_texts(const uint8_t *body, size_t size, int has_levels, int64_t most, int32_t *offsets, uint8_t *out) {
    const uint8_t *at = body, *end = body + size;
    uint32_t length;
    int64_t found = 0;
    if (has_levels) {
        if (end - at < 4) return -1;
        memcpy(&length, at, 4);
        if (length > (size_t)(end - at) - 4) return -1;
        at += 4 + length;
    }
    for (; at < end; at += length) {
        if (found == most || end - at < 4) return -1;
        memcpy(&length, at, 4);
        at += 4;
        if (length > (size_t)(end - at)) return -1;
        if (length) memcpy(out + offsets[found], at, length);
        offsets[found + 1] = offsets[found] + (int32_t)length;
        found++;
    }
    return found;
}

int put_plain(const binary_array *texts, uint8_t *out, size_t room) {
    for (int64_t i = 0; i < texts->count; i++) {
        int32_t start = texts->offsets[i], end = texts->offsets[i + 1];
        if (start < 0 || end < start) return 0;
        uint32_t length = (uint32_t)(end - start);
        if (room < 4 || room - 4 < length) return 0;
        memcpy(out, &length, 4);
        if (length) memcpy(out + 4, texts->bytes + start, length);
        out += 4 + length;
        room -= 4 + length;
    }
    return 1;
}
