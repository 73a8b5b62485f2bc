# cython: language_level=3, binding=False
"""The Cython face of pages.c and sparse.c."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset


cdef extern from "pages.h" nogil:
    enum page_status:
        PAGE_OK
        PAGE_MALFORMED
        PAGE_NO_MEMORY

    enum page_values:
        pass

    ctypedef struct page:
        const uint8_t *at
        size_t size
        uint32_t entries
        int max_rep, max_def
        page_values values
        uint32_t width

    ctypedef struct page_half:
        uint8_t *at
        size_t size
        uint32_t entries, nulls

    ctypedef struct page_room:
        page_half halves[2]

    page_status page_split(page_room *room, const page *p, const uint8_t *gone, int64_t rows, int64_t *row)
    void page_room_free(page_room *room)


cdef extern from "sparse.h" nogil:
    enum sparse_values:
        pass

    ctypedef struct sparse_column:
        sparse_values values
        const uint8_t *validity
        int64_t offset, rows
        const uint8_t *fixed
        const uint8_t *bytes
        int width

    ctypedef struct sparse_page:
        size_t size
        int64_t present, lowest, highest

    size_t sparse_room(const sparse_column *column)
    int64_t sparse_distinct(const sparse_column *column, int64_t wanted, int64_t *found)
    void sparse_write(const sparse_column *column, uint8_t *out, sparse_page *page)
    const uint8_t *sparse_statistic(const sparse_column *column, int64_t row, uint8_t *scratch, size_t *size)


FIXED, BYTE_ARRAYS, INDEXES, BITS, RUN_BITS = range(5)


cdef class Splitter:
    cdef page_room room

    def __cinit__(self):
        memset(&self.room, 0, sizeof(self.room))

    def __dealloc__(self):
        page_room_free(&self.room)

    def split(self, data, uint32_t entries, levels, int values, uint32_t width, bytes gone not None, int64_t row):
        cdef page p
        cdef page_status status
        cdef const uint8_t *marks = gone
        cdef int64_t rows = len(gone)
        cdef Py_buffer body
        p.max_rep, p.max_def = levels
        p.entries = entries
        p.values = <page_values>values
        p.width = width
        PyObject_GetBuffer(data, &body, PyBUF_SIMPLE)
        try:
            p.at = <const uint8_t *>body.buf
            p.size = <size_t>body.len
            with nogil:
                status = page_split(&self.room, &p, marks, rows, &row)
        finally:
            PyBuffer_Release(&body)
        if status == PAGE_NO_MEMORY:
            raise MemoryError
        if status != PAGE_OK:
            raise ValueError("malformed page")
        return self._half(0), self._half(1), row

    cdef _half(self, int which):
        cdef page_half *half = &self.room.halves[which]
        return PyBytes_FromStringAndSize(<const char *>half.at, <Py_ssize_t>half.size), half.entries, half.nulls


cdef _statistic(const sparse_column *column, int64_t row):
    cdef uint8_t[16] scratch
    cdef size_t size
    cdef const uint8_t *value
    if row < 0:
        return None
    value = sparse_statistic(column, row, scratch, &size)
    return PyBytes_FromStringAndSize(<const char *>value, <Py_ssize_t>size)


cdef _lay_out(sparse_column *column, int values, int width, int64_t offset, int64_t rows, list buffers):
    """Point *column* at *buffers*, which have to stay."""
    cdef const signed char[::1] validity = buffers[0]
    cdef const signed char[::1] fixed = buffers[1]
    cdef const signed char[::1] data = buffers[2] if len(buffers) > 2 else None
    column.values = <sparse_values>values
    column.validity = <const uint8_t *>&validity[0] if validity is not None else NULL
    column.offset = offset
    column.rows = rows
    column.fixed = <const uint8_t *>&fixed[0]
    column.bytes = <const uint8_t *>&data[0] if data is not None and data.shape[0] else NULL
    column.width = width


def sparse(int values, int width, int64_t offset, int64_t rows, list buffers not None):
    """Return the page, how many rows have a value, and the lowest and the highest, None where none has.

    *buffers* are those of a valid array with nulls.
    """
    cdef sparse_column column
    cdef sparse_page page
    cdef uint8_t *out
    _lay_out(&column, values, width, offset, rows, buffers)
    with nogil:
        out = <uint8_t *>malloc(sparse_room(&column))
        if out is not NULL:
            sparse_write(&column, out, &page)
    if out is NULL:
        raise MemoryError
    try:
        body = PyBytes_FromStringAndSize(<const char *>out, <Py_ssize_t>page.size)
        return body, page.present, _statistic(&column, page.lowest), _statistic(&column, page.highest)
    finally:
        free(out)


def distinct(int values, int width, int64_t offset, int64_t rows, list buffers not None, int64_t wanted):
    """Return how many different values there are among the first *wanted* that are not null, and how many those are.

    *buffers* are those of a valid array that is not empty.
    """
    cdef sparse_column column
    cdef int64_t found, different
    _lay_out(&column, values, width, offset, rows, buffers)
    with nogil:
        different = sparse_distinct(&column, wanted, &found)
    if different < 0:
        raise MemoryError
    return different, found
