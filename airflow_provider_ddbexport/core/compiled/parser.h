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

static inline int fail(parser *p, enum status status) {
    p->status = status;
    return 0;
}

/* Advances to the next byte that is not plain ASCII inside of a string: a quote, a backslash, a control character, or
 * one of the bytes of other characters. */
static inline const uint8_t *plain_until(const uint8_t *at, const uint8_t *limit) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
    while (limit - at >= 16) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)at);
        /* As signed bytes, control characters and all beyond ASCII are below the space. */
        __m128i special = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(chunk, quote), _mm_cmpeq_epi8(chunk, slash)),
                                       _mm_cmplt_epi8(chunk, space));
        int mask = _mm_movemask_epi8(special);
        if (mask) return at + __builtin_ctz((unsigned)mask);
        at += 16;
    }
#endif
    while (at < limit && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\') at++;
    return at;
}

/* The rest of a string whose first bytes, from `start`, were plain. */
int take_special_text(parser *p, const uint8_t *start, const uint8_t **text, uint32_t *size, uint8_t *flags);

#endif
