# cython: language_level=3, binding=False
"""The Cython face of splice.c."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memset


cdef extern from "splice.h" nogil:
    enum splice_status:
        SPLICE_OK
        SPLICE_OTHER
        SPLICE_NO_MEMORY

    ctypedef struct page_items:
        size_t start, end, count

    splice_status splice_find(page_items *items, const uint8_t *body, const uint8_t *limit)
    size_t splice_room(const page_items *items)
    void splice_write(const page_items *items, const uint8_t *body, uint8_t *to)
    void splice_free(page_items *items)


def splice(bytes body not None):
    """Return the items of a page as lines, their number, and the page with a member of no name in their place.

    None where it is for the reference to say whether it is a page.
    """
    cdef page_items items
    cdef const uint8_t *first = body
    cdef const uint8_t *limit = first + len(body)
    cdef uint8_t *to
    cdef splice_status status
    cdef bytes lines
    memset(&items, 0, sizeof(items))
    try:
        with nogil:
            status = splice_find(&items, first, limit)
        if status == SPLICE_NO_MEMORY:
            raise MemoryError
        if status != SPLICE_OK:
            return None
        lines = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>splice_room(&items))
        to = <uint8_t *>PyBytes_AS_STRING(lines)
        with nogil:
            splice_write(&items, first, to)
        return lines, items.count, body[:items.start] + b'"":0' + body[items.end:]
    finally:
        splice_free(&items)
