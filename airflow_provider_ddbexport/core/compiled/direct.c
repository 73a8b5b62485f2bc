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

/* The first bytes of values of the column, behind the name; NULL for those that are left to the tape. */
static const char *opening_of(const column *c, enum kind *kind) {
    switch (c->kind) {
    case TEXT: *kind = S; return "\":{\"S\":\"";
    case NUMBER_INT64: case NUMBER_DOUBLE: case NUMBER_DECIMAL: case NUMBER_TEXT: *kind = N; return "\":{\"N\":\"";
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

/* Each of those below returns the estimate of the bytes it kept, as put() does; -1 where this is for the tape to say,
 * or the builder has failed. */

static int64_t add_text(builder *b, parser *p, column *c, int64_t row) {
    const uint8_t *text;
    uint32_t size;
    uint8_t flags;
    if (!take_text(p, &text, &size, &flags)) return -1;
    int64_t added = put_text(b, c, row, text, size);
    p->tape->arena.size = 0;
    return added < 0 ? -1 : added + (flags & ASCII ? size : (int64_t)characters(text, size));
}

static int64_t add_number(builder *b, parser *p, column *c, const span *seen, int64_t row) {
    node n = {.kind = N};
    int fits;
    if (!take_text(p, &n.text, &n.size, &n.flags)) return -1;
    int is_fine = number_node(&n) && (seen == NULL || span_holds(seen, &n));
    int64_t added = is_fine ? put_number(b, c, row, &n, &fits) : -1;
    p->tape->arena.size = 0;
    return is_fine && fits ? added : -1;
}

static int64_t add_boolean(builder *b, parser *p, column *c, int64_t row) {
    if (memcmp(p->at, "\":true", 6) == 0) {
        p->at += 6;
        return put_boolean(b, c, row, 1);
    }
    if (memcmp(p->at, "\":false", 7) != 0) return -1;
    p->at += 7;
    return put_boolean(b, c, row, 0);
}

/* A set of texts or numbers. */
static int64_t add_set(builder *b, parser *p, column *c, const shape *seen, int64_t row) {
    column *elements = c->children[0];
    const span *numbers = seen == NULL ? NULL : &seen->set_numbers;
    int64_t size = 8;
    if (*p->at++ != '[') return -1;
    /* Elements are taken back from where the list begins, also where it has not ended. */
    if (!mark(c, row) || !have_ends(c)) return fail(b, NO_MEMORY);
    int64_t element = end_of(c);
    do {
        if (*p->at++ != '"') return -1;
        if (element == INT32_MAX) return fail(b, TOO_LARGE);
        int64_t added = elements->kind == TEXT ? add_text(b, p, elements, element)
                                               : add_number(b, p, elements, numbers, element);
        if (added < 0) return -1;
        size += added;
        element++;
    } while (*p->at++ == ',');
    if (p->at[-1] != ']') return -1;
    return end_at(c, (size_t)element) ? size : fail(b, NO_MEMORY);
}

static int64_t add_members(builder *b, parser *p, column *parent, shape *s, int depth);

/* The value behind its opening; leaves the parser at the brace that closes it. */
static inline int64_t add_value(builder *b, parser *p, column *c, shape *seen, int depth) {
    int64_t row = b->rows;
    switch (c->kind) {
    case TEXT: return add_text(b, p, c, row);
    case BOOLEAN: return add_boolean(b, p, c, row);
    case LIST: return add_set(b, p, c, seen, row);
    case STRUCT:
        if (!mark(c, row)) return fail(b, NO_MEMORY);
        return add_members(b, p, c, seen, depth + 1);
    case FLAT: return add_members(b, p, c, seen, depth + 1);
    default: return add_number(b, p, c, seen == NULL ? NULL : &seen->numbers, row);
    }
}

/* The members of a map that has some, behind its brace, into the columns of a STRUCT or FLAT. `s` is its shape. */
static int64_t add_members(builder *b, parser *p, column *parent, shape *s, int depth) {
    int64_t size = 1;
    if (depth > MAX_NESTING) return -1;
    if (parent->doors == NULL && !make_doors(parent)) return fail(b, NO_MEMORY);
    do {
        const uint8_t *name = p->at + 1;
        if (p->limit - p->at < AHEAD || *p->at != '"') return -1;
        const uint8_t *quote = plain_until(name, p->limit);
        /* What is the name of a column is UTF-8. */
        while (*quote >= 0x80) quote = plain_until(quote + 1, p->limit);
        if (p->limit - quote < AHEAD) return -1;
        const door *found = find_door(parent, name, (size_t)(quote - name));
        /* Of two attributes of the same name both are wrong. */
        if (found == NULL || word_at(quote) != found->opening || found->to->attempt == b->attempts) return -1;
        column *c = found->to;
        shape *seen = NULL;
        if (s != NULL) {
            seen = c->seen;
            if (c->seen_in != s || c->seen_epoch != b->observer->epoch || seen->counts[found->kind] == 0) return -1;
        }
        if (!buffer_add(&b->touched, &found, sizeof found)) return fail(b, NO_MEMORY);
        if (s != NULL) seen->counts[found->kind]++;
        c->attempt = b->attempts;
        p->at = quote + 8;
        int64_t added = add_value(b, p, c, seen, depth);
        if (added < 0) return -1;
        size += added;
        if (*p->at++ != '}') return -1;
    } while (*p->at++ == ',');
    return p->at[-1] == '}' ? size : -1;
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
    parser p = {line + first, limit, t, 0, OK};
    if (!tape_begin(t, (size_t)(limit - line))) return NO_MEMORY;
    b->attempts++;
    b->touched.size = 0;
    shape *seen = b->observer != NULL ? &b->observer->all : NULL;
    int64_t size = add_members(b, &p, b->root, seen, 0);
    if (b->failed) return b->failed;
    if (size < 0 || *p.at != '}' || (p.at + 1 != limit && p.at[1] != '\n')) {
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
    *end = p.at + 1;
    return OK;
}
