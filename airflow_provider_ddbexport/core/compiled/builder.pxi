"""Columns from lines; part of _kernel.pyx."""

cdef int _exact_double(const uint8_t *text, size_t size, double *value) except -1 with gil:
    # ASCII digits that were checked. What is raised comes from elsewhere: in the main thread, from handlers of signals.
    number = _double(text[:size].decode("ascii"))
    if number is None:
        return 0
    value[0] = number
    return 1


_COLUMN_KINDS = {
    "text": TEXT, "int64": NUMBER_INT64, "double": NUMBER_DOUBLE, "decimal": NUMBER_DECIMAL, "digits": NUMBER_TEXT,
    "binary": BINARY, "boolean": BOOLEAN, "list": LIST, "struct": STRUCT, "map": MAP, "flat": FLAT,
    "json": JSON, "path": PATH,
}
_TYPES = {"L": L, "SS": SS, "NS": NS, "BS": BS}

cdef class Builder(Lines):
    """Builds columns of lines.

    A column is ``(place, kind, type, precision, scale, label, children)``: place is its index among the arrays or -1,
    children are ``(attribute, column)``.
    """

    cdef builder _builder
    cdef uint32_t _leaves

    def __cinit__(self, root not None, uint32_t leaves, uint32_t max_counted):
        cdef column *made
        self._leaves = leaves
        if not builder_init(&self._builder, NULL, leaves, max_counted, _exact_double):
            raise MemoryError
        made = self._column(root)
        self._builder.root = made
        for i in range(leaves):
            if self._builder.leaves[i] == NULL:
                raise ValueError("a leaf is missing")

    cdef column *_column(self, spec) except NULL:
        place, kind_name, type_name, precision, scale, label, children = spec
        cdef bytes text = label.encode()
        cdef bytes name
        cdef column_kind kind = _COLUMN_KINDS[kind_name]
        cdef column *child
        cdef column *made = column_new(
            kind, _TYPES.get(type_name, M), precision, scale, <const uint8_t *><const char *>text, len(text)
        )
        if made == NULL:
            raise MemoryError
        try:
            for attribute, inner in children:
                name = attribute.encode()
                child = self._column(inner)
                if not column_add_child(made, <const uint8_t *><const char *>name, len(name), child):
                    column_free(child)
                    raise MemoryError
            if place >= 0:
                if place >= self._leaves:
                    raise ValueError("no such leaf")
                self._builder.leaves[<uint32_t>place] = made
        except:
            column_free(made)
            raise
        return made

    def __dealloc__(self):
        builder_free(&self._builder)

    @property
    def rows(self):
        """Rows since the last :meth:`finish`."""
        return self._builder.rows

    @property
    def bytes(self):
        """Estimate of their size."""
        return self._builder.bytes

    @property
    def direct_rows(self):
        """How many rows took no tape, over all batches."""
        return self._builder.direct_rows

    def rescued(self):
        """Return how many values were rescued, by path, over all batches."""
        cdef uint32_t i
        cdef const entry *counted
        found = {}
        for i in range(self._builder.counted.count):
            counted = &self._builder.counted.entries[i]
            found[counted.name[:counted.size].decode("utf-8")] = (<const tally *>counted.value).now
        return found

    def mark(self):
        """Remember where it is, for :meth:`take_back`."""
        builder_mark(&self._builder)

    def take_back(self):
        """Forget the rows since the last :meth:`mark` or :meth:`finish`."""
        builder_take_back(&self._builder)

    def add(
        self,
        bytes lines not None,
        Py_ssize_t start,
        int64_t most_rows,
        int64_t most_bytes,
        bint checked=False,
        Observer seen_by=None,
    ):
        """Append lines from offset *start* until there are *most_rows* or *most_bytes*, or one is irregular.

        Each is observed by *seen_by* as well, until that is full. Return the offset of the next line. *checked* lines
        come from the reference decoder.
        """
        _check(lines, start)
        cdef const uint8_t *first = lines
        cdef const uint8_t *limit = first + len(lines)
        cdef const uint8_t *at = first + start
        cdef const uint8_t *end = at
        cdef status reason = OK
        self._builder.observer = NULL if seen_by is None else &seen_by._observer
        with nogil:
            while at < limit:
                reason = build_line(&self._builder, &self._tape, at, limit, checked, &end)
                if reason != OK:
                    break
                at = end + 1
                if self._builder.rows >= most_rows or self._builder.bytes >= most_bytes:
                    break
                if self._builder.observer != NULL and seen_by._is_full():
                    break
        self._builder.observer = NULL
        self.is_irregular = reason == IRREGULAR
        if reason != OK and reason != IRREGULAR:
            _refuse(reason, at - first)
        return at - first

    def finish(self, schema):
        """Return the rows as a record batch of *schema*, and start anew."""
        cdef ArrowArray array
        self._finish(0, &array)
        try:
            # It moves what is in the array, so that nothing is left to release when it succeeds.
            return pa.RecordBatch._import_from_c(<uintptr_t>&array, schema)
        finally:
            if array.release != NULL:
                array.release(&array)

    def finish_sparse(self, list types not None):
        """Return an array of each of *types*, and start anew.

        For columns that are mostly null a pair of arrays: of each row, whether it has a value, and the values.
        """
        cdef ArrowArray array
        cdef ArrowArray *child
        cdef int64_t i
        cdef list columns = []
        self._finish(1, &array)
        try:
            if array.n_children != len(types):
                raise ValueError("types")
            for i in range(array.n_children):
                child = array.children[i]
                if child.n_buffers:
                    columns.append(_imported(child, types[i]))
                else:
                    columns.append((_imported(child.children[0], _BOOL), _imported(child.children[1], types[i])))
            return columns
        finally:
            array.release(&array)

    cdef _finish(self, int may_be_sparse, ArrowArray *array):
        cdef status reason
        memset(array, 0, sizeof(ArrowArray))
        with nogil:
            reason = builder_finish(&self._builder, may_be_sparse, array)
        if reason != OK:
            _refuse(reason, 0)


_BOOL = pa.bool_()


cdef _imported(ArrowArray *array, type_):
    # Moved, so that the array it is in does not release it.
    return pa.Array._import_from_c(<uintptr_t>array, type_)
