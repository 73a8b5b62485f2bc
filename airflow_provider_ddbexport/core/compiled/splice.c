#include "splice.h"

#include <stdlib.h>
#include <string.h>

#include "line.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* DynamoDB nests 32 levels of maps and lists, each of which is two of JSON. */
enum { MOST_NESTED = 128 };

static inline const uint8_t *skip_spaces(const uint8_t *at) {
    while (*at == ' ') at++;
    return at;
}

static int hex_value(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The code unit of four hexadecimal digits, -1 for anything else. */
static int code_unit(const uint8_t *at, const uint8_t *limit) {
    int unit = 0;
    if (limit - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(at[i]);
        if (digit < 0) return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Skips an escape, behind its backslash; NULL if it is none. */
static const uint8_t *skip_escape(const uint8_t *at, const uint8_t *limit) {
    switch (*at) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
        return at + 1;
    case 'u':
        break;
    default:
        return NULL;
    }
    int unit = code_unit(at + 1, limit);
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF)) return NULL;
    if (unit < 0xD800 || unit > 0xDBFF) return at + 5;
    if (limit - at < 11 || at[5] != '\\' || at[6] != 'u') return NULL;
    unit = code_unit(at + 7, limit);
    return unit >= 0xDC00 && unit <= 0xDFFF ? at + 11 : NULL;
}

/* Skips a string, behind its first quote; NULL if it does not end. */
static inline const uint8_t *skip_string(const uint8_t *at, const uint8_t *limit) {
    for (;;) {
#if defined(__SSE2__)
        const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1F);
        while (limit - at >= 16) {
            __m128i chunk = _mm_loadu_si128((const __m128i *)at);
            __m128i special = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(chunk, quote), _mm_cmpeq_epi8(chunk, slash)),
                                           _mm_cmpeq_epi8(_mm_min_epu8(chunk, control), chunk));
            int mask = _mm_movemask_epi8(special);
            if (mask) {
                at += __builtin_ctz((unsigned)mask);
                break;
            }
            at += 16;
        }
#endif
        while (at < limit && *at >= 0x20 && *at != '"' && *at != '\\') at++;
        if (*at == '"' && at < limit) return at + 1;
        if (*at != '\\' || at >= limit) return NULL;
        at = skip_escape(at + 1, limit);
        if (at == NULL) return NULL;
    }
}

static inline const uint8_t *skip_digits(const uint8_t *at) {
    while (*at >= '0' && *at <= '9') at++;
    return at;
}

/* Skips a number without an exponent; DynamoDB sends no others. */
static const uint8_t *skip_number(const uint8_t *at) {
    if (*at == '-') at++;
    const uint8_t *digits = at;
    at = skip_digits(at);
    if (at == digits || (*digits == '0' && at - digits > 1)) return NULL;
    if (*at == '.') {
        digits = at + 1;
        at = skip_digits(digits);
        if (at == digits) return NULL;
    }
    return *at == 'e' || *at == 'E' ? NULL : at;
}

static const uint8_t *skip_word(const uint8_t *at, const uint8_t *limit, const char *word, size_t size) {
    return (size_t)(limit - at) >= size && memcmp(at, word, size) == 0 ? at + size : NULL;
}

static const uint8_t *skip_scalar(const uint8_t *at, const uint8_t *limit) {
    switch (*at) {
    case '"': return skip_string(at + 1, limit);
    case 't': return skip_word(at, limit, "true", 4);
    case 'f': return skip_word(at, limit, "false", 5);
    case 'n': return skip_word(at, limit, "null", 4);
    default: return skip_number(at);
    }
}

/* Skips a name and its colon, up to the value; NULL if there is none. */
static inline const uint8_t *skip_name(const uint8_t *at, const uint8_t *limit) {
    if (*at != '"') return NULL;
    at = skip_string(at + 1, limit);
    if (at == NULL) return NULL;
    at = skip_spaces(at);
    return *at == ':' ? skip_spaces(at + 1) : NULL;
}

/* Skips {"S":"…"} and its like, written without spaces, as most values are; NULL if this is none. */
static inline const uint8_t *skip_typed_text(const uint8_t *at, const uint8_t *limit) {
    if (limit - at < 8 || at[0] != '{' || at[1] != '"' || at[2] < 'A' || at[2] > 'Z' || memcmp(at + 3, "\":\"", 3) != 0)
        return NULL;
    at = skip_string(at + 6, limit);
    return at != NULL && *at == '}' ? at + 1 : NULL;
}

/* Skips a value; NULL if it is none, or is none known here. */
static const uint8_t *skip_value(const uint8_t *at, const uint8_t *limit) {
    uint8_t closings[MOST_NESTED];
    int depth = 0;
    for (;;) {
        /* A value begins here. */
        const uint8_t *behind = skip_typed_text(at, limit);
        if (behind != NULL) {
            at = behind;
        } else if (*at == '{' || *at == '[') {
            if (depth == MOST_NESTED) return NULL;
            uint8_t closing = *at + 2; /* in ASCII, of both */
            at = skip_spaces(at + 1);
            if (*at != closing) {
                closings[depth++] = closing;
                if (closing == '}' && (at = skip_name(at, limit)) == NULL) return NULL;
                continue;
            }
            at++;
        } else if ((at = skip_scalar(at, limit)) == NULL) {
            return NULL;
        }
        /* A value ends here. */
        for (;;) {
            if (depth == 0) return at;
            at = skip_spaces(at);
            if (*at != closings[depth - 1]) break;
            at++;
            depth--;
        }
        if (*at != ',') return NULL;
        at = skip_spaces(at + 1);
        if (closings[depth - 1] == '}' && (at = skip_name(at, limit)) == NULL) return NULL;
    }
}

static int add_bounds(page_items *items, size_t start, size_t end) {
    if (items->count == items->room) {
        size_t room = items->room ? items->room * 2 : 1024;
        size_t *bounds = realloc(items->bounds, 2 * room * sizeof *bounds);
        if (bounds == NULL) return 0;
        items->bounds = bounds;
        items->room = room;
    }
    items->bounds[2 * items->count] = start;
    items->bounds[2 * items->count + 1] = end;
    items->count++;
    items->size += end - start;
    return 1;
}

/* Takes the items, behind the array's bracket. */
static enum splice_status take_items(page_items *items, const uint8_t *body, const uint8_t *at, const uint8_t *limit) {
    at = skip_spaces(at);
    if (*at != ']') {
        for (;;) {
            const uint8_t *item = at;
            if (*at != '{' || (at = skip_value(at, limit)) == NULL) return SPLICE_OTHER;
            if (!add_bounds(items, (size_t)(item - body), (size_t)(at - body))) return SPLICE_NO_MEMORY;
            at = skip_spaces(at);
            if (*at != ',') break;
            at = skip_spaces(at + 1);
        }
        if (*at != ']') return SPLICE_OTHER;
    }
    items->end = (size_t)(at + 1 - body);
    return SPLICE_OK;
}

enum splice_status splice_find(page_items *items, const uint8_t *body, const uint8_t *limit) {
    static const char name[] = "\"Items\"";
    const uint8_t *at = skip_spaces(body);
    if (*at != '{') return SPLICE_OTHER;
    do {
        const uint8_t *member = skip_spaces(at + 1);
        at = skip_name(member, limit);
        if (at == NULL) return SPLICE_OTHER;
        if (*at == '[' && at - member >= (ptrdiff_t)sizeof name && memcmp(member, name, sizeof name - 1) == 0) {
            items->start = (size_t)(member - body);
            return take_items(items, body, at + 1, limit);
        }
        at = skip_value(at, limit);
        if (at == NULL) return SPLICE_OTHER;
        at = skip_spaces(at);
    } while (*at == ',');
    return SPLICE_OTHER;
}

size_t splice_room(const page_items *items) { return items->size + items->count * AROUND_ITEM; }

void splice_write(const page_items *items, const uint8_t *body, uint8_t *to) {
    for (size_t i = 0; i < items->count; i++) {
        size_t start = items->bounds[2 * i];
        to = write_line(to, body + start, items->bounds[2 * i + 1] - start);
    }
}

void splice_free(page_items *items) {
    free(items->bounds);
    memset(items, 0, sizeof *items);
}
