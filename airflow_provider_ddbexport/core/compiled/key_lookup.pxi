"""The Cython face of sorted_keys.c, and other work on keys and their rows."""


cdef extern from "sorted_keys.h" nogil:
    ctypedef struct binary_array:
        const int32_t *offsets
        const uint8_t *bytes
        int64_t count

    int64_t places_in(const binary_array *table, const binary_array *keys, int32_t *which, int32_t *places)
    int64_t values_of(const binary_array *keys, int which, uint8_t type, int32_t *offsets, uint8_t *out)
    int64_t keys_size(const binary_array *parts, uint32_t attributes)
    void put_keys(const binary_array *parts, const uint8_t *types, uint32_t attributes, int32_t *offsets, uint8_t *out)
    int put_plain(const binary_array *texts, uint8_t *out, size_t room)
    int64_t plain_texts(const uint8_t *body, size_t size, int has_levels, int64_t most, int32_t *offsets, uint8_t *out)


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


def count_marks(data):
    """Return how many of the bytes in *data*, each of which is 0 or 1, are 1."""
    cdef _Bytes marks = _Bytes(data)
    cdef const uint8_t *at = <const uint8_t *>marks.view.buf
    cdef Py_ssize_t i, count = 0
    for i in range(marks.view.len):
        count += at[i]
    return count


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


def plain_page(texts):
    """Return *texts*, without nulls, as the plain values of a page."""
    cdef _Keys read = _Keys(texts)
    cdef int64_t count = read.array.count
    cdef int64_t size = 4 * count + read.array.offsets[count] - read.array.offsets[0]
    if size < 0:
        raise ValueError("texts")
    cdef bytes page = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(page)
    cdef int is_whole
    with nogil:
        is_whole = put_plain(&read.array, out, <size_t>size)
    if not is_whole:
        raise ValueError("texts")
    return page


def lines_at(data, const int64_t[::1] starts not None):
    """Return the lines of *data* that begin at *starts*, one behind the other, with their line breaks."""
    cdef _Bytes body = _Bytes(data)
    cdef const uint8_t *at = <const uint8_t *>body.view.buf
    cdef int64_t size = lines_size(at, body.view.len, starts)
    if size < 0:
        raise ValueError("lines")
    cdef bytes lines = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(lines)
    cdef Py_ssize_t i
    cdef int64_t length
    with nogil:
        for i in range(starts.shape[0]):
            length = line_size(at, body.view.len, starts[i])
            memcpy(to, at + starts[i], <size_t>length)
            to += length
    return lines


cdef int64_t lines_size(const uint8_t *at, int64_t size, const int64_t[::1] starts) noexcept nogil:
    """Return the bytes of those lines; -1 where one is none."""
    cdef int64_t sum_of = 0, length
    cdef Py_ssize_t i
    for i in range(starts.shape[0]):
        length = line_size(at, size, starts[i])
        if length < 0:
            return -1
        sum_of += length
    return sum_of


cdef int64_t line_size(const uint8_t *at, int64_t size, int64_t start) noexcept nogil:
    cdef const uint8_t *stop
    if start < 0 or start >= size:
        return -1
    stop = <const uint8_t *>memchr(at + start, 10, <size_t>(size - start))
    return -1 if stop is NULL else stop + 1 - (at + start)


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


def join_keys(bytes types not None, list columns not None):
    """Return the keys of the values in one or two *columns*, all as long and without nulls, and of *types*."""
    cdef binary_array[2] parts
    cdef uint32_t attributes = <uint32_t>len(columns), part
    cdef const uint8_t *letters = types
    cdef int64_t size
    if not 1 <= len(columns) <= 2 or len(types) != len(columns):
        raise ValueError("columns")
    cdef list read = [_Keys(column) for column in columns]
    for part in range(attributes):
        parts[part] = (<_Keys>read[part]).array
        if parts[part].count != parts[0].count:
            raise ValueError("columns")
    with nogil:
        size = keys_size(parts, attributes)
    if size < 0:
        raise ValueError("keys")
    if size > INT32_MAX:
        raise OverflowError("more than 2 GiB of keys")
    cdef bytearray offsets = bytearray(4 * (parts[0].count + 1)), keys = bytearray(size)
    cdef int32_t *ends = <int32_t *><char *>offsets
    cdef uint8_t *out = <uint8_t *><char *>keys
    with nogil:
        put_keys(parts, letters, attributes, ends, out)
    return offsets, keys


def texts(list bodies not None, bint has_levels, int64_t count):
    """Return the *count* texts, none of them null, that are the plain values of pages with these *bodies*."""
    cdef int64_t size = sum(map(len, bodies)), found = 0, more
    cdef _Bytes body
    if size > INT32_MAX or not 0 <= count <= size:
        raise ValueError("malformed page")
    cdef bytearray offsets = bytearray(4 * (count + 1)), contents = bytearray(size)
    cdef int32_t *ends = <int32_t *><char *>offsets
    cdef uint8_t *out = <uint8_t *><char *>contents
    for each in bodies:
        body = _Bytes(each)
        with nogil:
            more = plain_texts(
                <const uint8_t *>body.view.buf, <size_t>body.view.len, has_levels, count - found, ends + found, out
            )
        if more < 0:
            raise ValueError("malformed page")
        found += more
    if found != count:
        raise ValueError("malformed page")
    return offsets, contents
