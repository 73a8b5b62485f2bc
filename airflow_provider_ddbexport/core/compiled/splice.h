/* A page of a Scan, as bytes, into lines.
 *
 * Every read is below `limit`, at which a byte must be readable that is no part of any JSON text (CPython ends every
 * bytes object with a zero). Whatever is not known here is SPLICE_OTHER, for the reference to look at.
 */
#ifndef DDBEXPORT_SPLICE_H
#define DDBEXPORT_SPLICE_H

#include <stddef.h>
#include <stdint.h>

enum splice_status { SPLICE_OK = 0, SPLICE_OTHER = 1, SPLICE_NO_MEMORY = 2 };

/* The items of a page: where the member that holds them begins and ends in the body, and each item in it. */
typedef struct {
    size_t start, end;
    size_t *bounds; /* of item i: bounds[2 * i] up to bounds[2 * i + 1] */
    size_t count, room;
    size_t size; /* of all items */
} page_items;

/* Finds the member `Items` of the object in `body`. What is behind it is not looked at. */
enum splice_status splice_find(page_items *items, const uint8_t *body, const uint8_t *limit);
/* The bytes that splice_write() writes. */
size_t splice_room(const page_items *items);
/* Writes {"Item":…} and a line break for each item. */
void splice_write(const page_items *items, const uint8_t *body, uint8_t *to);
void splice_free(page_items *items);

#endif
