/* Columns and what is in them, and builders. */
#include <stdlib.h>

#include "blocks.h"
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

static void column_free_values(column *c) {
    buffer_free(&c->rows);
    buffer_free(&c->ends);
    buffer_free(&c->contents);
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
    free(c->doors);
    column_free_values(c);
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
    column_free_values(&b->rescued);
    column_free_values(&b->rescued_keys);
    column_free_values(&b->rescued_values);
    names_free(&b->counted, free);
    buffer_free(&b->misfits);
    buffer_free(&b->misfit_text);
    buffer_free(&b->orders);
    buffer_free(&b->touched);
    buffer_free(&b->scratch);
    memset(b, 0, sizeof *b);
}

static int has_ends(const column *c) {
    switch (c->kind) {
    case TEXT: case NUMBER_TEXT: case BINARY: case JSON: case LIST: case MAP: return 1;
    default: return 0;
    }
}

/* Bytes of a value in the contents, for kinds that have contents of fixed width. */
static size_t width_of(const column *c) {
    switch (c->kind) {
    case NUMBER_INT64: case NUMBER_DOUBLE: return 8;
    case NUMBER_DECIMAL: return 16;
    case BOOLEAN: return 1;
    default: return 0;
    }
}

static int32_t int32_at(const buffer *b, int64_t index) {
    int32_t value;
    memcpy(&value, b->at + (size_t)index * sizeof value, sizeof value);
    return value;
}

void column_truncate(column *c, int64_t rows) {
    int64_t count = c->count;
    if (c->has_nulls) {
        while (count > 0 && int32_at(&c->rows, count - 1) >= rows) count--;
        c->rows.size = (size_t)count * sizeof(int32_t);
    } else if (count > rows) {
        count = rows;
    }
    c->count = count;
    c->contents.size = (size_t)count * width_of(c);
    if (has_ends(c) && c->ends.size) {
        c->ends.size = ((size_t)count + 1) * sizeof(int32_t);
        rows = int32_at(&c->ends, count); /* of the children */
        if (c->child_count == 0) c->contents.size = (size_t)rows;
    }
    for (uint32_t i = 0; i < c->child_count; i++) column_truncate(c->children[i], rows);
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
    size_t rooms[3];
    struct ArrowArray **children;
    int64_t child_count;
} owned;

static void array_release(struct ArrowArray *array) {
    owned *o = array->private_data;
    for (int i = 0; i < 3; i++) block_free((void *)o->buffers[i], o->rooms[i]);
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
    owned *o = array->private_data;
    o->buffers[place] = b->at;
    o->rooms[place] = b->room;
    *b = (buffer){.usual = b->size};
    return 1;
}

/* Gives the array a buffer of `size` zeros; NULL when there is no memory. */
static void *array_zeros(struct ArrowArray *array, int place, size_t size) {
    void *zeros = calloc(size ? size : 1, 1);
    ((owned *)array->private_data)->buffers[place] = zeros;
    return zeros;
}

static int64_t row_of(const column *c, int64_t index) { return c->has_nulls ? int32_at(&c->rows, index) : index; }

static int finish_validity(const column *c, int64_t rows, struct ArrowArray *array, int place) {
    uint8_t *bits = array_zeros(array, place, ((size_t)rows + 7) / 8);
    if (bits == NULL) return 0;
    for (int64_t i = 0; i < c->count; i++) {
        int64_t row = row_of(c, i);
        bits[row / 8] |= (uint8_t)(1 << row % 8);
    }
    return 1;
}

static int finish_ends(column *c, int64_t rows, struct ArrowArray *array) {
    if (c->ends.size == 0 && !buffer_add_int32(&c->ends, 0)) return 0;
    if (c->count == rows) return array_take(array, 1, &c->ends);
    int32_t *to = malloc(((size_t)rows + 1) * sizeof *to), end = 0;
    if (to == NULL) return 0;
    ((owned *)array->private_data)->buffers[1] = to;
    int64_t at = 0;
    for (int64_t i = 0; i < c->count; i++) {
        int64_t row = row_of(c, i);
        end = int32_at(&c->ends, i);
        while (at <= row) to[at++] = end;
    }
    end = int32_at(&c->ends, c->count);
    while (at <= rows) to[at++] = end;
    return 1;
}

static int finish_fixed(column *c, int64_t rows, struct ArrowArray *array) {
    size_t width = width_of(c);
    if (c->kind == BOOLEAN) {
        uint8_t *bits = array_zeros(array, 1, ((size_t)rows + 7) / 8);
        if (bits == NULL) return 0;
        for (int64_t i = 0; i < c->count; i++) {
            int64_t row = row_of(c, i);
            bits[row / 8] |= (uint8_t)(c->contents.at[i] << row % 8);
        }
        return 1;
    }
    if (c->count == rows) return array_take(array, 1, &c->contents);
    uint8_t *to = array_zeros(array, 1, (size_t)rows * width);
    if (to == NULL) return 0;
    if (width == 8) {
        for (int64_t i = 0; i < c->count; i++) memcpy(to + row_of(c, i) * 8, c->contents.at + i * 8, 8);
    } else {
        for (int64_t i = 0; i < c->count; i++) memcpy(to + row_of(c, i) * 16, c->contents.at + i * 16, 16);
    }
    return 1;
}

static int column_finish(column *c, int64_t rows, struct ArrowArray *array) {
    int is_text = has_ends(c) && c->child_count == 0, has_contents = is_text || width_of(c) > 0;
    int64_t child_rows = rows, children = c->child_count;
    if (has_ends(c)) child_rows = c->ends.size ? int32_at(&c->ends, c->count) : 0;
    if (!array_start(array, rows, rows - c->count, 1 + has_ends(c) + has_contents, c->kind == MAP ? 1 : children))
        return 0;
    int is_fine = (c->count == rows || finish_validity(c, rows, array, 0)) &&
                  (!has_ends(c) || finish_ends(c, rows, array)) && (!is_text || array_take(array, 2, &c->contents)) &&
                  (!width_of(c) || finish_fixed(c, rows, array));
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
    /* What was not handed over is used again. */
    c->count = 0;
    c->has_nulls = 0;
    c->rows.size = c->ends.size = c->contents.size = 0;
    if (!is_fine) array_release(array);
    return is_fine;
}

static int is_mostly_null(const column *c, int64_t rows) {
    int is_of_one_level = width_of(c) || (has_ends(c) && c->child_count == 0);
    return is_of_one_level && c->count < rows && 2 * c->count <= rows;
}

/* As what builder_finish() says of sparse columns. */
static int sparse_finish(column *c, int64_t rows, struct ArrowArray *array) {
    if (!array_start(array, rows, 0, 0, 2)) return 0;
    int is_fine = array_start(array->children[0], rows, 0, 2, 0) && finish_validity(c, rows, array->children[0], 1);
    c->has_nulls = 0; /* there are none among the values */
    is_fine = is_fine && column_finish(c, c->count, array->children[1]);
    if (!is_fine) array_release(array);
    return is_fine;
}

enum status builder_finish(builder *b, int may_be_sparse, struct ArrowArray *out) {
    if (b->failed) return b->failed;
    int is_fine = array_start(out, b->rows, 0, 1, (int64_t)b->leaf_count + 1);
    if (is_fine) {
        for (uint32_t i = 0; is_fine && i < b->leaf_count; i++) {
            int is_sparse = may_be_sparse && is_mostly_null(b->leaves[i], b->rows);
            is_fine = (is_sparse ? sparse_finish : column_finish)(b->leaves[i], b->rows, out->children[i]);
        }
        is_fine = is_fine && column_finish(&b->rescued, b->rows, out->children[b->leaf_count]);
        if (!is_fine) array_release(out);
    }
    if (!is_fine) return b->failed = NO_MEMORY;
    b->rows = b->bytes = 0;
    builder_mark(b);
    return OK;
}
