"""Thrift's compact protocol, as far as Parquet's footers use it: bytes to values and back to the same bytes.

No schema is needed, because every field says its type; so fields of later versions of Parquet come through unharmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, TypeAlias

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.errors import SnapshotDamagedError

_DEEPEST = 64
_FIELDS = range(-(1 << 15), 1 << 15)

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12

Struct: TypeAlias = dict[int, tuple[int, Any]]
"""Field number -> its type and value. They are written in the order of the numbers.

A value is an int of types BYTE to I64, bytes of BINARY and (eight of them) of DOUBLE, a Struct, and of LIST the type of
the elements and their values. Of TRUE and FALSE the type is the value, and in a LIST they are 1 and 2.
Where it is written, a Struct may be the bytes that it was written as before.
"""


def read_struct(body: bytes) -> Struct:
    """Return the struct at the beginning of *body*. Raises SnapshotDamagedError."""
    return read_struct_at(body, 0)[0]


def read_struct_at(body: bytes, start: int) -> tuple[Struct, int]:
    """Return the struct at *start*, and where it ends. Raises SnapshotDamagedError."""
    kernel = _kernel()
    try:
        if kernel is not None:
            found: tuple[Struct, int] = kernel.read_struct_at(body, start)
            return found
        reader = _Reader(body, start)
        return reader.struct(), reader.at
    except _MALFORMED as error:
        raise _refusal(error) from None


def read_structs(body: bytes, number: int) -> Iterator[Struct]:
    """Yield what field *number* of the struct at the beginning of *body* lists, which are structs, one at a time."""
    reader = _Reader(body)
    try:
        count = reader.find_list(number)
    except _MALFORMED as error:
        raise _refusal(error) from None
    at = reader.at
    for _ in range(count):
        struct, at = read_struct_at(body, at)
        yield struct


def write_struct(struct: Struct) -> bytes:
    """Return the bytes that :func:`read_struct` reads as *struct*."""
    kernel = _kernel()
    if kernel is not None:
        written: bytes = kernel.write_struct(struct)
        return written
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


def damaged(problem: str) -> SnapshotDamagedError:
    """Return the error for a file whose footer *problem* is told of; see :func:`.damage_named` for which file."""
    return SnapshotDamagedError(f"the footer of a Parquet file {problem}; convert the export again", problem=problem)


_MALFORMED = (IndexError, RecursionError, OverflowError, KeyError)


def _refusal(error: Exception) -> SnapshotDamagedError:
    match error:
        case IndexError():
            return damaged("ends too early")
        case RecursionError():
            return damaged("is nested too deep")
        case OverflowError():
            return damaged("has a number that is too large")
        case kind:
            return damaged(f"has a value of type {kind}")


_kernel = partial(load, "_thrift")


class _Reader:
    def __init__(self, body: bytes, start: int = 0) -> None:
        if start < 0:
            raise IndexError
        self._body = body
        self._depth = 0
        self.at = start

    def struct(self) -> Struct:
        found: Struct = {}
        self._go_deeper()
        number, kind = self._field(0)
        while kind:
            found[number] = kind, None if kind <= FALSE else self._value(kind)
            number, kind = self._field(number)
        self._depth -= 1
        return found

    def _go_deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise RecursionError

    def find_list(self, wanted: int) -> int:
        """Go to the elements of the list of structs in field *wanted*, and return how many they are."""
        number, kind = self._field(0)
        while kind and number != wanted:
            if kind > FALSE:
                self._pass_over(kind)
            number, kind = self._field(number)
        kind, count = self._list_header() if kind == LIST else (0, 0)
        if count and kind != STRUCT:
            raise damaged(f"has a list of type {kind} where one of structs belongs")
        return count

    def _pass_over(self, kind: int) -> None:
        if kind != LIST or self._body[self.at] & 0x0F != STRUCT:
            self._value(kind)
            return
        _, count = self._list_header()
        for _ in range(count):
            _, self.at = read_struct_at(self._body, self.at)

    def _field(self, last: int) -> tuple[int, int]:
        """Return number and type of the next field; type 0 is the end of the struct."""
        header = self._body[self.at]
        self.at += 1
        number = last + (header >> 4) if header >> 4 or not header else self._zigzag()
        if number not in _FIELDS:
            raise OverflowError
        return number, header & 0x0F

    def _value(self, kind: int) -> Any:
        if I16 <= kind <= I64:
            return self._zigzag()
        if kind == BINARY:
            return self._take(self._varint())
        if kind == LIST:
            return self._list()
        if kind == STRUCT:
            return self.struct()
        if kind == BYTE:
            return self._take(1)[0]
        if kind == DOUBLE:
            return self._take(8)
        raise KeyError(kind)

    def _list_header(self) -> tuple[int, int]:
        header = self._body[self.at]
        self.at += 1
        return header & 0x0F, header >> 4 if header >> 4 != 15 else self._varint()

    def _list(self) -> tuple[int, list[Any]]:
        kind, count = self._list_header()
        if kind in (TRUE, FALSE):
            return kind, list(self._take(count))
        self._go_deeper()
        values = [self._value(kind) for _ in range(count)]
        self._depth -= 1
        return kind, values

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = self._body[self.at]
        self.at += 1
        if number < 0x80:
            return number
        number &= 0x7F
        shift = 7
        while True:
            byte = self._body[self.at]
            self.at += 1
            if shift == 63 and byte > 1:
                raise OverflowError
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def _take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self._body):
            raise IndexError
        taken = self._body[self.at : end]
        self.at = end
        return taken


def _write_struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for number, (kind, value) in sorted(struct.items()):
        if 0 < number - last <= 15:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            write_varint(out, _zigzag(number))
        last = number
        _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if I16 <= kind <= I64:
        write_varint(out, _zigzag(value))
    elif kind == BINARY:
        write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        if isinstance(value, bytes):
            out += value
        else:
            _write_struct(out, value)
    elif kind == LIST:
        _write_list(out, *value)
    elif kind == BYTE:
        out.append(value)
    elif kind == DOUBLE:
        out += value


def _write_list(out: bytearray, kind: int, values: list[Any]) -> None:
    if len(values) < 15:
        out.append(len(values) << 4 | kind)
    else:
        out.append(0xF0 | kind)
        write_varint(out, len(values))
    if kind in (TRUE, FALSE):
        out += bytes(values)
    else:
        for value in values:
            _write_value(out, kind, value)


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def write_varint(out: bytearray, number: int) -> None:
    """Append *number*, which is not negative, seven bits to a byte."""
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
