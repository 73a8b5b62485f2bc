/* What the changes of a bucket come to. */
#include <stdlib.h>

#include "changes.h"

static change_header header_at(const uint8_t *at) {
    change_header header;
    memcpy(&header, at, sizeof header);
    return header;
}

static const uint8_t *key_at(const uint8_t *at) { return at + sizeof(change_header); }

static const uint8_t *line_at(const uint8_t *at, const change_header *header, enum image image) {
    return key_at(at) + header->key + (image == OLD ? 0 : header->old);
}

static int in_order(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int by_key(const uint8_t *a, const change_header *one, const uint8_t *b, const change_header *other) {
    return compare_text(key_at(a), one->key, key_at(b), other->key);
}

/* By key, window, time, and images: all that there is, so that it is all one in which order they were read. */
static int by_time(const void *a, const void *b) {
    const settled_key *one = a, *other = b;
    if (one->beginning != other->beginning) return one->beginning < other->beginning ? -1 : 1;
    change_header here = header_at(one->first), there = header_at(other->first);
    int order = by_key(one->first, &here, other->first, &there);
    if (!order) order = in_order(here.window, there.window);
    if (!order) order = in_order(here.micros, there.micros);
    return order ? order : compare_text(line_at(one->first, &here, OLD), (size_t)here.old + here.new,
                                        line_at(other->first, &there, OLD), (size_t)there.old + there.new);
}

/* Whether the change at `a` was written after that at `b`. */
static int is_later(const uint8_t *a, const uint8_t *b) {
    change_header one = header_at(a), other = header_at(b);
    int order = in_order(one.micros, other.micros);
    if (!order) order = in_order(one.window, other.window);
    return order ? order > 0 : compare_text(line_at(a, &one, NEW), one.new, line_at(b, &other, NEW), other.new) > 0;
}

/* Looks whether the change at `next` goes on from the one at `at`, the one before it. */
static int compare_ends(settled *s, const uint8_t *at, const uint8_t *next, const int64_t *stretches) {
    change_header left = header_at(at), found = header_at(next);
    if (!found.tells || left.window == found.window || stretches[left.window] != stretches[found.window]) return 1;
    const uint8_t *line = line_at(at, &left, NEW), *other = line_at(next, &found, OLD);
    if (left.new == found.old && memcmp(line, other, left.new) == 0) return 1;
    if (!left.new || !found.old) {
        s->breaks++;
        return 1;
    }
    doubt doubted = {(uint64_t)(line - s->spilled), left.new, (uint64_t)(other - s->spilled), found.old};
    return buffer_add(&s->doubts, &doubted, sizeof doubted);
}

/* Fills in the changes, and how many bytes all their keys begin with. */
static enum status find_changes(settled *s, size_t size, size_t windows, size_t *alike) {
    const uint8_t *at = s->spilled, *end = at + size;
    size_t room = 0;
    *alike = 0;
    while (at < end) {
        if ((size_t)(end - at) < sizeof(change_header)) return IRREGULAR;
        change_header header = header_at(at);
        uint64_t more = (uint64_t)header.key + header.old + header.new;
        if (more > (uint64_t)(end - key_at(at)) || header.window >= windows) return IRREGULAR;
        if (s->count == room) {
            room = room ? 2 * room : 1024;
            settled_key *keys = room > SIZE_MAX / sizeof *keys ? NULL : realloc(s->keys, room * sizeof *keys);
            if (keys == NULL) return NO_MEMORY;
            s->keys = keys;
        }
        s->keys[s->count++] = (settled_key){0, at, at};
        if (s->count == 1) *alike = header.key;
        if (*alike > header.key) *alike = header.key;
        const uint8_t *key = key_at(at), *first = key_at(s->spilled);
        if (memcmp(key, first, *alike) != 0)
            for (size_t i = 0; i < *alike; i++)
                if (key[i] != first[i]) *alike = i;
        at = key + more;
    }
    return OK;
}

static void note_beginnings(settled *s, size_t alike) {
    for (size_t i = 0; i < s->count; i++) {
        const uint8_t *key = key_at(s->keys[i].first);
        size_t size = header_at(s->keys[i].first).key;
        s->keys[i].beginning = beginning_of(key + alike, size - alike);
    }
}

enum status settle(settled *s, const uint8_t *spilled, size_t size, const int64_t *stretches, size_t windows) {
    size_t alike, keys = 0;
    memset(s, 0, sizeof *s);
    s->spilled = spilled;
    enum status status = find_changes(s, size, windows, &alike);
    if (status != OK) return status;
    note_beginnings(s, alike);
    if (s->count) qsort(s->keys, s->count, sizeof *s->keys, by_time);
    for (size_t i = 0; i < s->count; i++) {
        const uint8_t *at = s->keys[i].first;
        change_header header = header_at(at), before;
        if (keys) before = header_at(s->keys[keys - 1].first);
        if (keys && by_key(at, &header, s->keys[keys - 1].first, &before) == 0) {
            if (!compare_ends(s, s->keys[i - 1].first, at, stretches)) return NO_MEMORY;
            if (is_later(at, s->keys[keys - 1].last)) {
                s->left -= header_at(s->keys[keys - 1].last).new > 0;
                s->left += header.new > 0;
                s->keys[keys - 1].last = at;
            }
            continue;
        }
        s->keys[keys++] = s->keys[i];
        s->key_bytes += header.key;
        s->there += header.old > 0;
        s->left += header.new > 0;
    }
    s->count = keys;
    return s->key_bytes > INT32_MAX ? TOO_LARGE : OK;
}

void settled_free(settled *s) {
    free(s->keys);
    buffer_free(&s->doubts);
    memset(s, 0, sizeof *s);
}

void settled_table(const settled *s, key_table *table, int in_place) {
    int32_t end = 0;
    int64_t before = 0;
    for (size_t i = 0; i < s->count; i++) {
        const uint8_t *at = s->keys[i].first;
        change_header header = header_at(at);
        uint8_t bit = (uint8_t)(1 << i % 8);
        table->offsets[i] = end;
        if (header.key) memcpy(table->keys + end, key_at(at), header.key);
        end += (int32_t)header.key;
        if (header.old || header.tells) table->is_told[i / 8] |= bit;
        if (!header.old) continue;
        table->was_there[i / 8] |= bit;
        table->has_before[i / 8] |= bit;
        table->before[i] = in_place ? line_at(at, &header, OLD) - s->spilled : before;
        before += header.old;
    }
    table->offsets[s->count] = end;
}

static const uint8_t *line_of(const settled_key *key, enum image image, size_t *size) {
    const uint8_t *at = image == OLD ? key->first : key->last;
    change_header header = header_at(at);
    *size = image == OLD ? header.old : header.new;
    return line_at(at, &header, image);
}

size_t settled_lines(const settled *s, enum image image, size_t most_bytes, size_t *key, size_t *size) {
    size_t lines = 0, bytes;
    *size = 0;
    for (; *key < s->count && *size < most_bytes; ++*key) {
        line_of(&s->keys[*key], image, &bytes);
        *size += bytes;
        lines += bytes > 0;
    }
    return lines;
}

void settled_copy(const settled *s, enum image image, size_t key, size_t end, uint8_t *to) {
    size_t bytes;
    for (; key < end; key++) {
        const uint8_t *line = line_of(&s->keys[key], image, &bytes);
        if (bytes) memcpy(to, line, bytes);
        to += bytes;
    }
}
