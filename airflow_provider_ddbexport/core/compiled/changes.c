/* Changes out of lines into buckets. */
#include <stdlib.h>

#include "changes.h"
#include "line.h"
#include "parser.h"

enum { KEYS, OLD_IMAGE, NEW_IMAGE, MAPS };

typedef struct {
    const uint8_t *text; /* NULL where there is none */
    size_t size;
    uint32_t node;
} map_text;

typedef struct {
    int64_t micros; /* -1 before it was read */
    map_text maps[MAPS];
} change;

int dealer_init(dealer *d, uint32_t bucket_count) {
    memset(d, 0, sizeof *d);
    d->bucket_count = bucket_count;
    d->buckets = calloc(bucket_count, sizeof *d->buckets);
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        d->crc[byte] = crc;
    }
    return d->buckets != NULL;
}

void dealer_free(dealer *d) {
    if (d->buckets != NULL)
        for (uint32_t i = 0; i < d->bucket_count; i++) buffer_free(&d->buckets[i]);
    free(d->buckets);
    buffer_free(&d->key);
    buffer_free(&d->image_key);
    memset(d, 0, sizeof *d);
}

/* The same as zlib's. */
static uint32_t crc32_of(const dealer *d, const uint8_t *at, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) crc = crc >> 8 ^ d->crc[(crc ^ at[i]) & 255];
    return ~crc;
}

/* Takes {"WriteTimestampMicros":{"N":"…"}}, of digits alone, few enough for an int64. */
static int take_metadata(parser *p, change *c) {
    if (!take(p, '{') || !take_word(p, "\"WriteTimestampMicros\"", 22) || !take(p, ':') || !take(p, '{') ||
        !take_word(p, "\"N\"", 3) || !take(p, ':') || !take(p, '"'))
        return 0;
    const uint8_t *first = p->at;
    int64_t micros = 0;
    for (; *p->at >= '0' && *p->at <= '9' && p->at - first < 18; p->at++) micros = 10 * micros + (*p->at - '0');
    c->micros = micros;
    return p->at > first && *p->at++ == '"' && take(p, '}') && take(p, '}');
}

static int take_change_map(parser *p, map_text *map) {
    if (map->text != NULL) return 0;
    while (is_space(*p->at)) p->at++;
    map->text = p->at;
    map->node = p->tape->count;
    if (!take_map(p)) return 0;
    map->size = (size_t)(p->at - map->text);
    return 1;
}

static int take_change(parser *p, change *c) {
    if (!take(p, '{')) return 0;
    do {
        int is_fine;
        if (take_word(p, "\"Metadata\"", 10)) is_fine = c->micros < 0 && take(p, ':') && take_metadata(p, c);
        else if (take_word(p, "\"Keys\"", 6)) is_fine = take(p, ':') && take_change_map(p, &c->maps[KEYS]);
        else if (take_word(p, "\"OldImage\"", 10)) is_fine = take(p, ':') && take_change_map(p, &c->maps[OLD_IMAGE]);
        else if (take_word(p, "\"NewImage\"", 10)) is_fine = take(p, ':') && take_change_map(p, &c->maps[NEW_IMAGE]);
        else return 0;
        if (!is_fine) return 0;
    } while (take(p, ','));
    if (!take(p, '}')) return 0;
    while (is_space(*p->at)) p->at++;
    return p->at == p->limit && c->micros >= 0 && c->maps[KEYS].text != NULL;
}

static enum status key_value(buffer *key, const node *n) {
    static const char tags[] = {[S] = 'S', [N] = 'N', [B] = 'B'};
    uint8_t spelled[CANONICAL_ROOM];
    const uint8_t *content = n->text;
    size_t size = n->size;
    if (n->kind != S && n->kind != N && n->kind != B) return IRREGULAR;
    if (n->kind == N && !(n->flags & CANONICAL)) {
        size = number_canonical(n->text, n->size, spelled);
        content = spelled;
    } else if (n->kind == B) {
        /* Regular base64: whole groups of four, the last of which may be filled up. */
        size = size / 4 * 3 - (size && content[size - 1] == '=') - (size && content[size - 2] == '=');
    }
    uint8_t digits[20], *first = digits + sizeof digits;
    size_t left = size;
    do *--first = (uint8_t)('0' + left % 10);
    while (left /= 10);
    /* Base64 is decoded in groups, to more than its size. */
    if (!buffer_room(key, size + sizeof digits + 5)) return NO_MEMORY;
    uint8_t *to = key->at + key->size;
    *to++ = (uint8_t)tags[n->kind];
    while (first < digits + sizeof digits) *to++ = *first++;
    *to++ = ':';
    if (n->kind == B) base64_decode(n->text, n->size, to);
    else if (size) memcpy(to, content, size);
    key->size = (size_t)(to - key->at) + size;
    return OK;
}

/* Puts the bytes of the key that is in the map at `map` into `key`. */
static enum status key_of(const dealer *d, const tape *t, uint32_t map, buffer *key) {
    key->size = 0;
    for (uint32_t i = 0; i < d->attributes; i++) {
        const node *found = NULL;
        for (uint32_t at = map + 1; at < t->nodes[map].next && found == NULL; at = t->nodes[at].next) {
            const node *member = &t->nodes[at];
            if (member->name_size == d->name_sizes[i] && memcmp(member->name, d->names[i], d->name_sizes[i]) == 0)
                found = member;
        }
        enum status status = found == NULL ? IRREGULAR : key_value(key, found);
        if (status != OK) return status;
    }
    return OK;
}

static uint32_t line_size(const map_text *map) {
    return map->text == NULL ? 0 : (uint32_t)(map->size + AROUND_ITEM);
}

static uint8_t *put_line(uint8_t *to, const map_text *map) {
    return map->text == NULL ? to : write_line(to, map->text, map->size);
}

static enum status put_change(dealer *d, const change *c, const file_terms *terms, uint32_t *bucket) {
    static const map_text none;
    int is_untold = c->micros == terms->untold_micros;
    const map_text *old = is_untold ? &none : &c->maps[OLD_IMAGE], *new = &c->maps[NEW_IMAGE];
    change_header header = {.micros = c->micros, .key = (uint32_t)d->key.size, .old = line_size(old),
                            .new = line_size(new), .window = terms->window, .tells = is_untold ? 0 : terms->tells};
    *bucket = d->bucket_count == 1 ? 0 : crc32_of(d, d->key.at, d->key.size) % d->bucket_count;
    buffer *to = &d->buckets[*bucket];
    size_t size = sizeof header + d->key.size + header.old + header.new;
    if (!buffer_room(to, size)) return NO_MEMORY;
    uint8_t *at = to->at + to->size;
    memcpy(at, &header, sizeof header);
    memcpy(at + sizeof header, d->key.at, d->key.size);
    put_line(put_line(at + sizeof header + d->key.size, old), new);
    to->size += size;
    return OK;
}

enum status deal_line(dealer *d, tape *t, const file_terms *terms, const uint8_t *line, const uint8_t *limit,
                      const uint8_t **end, uint32_t *bucket) {
    const uint8_t *until = memchr(line, '\n', (size_t)(limit - line));
    *end = until == NULL ? limit : until;
    parser p = {line, *end, t, 0, OK};
    change c = {.micros = -1};
    if (!tape_begin(t, (size_t)(*end - line))) return NO_MEMORY;
    if (!take_change(&p, &c)) return p.status ? p.status : IRREGULAR;
    const map_text *keys = &c.maps[KEYS], *new = &c.maps[NEW_IMAGE];
    if (t->nodes[keys->node].size != d->attributes) return IRREGULAR;
    enum status status = key_of(d, t, keys->node, &d->key);
    if (status == OK && new->text != NULL) {
        status = key_of(d, t, new->node, &d->image_key);
        if (status == OK && (d->key.size != d->image_key.size || memcmp(d->key.at, d->image_key.at, d->key.size) != 0))
            status = IRREGULAR;
    }
    return status == OK ? put_change(d, &c, terms, bucket) : status;
}
