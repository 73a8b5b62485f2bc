/* Columns and what is in them, and builders. */
#include <stdlib.h>

#include "kernel.h"

column *column_new(enum column_kind kind, enum kind type, int precision, int scale, const uint8_t *label,
                   size_t label_size) {
    column *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->kind = kind;
    c->type = type;
    c->precision = precision;
    c->scale = scale;
    c->label = malloc(label_size + 1);
    if (c->label == NULL) {
        free(c);
        return NULL;
    }
    memcpy(c->label, label, label_size);
    c->label_size = label_size;
    return c;
}

static void column_clear(column *c) {
    buffer_free(&c->validity);
    buffer_free(&c->offsets);
    buffer_free(&c->contents);
    c->rows = c->nulls = 0;
}

int column_add_child(column *parent, const uint8_t *name, size_t size, column *child) {
    column **children = realloc(parent->children, (parent->child_count + 1) * sizeof *children);
    if (children == NULL) return 0;
    parent->children = children;
    if (size > UINT32_MAX) return 0;
    if (parent->kind == STRUCT || parent->kind == FLAT)
        if (names_add(&parent->by_name, name, (uint32_t)size, hash_of(name, size), child) == NULL) return 0;
    children[parent->child_count++] = child;
    return 1;
}

void column_free(column *c) {
    if (c == NULL) return;
    for (uint32_t i = 0; i < c->child_count; i++) column_free(c->children[i]);
    free(c->children);
    names_free(&c->by_name, NULL);
    column_clear(c);
    free(c->label);
    free(c);
}

int builder_init(builder *b, column *root, uint32_t leaf_count, uint32_t max_counted, exact_double exact) {
    memset(b, 0, sizeof *b);
    b->root = root;
    b->leaves = calloc((size_t)leaf_count + 1, sizeof *b->leaves);
    b->leaf_count = leaf_count;
    b->max_counted = max_counted;
    b->exact = exact;
    b->rescued.kind = MAP;
    b->rescued_keys.kind = b->rescued_values.kind = TEXT;
    b->rescued_children[0] = &b->rescued_keys;
    b->rescued_children[1] = &b->rescued_values;
    b->rescued.children = b->rescued_children;
    b->rescued.child_count = 2;
    /* So that text of no length has an address as well. */
    return b->leaves != NULL && buffer_room(&b->misfit_text, 1) && buffer_room(&b->scratch, 1);
}

void builder_free(builder *b) {
    column_free(b->root);
    free(b->leaves);
    column_clear(&b->rescued);
    column_clear(&b->rescued_keys);
    column_clear(&b->rescued_values);
    names_free(&b->counted, free);
    buffer_free(&b->misfits);
    buffer_free(&b->misfit_text);
    buffer_free(&b->scratch);
    memset(b, 0, sizeof *b);
}

/* Adds nulls up to `rows`; 0 when there is no memory. */
int column_pad(column *c, int64_t rows) {
    size_t missing = (size_t)(rows - c->rows), bytes;
    if (missing == 0) return 1;
    bytes = ((size_t)rows + 7) / 8;
    if (bytes > c->validity.size) {
        if (!buffer_room(&c->validity, bytes - c->validity.size)) return 0;
        memset(c->validity.at + c->validity.size, 0, bytes - c->validity.size);
        c->validity.size = bytes;
    }
    size_t width = c->kind == NUMBER_DECIMAL ? 16 : 8;
    switch (c->kind) {
    case TEXT: case NUMBER_TEXT: case BINARY: case JSON: case LIST: case MAP: {
        size_t first = c->offsets.size == 0;
        int32_t last = 0;
        if (!buffer_room(&c->offsets, (missing + first) * sizeof last)) return 0;
        if (!first) memcpy(&last, c->offsets.at + c->offsets.size - sizeof last, sizeof last);
        for (size_t i = 0; i < missing + first; i++, c->offsets.size += sizeof last)
            memcpy(c->offsets.at + c->offsets.size, &last, sizeof last);
        break;
    }
    case NUMBER_INT64: case NUMBER_DOUBLE: case NUMBER_DECIMAL:
        if (!buffer_room(&c->contents, missing * width)) return 0;
        memset(c->contents.at + c->contents.size, 0, missing * width);
        c->contents.size += missing * width;
        break;
    case BOOLEAN:
        if (bytes > c->contents.size) {
            if (!buffer_room(&c->contents, bytes - c->contents.size)) return 0;
            memset(c->contents.at + c->contents.size, 0, bytes - c->contents.size);
            c->contents.size = bytes;
        }
        break;
    case STRUCT: case FLAT: case PATH:
        break;
    }
    c->rows = rows;
    c->nulls += (int64_t)missing;
    return 1;
}

/* Forgets the rows from `rows` on. */
static void column_truncate(column *c, int64_t rows) {
    if (c->kind == FLAT) {
        for (uint32_t i = 0; i < c->child_count; i++) column_truncate(c->children[i], rows);
        return;
    }
    if (c->rows <= rows) return;
    size_t bytes = ((size_t)rows + 7) / 8;
    uint8_t last_bits = (uint8_t)(0xFF >> (8 * bytes - (size_t)rows));
    if (bytes) c->validity.at[bytes - 1] &= last_bits;
    c->validity.size = bytes;
    c->nulls = c->rows = rows;
    for (size_t i = 0; i < bytes; i++) c->nulls -= __builtin_popcount(c->validity.at[i]);
    int32_t end = 0;
    switch (c->kind) {
    case TEXT: case NUMBER_TEXT: case BINARY: case JSON: case LIST: case MAP:
        c->offsets.size = ((size_t)rows + 1) * sizeof end;
        memcpy(&end, c->offsets.at + c->offsets.size - sizeof end, sizeof end);
        if (c->child_count == 0) c->contents.size = (size_t)end;
        for (uint32_t i = 0; i < c->child_count; i++) column_truncate(c->children[i], end);
        break;
    case NUMBER_INT64: case NUMBER_DOUBLE:
        c->contents.size = (size_t)rows * 8;
        break;
    case NUMBER_DECIMAL:
        c->contents.size = (size_t)rows * 16;
        break;
    case BOOLEAN:
        if (bytes) c->contents.at[bytes - 1] &= last_bits;
        c->contents.size = bytes;
        break;
    case STRUCT:
        for (uint32_t i = 0; i < c->child_count; i++) column_truncate(c->children[i], rows);
        break;
    case FLAT: case PATH:
        break;
    }
}

void builder_mark(builder *b) {
    b->marked_rows = b->rows;
    b->marked_bytes = b->bytes;
    b->marked_labels = b->counted.count;
    if (!b->is_counted_since) return;
    for (uint32_t i = 0; i < b->counted.count; i++) {
        tally *count = b->counted.entries[i].value;
        count->marked = count->now;
    }
    b->is_counted_since = 0;
}

void builder_take_back(builder *b) {
    column_truncate(b->root, b->marked_rows);
    column_truncate(&b->rescued, b->marked_rows);
    b->rows = b->marked_rows;
    b->bytes = b->marked_bytes;
    names_truncate(&b->counted, b->marked_labels, free);
    for (uint32_t i = 0; i < b->counted.count; i++) {
        tally *count = b->counted.entries[i].value;
        count->now = count->marked;
    }
    b->is_counted_since = 0;
}

/* Arrow's side. What is handed over belongs to the arrays; their release frees it. */

typedef struct {
    const void *buffers[3];
    struct ArrowArray **children;
    int64_t child_count;
} owned;

static void array_release(struct ArrowArray *array) {
    owned *o = array->private_data;
    for (int i = 0; i < 3; i++) free((void *)o->buffers[i]);
    for (int64_t i = 0; i < o->child_count; i++) {
        if (o->children[i] == NULL) continue;
        if (o->children[i]->release != NULL) o->children[i]->release(o->children[i]);
        free(o->children[i]);
    }
    free(o->children);
    free(o);
    array->release = NULL;
}

/* An array that owns nothing yet; 0 when there is no memory. */
static int array_start(struct ArrowArray *array, int64_t rows, int64_t nulls, int buffers, int64_t children) {
    owned *o = calloc(1, sizeof *o);
    memset(array, 0, sizeof *array);
    if (o == NULL) return 0;
    if (children) {
        o->children = calloc((size_t)children, sizeof *o->children);
        if (o->children == NULL) {
            free(o);
            return 0;
        }
        o->child_count = children;
    }
    *array = (struct ArrowArray){.length = rows, .null_count = nulls, .n_buffers = buffers, .n_children = children,
                                 .buffers = o->buffers, .children = o->children, .release = array_release,
                                 .private_data = o};
    for (int64_t i = 0; i < children; i++) {
        o->children[i] = calloc(1, sizeof **o->children);
        if (o->children[i] == NULL) {
            array_release(array);
            return 0;
        }
    }
    return 1;
}

/* Moves what is in `b` to the array. Arrow wants an address even for nothing. */
static int array_take(struct ArrowArray *array, int place, buffer *b) {
    if (b->at == NULL && !buffer_room(b, 64)) return 0;
    ((owned *)array->private_data)->buffers[place] = b->at;
    memset(b, 0, sizeof *b);
    return 1;
}

static int column_finish(column *c, int64_t rows, struct ArrowArray *array) {
    int has_offsets = 0, has_contents = 0;
    int64_t child_rows = rows, children = c->child_count;
    if (!column_pad(c, rows)) return 0;
    switch (c->kind) {
    case TEXT: case NUMBER_TEXT: case BINARY: case JSON:
        has_offsets = has_contents = 1;
        break;
    case LIST: case MAP:
        has_offsets = 1;
        break;
    case STRUCT: case FLAT: case PATH:
        break;
    default:
        has_contents = 1;
    }
    if (has_offsets) {
        int32_t last = 0;
        if (c->offsets.size == 0 && !buffer_add(&c->offsets, &last, sizeof last)) return 0;
        memcpy(&last, c->offsets.at + c->offsets.size - sizeof last, sizeof last);
        child_rows = last;
    }
    if (!array_start(array, rows, c->nulls, 1 + has_offsets + has_contents, c->kind == MAP ? 1 : children)) return 0;
    int is_fine = (c->nulls == 0 || array_take(array, 0, &c->validity)) &&
                  (!has_offsets || array_take(array, 1, &c->offsets)) &&
                  (!has_contents || array_take(array, 1 + has_offsets, &c->contents));
    if (is_fine && c->kind == MAP) {
        /* A map's one child is a struct of keys and values. */
        struct ArrowArray *entries = array->children[0];
        is_fine = array_start(entries, child_rows, 0, 1, 2) &&
                  column_finish(c->children[0], child_rows, entries->children[0]) &&
                  column_finish(c->children[1], child_rows, entries->children[1]);
    } else if (is_fine) {
        for (int64_t i = 0; is_fine && i < children; i++)
            is_fine = column_finish(c->children[i], child_rows, array->children[i]);
    }
    column_clear(c);
    if (!is_fine) array_release(array);
    return is_fine;
}

enum status builder_finish(builder *b, struct ArrowArray *out) {
    if (b->failed) return b->failed;
    int is_fine = array_start(out, b->rows, 0, 1, (int64_t)b->leaf_count + 1);
    if (is_fine) {
        for (uint32_t i = 0; is_fine && i < b->leaf_count; i++)
            is_fine = column_finish(b->leaves[i], b->rows, out->children[i]);
        is_fine = is_fine && column_finish(&b->rescued, b->rows, out->children[b->leaf_count]);
        if (!is_fine) array_release(out);
    }
    if (!is_fine) return b->failed = NO_MEMORY;
    b->rows = b->bytes = 0;
    builder_mark(b);
    return OK;
}
