/* Lines to rows in one go.
 *
 * Most lines hold what the columns were made for: no spaces, every attribute has a column and a value of its type, and
 * that is no news to the observer. A value of such a line is appended where it is read, with no tape between. The first
 * thing that is not so ends that, and the line's values are taken back: what else a line may be, and what becomes of it,
 * is said by tape.c and build.c alone.
 */
#include <stdlib.h>

#include "append.h"
#include "parser.h"

enum {
    AHEAD = 32, /* bytes that are read from where a member begins, or a name ends, without asking how many there are */
    /* Where fewer than half of the lines are built directly, it is mostly not tried: so many lines at a time. */
    PAUSE = 256,
    MOST_DOUBT = 32,
};

/* A way from a name to its column. */
typedef struct door {
    uint64_t low, high; /* the name, or the hash of one of more than 16 bytes */
    uint64_t opening;   /* what is between the name and the value, from the name's quote on */
    const uint8_t *name;
    column *to;         /* NULL: none */
    uint32_t size;
    enum kind kind;
} door;

/* What a name is looked for by; reads 16 bytes even of a shorter one. */
static inline void words_of(const uint8_t *name, size_t size, uint64_t *low, uint64_t *high) {
    if (size > 16) {
        *low = *high = hash_of(name, size);
        return;
    }
    static const uint8_t kept[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    *low = word_at(name) & word_at(kept + 16 - size);
    *high = word_at(name + 8) & word_at(kept + 24 - size);
}

static inline uint32_t place_of(uint64_t low, uint64_t high, size_t size) {
    return (uint32_t)hash_mix(low ^ hash_seed, high ^ (size + 1) * 0x9E3779B97F4A7C15u);
}

#define TEXT_OPENING "\":{\"S\":\""
#define NUMBER_OPENING "\":{\"N\":\""

/* The first bytes of values of the column, behind the name; NULL for those that are left to the tape. */
static const char *opening_of(const column *c, enum kind *kind) {
    switch (c->kind) {
    case TEXT: *kind = S; return TEXT_OPENING;
    case NUMBER_INT64: case NUMBER_DOUBLE: case NUMBER_DECIMAL: case NUMBER_TEXT: *kind = N; return NUMBER_OPENING;
    case BOOLEAN: *kind = BOOL; return "\":{\"BOOL";
    case STRUCT: case FLAT: *kind = M; return "\":{\"M\":{";
    case LIST:
        *kind = c->type;
        return c->type == SS ? "\":{\"SS\":" : c->type == NS ? "\":{\"NS\":" : NULL;
    default: return NULL;
    }
}

static int make_doors(column *c) {
    uint32_t room = 16;
    while (room < 4 * c->by_name.count) room *= 2;
    c->doors = calloc(room, sizeof *c->doors);
    if (c->doors == NULL) return 0;
    c->doors_room = room;
    for (uint32_t i = 0; i < c->by_name.count; i++) {
        const entry *e = &c->by_name.entries[i];
        enum kind kind = KINDS;
        const char *opening = opening_of(e->value, &kind);
        if (opening == NULL) continue;
        door made = {.to = e->value, .name = e->name, .size = e->size, .kind = kind,
                     .opening = word_at((const uint8_t *)opening)};
        uint8_t name[16] = {0};
        if (e->size <= sizeof name) memcpy(name, e->name, e->size);
        words_of(e->size <= sizeof name ? name : e->name, e->size, &made.low, &made.high);
        uint32_t slot = place_of(made.low, made.high, made.size) & (room - 1);
        while (c->doors[slot].to != NULL) slot = (slot + 1) & (room - 1);
        c->doors[slot] = made;
    }
    return 1;
}

static inline const door *find_door(const column *c, const uint8_t *name, size_t size) {
    uint64_t low, high;
    words_of(name, size, &low, &high);
    for (uint32_t slot = place_of(low, high, size);; slot++) {
        const door *found = &c->doors[slot & (c->doors_room - 1)];
        if (found->to == NULL) return NULL;
        if (found->low == low && found->high == high && found->size == size)
            if (size <= 16 || memcmp(found->name, name, size) == 0) return found;
    }
}

/* Takes the text that begins at `at` into `n`, and returns what is behind its quote; NULL if that is for the tape to say.
 *
 * Where the parser is stays in registers: each value's place follows from the end of the one before, so that is what the
 * processor waits for, and columns are looked up meanwhile. */
static inline const uint8_t *take_near_text(parser *p, const uint8_t *at, node *n) {
    const uint8_t *end = plain_until(at, p->limit);
    n->text = at;
    n->size = (uint32_t)(end - at);
    n->flags = ASCII;
    if (*end == '"') return end + 1;
    node special;
    p->at = end;
    p->tape->arena.size = 0; /* the text before this is in its column */
    if (!take_special_text(p, at, &special.text, &special.size, &special.flags)) return NULL;
    n->text = special.text;
    n->size = special.size;
    n->flags = special.flags;
    return p->at;
}

/* Whether so many bytes can be read from the text that was taken at `at`. */
static inline int is_near(const parser *p, const uint8_t *at, const node *n, ptrdiff_t size) {
    return n->text == at && p->limit - at >= size;
}

/* Each of those below returns the estimate of the bytes it kept, as put() does; -1 where this is for the tape to say,
 * or the builder has failed. They move `*from` from the value to behind it. */

static inline int64_t add_text(builder *b, parser *p, const uint8_t **from, column *c, int64_t row) {
    node n;
    const uint8_t *at = *from;
    *from = take_near_text(p, at, &n);
    if (*from == NULL) return -1;
    int64_t added = (is_near(p, at, &n, NEAR) ? put_near_text : put_text)(b, c, row, n.text, n.size);
    return added < 0 ? -1 : added + (n.flags & ASCII ? n.size : (int64_t)characters(n.text, n.size));
}

static inline int64_t add_number(builder *b, parser *p, const uint8_t **from, column *c, const span *seen, int64_t row) {
    node n;
    int fits;
    const uint8_t *at = *from;
    *from = take_near_text(p, at, &n);
    if (*from == NULL) return -1;
    if (!(is_near(p, at, &n, NEAREST_NUMBER) && near_number_node(&n)) && !number_node(&n)) return -1;
    if (seen != NULL && !span_holds(seen, &n)) return -1;
    int64_t added = put_number(b, c, row, &n, &fits);
    return fits ? added : -1;
}

static int64_t add_boolean(builder *b, const uint8_t **from, column *c, int64_t row) {
    int is_true = memcmp(*from, "\":true", 6) == 0;
    if (!is_true && memcmp(*from, "\":false", 7) != 0) return -1;
    *from += is_true ? 6 : 7;
    return put_boolean(b, c, row, is_true);
}

/* A set of texts or numbers. */
static int64_t add_set(builder *b, parser *p, const uint8_t **from, column *c, const shape *seen, int64_t row) {
    column *elements = c->children[0];
    const span *numbers = seen == NULL ? NULL : &seen->set_numbers;
    const uint8_t *at = *from;
    int64_t size = 8;
    if (*at++ != '[') return -1;
    /* Elements are taken back from where the list begins, also where it has not ended. */
    if (!mark(c, row) || !have_ends(c)) return fail(b, NO_MEMORY);
    int64_t element = end_of(c);
    do {
        if (*at++ != '"') return -1;
        if (element == INT32_MAX) return fail(b, TOO_LARGE);
        int64_t added = elements->kind == TEXT ? add_text(b, p, &at, elements, element)
                                               : add_number(b, p, &at, elements, numbers, element);
        if (added < 0) return -1;
        size += added;
        element++;
    } while (*at++ == ',');
    if (at[-1] != ']') return -1;
    *from = at;
    return end_at(c, (size_t)element) ? size : fail(b, NO_MEMORY);
}

static int64_t add_members(builder *b, parser *p, const uint8_t **from, column *parent, shape *s, int depth);

/* A value that is no text and no number. */
static int64_t add_other(builder *b, parser *p, const uint8_t **from, column *c, shape *seen, int depth) {
    int64_t row = b->rows;
    if (c->kind == BOOLEAN) return add_boolean(b, from, c, row);
    if (c->kind == LIST) return add_set(b, p, from, c, seen, row);
    if (c->kind == STRUCT && !mark(c, row)) return fail(b, NO_MEMORY);
    return add_members(b, p, from, c, seen, depth + 1);
}

/* The members of a map that has some, behind its brace, into the columns of a STRUCT or FLAT. `s` is its shape. */
static int64_t add_members(builder *b, parser *p, const uint8_t **from, column *parent, shape *s, int depth) {
    const uint8_t *at = *from;
    const uint64_t texts = word_at((const uint8_t *)TEXT_OPENING), numbers = word_at((const uint8_t *)NUMBER_OPENING);
    int64_t size = 1;
    if (depth > MAX_NESTING) return -1;
    if (parent->doors == NULL && !make_doors(parent)) return fail(b, NO_MEMORY);
    do {
        const uint8_t *name = at + 1;
        if (p->limit - at < AHEAD || *at != '"') return -1;
        const uint8_t *quote = plain_until(name, p->limit);
        /* What is the name of a column is UTF-8. */
        while (*quote >= 0x80) quote = plain_until(quote + 1, p->limit);
        if (p->limit - quote < AHEAD) return -1;
        const uint64_t opening = word_at(quote);
        const door *found = find_door(parent, name, (size_t)(quote - name));
        /* Of two attributes of the same name both are wrong. */
        if (found == NULL || opening != found->opening || found->to->attempt == b->attempts) return -1;
        column *c = found->to;
        shape *seen = NULL;
        if (s != NULL) {
            seen = c->seen;
            if (c->seen_in != s || c->seen_epoch != b->observer->epoch || seen->counts[found->kind] == 0) return -1;
        }
        if (!buffer_add(&b->touched, &found, sizeof found)) return fail(b, NO_MEMORY);
        if (s != NULL) seen->counts[found->kind]++;
        c->attempt = b->attempts;
        at = quote + sizeof opening;
        /* By what was read, not by what was found: that is known later. */
        int64_t added = opening == texts     ? add_text(b, p, &at, c, b->rows)
                        : opening == numbers ? add_number(b, p, &at, c, seen == NULL ? NULL : &seen->numbers, b->rows)
                                             : add_other(b, p, &at, c, seen, depth);
        if (added < 0) return -1;
        size += added;
        if (*at++ != '}') return -1;
    } while (*at++ == ',');
    *from = at;
    return at[-1] == '}' ? size : -1;
}

static void take_back(builder *b) {
    for (size_t i = 0; i < b->touched.size; i += sizeof(door *)) {
        const door *d;
        memcpy(&d, b->touched.at + i, sizeof d);
        column_truncate(d->to, b->rows);
        if (b->observer != NULL) d->to->seen->counts[d->kind]--;
    }
}

enum status build_directly(builder *b, tape *t, const uint8_t *line, const uint8_t *limit, const uint8_t **end) {
    static const char beginning[] = "{\"Item\":{";
    const ptrdiff_t first = sizeof beginning - 1;
    if (b->failed) return b->failed;
    if (b->pause) {
        b->pause--;
        return IRREGULAR;
    }
    if (b->rows == INT32_MAX || limit - line < AHEAD || memcmp(line, beginning, first) != 0) return IRREGULAR;
    parser p = {line, limit, t, 0, OK};
    const uint8_t *at = line + first;
    if (!tape_begin(t, (size_t)(limit - line))) return NO_MEMORY;
    b->attempts++;
    b->touched.size = 0;
    shape *seen = b->observer != NULL ? &b->observer->all : NULL;
    int64_t size = add_members(b, &p, &at, b->root, seen, 0);
    if (b->failed) return b->failed;
    if (size < 0 || *at != '}' || (at + 1 != limit && at[1] != '\n')) {
        take_back(b);
        if (++b->doubt > MOST_DOUBT) {
            b->doubt = MOST_DOUBT - 1;
            b->pause = PAUSE;
        }
        return IRREGULAR;
    }
    if (b->doubt) b->doubt--;
    b->direct_rows++;
    b->bytes += 7 + size; /* as build_item() */
    b->rows++;
    if (seen != NULL) b->observer->items++;
    *end = at + 1;
    return OK;
}
