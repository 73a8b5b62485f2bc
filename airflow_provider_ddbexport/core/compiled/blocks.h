/* Blocks of memory, of which large ones are used again.
 *
 * The columns of a row group are as large as those of the one before the last, whose memory is free by then. Given back
 * to the system and asked for again, every page of it would be made, zeroed and found anew.
 *
 * Large blocks are mapped, the others are malloc()'s, which block_free() tells by their size. Between what comes and goes
 * in malloc()'s heaps, one for each thread, large ones would leave more and more room that nothing fits into. All of
 * this may be called by any thread, without locks, so that a process forked meanwhile goes on as well.
 */
#ifndef DDBEXPORT_BLOCKS_H
#define DDBEXPORT_BLOCKS_H

#include <stddef.h>

enum { SMALLEST_BLOCK = 1 << 17, MOST_SPARE_BLOCKS = 256, PAGE_BYTES = 1 << 14, HUGE_PAGE_BYTES = 1 << 21 };
/* Of blocks that wait, together: two row groups, and more room in each than they fill. */
#define MOST_SPARE_BYTES ((size_t)64 << 20)

/* From now on blocks wait to be used again; until as many calls of blocks_forget(). */
void blocks_keep(void);
/* Frees what waits, unless others still keep it. */
void blocks_forget(void);
/* Bytes that wait. */
size_t blocks_spare(void);
/* Bytes of large blocks, those that wait among them. */
size_t blocks_mapped(void);

/* Returns the smallest block of at least `least` bytes that waits, and its size in `*room`; NULL if there is none, or
 * only such as are more than twice as large as needed: a small column would keep what large ones are to use again. */
void *block_take(size_t least, size_t *room);
/* Returns a block of at least `*wanted` bytes, and its size there, that begins with the first `used` bytes of `block`,
 * which has `room` bytes, or none, and is gone; NULL when there is no memory. */
void *block_resize(void *block, size_t used, size_t room, size_t *wanted);
/* Frees a block of `room` bytes, or keeps it. */
void block_free(void *block, size_t room);

#endif
