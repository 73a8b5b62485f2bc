/* DynamoDB's numbers: the same as columns/numbers.py. */
#include "kernel.h"

static inline int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

int number_parse(const uint8_t *text, size_t size, number *n) {
    const uint8_t *at = text, *end = text + size;
    int64_t exponent = 0, written = 0; /* of the last digit that was read; of the text */
    int64_t zeros = 0;                 /* since the last digit that is none */
    int any = 0, is_fraction = 0;
    n->negative = 0;
    n->size = 0;
    n->exponent = 0;
    if (at < end && (*at == '+' || *at == '-')) n->negative = *at++ == '-';
    for (; at < end; at++) {
        if (*at == '.' && !is_fraction) {
            is_fraction = 1;
            continue;
        }
        if (!is_digit(*at)) break;
        any = 1;
        exponent -= is_fraction;
        if (*at == '0') {
            zeros += n->size > 0;
            continue;
        }
        if (n->size + zeros >= MAX_DIGITS) return 0;
        for (; zeros; zeros--) n->digits[n->size++] = 0;
        n->digits[n->size++] = (uint8_t)(*at - '0');
    }
    if (!any) return 0;
    if (at < end && (*at == 'e' || *at == 'E')) {
        int is_negative = 0, count = 0;
        at++;
        if (at < end && (*at == '+' || *at == '-')) is_negative = *at++ == '-';
        for (; at < end && is_digit(*at); at++, count++) {
            if (count == 9) return 0;
            written = written * 10 + (*at - '0');
        }
        if (!count) return 0;
        if (is_negative) written = -written;
    }
    if (at != end) return 0;
    if (n->size == 0) {
        n->negative = 0;
        return 1;
    }
    exponent += written + zeros;
    int64_t leading = exponent + n->size - 1;
    if (leading < -130 || leading > 125) return 0;
    n->exponent = (int32_t)exponent;
    return 1;
}

/* Numbers of up to 18 digits as DynamoDB writes them; 0 for all others. */
static int small(node *n) {
    const uint8_t *at = n->text, *end = at + n->size;
    if (n->size == 0 || n->size > 20) return 0;
    int is_negative = *at == '-';
    at += is_negative;
    const uint8_t *first = at;
    uint64_t value = 0;
    while (at < end && is_digit(*at)) value = value * 10 + (*at++ - '0');
    ptrdiff_t digits = at - first, scale = 0;
    if (digits == 0 || digits > 18 || (*first == '0' && digits > 1)) return 0;
    if (at < end) {
        if (*at++ != '.') return 0;
        const uint8_t *fraction = at;
        while (at < end && is_digit(*at)) value = value * 10 + (*at++ - '0');
        scale = at - fraction;
        if (at != end || scale == 0 || digits + scale > 18 || at[-1] == '0') return 0;
    } else if (value == 0 && is_negative) {
        return 0;
    }
    n->value = is_negative ? -(int64_t)value : (int64_t)value;
    n->whole_digits = *first == '0' ? 0 : (uint8_t)digits;
    n->scale = (uint8_t)scale;
    n->flags |= SCALED | CANONICAL | (scale ? 0 : WHOLE);
    return 1;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* The value of eight digits, the first of which is the lowest byte; clears `*are_digits` if they are none. */
static inline uint64_t value_of(uint64_t digits, int *are_digits) {
    *are_digits &= ((digits | (digits + 0x0606060606060606u)) & 0xF0F0F0F0F0F0F0F0u) == 0;
    digits = digits * 10 + (digits >> 8); /* pairs, in every other byte */
    return ((digits & 0x000000FF000000FFu) * (100 + (1000000ull << 32)) +
            (digits >> 16 & 0x000000FF000000FFu) * (1 + (10000ull << 32))) >> 32;
}

int near_number_node(node *n) {
    const uint64_t zeros = 0x3030303030303030u, points = (uint64_t)('.' ^ '0') * 0x0101010101010101u;
    uint32_t size = n->size;
    uint8_t whole = (uint8_t)size;
    uint64_t value = 0, digits;
    int are_digits = 1;
    if (size == 0 || size > 16) return 0;
    if (size > 8) {
        value = value_of((word_at(n->text) ^ zeros) << 8 * (16 - size), &are_digits) * 100000000;
        digits = word_at(n->text + size - 8) ^ zeros;
    } else {
        digits = (word_at(n->text) ^ zeros) << 8 * (8 - size);
        /* The lowest byte of them that is a point becomes 128. */
        uint64_t other = digits ^ points, point = (other - 0x0101010101010101u) & ~other & 0x8080808080808080u;
        if (point) {
            uint64_t before = (point & (0 - point)) / 128 - 1;
            whole = (uint8_t)(__builtin_ctzll(point) / 8 - (8 - size));
            digits = (digits & before) << 8 | (digits & ~(before << 8 | 255));
        }
    }
    value += value_of(digits, &are_digits);
    uint32_t scale = whole == size ? 0 : size - whole - 1;
    const uint8_t *text = n->text;
    if (!are_digits || whole == 0 || (text[0] == '0' && whole > 1)) return 0;
    if (whole != size && (scale == 0 || text[size - 1] == '0')) return 0;
    n->value = (int64_t)value;
    n->whole_digits = text[0] == '0' ? 0 : whole;
    n->scale = (uint8_t)scale;
    n->flags |= SCALED | CANONICAL | (scale ? 0 : WHOLE);
    return 1;
}
#else
int near_number_node(node *n) { return (void)n, 0; }
#endif

int number_node(node *n) {
    number parsed;
    if (small(n)) return 1;
    if (!number_parse(n->text, n->size, &parsed)) return 0;
    int point = parsed.size + parsed.exponent;
    n->whole_digits = (uint8_t)(parsed.size && point > 0 ? point : 0);
    n->scale = (uint8_t)(parsed.size && parsed.exponent < 0 ? -parsed.exponent : 0);
    if (n->scale == 0 && n->whole_digits <= 19) {
        uint64_t value = 0;
        for (int i = 0; i < parsed.size; i++) value = value * 10 + parsed.digits[i];
        for (int i = 0; i < parsed.exponent; i++) value *= 10; /* 19 digits are below 2^64 */
        if (value <= (uint64_t)INT64_MAX + (unsigned)parsed.negative) {
            n->value = (int64_t)(parsed.negative ? 0 - value : value);
            n->flags |= SCALED | WHOLE;
        }
    }
    return 1;
}

size_t number_canonical(const uint8_t *text, size_t size, uint8_t *to) {
    number n;
    uint8_t *at = to;
    if (!number_parse(text, size, &n) || n.size == 0) {
        *to = '0';
        return 1;
    }
    if (n.negative) *at++ = '-';
    int point = n.size + n.exponent;
    if (point < -MAX_DIGITS || point > MAX_DIGITS) {
        int exponent = point - 1;
        *at++ = (uint8_t)('0' + n.digits[0]);
        if (n.size > 1) *at++ = '.';
        for (int i = 1; i < n.size; i++) *at++ = (uint8_t)('0' + n.digits[i]);
        *at++ = 'E';
        *at++ = exponent < 0 ? '-' : '+';
        if (exponent < 0) exponent = -exponent;
        if (exponent >= 100) *at++ = (uint8_t)('0' + exponent / 100);
        if (exponent >= 10) *at++ = (uint8_t)('0' + exponent / 10 % 10);
        *at++ = (uint8_t)('0' + exponent % 10);
        return (size_t)(at - to);
    }
    if (point <= 0) {
        *at++ = '0';
        *at++ = '.';
        for (int i = point; i < 0; i++) *at++ = '0';
    }
    for (int i = 0; i < n.size; i++) {
        if (i == point && i > 0) *at++ = '.';
        *at++ = (uint8_t)('0' + n.digits[i]);
    }
    for (int i = 0; i < n.exponent; i++) *at++ = '0';
    return (size_t)(at - to);
}
