"""The Cython face of pages.c and page_split.c."""


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
        PAGE_UNKNOWN

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


cdef enum:
    PLAIN = 0


cdef _require(page_status status):
    if status == PAGE_NO_MEMORY:
        raise MemoryError
    if status == PAGE_UNKNOWN:
        raise NotImplementedError("page")
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
    """Data pages, their bodies as compress(body, entries) makes them, or as they are if that is None.

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
            page = PyMemoryView_FromMemory(<char *>half.at, <Py_ssize_t>half.size, PyBUF_READ)
            body = self.compress(page, half.entries)
        size = page_header(header, half.size, len(body), half.entries, encoding)
        self._put(PyBytes_FromStringAndSize(<char *>header, <Py_ssize_t>size))
        self._put(body)
        self._count(encoding, size + half.size, half.entries, half.nulls)

    cdef add_whole(self, page, bytes body):
        self._put(body[page.start:page.end])
        self._count(page.encoding, page.body - page.start + page.uncompressed, page.entries, page.nulls)

    def extend(self, Half more not None):
        """Add the pages of *more*."""
        self.pieces += more.pieces
        self.size += more.size
        self.entries += more.entries
        self.nulls += more.nulls
        self.uncompressed += more.uncompressed
        for encoding, count in more.encodings.items():
            self.encodings[encoding] = self.encodings.get(encoding, 0) + count

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
