# cython: language_level=3, binding=False
"""Whole lines of a file, read to where they stay."""

from cpython.buffer cimport PyBUF_WRITE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.string cimport memcpy


cdef extern from "Python.h":
    void Py_SET_SIZE(object text, Py_ssize_t size)


cdef Py_ssize_t _after_last_line(const char *text, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    while end > start and text[end - 1] != b"\n":
        end -= 1
    return end if end > start else 0


cdef void _cut(bytes text, Py_ssize_t size):
    # Without giving memory back: what is behind would keep the next block from fitting into the room of this one.
    PyBytes_AS_STRING(text)[size] = 0
    Py_SET_SIZE(text, size)


def read_lines(readinto, bytes rest not None, Py_ssize_t most):
    """Return the whole lines of *rest* and what is read behind it, what is left behind them, and how much was read.

    That are *most* bytes in all, or as many behind a long *rest*, which has no end of a line. *readinto* is a file's,
    and keeps nothing of where it reads to.
    """
    cdef Py_ssize_t before = len(rest), room = most if before <= most // 2 else before + most, size, end
    cdef bytes lines = PyBytes_FromStringAndSize(NULL, room)
    cdef char *text = PyBytes_AS_STRING(lines)
    memcpy(text, PyBytes_AS_STRING(rest), before)
    view = PyMemoryView_FromMemory(text + before, room - before, PyBUF_WRITE)
    try:
        size = readinto(view)
    finally:
        # From here on nobody writes to what is read as bytes.
        view.release()
    if not 0 <= size <= room - before:
        raise ValueError("size")
    end = _after_last_line(text, before, before + size)
    if not end:
        _cut(lines, before + size)
        return b"", lines, size
    rest = PyBytes_FromStringAndSize(text + end, before + size - end)
    _cut(lines, end)
    return lines, rest, size
