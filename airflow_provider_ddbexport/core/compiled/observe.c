/* What items look like: the same as columns/observe.py. */
#include <stdlib.h>

#include "kernel.h"

static void shape_free(void *opaque) {
    shape *s = opaque;
    if (s == NULL) return;
    names_free(&s->members, shape_free);
    shape_free(s->map_values);
    shape_free(s->elements);
    free(s);
}

static int have(shape **s) {
    if (*s == NULL) *s = calloc(1, sizeof **s);
    return *s != NULL;
}

static shape *shape_of(names *shapes, const uint8_t *name, uint32_t size, uint32_t hash) {
    entry *found = names_find(shapes, name, size, hash);
    if (found != NULL) return found->value;
    shape *made = calloc(1, sizeof *made);
    if (made == NULL) return NULL;
    if (names_add(shapes, name, size, hash, made) == NULL) {
        free(made);
        return NULL;
    }
    return made;
}

/* Returns whether more is known of them now. */
static int span_add(span *s, const node *n) {
    int is_int64 = (n->flags & WHOLE) != 0;
    if (span_holds(s, n)) return 0;
    if (!s->is_known) *s = (span){.is_known = 1, .is_int64 = 1};
    if (n->whole_digits > s->whole_digits) s->whole_digits = n->whole_digits;
    if (n->scale > s->scale) s->scale = n->scale;
    s->is_int64 &= is_int64;
    return 1;
}

static void span_merge(span *s, const span *other) {
    if (!other->is_known) return;
    if (!s->is_known) {
        *s = *other;
        return;
    }
    if (other->whole_digits > s->whole_digits) s->whole_digits = other->whole_digits;
    if (other->scale > s->scale) s->scale = other->scale;
    s->is_int64 &= other->is_int64;
}

static int shape_forget_keys(shape *s, uint32_t max_members);

static int shape_merge(shape *s, const shape *other, uint32_t max_members) {
    for (int kind = 0; kind < KINDS; kind++) s->counts[kind] += other->counts[kind];
    s->empty_maps += other->empty_maps;
    span_merge(&s->numbers, &other->numbers);
    span_merge(&s->set_numbers, &other->set_numbers);
    if (other->elements != NULL && (!have(&s->elements) || !shape_merge(s->elements, other->elements, max_members)))
        return 0;
    if (other->map_values != NULL && s->map_values == NULL && !shape_forget_keys(s, max_members)) return 0;
    if (s->map_values != NULL) {
        if (other->map_values != NULL && !shape_merge(s->map_values, other->map_values, max_members)) return 0;
        for (uint32_t i = 0; i < other->members.count; i++)
            if (!shape_merge(s->map_values, other->members.entries[i].value, max_members)) return 0;
        return 1;
    }
    s->has_members |= other->has_members;
    for (uint32_t i = 0; i < other->members.count; i++) {
        const entry *e = &other->members.entries[i];
        shape *member = shape_of(&s->members, e->name, e->size, e->hash);
        if (member == NULL || !shape_merge(member, e->value, max_members)) return 0;
    }
    return s->members.count <= max_members || shape_forget_keys(s, max_members);
}

/* Too many keys: what the members have in common is all that is kept. */
static int shape_forget_keys(shape *s, uint32_t max_members) {
    shape *merged = calloc(1, sizeof *merged);
    int is_fine = merged != NULL;
    for (uint32_t i = 0; is_fine && i < s->members.count; i++)
        is_fine = shape_merge(merged, s->members.entries[i].value, max_members);
    names_free(&s->members, shape_free);
    s->has_members = 0;
    s->map_values = merged;
    return is_fine;
}

int shape_note(observer *o, shape *s, const node *nodes, uint32_t at) {
    const node *n = &nodes[at];
    if (n->kind == M && n->size == 0) {
        o->news += s->empty_maps++ == 0;
        return 1;
    }
    o->news += s->counts[n->kind]++ == 0;
    switch ((enum kind)n->kind) {
    case N:
        o->news += span_add(&s->numbers, n);
        return 1;
    case NS:
        for (uint32_t i = 0; i < n->size; i++) o->news += span_add(&s->set_numbers, &nodes[at + 1 + i]);
        return 1;
    case L:
        return have(&s->elements);
    case M:
        s->has_members |= s->map_values == NULL;
        return 1;
    default:
        return 1;
    }
}

shape *shape_member(shape *s, const node *member) {
    if (s->map_values != NULL) return s->map_values;
    return shape_of(&s->members, member->name, member->name_size, member->hash);
}

int shape_limit_members(observer *o, shape *s) {
    /* A key too many is news, for its value was the first of its kind. */
    if (s->members.count <= o->max_members || s == &o->all) return 1;
    o->epoch++;
    return shape_forget_keys(s, o->max_members);
}

int shape_add_inside(observer *o, shape *s, const node *nodes, uint32_t at) {
    uint32_t child = at + 1;
    if (nodes[at].kind != L && nodes[at].kind != M) return 1;
    for (uint32_t i = 0; i < nodes[at].size; child = nodes[child].next, i++) {
        shape *inner = nodes[at].kind == L ? s->elements : shape_member(s, &nodes[child]);
        if (inner == NULL || !shape_note(o, inner, nodes, child) || !shape_add_inside(o, inner, nodes, child)) return 0;
    }
    return nodes[at].kind == L || shape_limit_members(o, s);
}

enum status observe_item(observer *o, const tape *t) {
    if (!shape_add_inside(o, &o->all, t->nodes, 0)) return NO_MEMORY;
    o->items++;
    return OK;
}

void observer_clear(observer *o) {
    names_free(&o->all.members, shape_free);
    o->items = 0;
    o->epoch++;
}
