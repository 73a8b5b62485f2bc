"""The Cython face of sorted_keys.c, and other work on keys and their rows."""


cdef extern from "sorted_keys.h" nogil:
    ctypedef struct binary_array:
        const int32_t *offsets
        const uint8_t *bytes
        int64_t count

    int64_t places_in(const binary_array *table, const binary_array *keys, int32_t *which, int32_t *places)
    int64_t values_of(const binary_array *keys, int which, uint8_t type, int32_t *offsets, uint8_t *out)


cdef class _Keys:
    """pyarrow's BinaryArray of keys."""

    cdef _Bytes offsets, contents
    cdef binary_array array

    def __cinit__(self, keys):
        cdef int64_t start = keys.offset, count = len(keys)
        _, offsets, contents = keys.buffers()
        self.offsets = _Bytes(offsets or bytes(4))
        self.contents = _Bytes(contents or b"")
        if 4 * (start + count + 1) > self.offsets.view.len:
            raise ValueError("keys")
        self.array.offsets = <const int32_t *>self.offsets.view.buf + start
        self.array.bytes = <const uint8_t *>self.contents.view.buf
        self.array.count = count
        if self.array.offsets[count] > self.contents.view.len:
            raise ValueError("keys")


def places(table, keys):
    cdef _Keys among = _Keys(table), wanted = _Keys(keys)
    cdef bytearray which = bytearray(4 * wanted.array.count), found = bytearray(4 * wanted.array.count)
    cdef int32_t *numbers = <int32_t *><char *>which
    cdef int32_t *out = <int32_t *><char *>found
    cdef int64_t count
    with nogil:
        count = places_in(&among.array, &wanted.array, numbers, out)
    return which[:4 * count], found[:4 * count]


def narrow(bytearray marks not None, bytes among not None):
    """Leave those of the *marks* that *among*, which has a byte for each of them, has too."""
    cdef uint8_t *at = <uint8_t *><char *>marks
    cdef const uint8_t *kept = among
    cdef Py_ssize_t i, found = 0
    for i in range(len(marks)):
        if at[i]:
            if found == len(among):
                raise ValueError("marks")
            at[i] = kept[found]
            found += 1


def lines_at(data, list starts not None):
    """Return the lines of *data* that begin at *starts*, one behind the other, with their line breaks."""
    cdef _Bytes body = _Bytes(data)
    cdef const char *at = <const char *>body.view.buf
    cdef const char *end = at + body.view.len
    cdef const char *line
    cdef const char *stop
    cdef bytearray lines = bytearray()
    cdef int64_t start
    for start in starts:
        if start < 0 or start >= body.view.len:
            raise ValueError("lines")
        line = at + start
        stop = <const char *>memchr(line, 10, <size_t>(end - line))
        if stop is NULL:
            raise ValueError("lines")
        lines += line[:stop + 1 - line]
    return bytes(lines)


def values(keys, int which, uint8_t kind):
    cdef _Keys read = _Keys(keys)
    cdef int64_t count = read.array.count
    cdef bytearray offsets = bytearray(4 * (count + 1))
    cdef bytearray contents = bytearray(read.array.offsets[count] - read.array.offsets[0])
    cdef int32_t *starts = <int32_t *><char *>offsets
    cdef uint8_t *out = <uint8_t *><char *>contents
    with nogil:
        count = values_of(&read.array, which, kind, starts, out)
    if count < 0:
        raise ValueError("keys")
    return count, offsets, contents
