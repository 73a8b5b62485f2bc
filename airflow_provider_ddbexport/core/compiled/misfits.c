/* Values that are rescued: the same as RowBuilder's _rescued. */
#include <stdlib.h>

#include "append.h"

typedef struct {
    size_t path, path_size, text, text_size; /* in misfit_text */
} misfit;

static int write_index(buffer *to, uint32_t index) {
    uint8_t digits[10];
    int count = 0;
    do digits[count++] = (uint8_t)('0' + index % 10);
    while (index /= 10);
    if (!buffer_room(to, (size_t)count)) return 0;
    while (count) to->at[to->size++] = digits[--count];
    return 1;
}

static int count_misfit(builder *b, const uint8_t *label, size_t size) {
    static const uint8_t rest[] = "*";
    if (size > UINT32_MAX) return 0;
    uint32_t hash = hash_of(label, size);
    entry *found = names_find(&b->counted, label, (uint32_t)size, hash);
    if (found == NULL && b->counted.count >= b->max_counted) {
        label = rest;
        size = 1;
        hash = hash_of(label, size);
        found = names_find(&b->counted, label, 1, hash);
    }
    if (found == NULL) {
        tally *count = calloc(1, sizeof *count);
        if (count == NULL) return 0;
        found = names_add(&b->counted, label, (uint32_t)size, hash, count);
        if (found == NULL) {
            free(count);
            return 0;
        }
    }
    ((tally *)found->value)->now++;
    b->is_counted_since = 1;
    return 1;
}

int64_t rescue(builder *b, const node *nodes, uint32_t at, const column *label, uint32_t base) {
    misfit m;
    buffer *text = &b->misfit_text;
    m.path = text->size;
    for (uint32_t i = 0; i < b->depth; i++) {
        if (i && !buffer_add(text, "/", 1)) return fail(b, NO_MEMORY);
        const step *s = &b->steps[i];
        if (!(s->name != NULL ? write_step(text, s->name, s->size) : write_index(text, s->index)))
            return fail(b, NO_MEMORY);
    }
    m.path_size = text->size - m.path;
    m.text = text->size;
    if (!write_json(text, nodes, at, 0)) return fail(b, NO_MEMORY);
    m.text_size = text->size - m.text;
    if (!buffer_add(&b->misfits, &m, sizeof m)) return fail(b, NO_MEMORY);

    /* The root has no label; the path of an attribute is its name. */
    b->scratch.size = 0;
    int is_root = label == b->root;
    if (!is_root && !buffer_add(&b->scratch, label->label, label->label_size)) return fail(b, NO_MEMORY);
    for (uint32_t i = base; i < b->depth; i++) {
        const step *s = &b->steps[i];
        if (s->name == NULL) continue;
        if (!(is_root && i == base) && !buffer_add(&b->scratch, "/", 1)) return fail(b, NO_MEMORY);
        if (!write_step(&b->scratch, s->name, s->size)) return fail(b, NO_MEMORY);
    }
    return count_misfit(b, b->scratch.at, b->scratch.size) ? 0 : fail(b, NO_MEMORY);
}

static int misfit_order(const misfit *one, const misfit *other, const uint8_t *text) {
    int order = compare_text(text + one->path, one->path_size, text + other->path, other->path_size);
    return order ? order : compare_text(text + one->text, one->text_size, text + other->text, other->text_size);
}

static void sift(misfit *heap, size_t at, size_t count, const uint8_t *text) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && misfit_order(&heap[child], &heap[child + 1], text) < 0) child++;
        if (misfit_order(&heap[at], &heap[child], text) >= 0) return;
        misfit swapped = heap[at];
        heap[at] = heap[child];
        heap[child] = swapped;
        at = child;
    }
}

/* By path. A heap, because qsort() cannot be told where the text is, and an item can have 100,000 of them. */
static void sort_misfits(misfit *misfits, size_t count, const uint8_t *text) {
    for (size_t i = count / 2; i-- > 0;) sift(misfits, i, count, text);
    for (size_t end = count; end > 1; end--) {
        misfit last = misfits[end - 1];
        misfits[end - 1] = misfits[0];
        misfits[0] = last;
        sift(misfits, 0, end - 1, text);
    }
}

int64_t keep_misfits(builder *b) {
    misfit *misfits = (misfit *)(void *)b->misfits.at;
    size_t count = b->misfits.size / sizeof *misfits;
    const uint8_t *text = b->misfit_text.at;
    int64_t size = 0;
    column *c = &b->rescued;
    int32_t first = end_of(c);
    sort_misfits(misfits, count, text);
    if (!mark(c, b->rows)) return fail(b, NO_MEMORY);
    if (count > (size_t)(INT32_MAX - first)) return fail(b, TOO_LARGE);
    for (size_t i = 0; i < count; i++) {
        const misfit *m = &misfits[i];
        int64_t row = (int64_t)first + (int64_t)i;
        if (put_text(b, &b->rescued_keys, row, text + m->path, m->path_size) < 0) return -1;
        if (put_text(b, &b->rescued_values, row, text + m->text, m->text_size) < 0) return -1;
        size += 16 + (int64_t)characters(text + m->path, m->path_size + m->text_size);
    }
    if (!end_at(c, (size_t)first + count)) return fail(b, NO_MEMORY);
    b->misfits.size = b->misfit_text.size = 0;
    return size;
}
