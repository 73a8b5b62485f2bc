/* Items to rows: the same as columns/writers.py and columns/build.py.
 *
 * put() returns the estimate of the bytes it kept, which decides where row groups end, so it is the reference's to the
 * byte; -1 when it failed.
 */
#include "append.h"

static int enter(builder *b, const uint8_t *name, uint32_t size, uint32_t index) {
    if (b->depth == BATCH_STEPS) return 0;
    b->steps[b->depth++] = (step){name, size, index};
    return 1;
}

static int64_t put_binary(builder *b, column *c, int64_t row, const node *n) {
    size_t most = (size_t)n->size / 4 * 3 + 3;
    if (most > INT32_MAX - c->contents.size) return fail(b, TOO_LARGE);
    if (!mark(c, row) || !buffer_room(&c->contents, most)) return fail(b, NO_MEMORY);
    size_t size = base64_decode(n->text, n->size, c->contents.at + c->contents.size);
    c->contents.size += size;
    return end_at(c, c->contents.size) ? 8 + (int64_t)size : fail(b, NO_MEMORY);
}

static int64_t put_decimal(builder *b, column *c, int64_t row, const node *n) {
    static const int64_t powers[19] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000,
        1000000000000, 10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
        1000000000000000000};
    __int128 value;
    int zeros;
    if (n->flags & SCALED) {
        value = n->value;
        zeros = c->scale - n->scale;
        if (value == 0) zeros = 0;
    } else {
        number parsed;
        if (!number_parse(n->text, n->size, &parsed)) return fail(b, TOO_LARGE);
        value = 0;
        for (int i = 0; i < parsed.size; i++) value = value * 10 + parsed.digits[i];
        if (parsed.negative) value = -value;
        zeros = parsed.size ? c->scale + parsed.exponent : 0;
    }
    for (; zeros > 18; zeros -= 18) value *= powers[18];
    value *= powers[zeros];
    return put_fixed(b, c, row, &value, sizeof value);
}

/* As exact_double. */
static int double_of(builder *b, const node *n, double *value) {
    static const double powers[16] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14,
                                      1e15};
    /* Both are exact, so their quotient is the nearest double; and any 15 digits survive a double. */
    if (n->flags & SCALED && n->scale <= 15 && n->value < 1000000000000000 && n->value > -1000000000000000) {
        *value = (double)n->value / powers[n->scale];
        return 1;
    }
    return b->exact(n->text, n->size, value);
}

int64_t put_number(builder *b, column *c, int64_t row, const node *n, int *fits) {
    double value;
    uint8_t spelling[CANONICAL_ROOM];
    *fits = 1;
    switch (c->kind) {
    case NUMBER_INT64:
        if ((*fits = n->flags & WHOLE)) return put_fixed(b, c, row, &n->value, 8);
        return 0;
    case NUMBER_DECIMAL:
        *fits = n->whole_digits <= c->precision - c->scale && n->scale <= c->scale;
        return *fits ? put_decimal(b, c, row, n) : 0;
    case NUMBER_DOUBLE:
        *fits = double_of(b, n, &value);
        if (*fits < 0) return fail(b, INTERRUPTED);
        return *fits ? put_fixed(b, c, row, &value, 8) : 0;
    default:
        if (n->flags & CANONICAL) return put_text(b, c, row, n->text, n->size);
        return put_text(b, c, row, spelling, number_canonical(n->text, n->size, spelling));
    }
}

static int64_t put(builder *b, column *c, shape *s, int64_t row, const node *nodes, uint32_t at);

/* Observes a value of which no part gets a column, or not as what it is; 0 when there is no memory. */
static int observe_inside(builder *b, shape *s, const node *nodes, uint32_t at) {
    return s == NULL || shape_add_inside(b->observer, s, nodes, at);
}

/* The shape among those of `s` that values of `c` have; there is no name to look up as long as it is the same. */
static shape *shape_for(builder *b, column *c, shape *s, const node *member) {
    if (c->seen_in == s && c->seen_epoch == b->observer->epoch) return c->seen;
    c->seen = shape_member(s, member);
    c->seen_in = s;
    c->seen_epoch = b->observer->epoch;
    return c->seen;
}

/* A value that has no column. */
static int64_t put_nowhere(builder *b, const column *parent, shape *s, const node *nodes, uint32_t at) {
    if (s != NULL && !shape_note(b->observer, s, nodes, at)) return fail(b, NO_MEMORY);
    if (!observe_inside(b, s, nodes, at)) return fail(b, NO_MEMORY);
    return rescue(b, nodes, at, parent, b->depth - 1);
}

/* The members of a map into the columns of a STRUCT or FLAT. */
static int64_t put_members(builder *b, column *c, shape *s, int64_t row, const node *nodes, uint32_t at) {
    shape *seen = NULL;
    int64_t size = 1;
    uint32_t member = at + 1;
    for (uint32_t i = 0; i < nodes[at].size; member = nodes[member].next, i++) {
        const node *n = &nodes[member];
        const entry *found = names_find(&c->by_name, n->name, n->name_size, n->hash);
        column *known = found != NULL ? found->value : NULL;
        if (!enter(b, n->name, n->name_size, 0)) return fail(b, TOO_LARGE);
        if (s != NULL) {
            seen = known != NULL ? shape_for(b, known, s, n) : shape_member(s, n);
            if (seen == NULL) return fail(b, NO_MEMORY);
        }
        int64_t added = known != NULL ? put(b, known, seen, row, nodes, member) : put_nowhere(b, c, seen, nodes, member);
        b->depth--;
        if (added < 0) return -1;
        size += added;
    }
    if (s != NULL && !shape_limit_members(b->observer, s)) return fail(b, NO_MEMORY);
    return size;
}

/* `s` is the shape of the elements; NULL where they are observed already. */
static int64_t put_list(builder *b, column *c, shape *s, int64_t row, const node *nodes, uint32_t at) {
    column *elements = c->children[0];
    int64_t size = 8;
    uint32_t element = at + 1;
    if (!mark(c, row)) return fail(b, NO_MEMORY);
    int32_t first = end_of(c);
    if (nodes[at].size > (uint32_t)(INT32_MAX - first)) return fail(b, TOO_LARGE);
    for (uint32_t i = 0; i < nodes[at].size; element = nodes[element].next, i++) {
        if (!enter(b, NULL, 0, i)) return fail(b, TOO_LARGE);
        int64_t added = put(b, elements, s, (int64_t)first + i, nodes, element);
        b->depth--;
        if (added < 0) return -1;
        size += added;
    }
    return end_at(c, (size_t)first + nodes[at].size) ? size : fail(b, NO_MEMORY);
}

static int64_t put_map(builder *b, column *c, shape *s, int64_t row, const node *nodes, uint32_t at) {
    column *keys = c->children[0], *values = c->children[1];
    int64_t size = 8;
    shape *seen = NULL;
    if (!mark(c, row)) return fail(b, NO_MEMORY);
    int32_t first = end_of(c);
    if (nodes[at].size > (uint32_t)(INT32_MAX - first)) return fail(b, TOO_LARGE);
    /* Maps in the map have theirs behind it, and may move the buffer. */
    size_t order = b->orders.size;
    if (!members_by_name(nodes, at, &b->orders)) return fail(b, NO_MEMORY);
    for (uint32_t i = 0; i < nodes[at].size; i++) {
        uint32_t member;
        memcpy(&member, b->orders.at + order + i * sizeof member, sizeof member);
        const node *n = &nodes[member];
        int64_t here = (int64_t)first + i;
        if (!enter(b, n->name, n->name_size, 0)) return fail(b, TOO_LARGE);
        if (put_text(b, keys, here, n->name, n->name_size) < 0) return -1;
        if (s != NULL && (seen = shape_member(s, n)) == NULL) return fail(b, NO_MEMORY);
        int64_t added = put(b, values, seen, here, nodes, member);
        b->depth--;
        if (added < 0) return -1;
        size += 8 + (n->name_flags & ASCII ? n->name_size : (int64_t)characters(n->name, n->name_size)) + added;
    }
    b->orders.size = order;
    if (s != NULL && !shape_limit_members(b->observer, s)) return fail(b, NO_MEMORY);
    return end_at(c, (size_t)first + nodes[at].size) ? size : fail(b, NO_MEMORY);
}

/* Rescues what plain JSON does not give back. */
static int rescue_unlike(builder *b, const column *c, uint32_t base, const node *nodes, uint32_t at) {
    uint32_t inner = at + 1;
    switch ((enum kind)nodes[at].kind) {
    case M: case L:
        for (uint32_t i = 0; i < nodes[at].size; inner = nodes[inner].next, i++) {
            if (!enter(b, nodes[inner].name, nodes[inner].name_size, i)) return 0;
            int is_fine = rescue_unlike(b, c, base, nodes, inner);
            b->depth--;
            if (!is_fine) return 0;
        }
        return 1;
    case SS: case NS: case BS: case B:
        return rescue(b, nodes, at, c, base) == 0;
    default:
        return 1;
    }
}

static int64_t put_json(builder *b, column *c, int64_t row, const node *nodes, uint32_t at) {
    /* Not yet part of the column, in case that it is too large for it. */
    buffer text = {0};
    if (!write_json(&text, nodes, at, 1)) {
        buffer_free(&text);
        return fail(b, NO_MEMORY);
    }
    int64_t size = 8 + (int64_t)characters(text.at, text.size);
    int64_t added = put_text(b, c, row, text.at, text.size);
    buffer_free(&text);
    if (added < 0) return -1;
    if (!rescue_unlike(b, c, b->depth, nodes, at)) return fail(b, b->failed ? b->failed : TOO_LARGE);
    return size;
}

static int64_t put(builder *b, column *c, shape *s, int64_t row, const node *nodes, uint32_t at) {
    const node *n = &nodes[at];
    int fits;
    int64_t size;
    if (s != NULL && !shape_note(b->observer, s, nodes, at)) return fail(b, NO_MEMORY);
    switch (c->kind) {
    case TEXT:
        if (n->kind != S) break;
        size = put_text(b, c, row, n->text, n->size);
        if (size < 0) return -1;
        return size + (n->flags & ASCII ? n->size : (int64_t)characters(n->text, n->size));
    case NUMBER_INT64: case NUMBER_DOUBLE: case NUMBER_DECIMAL: case NUMBER_TEXT:
        if (n->kind != N) break;
        size = put_number(b, c, row, n, &fits);
        if (!fits) break;
        return size;
    case BINARY:
        if (n->kind != B) break;
        return put_binary(b, c, row, n);
    case BOOLEAN:
        if (n->kind != BOOL) break;
        return put_boolean(b, c, row, n->flags & TRUE);
    case LIST:
        if (n->kind != c->type) break;
        return put_list(b, c, s != NULL && n->kind == L ? s->elements : NULL, row, nodes, at);
    case STRUCT:
        if (n->kind != M || n->size == 0) break;
        if (!mark(c, row)) return fail(b, NO_MEMORY);
        return put_members(b, c, s, row, nodes, at);
    case FLAT:
        if (n->kind != M || n->size == 0) break;
        return put_members(b, c, s, row, nodes, at);
    case MAP:
        if (n->kind != M || n->size == 0) break;
        return put_map(b, c, s, row, nodes, at);
    case PATH:
        if (b->not_in_path >> c->scale & 1) break;
        return observe_inside(b, s, nodes, at) ? 0 : fail(b, NO_MEMORY);
    case JSON:
        if (n->kind != L && (n->kind != M || n->size == 0)) break;
        if (!observe_inside(b, s, nodes, at)) return fail(b, NO_MEMORY);
        return put_json(b, c, row, nodes, at);
    }
    if (!observe_inside(b, s, nodes, at)) return fail(b, NO_MEMORY);
    return rescue(b, nodes, at, c, b->depth);
}

enum status build_item(builder *b, const tape *t) {
    if (b->failed) return b->failed;
    if (b->rows == INT32_MAX) return b->failed = TOO_LARGE;
    b->depth = 0;
    shape *seen = b->observer != NULL ? &b->observer->all : NULL;
    int64_t size = put_members(b, b->root, seen, b->rows, t->nodes, 0), rescued = 0;
    if (size >= 0 && b->misfits.size) rescued = keep_misfits(b);
    if (size < 0 || rescued < 0) return b->failed;
    b->bytes += 7 + size + rescued; /* a row counts 8, put_members() 1 of them */
    b->rows++;
    if (seen != NULL) b->observer->items++;
    return OK;
}

enum status build_line(builder *b, tape *t, const uint8_t *line, const uint8_t *limit, int checked,
                       const uint8_t **end) {
    enum status reason = build_directly(b, t, line, limit, end);
    if (reason != IRREGULAR) return reason;
    reason = parse_line(t, line, limit, checked, end);
    return reason == OK ? build_item(b, t) : reason;
}
