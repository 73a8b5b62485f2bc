"""The Cython face of sparse.c."""


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
