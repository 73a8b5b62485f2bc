/* From the values that make a path to the builder of the folder. */
#include "routes.h"

#include <stdlib.h>

enum {
    MOST_ROUTES = 10000,
    LONGEST_KEY = 4096, /* of those that are remembered; a path holds less */
};

typedef struct {
    uint64_t opening, not_in_path;
    uint32_t lane;
} route;

int router_add_attribute(router *r, const uint8_t *name, uint32_t size) {
    return names_add(&r->attributes, name, size, hash_of(name, size), NULL) != NULL;
}

int router_open(router *r, builder *b, int64_t most_rows, uint32_t *index) {
    uint32_t free_lane = 0;
    while (free_lane < r->lane_count && r->lanes[free_lane].builder != NULL) free_lane++;
    if (free_lane == r->lane_count) {
        uint32_t room = r->lane_count ? r->lane_count * 2 : 8;
        lane *lanes = room > r->lane_count ? realloc(r->lanes, (size_t)room * sizeof *lanes) : NULL;
        if (lanes == NULL) return 0;
        r->lanes = lanes;
        uint32_t *touched = realloc(r->touched, (size_t)room * sizeof *touched);
        if (touched == NULL) return 0;
        r->touched = touched;
        memset(lanes + r->lane_count, 0, (room - r->lane_count) * sizeof *lanes);
        r->lane_count = room;
    }
    lane *l = &r->lanes[free_lane];
    l->builder = b;
    l->opening = ++r->openings;
    l->most_rows = most_rows;
    r->bytes += b->bytes;
    *index = free_lane;
    return 1;
}

void router_close(router *r, uint32_t index) {
    r->bytes -= r->lanes[index].builder->bytes;
    r->lanes[index].builder = NULL;
}

int router_remember(router *r, uint32_t index, uint64_t not_in_path) {
    if (r->key.size > LONGEST_KEY) return 1;
    uint32_t size = (uint32_t)r->key.size, hash = hash_of(r->key.at, size);
    entry *found = names_find(&r->routes, r->key.at, size, hash);
    if (found == NULL) {
        if (r->routes.count >= MOST_ROUTES) names_free(&r->routes, free);
        route *made = malloc(sizeof *made);
        if (made == NULL) return 0;
        found = names_add(&r->routes, r->key.at, size, hash, made);
        if (found == NULL) {
            free(made);
            return 0;
        }
    }
    *(route *)found->value = (route){r->lanes[index].opening, not_in_path, index};
    return 1;
}

void router_free(router *r) {
    names_free(&r->attributes, NULL);
    names_free(&r->routes, free);
    buffer_free(&r->key);
    free(r->lanes);
    free(r->touched);
    memset(r, 0, sizeof *r);
}

/* The member of the item; NULL where it has none of that name. */
static const node *member_of(const node *nodes, const entry *wanted) {
    uint32_t at = 1;
    for (uint32_t i = 0; i < nodes[0].size; at = nodes[at].next, i++) {
        const node *n = &nodes[at];
        if (n->hash == wanted->hash && n->name_size == wanted->size && equal_text(n->name, wanted->name, n->name_size))
            return n;
    }
    return NULL;
}

static int add_to_key(buffer *key, const node *n) {
    uint8_t type = n == NULL ? 0 : n->kind == BOOL && n->flags & TRUE ? KINDS + 1 : (uint8_t)(n->kind + 1);
    if (!buffer_add(key, &type, 1)) return 0;
    if (n == NULL || (n->kind != S && n->kind != N)) return 1;
    return buffer_add(key, &n->size, sizeof n->size) && buffer_add(key, n->text, n->size);
}

enum status router_find(router *r, const tape *t, uint32_t *index, uint64_t *not_in_path) {
    r->key.size = 0;
    for (uint32_t i = 0; i < r->attributes.count; i++)
        if (!add_to_key(&r->key, member_of(t->nodes, &r->attributes.entries[i]))) return NO_MEMORY;
    if (r->key.size > LONGEST_KEY) return UNROUTED;
    uint32_t size = (uint32_t)r->key.size;
    const entry *found = names_find(&r->routes, r->key.at, size, hash_of(r->key.at, size));
    if (found == NULL) return UNROUTED;
    const route *known = found->value;
    const lane *l = &r->lanes[known->lane];
    if (l->builder == NULL || l->opening != known->opening) return UNROUTED;
    *index = known->lane;
    *not_in_path = known->not_in_path;
    return OK;
}

static void row_begins(router *r, uint32_t index, uint64_t not_in_path, observer *o) {
    lane *l = &r->lanes[index];
    builder *b = l->builder;
    if (l->touched != r->marks) {
        l->touched = r->marks;
        r->touched[r->touched_count++] = index;
        builder_mark(b);
    }
    r->bytes -= b->bytes;
    b->observer = o;
    b->not_in_path = not_in_path;
}

static enum status row_ends(router *r, uint32_t index, enum status reason) {
    lane *l = &r->lanes[index];
    builder *b = l->builder;
    b->observer = NULL;
    r->bytes += b->bytes;
    r->rows += reason == OK;
    r->full = b->rows >= l->most_rows || b->bytes >= r->most_bytes ? (int64_t)index : -1;
    return reason;
}

enum status router_put(router *r, const tape *t, uint32_t index, uint64_t not_in_path, observer *o) {
    row_begins(r, index, not_in_path, o);
    return row_ends(r, index, build_item(r->lanes[index].builder, t));
}

enum status router_take(router *r, tape *t, const uint8_t *line, const uint8_t *limit, observer *o,
                        const uint8_t **end) {
    uint32_t index;
    uint64_t not_in_path;
    enum status reason;
    /* Where no attribute makes the path, there is no need to know the item. */
    if (r->attributes.count == 0 && router_find(r, t, &index, &not_in_path) == OK) {
        row_begins(r, index, not_in_path, o);
        return row_ends(r, index, build_line(r->lanes[index].builder, t, line, limit, 0, end));
    }
    reason = parse_line(t, line, limit, 0, end);
    if (reason == OK) reason = router_find(r, t, &index, &not_in_path);
    return reason == OK ? router_put(r, t, index, not_in_path, o) : reason;
}

void router_mark(router *r) {
    r->marks++;
    r->touched_count = 0;
    r->rows = 0;
}

void router_take_back(router *r) {
    for (uint32_t i = 0; i < r->touched_count; i++) {
        builder *b = r->lanes[r->touched[i]].builder;
        if (b == NULL) continue;
        r->bytes -= b->bytes;
        builder_take_back(b);
        r->bytes += b->bytes;
    }
}
