/* Lines to tapes: what core/decode.py says a line may be, and nothing more. */
#include <stdlib.h>

#include "parser.h"

/* The node is zeroed; NULL when there is no memory. Pointers to nodes end with the next call. */
static node *tape_push(parser *p) {
    tape *t = p->tape;
    if (t->count == t->room) {
        uint32_t room = t->room ? t->room * 2 : 256;
        node *nodes = room > t->room ? realloc(t->nodes, (size_t)room * sizeof *nodes) : NULL;
        if (nodes == NULL) {
            stop(p, NO_MEMORY);
            return NULL;
        }
        t->nodes = nodes;
        t->room = room;
    }
    node *n = &t->nodes[t->count++];
    memset(n, 0, sizeof *n);
    return n;
}

/* Takes the content of S, N or B, behind its first quote. */
static inline int take_scalar(parser *p, uint32_t index) {
    node *n = &p->tape->nodes[index];
    if (!take_text(p, &n->text, &n->size, &n->flags)) return 0;
    if (n->kind == N) return number_node(n) || stop(p, IRREGULAR);
    if (n->kind == B && !p->checked) return base64_is_regular(n->text, n->size) || stop(p, IRREGULAR);
    return 1;
}

static int take_value(parser *p, uint32_t index, int depth);

/* The members of a map, behind its brace; 0 names are equal. */
static int equal_names(parser *p, uint32_t map) {
    tape *t = p->tape;
    const node *nodes = t->nodes;
    uint32_t count = nodes[map].size;
    if (count <= 16) {
        uint32_t hashes[16], at = map + 1;
        const node *members[16];
        for (uint32_t i = 0; i < count; at = nodes[at].next, i++) {
            hashes[i] = nodes[at].hash;
            members[i] = &nodes[at];
            for (uint32_t j = 0; j < i; j++)
                if (hashes[j] == hashes[i] && members[j]->name_size == nodes[at].name_size &&
                    memcmp(members[j]->name, nodes[at].name, nodes[at].name_size) == 0)
                    return 1;
        }
        return 0;
    }
    uint32_t room = 64;
    while (room < 2 * count) room *= 2;
    if (room > t->slots_room) {
        uint32_t *slots = realloc(t->slots, (size_t)room * sizeof *slots);
        if (slots == NULL) {
            stop(p, NO_MEMORY);
            return 1;
        }
        t->slots = slots;
        t->slots_room = room;
    }
    memset(t->slots, 0, (size_t)room * sizeof *t->slots);
    uint32_t at = map + 1;
    for (uint32_t i = 0; i < count; at = nodes[at].next, i++) {
        uint32_t slot = nodes[at].hash & (room - 1);
        for (; t->slots[slot]; slot = (slot + 1) & (room - 1)) {
            const node *other = &nodes[t->slots[slot]];
            if (other->hash == nodes[at].hash && other->name_size == nodes[at].name_size &&
                memcmp(other->name, nodes[at].name, other->name_size) == 0)
                return 1;
        }
        t->slots[slot] = at;
    }
    return 0;
}

/* Takes the object with the members of the map at `map`. */
static int take_members(parser *p, uint32_t map, int depth) {
    uint32_t count = 0;
    if (!take(p, '{')) return stop(p, IRREGULAR);
    if (!take(p, '}')) {
        do {
            uint32_t index = p->tape->count;
            node *n = tape_push(p);
            if (n == NULL) return 0;
            if (!take(p, '"')) return stop(p, IRREGULAR);
            if (!take_text(p, &n->name, &n->name_size, &n->name_flags)) return 0;
            n->hash = hash_of(n->name, n->name_size);
            if (!take(p, ':')) return stop(p, IRREGULAR);
            if (!take_value(p, index, depth)) return 0;
            count++;
        } while (take(p, ','));
        if (!take(p, '}')) return stop(p, IRREGULAR);
    }
    p->tape->nodes[map].size = count;
    p->tape->nodes[map].next = p->tape->count;
    if (count > 1 && equal_names(p, map)) return stop(p, p->status ? p->status : IRREGULAR);
    return 1;
}

/* Takes an array whose elements are values, or contents of `kind`. */
static int take_elements(parser *p, uint32_t list, enum kind kind, int depth) {
    uint32_t count = 0;
    if (!take(p, '[')) return stop(p, IRREGULAR);
    if (!take(p, ']')) {
        do {
            uint32_t index = p->tape->count;
            node *n = tape_push(p);
            if (n == NULL) return 0;
            if (kind == L) {
                if (!take_value(p, index, depth)) return 0;
            } else {
                n->kind = (uint8_t)kind;
                n->next = index + 1;
                if (!take(p, '"')) return stop(p, IRREGULAR);
                if (!take_scalar(p, index)) return 0;
            }
            count++;
        } while (take(p, ','));
        if (!take(p, ']')) return stop(p, IRREGULAR);
    }
    p->tape->nodes[list].size = count;
    p->tape->nodes[list].next = p->tape->count;
    return 1;
}

/* Takes the name of a type with both quotes; KINDS for none. */
static enum kind take_kind(parser *p) {
    const uint8_t *at = p->at;
    size_t room = (size_t)(p->limit - at);
    enum kind kind = KINDS;
    if (room < 3 || at[0] != '"') return KINDS;
    if (at[2] == '"') {
        switch (at[1]) {
        case 'S': kind = S; break;
        case 'N': kind = N; break;
        case 'B': kind = B; break;
        case 'M': kind = M; break;
        case 'L': kind = L; break;
        }
        if (kind != KINDS) p->at += 3;
    } else if (room >= 4 && at[3] == '"' && at[2] == 'S') {
        switch (at[1]) {
        case 'S': kind = SS; break;
        case 'N': kind = NS; break;
        case 'B': kind = BS; break;
        }
        if (kind != KINDS) p->at += 4;
    } else if (take_word(p, "\"BOOL\"", 6)) {
        kind = BOOL;
    } else if (take_word(p, "\"NULL\"", 6)) {
        kind = NUL;
    }
    return kind;
}

static int take_any_value(parser *p, uint32_t index, int depth) {
    if (!take(p, '{')) return stop(p, IRREGULAR);
    while (is_space(*p->at)) p->at++;
    enum kind kind = take_kind(p);
    if (kind == KINDS || !take(p, ':')) return stop(p, IRREGULAR);
    p->tape->nodes[index].kind = (uint8_t)kind;
    p->tape->nodes[index].next = index + 1;
    int is_fine = 0;
    switch (kind) {
    case S: case N: case B:
        is_fine = take(p, '"') && take_scalar(p, index);
        break;
    case BOOL:
        if (take_word(p, "true", 4)) {
            p->tape->nodes[index].flags = TRUE;
            is_fine = 1;
        } else {
            is_fine = take_word(p, "false", 5);
        }
        break;
    case NUL:
        is_fine = take_word(p, "true", 4);
        break;
    case M:
        is_fine = depth < MAX_NESTING && take_members(p, index, depth + 1);
        break;
    case L:
        is_fine = depth < MAX_NESTING && take_elements(p, index, L, depth + 1);
        break;
    case SS: case NS: case BS:
        is_fine = take_elements(p, index, kind == SS ? S : kind == NS ? N : B, depth) &&
                  p->tape->nodes[index].size > 0;
        break;
    case KINDS:
        break;
    }
    if (!is_fine || !take(p, '}')) return stop(p, p->status ? p->status : IRREGULAR);
    return 1;
}

/* Takes the value of the node at `index`. `depth` maps and lists are around it. */
static inline int take_value(parser *p, uint32_t index, int depth) {
    const uint8_t *at = p->at;
    /* Most values are text, numbers or binaries, and are written without spaces. */
    if (p->limit - at >= 8 && at[0] == '{' && at[1] == '"' && at[3] == '"' && at[4] == ':' && at[5] == '"' &&
        (at[2] == 'S' || at[2] == 'N' || at[2] == 'B')) {
        node *n = &p->tape->nodes[index];
        n->kind = at[2] == 'S' ? S : at[2] == 'N' ? N : B;
        n->next = index + 1;
        p->at += 6;
        return take_scalar(p, index) && (take(p, '}') || stop(p, IRREGULAR));
    }
    return take_any_value(p, index, depth);
}

int tape_begin(tape *t, size_t size) {
    t->count = 0;
    t->arena.size = 0;
    /* A character that an escape stands for, and the four bytes an encoder may write, before it is known to be one. */
    return buffer_room(&t->arena, size + 8);
}

int take_map(parser *p) {
    uint32_t map = p->tape->count;
    node *n = tape_push(p);
    if (n == NULL) return 0;
    n->kind = M;
    return take_members(p, map, 0);
}

enum status parse_line(tape *t, const uint8_t *line, const uint8_t *limit, int checked, const uint8_t **end) {
    const uint8_t *until = memchr(line, '\n', (size_t)(limit - line));
    *end = until == NULL ? limit : until;
    parser p = {line, *end, t, checked, OK};
    if (!tape_begin(t, (size_t)(*end - line))) return NO_MEMORY;
    if (!take(&p, '{') || !take_word(&p, "\"Item\"", 6) || !take(&p, ':')) return IRREGULAR;
    if (!take_map(&p)) return p.status;
    if (!take(&p, '}')) return IRREGULAR;
    while (is_space(*p.at)) p.at++;
    return p.at == *end ? OK : IRREGULAR;
}

void tape_free(tape *t) {
    free(t->nodes);
    free(t->slots);
    buffer_free(&t->arena);
    memset(t, 0, sizeof *t);
}
