# cython: language_level=3, binding=False
"""Thrift's compact protocol, read and written as core/snapshot/parquet_thrift.py does, whose words for it hold here."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t, uint8_t

cdef enum:
    DEEPEST = 64
    LEAST_FIELD = -(1 << 15)
    MOST_FIELD = (1 << 15) - 1
    TRUE = 1
    FALSE = 2
    BYTE = 3
    I16 = 4
    I32 = 5
    I64 = 6
    DOUBLE = 7
    BINARY = 8
    LIST = 9
    STRUCT = 12


cdef class _Reader:
    cdef const uint8_t *body
    cdef Py_ssize_t at, size
    cdef int depth

    cdef uint8_t byte(self) except? 255:
        if self.at >= self.size:
            raise IndexError
        self.at += 1
        return self.body[self.at - 1]

    cdef uint64_t varint(self) except? 1:
        cdef uint64_t number = 0
        cdef int shift = 0
        cdef uint8_t byte
        while True:
            byte = self.byte()
            if shift == 63 and byte > 1:
                raise OverflowError
            number |= <uint64_t>(byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    cdef int64_t zigzag(self) except? 1:
        cdef uint64_t number = self.varint()
        return <int64_t>(number >> 1) ^ -<int64_t>(number & 1)

    cdef bytes take(self, uint64_t length):
        if length > <uint64_t>(self.size - self.at):
            raise IndexError
        self.at += <Py_ssize_t>length
        return PyBytes_FromStringAndSize(<const char *>self.body + self.at - length, <Py_ssize_t>length)

    cdef dict struct(self):
        cdef dict found = {}
        cdef int64_t number = 0
        cdef uint8_t header
        cdef int kind
        self.depth += 1
        if self.depth > DEEPEST:
            raise RecursionError
        while True:
            header = self.byte()
            if not header:
                self.depth -= 1
                return found
            kind = header & 0x0F
            number = number + (header >> 4) if header >> 4 else self.zigzag()
            if not LEAST_FIELD <= number <= MOST_FIELD:
                raise OverflowError
            if not kind:
                self.depth -= 1
                return found
            found[number] = kind, None if kind <= FALSE else self.value(kind)

    cdef object value(self, int kind):
        if I16 <= kind <= I64:
            return self.zigzag()
        if kind == BINARY:
            return self.take(self.varint())
        if kind == LIST:
            return self.list()
        if kind == STRUCT:
            return self.struct()
        if kind == BYTE:
            return self.byte()
        if kind == DOUBLE:
            return self.take(8)
        raise KeyError(kind)

    cdef tuple list(self):
        cdef uint8_t header = self.byte()
        cdef int kind = header & 0x0F
        cdef uint64_t count = header >> 4
        if count == 15:
            count = self.varint()
        if kind in (TRUE, FALSE):
            return kind, list(self.take(count))
        self.depth += 1
        if self.depth > DEEPEST:
            raise RecursionError
        cdef list values = []
        while count:
            values.append(self.value(kind))
            count -= 1
        self.depth -= 1
        return kind, values


def read_struct_at(bytes body not None, Py_ssize_t start):
    cdef _Reader reader = _Reader()
    if start < 0:
        raise IndexError
    reader.body = body
    reader.size = len(body)
    reader.at = start
    found = reader.struct()
    return found, reader.at


cdef _write_varint(bytearray out, uint64_t number):
    while number >= 0x80:
        out.append(<uint8_t>(number & 0x7F | 0x80))
        number >>= 7
    out.append(<uint8_t>number)


cdef _write_zigzag(bytearray out, int64_t number):
    _write_varint(out, (<uint64_t>number << 1) ^ <uint64_t>(number >> 63))


cdef _write_struct(bytearray out, dict struct):
    cdef int64_t last = 0, number
    cdef int kind
    for field in sorted(struct):
        number = field
        kind, value = struct[field]
        if 0 < number - last <= 15:
            out.append(<uint8_t>((number - last) << 4 | kind))
        else:
            out.append(<uint8_t>kind)
            _write_zigzag(out, number)
        last = number
        _write_value(out, kind, value)
    out.append(0)


cdef _write_value(bytearray out, int kind, value):
    if I16 <= kind <= I64:
        _write_zigzag(out, value)
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        if isinstance(value, bytes):
            out += value
        else:
            _write_struct(out, value)
    elif kind == LIST:
        _write_list(out, value[0], value[1])
    elif kind == BYTE:
        out.append(<uint8_t>value)
    elif kind == DOUBLE:
        out += value


cdef _write_list(bytearray out, int kind, list values):
    cdef Py_ssize_t count = len(values)
    if count < 15:
        out.append(<uint8_t>(count << 4 | kind))
    else:
        out.append(<uint8_t>(0xF0 | kind))
        _write_varint(out, count)
    if kind == TRUE or kind == FALSE:
        out += bytes(values)
    else:
        for value in values:
            _write_value(out, kind, value)


def write_struct(dict struct not None):
    cdef bytearray out = bytearray()
    _write_struct(out, struct)
    return bytes(out)
