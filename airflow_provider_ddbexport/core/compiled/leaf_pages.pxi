"""The Cython face of leaves.c."""


cdef extern from "leaves.h" nogil:
    ctypedef struct leaf_node:
        const uint8_t *validity
        const int32_t *offsets
        int64_t offset
        int is_nullable, is_list, is_sparse

    ctypedef struct leaf_entries:
        size_t count

    ctypedef struct leaf_values:
        size_t count
        uint32_t *numbers
        uint32_t different
        size_t dictionary_bytes

    ctypedef struct leaf_page:
        size_t entry, entries, value, values

    int leaf_begin(leaf_entries *entries, int64_t rows)
    int leaf_enter(leaf_entries *entries, const leaf_node *node)
    void leaf_entries_free(leaf_entries *entries)
    int leaf_find_values(leaf_values *values, const leaf_entries *entries, const sparse_column *column)
    int leaf_make_dictionary(leaf_values *values, size_t most)
    void leaf_write_dictionary(const leaf_values *values, uint8_t *out)
    void leaf_bounds(const leaf_values *values, int64_t *lowest, int64_t *highest)
    void leaf_values_free(leaf_values *values)
    void leaf_next_page(const leaf_entries *entries, const leaf_values *values, size_t most, leaf_page *page)
    size_t leaf_page_room(const leaf_values *values, const leaf_page *page)
    size_t leaf_write_page(const leaf_entries *entries, const leaf_values *values, const leaf_page *page, uint8_t *out)


cdef class LeafPages:
    """Yields the pages of the leaf of a column of so many *rows*, each with its number of entries.

    *nodes* are the arrays from the column to the leaf: the buffer of the validity, the offset, the buffer of offsets of
    lists, whether they are those, whether they may be null, and whether there is but what is not. *array* has the offset, the length and
    the buffers of the leaf. A page has rows of *most* bytes, or one row. It is written to *room*, which is made large
    enough for all of them, and lasts until the next.

    Attributes:
        entries, nulls: of all pages.
        dictionary: the page of it; None where there is none.
        different: values in the dictionary.
    """

    cdef leaf_entries found
    cdef leaf_values present
    cdef leaf_page page
    cdef sparse_column column
    cdef size_t most
    cdef tuple array
    cdef unsigned char[::1] room
    cdef readonly bytes dictionary

    def __cinit__(
        self, int64_t rows, list nodes not None, int values, int width, tuple array not None, size_t most,
        bint with_dictionary, bytearray room not None,
    ):
        cdef leaf_page page
        cdef size_t largest = 0
        cdef int done
        _lay_out(&self.column, values, width, array)
        self.array = array
        self.most = most
        with nogil:
            done = leaf_begin(&self.found, rows)
        _need(done)
        for node in nodes:
            self._enter(node)
        with nogil:
            done = leaf_find_values(&self.present, &self.found, &self.column)
            if done and with_dictionary:
                done = leaf_make_dictionary(&self.present, most)
        _need(done)
        self.dictionary = self._dictionary()
        memset(&page, 0, sizeof(page))
        with nogil:
            while page.entry + page.entries < self.found.count:
                leaf_next_page(&self.found, &self.present, most, &page)
                largest = max(largest, leaf_page_room(&self.present, &page))
        if <size_t>len(room) < largest:
            room.extend(bytes(largest - len(room)))
        self.room = room

    def __dealloc__(self):
        leaf_entries_free(&self.found)
        leaf_values_free(&self.present)

    cdef _enter(self, tuple like):
        cdef leaf_node node
        cdef int done
        validity, node.offset, offsets, node.is_list, node.is_nullable, node.is_sparse = like
        cdef const signed char[::1] bits = validity
        cdef const signed char[::1] ends = offsets
        node.validity = <const uint8_t *>&bits[0] if bits is not None and bits.shape[0] else NULL
        node.offsets = <const int32_t *>&ends[0] if ends is not None and ends.shape[0] else NULL
        with nogil:
            done = leaf_enter(&self.found, &node)
        _need(done)

    cdef bytes _dictionary(self):
        cdef bytes page
        cdef uint8_t *out
        if self.present.numbers is NULL:
            return None
        page = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>self.present.dictionary_bytes)
        out = page
        with nogil:
            leaf_write_dictionary(&self.present, out)
        return page

    def __iter__(self):
        return self

    def __next__(self):
        cdef size_t size
        if self.page.entry + self.page.entries >= self.found.count:
            raise StopIteration
        with nogil:
            leaf_next_page(&self.found, &self.present, self.most, &self.page)
            size = leaf_write_page(&self.found, &self.present, &self.page, &self.room[0])
        return self.room[:size], self.page.entries

    @property
    def entries(self):
        return self.found.count

    @property
    def nulls(self):
        return self.found.count - self.present.count

    @property
    def different(self):
        return self.present.different

    @property
    def bounds(self):
        """The lowest and the highest of the values; None where there is none."""
        cdef int64_t lowest, highest
        with nogil:
            leaf_bounds(&self.present, &lowest, &highest)
        return _statistic(&self.column, lowest), _statistic(&self.column, highest)


cdef _need(int done):
    if not done:
        raise MemoryError
