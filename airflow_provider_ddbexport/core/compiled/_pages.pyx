# cython: language_level=3, binding=False
"""What is done with the pages of parts: rows taken out of them, keys looked up, and pages written."""

from cpython.buffer cimport PyBUF_READ, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcpy, memset


FIXED, BYTE_ARRAYS, INDEXES, BITS, RUN_BITS = range(5)


cdef class _Bytes:
    """Bytes that some object holds, until this is gone."""

    cdef Py_buffer view

    def __cinit__(self, data):
        PyObject_GetBuffer(data, &self.view, PyBUF_SIMPLE)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


include "seed.pxi"
include "split_pages.pxi"
include "key_lookup.pxi"
include "sparse_pages.pxi"
include "leaf_pages.pxi"
