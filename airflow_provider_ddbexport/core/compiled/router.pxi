"""Many builders, and the one of them that each line goes to; part of _kernel.pyx."""

cdef extern from "routes.h" nogil:
    ctypedef struct lane:
        builder *builder
        int64_t most_rows

    ctypedef struct router:
        lane *lanes
        uint32_t lane_count
        int64_t bytes, most_bytes, full, rows

    int router_add_attribute(router *r, const uint8_t *name, uint32_t size)
    int router_open(router *r, builder *b, int64_t most_rows, uint32_t *index)
    int router_remember(router *r, uint32_t index, uint64_t not_in_path)
    void router_close(router *r, uint32_t index)
    void router_free(router *r)
    status router_find(router *r, const tape *t, uint32_t *index, uint64_t *not_in_path)
    status router_take(
        router *r, tape *t, const uint8_t *line, const uint8_t *limit, observer *o, const uint8_t **end
    ) except? INTERRUPTED
    status router_put(router *r, const tape *t, uint32_t index, uint64_t not_in_path, observer *o) except? INTERRUPTED
    void router_mark(router *r)
    void router_take_back(router *r)


cdef class Router(Lines):
    """Builds rows in lanes, each of which is a builder, by the attributes that make their path."""

    cdef router _router
    cdef dict _builders
    cdef readonly bint is_unrouted
    """Where the line goes that the last call stopped at is to be told by :meth:`add_to`."""

    def __cinit__(self, tuple attributes not None, int64_t most_bytes):
        cdef bytes name
        self._builders = {}
        self._router.most_bytes = most_bytes
        router_mark(&self._router)
        for attribute in attributes:
            name = attribute.encode()
            if not router_add_attribute(&self._router, <const uint8_t *><const char *>name, len(name)):
                raise MemoryError

    def __dealloc__(self):
        router_free(&self._router)

    @property
    def bytes(self):
        """Estimate of the size of the rows in all lanes."""
        return self._router.bytes

    @property
    def full(self):
        """The lane that the last row has filled; -1 where it has not."""
        return self._router.full

    @property
    def rows(self):
        """How many were appended since the last :meth:`mark`."""
        return self._router.rows

    def open(self, Builder builder not None, int64_t most_rows):
        """Return the number of a lane that *builder* is, full with *most_rows* or the router's *most_bytes*."""
        cdef uint32_t index
        if not router_open(&self._router, &builder._builder, most_rows, &index):
            raise MemoryError
        self._builders[index] = builder
        return index

    def close(self, uint32_t index):
        """Let go of the lane's builder."""
        self._lane(index)
        router_close(&self._router, index)
        del self._builders[index]

    def finish_sparse(self, uint32_t index, list types not None, int64_t most_rows):
        """Do what the lane's builder does, which may then get *most_rows* again."""
        cdef lane *one = self._lane(index)
        cdef Builder builder = self._builders[index]
        self._router.bytes -= builder._builder.bytes
        try:
            return builder.finish_sparse(types)
        finally:
            self._router.bytes += builder._builder.bytes
            one.most_rows = most_rows

    def mark(self):
        """Remember where the builders are, for :meth:`take_back`."""
        router_mark(&self._router)

    def take_back(self):
        """Forget their rows since then."""
        router_take_back(&self._router)

    def add(self, bytes lines not None, Py_ssize_t start, int64_t most_bytes, Observer seen_by=None):
        """Append lines from offset *start* until there are *most_bytes*, a lane is full, or a line is irregular or
        unrouted.

        Each is observed by *seen_by* as well, until that is full. Return the offset of the next line.
        """
        _check(lines, start)
        cdef const uint8_t *first = lines
        cdef const uint8_t *limit = first + len(lines)
        cdef const uint8_t *at = first + start
        cdef const uint8_t *end = at
        cdef observer *seen = NULL if seen_by is None else &seen_by._observer
        cdef status reason = OK
        self._router.full = -1
        with nogil:
            while at < limit:
                reason = router_take(&self._router, &self._tape, at, limit, seen, &end)
                if reason != OK:
                    break
                at = end + 1
                if self._router.full >= 0 or self._router.bytes >= most_bytes:
                    break
                if seen != NULL and seen_by._is_full():
                    break
        self._stopped(reason, at - first)
        return at - first

    def add_to(
        self, uint32_t index, uint64_t not_in_path, bytes lines not None, Py_ssize_t start, Observer seen_by=None
    ):
        """Append the line at offset *start*, which comes from the reference decoder or was unrouted, to the lane.

        Bits of *not_in_path* say which values the path does not hold. Return the offset of the next line.
        """
        _check(lines, start)
        self._lane(index)
        cdef const uint8_t *first = lines
        cdef const uint8_t *end = first + start
        cdef observer *seen = NULL if seen_by is None else &seen_by._observer
        cdef uint32_t known
        cdef uint64_t known_bits
        cdef status reason = parse_line(&self._tape, first + start, first + len(lines), 1, &end)
        if reason == OK:
            reason = router_find(&self._router, &self._tape, &known, &known_bits)
        if reason == UNROUTED:
            reason = OK if router_remember(&self._router, index, not_in_path) else NO_MEMORY
        if reason == OK:
            reason = router_put(&self._router, &self._tape, index, not_in_path, seen)
        self._stopped(reason, start)
        return start if self.is_irregular else end + 1 - first

    cdef lane *_lane(self, uint32_t index) except NULL:
        if index >= self._router.lane_count or self._router.lanes[index].builder == NULL:
            raise ValueError("no such lane")
        return &self._router.lanes[index]

    cdef _stopped(self, status reason, Py_ssize_t offset):
        self.is_irregular = reason == IRREGULAR
        self.is_unrouted = reason == UNROUTED
        if reason != OK and reason != IRREGULAR and reason != UNROUTED:
            _refuse(reason, offset)
