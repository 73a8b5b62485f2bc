# cython: language_level=3, binding=False
"""The Cython face of pages.c, sorted_keys.c, sparse.c and leaves.c."""

from cpython.buffer cimport PyBUF_READ, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memset


cdef extern from "sieve.h" nogil:
    ctypedef struct sieve:
        uint64_t *words
        uint64_t *rough
        uint64_t last, last_rough

    uint64_t sieve_words(uint64_t values, uint64_t most_bytes)
    uint64_t sieve_rough_words(uint64_t values, uint64_t most_bytes)


cdef extern from "pages.h" nogil:
    enum page_status:
        PAGE_OK
        PAGE_MALFORMED
        PAGE_NO_MEMORY

    enum page_values:
        pass

    ctypedef struct page_dictionary:
        pass

    ctypedef struct page:
        const uint8_t *at
        size_t size
        uint32_t entries
        int max_rep, max_def
        page_values values
        uint32_t width
        const page_dictionary *dictionary

    ctypedef struct page_half:
        uint8_t *at
        size_t size
        uint32_t entries, nulls

    ctypedef struct page_room:
        page_half halves[2]

    page_status page_split(page_room *room, const page *p, const uint8_t *gone, int64_t rows, int64_t *row, int kept)
    page_status page_sift(page_room *room, const page *p, sieve *s, int add, uint8_t *found, int64_t rows, int64_t *row)
    enum:
        PAGE_HEADER_ROOM

    size_t page_header(uint8_t *out, uint64_t size, uint64_t compressed, uint32_t entries, uint32_t encoding)
    page_status page_dictionary_init(page_dictionary *d, const uint8_t *at, size_t size, uint32_t count, uint32_t width)
    void page_dictionary_free(page_dictionary *d)
    void page_room_free(page_room *room)


cdef extern from "sorted_keys.h" nogil:
    ctypedef struct binary_array:
        const int32_t *offsets
        const uint8_t *bytes
        int64_t count

    int64_t places_in(const binary_array *table, const binary_array *keys, int32_t *which, int32_t *places)
    int64_t values_of(const binary_array *keys, int which, uint8_t type, int32_t *offsets, uint8_t *out)


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

    ctypedef struct sparse_levels:
        const uint8_t *bits
        int64_t offset, rows

    ctypedef struct sparse_page:
        size_t size
        int64_t lowest, highest

    size_t sparse_room(const sparse_levels *levels, const sparse_column *values)
    int64_t sparse_distinct(const sparse_column *column, int64_t wanted, int64_t *found)
    int64_t plain_end(const sparse_column *values, int64_t row, size_t most)
    size_t plain_size(const sparse_column *values, int64_t row, int64_t end)
    void plain_write(const sparse_column *values, int64_t row, int64_t end, uint8_t *out, sparse_page *page)
    void sparse_write(const sparse_levels *levels, const sparse_column *values, uint8_t *out, sparse_page *page)
    const uint8_t *sparse_statistic(const sparse_column *column, int64_t row, uint8_t *scratch, size_t *size)


FIXED, BYTE_ARRAYS, INDEXES, BITS, RUN_BITS = range(5)

cdef enum:
    PLAIN = 0


cdef class _Bytes:
    """Bytes that some object holds, until this is gone."""

    cdef Py_buffer view

    def __cinit__(self, data):
        PyObject_GetBuffer(data, &self.view, PyBUF_SIMPLE)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


cdef _require(page_status status):
    if status == PAGE_NO_MEMORY:
        raise MemoryError
    if status != PAGE_OK:
        raise ValueError("malformed page")


cdef class Sieve:
    """Values; one that was not given may be taken for one of them: a few in a million, or in a thousand of many values."""

    cdef sieve values

    def __cinit__(self, int64_t values, int64_t most_bytes):
        """Make room for *values*; with more than *most_bytes* are for, more are taken for one of them."""
        cdef uint64_t words = sieve_words(<uint64_t>values, <uint64_t>most_bytes)
        cdef uint64_t rough = sieve_rough_words(<uint64_t>values, <uint64_t>most_bytes)
        self.values.last = words - 1
        self.values.last_rough = rough - 1
        self.values.words = <uint64_t *>calloc(words, sizeof(uint64_t))
        # Where both are as many, the rough bits are among the others.
        self.values.rough = self.values.words if rough == words else <uint64_t *>calloc(rough, sizeof(uint64_t))
        if self.values.words is NULL or self.values.rough is NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.values.rough is not self.values.words:
            free(self.values.rough)
        free(self.values.words)


cdef class Room:
    """Memory that is used again for every page, one at a time."""

    cdef page_room memory

    def __cinit__(self):
        memset(&self.memory, 0, sizeof(self.memory))

    def __dealloc__(self):
        page_room_free(&self.memory)


cdef class Half:
    """Data pages, their bodies as compress(body) makes them, or as they are if that is None.

    Attributes:
        pieces: headers and bodies, one behind the other.
        size: bytes of them.
        entries, nulls: of all of them.
        uncompressed: bytes of them, and their headers, once uncompressed.
        encodings: how many there are of each.
    """

    cdef object compress
    cdef readonly list pieces
    cdef readonly int64_t size, entries, nulls, uncompressed
    cdef readonly dict encodings

    def __cinit__(self, compress):
        self.compress = compress
        self.pieces = []
        self.encodings = {}

    cdef add(self, int encoding, page_half *half):
        cdef uint8_t[PAGE_HEADER_ROOM] header
        cdef size_t size
        if not half.entries:
            return
        if self.compress is None:
            body = PyBytes_FromStringAndSize(<char *>half.at, <Py_ssize_t>half.size)
        else:
            body = self.compress(PyMemoryView_FromMemory(<char *>half.at, <Py_ssize_t>half.size, PyBUF_READ))
        size = page_header(header, half.size, len(body), half.entries, encoding)
        self._put(PyBytes_FromStringAndSize(<char *>header, <Py_ssize_t>size))
        self._put(body)
        self._count(encoding, size + half.size, half.entries, half.nulls)

    cdef add_whole(self, page, bytes body):
        self._put(body[page.start:page.end])
        self._count(page.encoding, page.body - page.start + page.uncompressed, page.entries, page.nulls)

    cdef _put(self, piece):
        self.pieces.append(piece)
        self.size += len(piece)

    cdef _count(self, int encoding, int64_t uncompressed, int64_t entries, int64_t nulls):
        self.uncompressed += uncompressed
        self.entries += entries
        self.nulls += nulls
        self.encodings[encoding] = self.encodings.get(encoding, 0) + 1


cdef class Splitter:
    """The pages of one column chunk, one after the other."""

    cdef Room room
    cdef page like
    cdef page_dictionary looked_up
    cdef _Bytes dictionary_page

    def __cinit__(self, int max_rep, int max_def, uint32_t width, Room room not None):
        self.room = room
        memset(&self.like, 0, sizeof(self.like))
        memset(&self.looked_up, 0, sizeof(self.looked_up))
        self.like.max_rep = max_rep
        self.like.max_def = max_def
        self.like.width = width
        self.like.dictionary = &self.looked_up

    def __dealloc__(self):
        page_dictionary_free(&self.looked_up)

    def dictionary(self, data, uint32_t count):
        cdef _Bytes page = _Bytes(data)
        self.dictionary_page = page
        _require(
            page_dictionary_init(
                &self.looked_up, <const uint8_t *>page.view.buf, <size_t>page.view.len, count, self.like.width
            )
        )

    def split(self, list pages not None, bytes body not None, unpacked, bytes gone not None, Half kept, Half dropped not None):
        """Deal the rows of *pages* of *body* to *kept*, unless it is None, and to *dropped* those that are *gone*.

        Pages that lose a row are unpacked(page): what they are uncompressed, and how their values are stored.
        """
        cdef const uint8_t *marks = gone
        cdef int64_t rows = len(gone), row = 0
        cdef bint keeps = kept is not None
        cdef uint32_t entries
        cdef int values
        cdef page_room *room = &self.room.memory
        cdef page_status status
        cdef page p
        for each in pages:
            entries = each.entries
            if each.nulls is not None and entries <= rows - row and memchr(marks + row, 1, entries) is NULL:
                row += entries
                if keeps:
                    kept.add_whole(each, body)
                continue
            data, values = unpacked(each)
            uncompressed = _Bytes(data)
            p = self._page(uncompressed, entries, values)
            with nogil:
                status = page_split(room, &p, marks, rows, &row, keeps)
            _require(status)
            if keeps:
                kept.add(each.encoding, &room.halves[0])
            dropped.add(PLAIN if values == INDEXES else each.encoding, &room.halves[1])

    def sift(self, data, uint32_t entries, int values, Sieve sieve not None, bint add, bytearray found not None, int64_t row):
        cdef _Bytes body = _Bytes(data)
        cdef uint8_t *marks = found
        cdef int64_t rows = len(found)
        cdef page_room *room = &self.room.memory
        cdef page_status status
        cdef page p = self._page(body, entries, values)
        with nogil:
            status = page_sift(room, &p, &sieve.values, add, marks, rows, &row)
        _require(status)
        return row

    cdef page _page(self, _Bytes body, uint32_t entries, int values):
        cdef page p = self.like
        p.at = <const uint8_t *>body.view.buf
        p.size = <size_t>body.view.len
        p.entries = entries
        p.values = <page_values>values
        return p


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


cdef _statistic(const sparse_column *column, int64_t row):
    cdef uint8_t[16] scratch
    cdef size_t size
    cdef const uint8_t *value
    if row < 0:
        return None
    value = sparse_statistic(column, row, scratch, &size)
    return PyBytes_FromStringAndSize(<const char *>value, <Py_ssize_t>size)


cdef _lay_out(sparse_column *column, int values, int width, tuple array):
    """Point *column* at the buffers of *array*, which have to stay."""
    offset, rows, buffers = array
    cdef const signed char[::1] validity = buffers[0]
    cdef const signed char[::1] fixed = buffers[1]
    cdef const signed char[::1] data = buffers[2] if len(buffers) > 2 else None
    column.values = <sparse_values>values
    column.validity = <const uint8_t *>&validity[0] if validity is not None and validity.shape[0] else NULL
    column.offset = offset
    column.rows = rows
    column.fixed = <const uint8_t *>&fixed[0] if fixed is not None and fixed.shape[0] else NULL
    column.bytes = <const uint8_t *>&data[0] if data is not None and data.shape[0] else NULL
    column.width = width


def sparse(int values, int width, tuple array not None, tuple levels not None):
    """Return the page, and the lowest and the highest value, None where there is none.

    *array* has the offset, the length and the buffers of the values, none of which is null; *levels* the offset, the
    length and the buffer of the bits that say which rows have one.
    """
    cdef const signed char[::1] bits = levels[2]
    cdef sparse_levels rows
    cdef sparse_column column
    cdef sparse_page page
    cdef uint8_t *out
    rows.offset, rows.rows = levels[:2]
    rows.bits = <const uint8_t *>&bits[0]
    _lay_out(&column, values, width, array)
    with nogil:
        out = <uint8_t *>malloc(sparse_room(&rows, &column))
        if out is not NULL:
            sparse_write(&rows, &column, out, &page)
    if out is NULL:
        raise MemoryError
    try:
        body = PyBytes_FromStringAndSize(<const char *>out, <Py_ssize_t>page.size)
        return body, _statistic(&column, page.lowest), _statistic(&column, page.highest)
    finally:
        free(out)


cdef class PlainPages:
    """Yields the pages of integers, doubles or byte arrays, none of which is null, each with its number of rows.

    *array* has their offset, length and buffers. A page has values of *most* bytes, or one value. It is written to
    *room*, which is made large enough for all of them, and lasts until the next.
    """

    cdef sparse_column column
    cdef sparse_page page
    cdef int64_t row
    cdef size_t most
    cdef tuple array
    cdef unsigned char[::1] room

    def __cinit__(self, int values, int width, tuple array not None, size_t most, bytearray room not None):
        cdef int64_t row = 0, end
        cdef size_t largest = 0
        _lay_out(&self.column, values, width, array)
        self.array = array
        self.page.lowest = self.page.highest = -1
        self.most = most
        while row < self.column.rows:
            end = plain_end(&self.column, row, most)
            largest = max(largest, plain_size(&self.column, row, end))
            row = end
        if <size_t>len(room) < largest:
            room.extend(bytes(largest - len(room)))
        self.room = room

    def __iter__(self):
        return self

    def __next__(self):
        cdef int64_t row = self.row
        if row >= self.column.rows:
            raise StopIteration
        with nogil:
            self.row = plain_end(&self.column, row, self.most)
            plain_write(&self.column, row, self.row, &self.room[0], &self.page)
        return self.room[:self.page.size], self.row - row

    @property
    def bounds(self):
        """The lowest and the highest of the values in the pages so far."""
        return _statistic(&self.column, self.page.lowest), _statistic(&self.column, self.page.highest)


def distinct(int values, int width, tuple array not None, int64_t wanted):
    """Return how many different values there are among the first *wanted* that are not null, and how many those are.

    *array* has the offset, the length and the buffers of an array.
    """
    cdef sparse_column column
    cdef int64_t found, different
    _lay_out(&column, values, width, array)
    with nogil:
        different = sparse_distinct(&column, wanted, &found)
    if different < 0:
        raise MemoryError
    return different, found


include "seed.pxi"
include "leaf_pages.pxi"
