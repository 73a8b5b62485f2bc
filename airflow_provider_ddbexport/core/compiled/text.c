/* Values as JSON text, paths, and what orders and measures text as Python does. */
#include <stdlib.h>

#include "kernel.h"

size_t characters(const uint8_t *text, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += (text[i] & 0xC0) != 0x80;
    return count;
}

int compare_text(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

int write_step(buffer *to, const uint8_t *name, size_t size) {
    if (!buffer_room(to, 2 * size)) return 0;
    uint8_t *at = to->at + to->size;
    for (size_t i = 0; i < size; i++) {
        if (name[i] == '~' || name[i] == '/') {
            *at++ = '~';
            *at++ = name[i] == '~' ? '0' : '1';
        } else {
            *at++ = name[i];
        }
    }
    to->size = (size_t)(at - to->at);
    return 1;
}

static int write_text(buffer *to, const uint8_t *text, size_t size) {
    static const char hex[] = "0123456789abcdef";
    if (!buffer_room(to, 6 * size + 2)) return 0;
    uint8_t *at = to->at + to->size;
    *at++ = '"';
    for (size_t i = 0; i < size; i++) {
        uint8_t c = text[i], letter = 0;
        switch (c) {
        case '"': case '\\': letter = c; break;
        case '\b': letter = 'b'; break;
        case '\f': letter = 'f'; break;
        case '\n': letter = 'n'; break;
        case '\r': letter = 'r'; break;
        case '\t': letter = 't'; break;
        }
        if (letter) {
            *at++ = '\\';
            *at++ = letter;
        } else if (c < 0x20) {
            memcpy(at, "\\u00", 4);
            at[4] = (uint8_t)hex[c >> 4];
            at[5] = (uint8_t)hex[c & 15];
            at += 6;
        } else {
            *at++ = c;
        }
    }
    *at++ = '"';
    to->size = (size_t)(at - to->at);
    return 1;
}

static int write_number(buffer *to, const node *n) {
    if (n->flags & CANONICAL) return buffer_add(to, n->text, n->size);
    if (!buffer_room(to, CANONICAL_ROOM)) return 0;
    to->size += number_canonical(n->text, n->size, to->at + to->size);
    return 1;
}

typedef struct {
    uint64_t beginning; /* the first eight bytes, which mostly tell names apart */
    const uint8_t *name;
    uint32_t size, at;
} member;

static inline int is_behind(const member *one, const member *other) {
    if (one->beginning != other->beginning) return one->beginning > other->beginning;
    return compare_text(one->name, one->size, other->name, other->size) > 0;
}

static int by_name(const void *a, const void *b) { return is_behind(a, b) - is_behind(b, a); }

int members_by_name(const node *nodes, uint32_t map, buffer *order) {
    uint32_t count = nodes[map].size;
    /* The members are sorted behind the indexes, and both fit. Multiples of eight keep them aligned. */
    size_t indexes = ((size_t)count * sizeof(uint32_t) + 7) / 8 * 8;
    if (!buffer_room(order, indexes + (size_t)count * sizeof(member))) return 0;
    uint8_t *to = order->at + order->size;
    member *members = (member *)(void *)(to + indexes);
    for (uint32_t i = 0, at = map + 1; i < count; at = nodes[at].next, i++)
        members[i] = (member){beginning_of(nodes[at].name, nodes[at].name_size), nodes[at].name, nodes[at].name_size, at};
    if (count > 32) {
        qsort(members, count, sizeof *members, by_name);
    } else {
        /* Faster than qsort() for small maps, which most are. */
        for (uint32_t i = 1; i < count; i++) {
            member moved = members[i];
            uint32_t place = i;
            for (; place > 0 && is_behind(&members[place - 1], &moved); place--) members[place] = members[place - 1];
            members[place] = moved;
        }
    }
    for (uint32_t i = 0; i < count; i++) memcpy(to + i * sizeof(uint32_t), &members[i].at, sizeof(uint32_t));
    order->size += indexes;
    return 1;
}

static int write_plain_or_typed(buffer *to, const node *nodes, uint32_t at, int is_plain);

static int write_members(buffer *to, const node *nodes, uint32_t map, int is_plain) {
    buffer order = {0};
    int is_fine = members_by_name(nodes, map, &order) && buffer_add(to, "{", 1);
    const uint32_t *members = (const uint32_t *)(const void *)order.at;
    for (uint32_t i = 0; is_fine && i < nodes[map].size; i++) {
        const node *member = &nodes[members[i]];
        is_fine = (i == 0 || buffer_add(to, ",", 1)) && write_text(to, member->name, member->name_size) &&
                  buffer_add(to, ":", 1) && write_plain_or_typed(to, nodes, members[i], is_plain);
    }
    buffer_free(&order);
    return is_fine && buffer_add(to, "}", 1);
}

/* Arrays of values, or the arrays of sets, whose elements are contents. */
static int write_elements(buffer *to, const node *nodes, uint32_t list, int is_plain) {
    int is_fine = buffer_add(to, "[", 1);
    uint32_t at = list + 1;
    for (uint32_t i = 0; is_fine && i < nodes[list].size; at = nodes[at].next, i++) {
        if (i) is_fine = buffer_add(to, ",", 1);
        if (!is_fine) break;
        if (nodes[list].kind == L) is_fine = write_plain_or_typed(to, nodes, at, is_plain);
        else if (nodes[list].kind == NS && is_plain) is_fine = write_number(to, &nodes[at]);
        else is_fine = write_text(to, nodes[at].text, nodes[at].size);
    }
    return is_fine && buffer_add(to, "]", 1);
}

static int write_content(buffer *to, const node *nodes, uint32_t at, int is_plain) {
    const node *n = &nodes[at];
    switch ((enum kind)n->kind) {
    case S: case B:
        return write_text(to, n->text, n->size);
    case N:
        return is_plain ? write_number(to, n) : write_text(to, n->text, n->size);
    case BOOL:
        return n->flags & TRUE ? buffer_add(to, "true", 4) : buffer_add(to, "false", 5);
    case NUL:
        return is_plain ? buffer_add(to, "null", 4) : buffer_add(to, "true", 4);
    case M:
        return write_members(to, nodes, at, is_plain);
    case L: case SS: case NS: case BS:
        return write_elements(to, nodes, at, is_plain);
    case KINDS:
        break;
    }
    return 0;
}

static int write_plain_or_typed(buffer *to, const node *nodes, uint32_t at, int is_plain) {
    static const char *const beginnings[KINDS] = {
        [S] = "{\"S\":", [N] = "{\"N\":", [B] = "{\"B\":", [BOOL] = "{\"BOOL\":", [NUL] = "{\"NULL\":",
        [M] = "{\"M\":", [L] = "{\"L\":", [SS] = "{\"SS\":", [NS] = "{\"NS\":", [BS] = "{\"BS\":",
    };
    if (is_plain) return write_content(to, nodes, at, 1);
    const char *beginning = beginnings[nodes[at].kind];
    return buffer_add(to, beginning, strlen(beginning)) && write_content(to, nodes, at, 0) && buffer_add(to, "}", 1);
}

int write_json(buffer *to, const node *nodes, uint32_t at, int is_plain) {
    return write_plain_or_typed(to, nodes, at, is_plain);
}

/* 64 for what is no digit of base64. */
static const uint8_t sextets[256] = {
#define NO4 64, 64, 64, 64
#define NO16 NO4, NO4, NO4, NO4
    NO16, NO16, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 64, 64, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64,
    64, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 64,
    64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64,
    64, 64, 64,
    NO16, NO16, NO16, NO16, NO16, NO16, NO16, NO16,
};

int base64_is_regular(const uint8_t *text, size_t size) {
    if (size % 4) return 0;
    if (size && text[size - 1] == '=') size -= text[size - 2] == '=' ? 2 : 1;
    uint8_t worst = 0;
    for (size_t i = 0; i < size; i++) worst |= sextets[text[i]];
    return worst < 64;
}

size_t base64_decode(const uint8_t *text, size_t size, uint8_t *to) {
    uint8_t *at = to;
    size_t i = 0;
    for (; i + 4 <= size; i += 4) {
        uint32_t a = sextets[text[i]], b = sextets[text[i + 1]], c = sextets[text[i + 2]], d = sextets[text[i + 3]];
        if ((a | b | c | d) & 64) break;
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        *at++ = (uint8_t)(bits >> 16);
        *at++ = (uint8_t)(bits >> 8);
        *at++ = (uint8_t)bits;
    }
    if (i + 2 <= size && sextets[text[i]] < 64 && sextets[text[i + 1]] < 64) {
        uint32_t bits = (uint32_t)sextets[text[i]] << 18 | (uint32_t)sextets[text[i + 1]] << 12;
        *at++ = (uint8_t)(bits >> 16);
        if (i + 3 <= size && sextets[text[i + 2]] < 64) *at++ = (uint8_t)((bits | (uint32_t)sextets[text[i + 2]] << 6) >> 8);
    }
    return (size_t)(at - to);
}
