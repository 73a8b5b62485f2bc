# cython: language_level=3, binding=False
"""The Cython face of changes.c and settle.c: lines of an increment go in, files of changes and what they come to out."""

from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

include "seed.pxi"


cdef extern from "changes.h" nogil:
    enum status:
        OK
        IRREGULAR
        NO_MEMORY

    enum image:
        OLD
        NEW

    ctypedef struct buffer:
        uint8_t *at
        size_t size, room

    void buffer_free(buffer *b)

    ctypedef struct tape:
        pass

    void tape_free(tape *t)

    ctypedef struct dealer:
        const uint8_t **names
        size_t *name_sizes
        uint32_t attributes
        buffer *buckets
        uint32_t bucket_count

    ctypedef struct file_terms:
        uint16_t window, tells
        int64_t untold_micros

    int dealer_init(dealer *d, uint32_t bucket_count)
    void dealer_free(dealer *d)
    status deal_line(
        dealer *d, tape *t, const file_terms *terms, const uint8_t *line, const uint8_t *limit, const uint8_t **end,
        uint32_t *bucket,
    )

    ctypedef struct settled_key:
        pass

    ctypedef struct doubt:
        uint64_t left, left_size, found, found_size

    ctypedef struct settled:
        size_t count, there, left, key_bytes
        uint64_t breaks
        buffer doubts

    status settle(settled *s, const uint8_t *spilled, size_t size, const int64_t *stretches, size_t windows)
    void settled_free(settled *s)

    ctypedef struct key_table:
        int32_t *offsets
        uint8_t *keys
        uint8_t *is_told
        uint8_t *was_there
        uint8_t *has_before
        int64_t *before

    void settled_table(const settled *s, key_table *table, bint in_place)
    size_t settled_lines(const settled *s, image image, size_t most_bytes, size_t *key, size_t *size)
    void settled_copy(const settled *s, image image, size_t key, size_t end, uint8_t *to)


MOST_BYTES = (1 << 31) - 16
"""Of lines handed over at once."""


cdef _refuse(status reason):
    if reason == IRREGULAR:
        raise ValueError("no file of changes")
    if reason == NO_MEMORY:
        raise MemoryError
    raise OverflowError("more than 2 GiB of keys in one bucket")


cdef class Dealer:
    """Deals the changes in lines to buckets, and holds what is in these until it is taken away."""

    cdef dealer _dealer
    cdef tape _tape
    cdef tuple _names
    cdef size_t _most_waiting

    def __cinit__(self, tuple names not None, uint32_t buckets, size_t most_waiting):
        cdef bytes name
        if not 1 <= len(names) <= 2 or buckets == 0:
            raise ValueError("names or buckets")
        if not dealer_init(&self._dealer, buckets):
            raise MemoryError
        self._names = names
        self._most_waiting = most_waiting
        for name in names:
            self._dealer.names[self._dealer.attributes] = name
            self._dealer.name_sizes[self._dealer.attributes] = len(name)
            self._dealer.attributes += 1

    def __dealloc__(self):
        dealer_free(&self._dealer)
        tape_free(&self._tape)

    def deal(self, bytes lines not None, Py_ssize_t start, uint16_t window, bint tells, untold_micros):
        """Deal changes from offset *start* until a line is irregular or a bucket holds more than it should.

        Return how many, the offset of the next line, and the number of that bucket, -1 for none.
        """
        if not 0 <= start <= len(lines) <= MOST_BYTES:
            raise ValueError("lines")
        cdef file_terms terms
        cdef const uint8_t *first = lines
        cdef const uint8_t *limit = first + len(lines)
        cdef const uint8_t *at = first + start
        cdef const uint8_t *end = at
        cdef uint32_t bucket = 0
        cdef int64_t count = 0, full = -1
        cdef status reason = OK
        terms.window = window
        terms.tells = tells
        terms.untold_micros = INT64_MIN if untold_micros is None else untold_micros
        with nogil:
            while at < limit and full < 0:
                reason = deal_line(&self._dealer, &self._tape, &terms, at, limit, &end, &bucket)
                if reason != OK:
                    break
                count += 1
                at = end + 1
                if self._dealer.buckets[bucket].size > self._most_waiting:
                    full = bucket
        if reason != OK and reason != IRREGULAR:
            _refuse(reason)
        return count, at - first, full

    def write(self, uint32_t bucket, file not None):
        """Write what *bucket* holds to *file*, and empty it."""
        if bucket >= self._dealer.bucket_count:
            raise ValueError("no such bucket")
        cdef buffer *waiting = &self._dealer.buckets[bucket]
        if waiting.size:
            file.write(PyMemoryView_FromMemory(<char *>waiting.at, <Py_ssize_t>waiting.size, PyBUF_READ))
            waiting.size = 0
        # As large as one long line, most of it never to be filled again.
        if waiting.room > 2 * self._most_waiting:
            buffer_free(waiting)

    @property
    def room(self):
        """Bytes of memory that all buckets take."""
        cdef uint32_t bucket
        cdef size_t room = 0
        for bucket in range(self._dealer.bucket_count):
            room += self._dealer.buckets[bucket].room
        return room


cdef class Settled:
    """What the changes of a bucket come to, in the order of the keys' bytes."""

    cdef settled _settled
    cdef const uint8_t[::1] _spilled

    def __cinit__(self, const uint8_t[::1] spilled not None, stretches not None):
        cdef int64_t[::1] told
        cdef status reason
        cdef size_t windows = len(stretches)
        self._spilled = spilled
        numbers = bytearray(8 * windows + 8)
        told = memoryview(numbers).cast("q")
        for window in range(windows):
            told[window] = stretches[window]
        if spilled.shape[0] == 0:
            return
        with nogil:
            reason = settle(&self._settled, &spilled[0], <size_t>spilled.shape[0], &told[0], windows)
        if reason != OK:
            _refuse(reason)

    def __dealloc__(self):
        settled_free(&self._settled)

    @property
    def changed(self):
        """How many keys there are."""
        return self._settled.count

    @property
    def there(self):
        """How many of them have an item before."""
        return self._settled.there

    @property
    def left(self):
        """How many of them have an item after."""
        return self._settled.left

    @property
    def breaks(self):
        """How many changes do not go on from the one before, but for those in doubt."""
        return self._settled.breaks

    def doubts(self):
        """Return pairs of slices of lines whose items ought to be the same, and whose bytes are not."""
        cdef const doubt *doubted = <const doubt *>self._settled.doubts.at
        cdef size_t i
        cdef list pairs = []
        for i in range(self._settled.doubts.size // sizeof(doubt)):
            pairs.append((
                slice(doubted[i].left, doubted[i].left + doubted[i].left_size),
                slice(doubted[i].found, doubted[i].found + doubted[i].found_size),
            ))
        return pairs

    def table(self, bint in_place):
        """Return the columns of the table of keys, as the buffers that Arrow keeps them in.

        Offsets and bytes of the keys; where it is told whether they were there, and whether they were, as bits; which
        have a line before, as bits, and where that begins among the others or, *in_place*, in what was settled.
        """
        cdef key_table table
        cdef size_t count = self._settled.count, bits = (count + 7) // 8
        cdef list buffers = [_zeroes(size) for size in (
            4 * (count + 1), self._settled.key_bytes, bits, bits, bits, 8 * count
        )]
        table.offsets = <int32_t *>PyBytes_AS_STRING(buffers[0])
        table.keys = <uint8_t *>PyBytes_AS_STRING(buffers[1])
        table.is_told = <uint8_t *>PyBytes_AS_STRING(buffers[2])
        table.was_there = <uint8_t *>PyBytes_AS_STRING(buffers[3])
        table.has_before = <uint8_t *>PyBytes_AS_STRING(buffers[4])
        table.before = <int64_t *>PyBytes_AS_STRING(buffers[5])
        with nogil:
            settled_table(&self._settled, &table, in_place)
        return buffers

    def lines(self, bint old, size_t key, size_t most_bytes):
        """Return lines from key number *key* on, until they are *most_bytes*, how many, and the number of the next key.

        They are of the items before the changes, or of those after them.
        """
        cdef image wanted = OLD if old else NEW
        cdef size_t begin = key, size = 0, count
        cdef bytes lines
        cdef uint8_t *to
        with nogil:
            count = settled_lines(&self._settled, wanted, most_bytes, &key, &size)
        lines = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        to = <uint8_t *>PyBytes_AS_STRING(lines)
        with nogil:
            settled_copy(&self._settled, wanted, begin, key, to)
        return lines, count, key


cdef bytes _zeroes(size_t size):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    memset(PyBytes_AS_STRING(made), 0, size)
    return made
