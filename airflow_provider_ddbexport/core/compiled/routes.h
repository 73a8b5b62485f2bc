/* Rows of many folders, each built by the builder of its folder. */
#ifndef DDBEXPORT_ROUTES_H
#define DDBEXPORT_ROUTES_H

#include "kernel.h"

/* A builder among others. */
typedef struct {
    builder *builder;  /* NULL: free to be opened again */
    uint64_t opening;  /* how many were opened before, and it */
    uint64_t touched;  /* the mark behind which it got a row */
    int64_t most_rows; /* with which it is full, or with the router's most_bytes */
} lane;

/* Which lane a row goes to depends on some attributes alone: on their types and, of what can be in a path, on the bytes
 * of their values. What a path can hold is Python's to say, once for each different key of such bytes. */
typedef struct {
    names attributes; /* in the order of the path */
    lane *lanes;
    uint32_t lane_count;
    names routes;     /* to lanes, by key */
    buffer key;       /* of the row under way */
    int64_t bytes;      /* in all builders */
    int64_t most_bytes; /* with which a lane is full */
    int64_t full;       /* the lane that is, of the last row; -1 for none */
    uint64_t openings, marks;
    int64_t rows;       /* since the mark */
    uint32_t *touched; /* lanes with rows since the mark */
    uint32_t touched_count;
} router;

/* Each of these returns 0 when there is no memory. */
int router_add_attribute(router *r, const uint8_t *name, uint32_t size);
/* Opens a lane, whose number is `*index`. */
int router_open(router *r, builder *b, int64_t most_rows, uint32_t *index);
/* The rows of the key under way go to that lane, as long as it is open; bits of `not_in_path` are for its builder. */
int router_remember(router *r, uint32_t index, uint64_t not_in_path);

void router_close(router *r, uint32_t index);
void router_free(router *r);

/* Finds the lane of an item; UNROUTED where Python has to say it. */
enum status router_find(router *r, const tape *t, uint32_t *index, uint64_t *not_in_path);
/* Builds a row there, and observes the item if there is an observer. */
enum status router_put(router *r, const tape *t, uint32_t index, uint64_t not_in_path, observer *o);
/* Does all of that with a line; as parse_line(), and UNROUTED. */
enum status router_take(router *r, tape *t, const uint8_t *line, const uint8_t *limit, observer *o, const uint8_t **end);

/* As of a builder, for all of them. */
void router_mark(router *r);
void router_take_back(router *r);

#endif
