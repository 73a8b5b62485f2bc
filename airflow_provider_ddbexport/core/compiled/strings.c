/* Strings with escapes, and with characters beyond ASCII. */
#include "parser.h"

/* Returns the bytes of the one character beyond ASCII at `at`, 0 if they are not UTF-8. */
static size_t utf8_size(const uint8_t *at, const uint8_t *limit) {
    size_t room = (size_t)(limit - at);
    uint8_t a = at[0];
    if (a < 0xC2) return 0;
    if (a < 0xE0) return room >= 2 && (at[1] & 0xC0) == 0x80 ? 2 : 0;
    if (room < 3 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80) return 0;
    if (a < 0xF0) {
        if ((a == 0xE0 && at[1] < 0xA0) || (a == 0xED && at[1] > 0x9F)) return 0;
        return 3;
    }
    if (a > 0xF4 || room < 4 || (at[3] & 0xC0) != 0x80) return 0;
    if ((a == 0xF0 && at[1] < 0x90) || (a == 0xF4 && at[1] > 0x8F)) return 0;
    return 4;
}

static int hex4(const uint8_t *at, const uint8_t *limit, uint32_t *code) {
    if (limit - at < 4) return 0;
    *code = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = at[i], digit;
        if (c >= '0' && c <= '9') digit = c - '0';
        else if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
        else if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
        else return 0;
        *code = *code << 4 | digit;
    }
    return 1;
}

static size_t utf8_encode(uint32_t code, uint8_t *to) {
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (uint8_t)(0xC0 | code >> 6);
        to[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (uint8_t)(0xE0 | code >> 12);
        to[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        to[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    to[0] = (uint8_t)(0xF0 | code >> 18);
    to[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    to[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

/* Takes the escape at `at`, a backslash; writes its character. Returns the bytes written, 0 for no escape. */
static size_t take_escape(parser *p, uint8_t *to) {
    const uint8_t *at = p->at + 1;
    if (at >= p->limit) return 0;
    uint32_t code, low;
    p->at += 2;
    switch (*at) {
    case '"': case '\\': case '/': to[0] = *at; return 1;
    case 'b': to[0] = '\b'; return 1;
    case 'f': to[0] = '\f'; return 1;
    case 'n': to[0] = '\n'; return 1;
    case 'r': to[0] = '\r'; return 1;
    case 't': to[0] = '\t'; return 1;
    case 'u': break;
    default: return 0;
    }
    if (!hex4(p->at, p->limit, &code)) return 0;
    p->at += 4;
    if (code >= 0xD800 && code < 0xE000) {
        if (code >= 0xDC00 || p->limit - p->at < 6 || p->at[0] != '\\' || p->at[1] != 'u') return 0;
        if (!hex4(p->at + 2, p->limit, &low) || low < 0xDC00 || low > 0xDFFF) return 0;
        p->at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    return utf8_encode(code, to);
}

int take_special_text(parser *p, const uint8_t *start, const uint8_t **text, uint32_t *size, uint8_t *flags) {
    int is_ascii = 1;
    /* As long as there are no escapes the text can stay where it is. */
    while (*p->at >= 0x80) {
        size_t bytes = utf8_size(p->at, p->limit);
        if (!bytes) return stop(p, IRREGULAR);
        is_ascii = 0;
        p->at = plain_until(p->at + bytes, p->limit);
    }
    if (*p->at == '"') {
        *text = start;
        *size = (uint32_t)(p->at++ - start);
        *flags = is_ascii ? ASCII : 0;
        return 1;
    }
    /* No text gets longer by resolving its escapes, and all of a line is shorter than the arena has room for. */
    buffer *arena = &p->tape->arena;
    uint8_t *to = arena->at + arena->size, *begin = to;
    memcpy(to, start, (size_t)(p->at - start));
    to += p->at - start;
    for (;;) {
        uint8_t c = *p->at;
        if (c == '"') break;
        if (c == '\\') {
            size_t bytes = take_escape(p, to);
            if (!bytes) return stop(p, IRREGULAR);
            is_ascii &= *to < 0x80;
            to += bytes;
        } else if (c >= 0x80) {
            size_t bytes = utf8_size(p->at, p->limit);
            if (!bytes) return stop(p, IRREGULAR);
            memcpy(to, p->at, bytes);
            to += bytes;
            p->at += bytes;
            is_ascii = 0;
        } else if (c < 0x20) {
            return stop(p, IRREGULAR);
        } else {
            const uint8_t *until = plain_until(p->at, p->limit);
            memcpy(to, p->at, (size_t)(until - p->at));
            to += until - p->at;
            p->at = until;
        }
    }
    p->at++;
    *text = begin;
    *size = (uint32_t)(to - begin);
    *flags = is_ascii ? ASCII : 0;
    arena->size += *size;
    return 1;
}
