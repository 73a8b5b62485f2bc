/* What the parts of the compiled decoder share.
 *
 * A line is parsed into a tape: its values in the order of the line, each checked. Observing and building read the
 * tape, so nothing is kept of a line of which any part is wrong; what direct.c builds without one it takes back. Text is
 * UTF-8; whatever points into the line or into the tape's arena lives until the next line is parsed.
 *
 * Bounds: every read of a line is below `limit`, at which a byte must be readable that is no part of any JSON text
 * (CPython ends every bytes object with a zero). Every growing buffer grows through buffer_room().
 */
#ifndef DDBEXPORT_KERNEL_H
#define DDBEXPORT_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hash.h"

enum { MAX_NESTING = 32, MAX_DIGITS = 38 };

/* DynamoDB's types, in the order in which Python is told their counts. */
enum kind { S, N, B, BOOL, NUL, M, L, SS, NS, BS, KINDS };

enum status { OK = 0, IRREGULAR = 1, NO_MEMORY = 2, TOO_LARGE = 3, UNROUTED = 4, INTERRUPTED = 5 };

typedef struct {
    uint8_t *at;
    size_t size, room;
    size_t usual; /* what the one before it held, that was handed over */
} buffer;

int buffer_grow(buffer *b, size_t more);
void buffer_free(buffer *b);

/* Makes room for `more` bytes behind `size`; 0 when there is no memory. */
static inline int buffer_room(buffer *b, size_t more) { return more <= b->room - b->size || buffer_grow(b, more); }

static inline int buffer_add(buffer *b, const void *from, size_t size) {
    if (!buffer_room(b, size)) return 0;
    if (size) memcpy(b->at + b->size, from, size);
    b->size += size;
    return 1;
}

static inline int buffer_add_int32(buffer *b, int32_t value) { return buffer_add(b, &value, sizeof value); }

enum flag {
    ASCII = 1,     /* of text: no character beyond */
    WHOLE = 2,     /* of a number: a whole one that an int64 holds, which is `value` */
    SCALED = 4,    /* of a number: it is value / 10^scale */
    CANONICAL = 8, /* of a number: its text is the one spelling */
    TRUE = 16,     /* of a BOOL */
};

typedef struct {
    const uint8_t *text; /* S, N, B: the content */
    const uint8_t *name; /* of a member of a map; NULL for elements */
    int64_t value;       /* N: see flags */
    uint32_t size;       /* of the text; M, L and sets: how many members or elements */
    uint32_t name_size;
    uint32_t hash;       /* of the name */
    uint32_t next;       /* index of the node behind this one and all that is in it */
    uint8_t kind, flags, name_flags;
    uint8_t whole_digits, scale; /* N: digits before and behind the decimal point */
} node;

typedef struct {
    node *nodes;
    uint32_t count, room;
    buffer arena;    /* text that had escapes */
    uint32_t *slots; /* for finding equal names in large maps */
    uint32_t slots_room;
} tape;

/* Parses the line at `line`, which ends before the first line break or at `limit`; `*end` is where. Node 0 is the
 * item. IRREGULAR means that the reference decoder has to look at it: mostly, that it is wrong. With `checked` the
 * reference has, and base64 may be of any spelling it takes. */
enum status parse_line(tape *t, const uint8_t *line, const uint8_t *limit, int checked, const uint8_t **end);
void tape_free(tape *t);

/* Names. */
static inline uint32_t hash_of(const uint8_t *text, size_t size) {
    uint64_t hash = hash_bytes(hash_seed, text, size);
    return (uint32_t)(hash ^ hash >> 32);
}

/* Names are short: memcmp() would take longer to be called than to compare. */
static inline int equal_text(const uint8_t *a, const uint8_t *b, size_t size) {
    if (size < 8) return short_word_at(a, size) == short_word_at(b, size);
    for (size_t i = 0; i + 8 < size; i += 8)
        if (word_at(a + i) != word_at(b + i)) return 0;
    return word_at(a + size - 8) == word_at(b + size - 8);
}

typedef struct {
    uint8_t *name;
    void *value;
    uint32_t size, hash;
} entry;

/* Names and what belongs to them, in the order they came. */
typedef struct {
    entry *entries;
    uint32_t count, room;
    uint32_t *slots; /* index of an entry + 1; 0 is free */
    uint32_t slots_room;
} names;

static inline entry *names_find(const names *n, const uint8_t *name, uint32_t size, uint32_t hash) {
    if (n->slots_room == 0) return NULL;
    uint32_t mask = n->slots_room - 1;
    for (uint32_t slot = hash & mask; n->slots[slot]; slot = (slot + 1) & mask) {
        entry *found = &n->entries[n->slots[slot] - 1];
        if (found->hash == hash && found->size == size && equal_text(found->name, name, size)) return found;
    }
    return NULL;
}

entry *names_add(names *n, const uint8_t *name, uint32_t size, uint32_t hash, void *value);
/* Forgets all but the first `count`. */
void names_truncate(names *n, uint32_t count, void (*free_value)(void *));
void names_free(names *n, void (*free_value)(void *));

/* Numbers. */
typedef struct {
    int negative;
    int size;          /* digits; 0 for zero */
    int32_t exponent;  /* the number is digits * 10^exponent; no zero at either end of the digits */
    uint8_t digits[MAX_DIGITS];
} number;

/* Parses any spelling that DynamoDB takes; 0 for anything else, and for what is out of its range. */
int number_parse(const uint8_t *text, size_t size, number *n);
/* Fills in what a node tells of its number; 0 if it is none. */
int number_node(node *n);
enum { NEAREST_NUMBER = 16 };
/* Does so with most numbers, behind whose first byte NEAREST_NUMBER can be read; 0 for all others. */
int near_number_node(node *n);
enum { CANONICAL_ROOM = 96 };
/* Writes the one spelling, at most CANONICAL_ROOM bytes, and returns its size. */
size_t number_canonical(const uint8_t *text, size_t size, uint8_t *to);

/* Text. */
/* Appends a value as DynamoDB JSON, or as plain JSON, with members by name; 0 when there is no memory. */
int write_json(buffer *to, const node *nodes, uint32_t at, int is_plain);
/* Appends a step of a path, with its escapes. */
int write_step(buffer *to, const uint8_t *name, size_t size);
size_t characters(const uint8_t *text, size_t size);
/* Orders as Python orders str. */
int compare_text(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size);
/* Appends to `order` the indexes of the members of the map at `at`, by name; 0 when there is no memory. */
int members_by_name(const node *nodes, uint32_t at, buffer *order);
/* Decodes base64 that was checked; `to` has room for 3 bytes for every 4. Returns the bytes. */
size_t base64_decode(const uint8_t *text, size_t size, uint8_t *to);
int base64_is_regular(const uint8_t *text, size_t size);

/* Observing: the same as columns/observe.py. */
typedef struct {
    int32_t is_known, whole_digits, scale, is_int64;
} span;

typedef struct shape {
    int64_t counts[KINDS];
    int64_t empty_maps;
    span numbers, set_numbers;
    int has_members;
    names members;
    struct shape *map_values, *elements;
} shape;

typedef struct {
    int64_t items;
    int64_t news;   /* moves when something is seen for the first time that could change the columns */
    shape all;      /* its members are the attributes, of which there may be more than max_members */
    uint32_t max_members;
    uint64_t epoch; /* moves when shapes are gone; no two observers ever have the same */
} observer;

enum status observe_item(observer *o, const tape *t);
void observer_clear(observer *o);

/* Whether nothing more is known with the number of this node. */
static inline int span_holds(const span *s, const node *n) {
    return s->is_known && n->whole_digits <= s->whole_digits && n->scale <= s->scale &&
           ((n->flags & WHOLE) != 0) >= s->is_int64;
}

/* The steps of observing, for a builder that observes what it builds. Each returns 0 or NULL when there is no memory. */
/* Takes in a value, but not the members or elements that are in it. */
int shape_note(observer *o, shape *s, const node *nodes, uint32_t at);
/* Takes in those. */
int shape_add_inside(observer *o, shape *s, const node *nodes, uint32_t at);
/* The shape of a member of the maps of `s`. */
shape *shape_member(shape *s, const node *member);
/* After the members of a map. */
int shape_limit_members(observer *o, shape *s);

/* Building: the same as columns/writers.py and columns/build.py. */
enum column_kind { TEXT, NUMBER_INT64, NUMBER_DOUBLE, NUMBER_DECIMAL, NUMBER_TEXT, BINARY, BOOLEAN,
                   LIST, STRUCT, MAP, FLAT, JSON, PATH };

typedef struct column {
    enum column_kind kind;
    enum kind type;    /* LIST: the type of the values it takes, L or a set */
    /* Only values that are there are kept; nulls are put between them when the array is made. */
    int64_t count;
    int has_nulls;     /* before a value: `rows` has each value's row; until then value i is in row i */
    int precision, scale; /* PATH: scale is its place in the path */
    buffer rows;       /* int32 */
    buffer ends;       /* int32: a zero, and where each value ends, for kinds of any length */
    buffer contents;   /* bytes, or values of fixed width */
    /* The shape of this column's values among those of `seen_in`, as long as the observer is in that epoch. */
    shape *seen, *seen_in;
    uint64_t seen_epoch;
    struct column **children;
    uint32_t child_count;
    names by_name;     /* STRUCT, FLAT: children by attribute */
    struct door *doors; /* the same for direct.c, which makes them */
    uint32_t doors_room;
    uint64_t attempt;  /* the last of the builder's attempts that had a value for this column */
    uint8_t *label;    /* path under which misfits are counted */
    size_t label_size;
} column;

typedef struct {
    const uint8_t *name; /* NULL: an index */
    uint32_t size, index;
} step;

/* The double of a number's text, for those that take Python to tell; 0 if it is not exact, -1 if Python raised. */
typedef int (*exact_double)(const uint8_t *text, size_t size, double *value);

typedef struct {
    int64_t now, marked;
} tally;

typedef struct {
    column *root;      /* a FLAT of all attributes, without a label */
    column **leaves;   /* columns with an array, in the order of the parts */
    uint32_t leaf_count;
    observer *observer; /* of what is built; NULL for none */
    int64_t rows, bytes;
    enum status failed;
    exact_double exact;
    uint64_t not_in_path; /* bits: values of PATH columns that the path cannot hold, in the rows to come */
    /* Of building directly. */
    uint64_t attempts;
    int64_t direct_rows; /* of all batches, and of rows that were taken back */
    uint32_t doubt, pause;
    buffer touched;    /* columns that have got something from the line under way */
    /* Of the row under way. */
    step steps[2 * MAX_NESTING + 8];
    uint32_t depth;
    buffer misfits, misfit_text;
    buffer orders;     /* of the members of the maps that are being put */
    /* Of the batch: the _rescued column, a map of text to text. */
    column rescued, rescued_keys, rescued_values, *rescued_children[2];
    /* Of all batches: how many misfits by label. */
    names counted;     /* of tally */
    uint32_t max_counted;
    buffer scratch;
    /* What builder_take_back() goes back to. */
    int64_t marked_rows, marked_bytes;
    uint32_t marked_labels;
    int is_counted_since;
} builder;

enum { BATCH_STEPS = 2 * MAX_NESTING + 8 };

column *column_new(enum column_kind kind, enum kind type, int precision, int scale, const uint8_t *label,
                   size_t label_size);
int column_add_child(column *parent, const uint8_t *name, size_t size, column *child);
void column_free(column *c);
int builder_init(builder *b, column *root, uint32_t leaf_count, uint32_t max_counted, exact_double exact);
void builder_free(builder *b);
/* Builds a row, and observes the item if there is an observer. */
enum status build_item(builder *b, const tape *t);
/* Does so with the line at `line` without putting it on the tape; IRREGULAR, and nothing has happened, where that takes
 * the tape. `limit` and `*end` as of parse_line(). */
enum status build_directly(builder *b, tape *t, const uint8_t *line, const uint8_t *limit, const uint8_t **end);
/* Builds the row of a line in either way. */
enum status build_line(builder *b, tape *t, const uint8_t *line, const uint8_t *limit, int checked,
                       const uint8_t **end);
/* Forgets the rows from `rows` on. */
void column_truncate(column *c, int64_t rows);

/* Remembers where the builder is; builder_take_back() forgets the rows since then. A batch begins with a mark. */
void builder_mark(builder *b);
void builder_take_back(builder *b);

/* Arrow's C data interface. */
struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

/* Hands the rows over as a struct array whose children are the leaves and _rescued, and starts anew. Where they may be
 * sparse, a leaf of one level that is mostly null has no buffers and two children: of each row, whether it has a value,
 * as booleans; and the values. That is no array of Arrow's; its children are. */
enum status builder_finish(builder *b, int may_be_sparse, struct ArrowArray *out);

#endif
