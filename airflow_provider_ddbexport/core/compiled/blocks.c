/* A block that waits lies in a place, and belongs to whoever swaps that place's room. */
#define _GNU_SOURCE /* for mremap(), where there is one */
#include "blocks.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A block that waits is nobody's, which AddressSanitizer cannot know by itself; nor where one ends that is mapped. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define IS_MAPPED(room) 0
#else
#define IS_MAPPED(room) ((room) >= SMALLEST_BLOCK)
#define ASAN_POISON_MEMORY_REGION(block, room) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(block, room) ((void)0)
#endif

enum { FREE = 0, HELD = 1 }; /* a place's room while no block is in it, and while somebody puts or takes one */

static struct {
    _Atomic(size_t) room;
    void *block;
} places[MOST_SPARE_BLOCKS];

static atomic_size_t keepers, spare, mapped;

void blocks_keep(void) { atomic_fetch_add(&keepers, 1); }

size_t blocks_spare(void) { return atomic_load(&spare); }

size_t blocks_mapped(void) { return atomic_load(&mapped); }

/* Rounds the size of a block that is mapped. */
static size_t whole_pages(size_t size) {
    size_t page = size >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : PAGE_BYTES;
    return size + -size % page;
}

/* Asks for huge pages, of which one fault makes what 512 would: the system has them ready for who asks, if at all. */
static void *in_huge_pages(void *block, size_t size) {
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_PAGE_BYTES) madvise(block, size, MADV_HUGEPAGE);
#else
    (void)size;
#endif
    return block;
}

/* Takes the smallest block of at least `least` bytes and at most `most`. */
static void *take(size_t least, size_t most, size_t *room) {
    for (;;) {
        size_t best = 0, best_room = SIZE_MAX;
        for (size_t i = 0; i < MOST_SPARE_BLOCKS; i++) {
            size_t found = atomic_load(&places[i].room);
            if (found >= least && found <= most && found < best_room) {
                best = i;
                best_room = found;
            }
        }
        if (best_room == SIZE_MAX) return NULL;
        size_t expected = best_room;
        if (!atomic_compare_exchange_strong(&places[best].room, &expected, HELD)) continue;
        void *block = places[best].block;
        ASAN_UNPOISON_MEMORY_REGION(block, best_room);
        atomic_store(&places[best].room, FREE);
        atomic_fetch_sub(&spare, best_room);
        *room = best_room;
        return block;
    }
}

void *block_take(size_t least, size_t *room) {
    if (least < SMALLEST_BLOCK) least = SMALLEST_BLOCK;
    return take(least, 2 * least, room);
}

static void give_back(void *block, size_t room) {
    if (IS_MAPPED(room)) {
        munmap(block, room);
        atomic_fetch_sub(&mapped, room);
    } else {
        free(block);
    }
}

void *block_resize(void *block, size_t used, size_t room, size_t *wanted) {
    if (!IS_MAPPED(*wanted)) return realloc(block, *wanted);
    *wanted = whole_pages(*wanted);
#ifdef MREMAP_MAYMOVE
    if (IS_MAPPED(room)) {
        void *moved = mremap(block, room, *wanted, MREMAP_MAYMOVE);
        if (moved == MAP_FAILED) return NULL;
        atomic_fetch_add(&mapped, *wanted - room);
        return in_huge_pages(moved, *wanted);
    }
#endif
    void *at = mmap(NULL, *wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return NULL;
    atomic_fetch_add(&mapped, *wanted);
    in_huge_pages(at, *wanted);
    if (used) memcpy(at, block, used);
    block_free(block, room);
    return at;
}

static void free_all(void) {
    size_t room;
    for (void *block; (block = take(SMALLEST_BLOCK, SIZE_MAX, &room)) != NULL;) give_back(block, room);
}

void blocks_forget(void) {
    if (atomic_fetch_sub(&keepers, 1) == 1) free_all();
}

void block_free(void *block, size_t room) {
    if (room >= SMALLEST_BLOCK && atomic_load(&keepers) > 0) {
        if (atomic_fetch_add(&spare, room) + room <= MOST_SPARE_BYTES) {
            for (size_t i = 0; i < MOST_SPARE_BLOCKS; i++) {
                size_t found = FREE;
                if (!atomic_compare_exchange_strong(&places[i].room, &found, HELD)) continue;
                ASAN_POISON_MEMORY_REGION(block, room);
                places[i].block = block;
                atomic_store(&places[i].room, room);
                /* The last may have forgotten between the question above and now, and have found this place empty. */
                if (atomic_load(&keepers) == 0) free_all();
                return;
            }
        }
        atomic_fetch_sub(&spare, room);
    }
    give_back(block, room);
}
