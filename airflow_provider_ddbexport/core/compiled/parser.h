/* Where a line is read. */
#ifndef DDBEXPORT_PARSER_H
#define DDBEXPORT_PARSER_H

#include "kernel.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef struct {
    const uint8_t *at, *limit;
    tape *tape;
    int checked;
    enum status status;
} parser;

static inline int stop(parser *p, enum status status) {
    p->status = status;
    return 0;
}

#if defined(__SSE2__)
/* Which of sixteen bytes are. */
static inline __m128i special_among(const uint8_t *at) {
    __m128i chunk = _mm_loadu_si128((const __m128i *)at);
    __m128i quotes = _mm_cmpeq_epi8(chunk, _mm_set1_epi8('"')), slashes = _mm_cmpeq_epi8(chunk, _mm_set1_epi8('\\'));
    /* As signed bytes, control characters and all beyond ASCII are below the space. */
    return _mm_or_si128(_mm_or_si128(quotes, slashes), _mm_cmplt_epi8(chunk, _mm_set1_epi8(0x20)));
}
#endif

/* Advances to the next byte that is not plain ASCII inside of a string: a quote, a backslash, a control character, or
 * one of the bytes of other characters. */
static inline const uint8_t *plain_until(const uint8_t *at, const uint8_t *limit) {
#if defined(__SSE2__)
    while (limit - at >= 16) {
        int mask = _mm_movemask_epi8(special_among(at));
        if (mask) return at + __builtin_ctz((unsigned)mask);
        at += 16;
        /* What is not short may be long. */
        while (limit - at >= 64 &&
               !_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(special_among(at), special_among(at + 16)),
                                               _mm_or_si128(special_among(at + 32), special_among(at + 48)))))
            at += 64;
    }
#endif
    while (at < limit && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\') at++;
    return at;
}

/* The rest of a string whose first bytes, from `start`, were plain. */
int take_special_text(parser *p, const uint8_t *start, const uint8_t **text, uint32_t *size, uint8_t *flags);

static inline int is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Takes one character, after any spaces. */
static inline int take(parser *p, uint8_t c) {
    if (*p->at != c) {
        while (is_space(*p->at)) p->at++;
        if (*p->at != c) return 0;
    }
    p->at++;
    return 1;
}

static inline int take_word(parser *p, const char *word, size_t size) {
    while (is_space(*p->at)) p->at++;
    if ((size_t)(p->limit - p->at) < size || memcmp(p->at, word, size) != 0) return 0;
    p->at += size;
    return 1;
}

/* Takes a string, behind its first quote. */
static inline int take_text(parser *p, const uint8_t **text, uint32_t *size, uint8_t *flags) {
    const uint8_t *start = p->at;
    p->at = plain_until(start, p->limit);
    if (*p->at != '"') return take_special_text(p, start, text, size, flags);
    *text = start;
    *size = (uint32_t)(p->at++ - start);
    *flags = ASCII;
    return 1;
}

/* Forgets what is on the tape and makes room for the text of a line of `size` bytes; 0 when there is no memory. */
int tape_begin(tape *t, size_t size);
/* Takes an object whose members are attributes, as the next node of the tape: an item, or the keys of one. */
int take_map(parser *p);

#endif
