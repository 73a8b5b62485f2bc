# cython: language_level=3, binding=False
"""The Cython face of pages.c."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free

from cpython.bytes cimport PyBytes_FromStringAndSize


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

    page_status page_split(const page *p, const uint8_t *gone, int64_t rows, int64_t *row, page_half *halves)


FIXED, BYTE_ARRAYS, INDEXES, BITS, RUN_BITS = range(5)


cdef _half(page_half *half):
    return PyBytes_FromStringAndSize(<const char *>half.at, <Py_ssize_t>half.size), half.entries, half.nulls


def split(bytes data not None, uint32_t entries, levels, int values, uint32_t width, bytes gone not None, int64_t row):
    cdef page p
    cdef page_half halves[2]
    cdef page_status status
    cdef const uint8_t *marks = gone
    cdef int64_t rows = len(gone)
    p.at = data
    p.size = len(data)
    p.entries = entries
    p.max_rep, p.max_def = levels
    p.values = <page_values>values
    p.width = width
    with nogil:
        status = page_split(&p, marks, rows, &row, halves)
    try:
        if status == PAGE_NO_MEMORY:
            raise MemoryError
        if status != PAGE_OK:
            raise ValueError("malformed page")
        return _half(&halves[0]), _half(&halves[1]), row
    finally:
        free(halves[0].at)
        free(halves[1].at)
