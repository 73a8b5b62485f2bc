/* Lines of exports, around the texts of their items. */
#ifndef DDBEXPORT_LINE_H
#define DDBEXPORT_LINE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LINE_BEGIN "{\"Item\":"
#define LINE_END "}\n"

enum { LINE_BEGIN_SIZE = sizeof LINE_BEGIN - 1, LINE_END_SIZE = sizeof LINE_END - 1,
       AROUND_ITEM = LINE_BEGIN_SIZE + LINE_END_SIZE };

/* Writes the line of an item of `size` bytes, AROUND_ITEM more than these, and returns where it ends. */
static inline uint8_t *write_line(uint8_t *to, const uint8_t *item, size_t size) {
    memcpy(to, LINE_BEGIN, LINE_BEGIN_SIZE);
    to += LINE_BEGIN_SIZE;
    memcpy(to, item, size);
    to += size;
    memcpy(to, LINE_END, LINE_END_SIZE);
    return to + LINE_END_SIZE;
}

#endif
