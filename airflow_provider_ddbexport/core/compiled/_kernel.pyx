# cython: language_level=3, binding=False
"""The Cython face of the C beside it. No Python object is made for an item: lines go in, shapes and arrays come out."""

from libc.string cimport memset
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.numbers import fit
from airflow_provider_ddbexport.core.line_blocks import UndecodedLineError

include "seed.pxi"

# The one place where a double is decided by Python, for the few numbers with more than 15 digits or far exponents.
_double = fit(pa.float64())


cdef extern from "blocks.h" nogil:
    void blocks_keep()
    void blocks_forget()
    size_t blocks_spare()
    size_t blocks_mapped()


cdef extern from "kernel.h" nogil:
    enum status:
        OK
        IRREGULAR
        NO_MEMORY
        TOO_LARGE
        UNROUTED
        INTERRUPTED

    ctypedef struct tape:
        pass

    status parse_line(tape *t, const uint8_t *line, const uint8_t *limit, int checked, const uint8_t **end)
    void tape_free(tape *t)

    ctypedef struct entry:
        uint8_t *name
        void *value
        uint32_t size

    ctypedef struct names:
        entry *entries
        uint32_t count

    ctypedef struct span:
        int32_t is_known, whole_digits, scale, is_int64

    ctypedef struct shape:
        int64_t *counts
        int64_t empty_maps
        span numbers, set_numbers
        int has_members
        names members
        shape *map_values
        shape *elements

    ctypedef struct observer:
        int64_t items, news
        shape all
        uint32_t max_members
        uint64_t epoch

    status observe_item(observer *o, const tape *t)
    void observer_clear(observer *o)

    enum column_kind:
        TEXT, NUMBER_INT64, NUMBER_DOUBLE, NUMBER_DECIMAL, NUMBER_TEXT, BINARY, BOOLEAN, LIST, STRUCT, MAP
        FLAT, JSON, PATH

    enum kind:
        M, L, SS, NS, BS, KINDS

    ctypedef struct column:
        pass

    ctypedef int (*exact_double)(const uint8_t *text, size_t size, double *value) except -1 nogil

    ctypedef struct tally:
        int64_t now

    ctypedef struct builder:
        column *root
        column **leaves
        observer *observer
        int64_t rows, bytes
        int64_t direct_rows
        names counted

    column *column_new(column_kind kind, kind type, int precision, int scale, const uint8_t *label, size_t label_size)
    int column_add_child(column *parent, const uint8_t *name, size_t size, column *child)
    void column_free(column *c)
    int builder_init(builder *b, column *root, uint32_t leaf_count, uint32_t max_counted, exact_double exact)
    void builder_free(builder *b)
    status build_line(
        builder *b, tape *t, const uint8_t *line, const uint8_t *limit, int checked, const uint8_t **end
    ) except? INTERRUPTED
    void builder_mark(builder *b)
    void builder_take_back(builder *b)

    struct ArrowArray:
        int64_t n_buffers, n_children
        ArrowArray **children
        void (*release)(ArrowArray *) noexcept nogil

    status builder_finish(builder *b, int may_be_sparse, ArrowArray *out)


MOST_BYTES = (1 << 31) - 16
"""Of lines handed over at once."""


cdef _refuse(status reason, Py_ssize_t offset):
    """Raise the error for the line at *offset*, whose batch is far from so large before it."""
    if reason == NO_MEMORY:
        raise MemoryError
    if reason == INTERRUPTED:
        raise RuntimeError("building these rows was interrupted")
    raise UndecodedLineError(offset, "the compiled decoder makes more than 2 GiB of it in one column")


cdef _check(bytes lines, Py_ssize_t start):
    if not 0 <= start <= len(lines) <= MOST_BYTES:
        raise ValueError("lines")


def keep_blocks():
    """Keep the memory of arrays that are gone for others, until as many calls of forget_blocks()."""
    blocks_keep()


def forget_blocks():
    """Give back what waits, unless others still keep it."""
    blocks_forget()


def spare_bytes():
    """Return how much waits."""
    return blocks_spare()


def block_bytes():
    """Return how much large blocks take, those that wait among them."""
    return blocks_mapped()


cdef class Lines:
    """What both readers of lines have: a tape, and where they stopped."""

    cdef tape _tape
    cdef readonly bint is_irregular
    """The line that the last call stopped at has to be looked at by the reference decoder."""

    def __dealloc__(self):
        tape_free(&self._tape)


cdef class Checker(Lines):
    """Checks lines and keeps nothing."""

    def check(self, bytes lines not None, Py_ssize_t start):
        """Return how many lines were items, and the offset of the first that is not, or behind the last."""
        _check(lines, start)
        cdef const uint8_t *first = lines
        cdef const uint8_t *limit = first + len(lines)
        cdef const uint8_t *at = first + start
        cdef const uint8_t *end = at
        cdef int64_t count = 0
        cdef status reason = OK
        with nogil:
            while at < limit:
                reason = parse_line(&self._tape, at, limit, 0, &end)
                if reason != OK:
                    break
                count += 1
                at = end + 1
        self.is_irregular = reason == IRREGULAR
        if reason != OK and reason != IRREGULAR:
            _refuse(reason, at - first)
        return count, at - first


cdef uint64_t _observers = 0


cdef class Observer(Lines):
    """Observes lines."""

    cdef observer _observer
    cdef uint32_t _most_attributes

    def __cinit__(self, uint32_t max_members, uint32_t most_attributes):
        global _observers
        _observers += 1
        self._observer.max_members = max_members
        self._observer.epoch = _observers << 32
        self._most_attributes = most_attributes

    def __dealloc__(self):
        observer_clear(&self._observer)

    cdef bint _is_full(self) noexcept nogil:
        return self._observer.all.members.count > self._most_attributes

    @property
    def is_full(self):
        """Whether there are more attributes than it should hold; time for :meth:`forget`."""
        return self._is_full()

    @property
    def news(self):
        """Moves when something is seen for the first time that could change the columns."""
        return self._observer.news

    def add(self, bytes lines not None, Py_ssize_t start, bint checked=False):
        """Take in lines from offset *start* until one is irregular or it is full; return how many and where it is.

        *checked* lines come from the reference decoder.
        """
        _check(lines, start)
        cdef const uint8_t *first = lines
        cdef const uint8_t *limit = first + len(lines)
        cdef const uint8_t *at = first + start
        cdef const uint8_t *end = at
        cdef int64_t count = 0
        cdef status reason = OK
        with nogil:
            while at < limit and not self._is_full():
                reason = parse_line(&self._tape, at, limit, checked, &end)
                if reason == OK:
                    reason = observe_item(&self._observer, &self._tape)
                if reason != OK:
                    break
                count += 1
                at = end + 1
        self.is_irregular = reason == IRREGULAR
        if reason != OK and reason != IRREGULAR:
            _refuse(reason, at - first)
        return count, at - first

    def seen(self):
        """Return the items and the raw shapes by attribute."""
        return self._observer.items, _raw_members(&self._observer.all.members)

    def forget(self):
        """Start anew."""
        observer_clear(&self._observer)


cdef dict _raw_members(const names *members):
    cdef uint32_t i
    cdef dict raw = {}
    for i in range(members.count):
        name = members.entries[i].name[:members.entries[i].size].decode("utf-8")
        raw[name] = _raw_shape(<const shape *>members.entries[i].value)
    return raw


cdef tuple _raw_span(const span *s):
    return (s.whole_digits, s.scale, bool(s.is_int64)) if s.is_known else None


cdef tuple _raw_shape(const shape *s):
    cdef int kind
    return (
        [s.counts[kind] for kind in range(<int>KINDS)],
        s.empty_maps,
        _raw_span(&s.numbers),
        _raw_span(&s.set_numbers),
        _raw_members(&s.members) if s.has_members else None,
        None if s.map_values == NULL else _raw_shape(s.map_values),
        None if s.elements == NULL else _raw_shape(s.elements),
    )


include "builder.pxi"
include "router.pxi"
