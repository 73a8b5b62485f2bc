/* Buffers that grow, and tables of names. */
#include <stdlib.h>

#include "blocks.h"
#include "kernel.h"

int buffer_grow(buffer *b, size_t more) {
    if (more > SIZE_MAX / 4 || b->size > SIZE_MAX / 4) return 0;
    size_t room = b->room < 64 ? 64 : b->room * 2;
    if (b->at == NULL && room < b->usual) room = b->usual;
    if (room < b->size + more) room = b->size + more;
    uint8_t *at = NULL;
    if (room >= SMALLEST_BLOCK && (at = block_take(room, &room)) != NULL) {
        if (b->size) memcpy(at, b->at, b->size);
        block_free(b->at, b->room);
    } else {
        if (b->at == NULL && b->usual) room += room / 16;
        at = block_resize(b->at, b->size, b->room, &room);
        if (at == NULL) return 0;
    }
    b->at = at;
    b->room = room;
    return 1;
}

void buffer_free(buffer *b) {
    block_free(b->at, b->room);
    memset(b, 0, sizeof *b);
}

static void names_place(names *n, uint32_t index) {
    uint32_t mask = n->slots_room - 1, slot = n->entries[index].hash & mask;
    while (n->slots[slot]) slot = (slot + 1) & mask;
    n->slots[slot] = index + 1;
}

entry *names_add(names *n, const uint8_t *name, uint32_t size, uint32_t hash, void *value) {
    if (n->count == n->room) {
        uint32_t room = n->room ? n->room * 2 : 8;
        entry *entries = room > n->room ? realloc(n->entries, (size_t)room * sizeof *entries) : NULL;
        if (entries == NULL) return NULL;
        n->entries = entries;
        n->room = room;
    }
    if (2 * (n->count + 1) > n->slots_room) {
        uint32_t room = n->slots_room ? n->slots_room * 2 : 16;
        uint32_t *slots = calloc(room, sizeof *slots);
        if (slots == NULL) return NULL;
        free(n->slots);
        n->slots = slots;
        n->slots_room = room;
        for (uint32_t i = 0; i < n->count; i++) names_place(n, i);
    }
    uint8_t *copy = malloc(size ? size : 1);
    if (copy == NULL) return NULL;
    if (size) memcpy(copy, name, size);
    n->entries[n->count] = (entry){copy, value, size, hash};
    names_place(n, n->count);
    return &n->entries[n->count++];
}

void names_truncate(names *n, uint32_t count, void (*free_value)(void *)) {
    if (count >= n->count) return;
    for (uint32_t i = count; i < n->count; i++) {
        free(n->entries[i].name);
        if (free_value != NULL) free_value(n->entries[i].value);
    }
    n->count = count;
    memset(n->slots, 0, (size_t)n->slots_room * sizeof *n->slots);
    for (uint32_t i = 0; i < count; i++) names_place(n, i);
}

void names_free(names *n, void (*free_value)(void *)) {
    for (uint32_t i = 0; i < n->count; i++) {
        free(n->entries[i].name);
        if (free_value != NULL) free_value(n->entries[i].value);
    }
    free(n->entries);
    free(n->slots);
    memset(n, 0, sizeof *n);
}
