from collections.abc import Callable
from typing import Any

import pyarrow as pa
from typing_extensions import Buffer

FIXED: int
BYTE_ARRAYS: int
INDEXES: int
BITS: int
RUN_BITS: int

class Sieve:
    def __init__(self, values: int, most_bytes: int) -> None: ...

class Room: ...

class Half:
    pieces: list[Buffer]
    size: int
    entries: int
    nulls: int
    uncompressed: int
    encodings: dict[int, int]
    def __init__(self, compress: Callable[[Buffer, int], Buffer] | None) -> None: ...
    def extend(self, more: Half) -> None: ...

class Splitter:
    def __init__(self, max_rep: int, max_def: int, width: int, room: Room) -> None: ...
    def dictionary(self, data: Buffer, count: int) -> None: ...
    def split(
        self,
        pages: list[Any],
        body: bytes,
        unpacked: Callable[[Any], tuple[Buffer, int]],
        gone: bytes,
        kept: Half | None,
        dropped: Half,
    ) -> None: ...
    def sift(
        self, data: Buffer, entries: int, values: int, sieve: Sieve, add: bool, found: bytearray, row: int
    ) -> int: ...

_Array = tuple[int, int, list[Any]]
_Levels = tuple[int, int, Buffer]

def places(table: pa.BinaryArray, keys: pa.BinaryArray) -> tuple[bytearray, bytearray]: ...
def join_keys(types: bytes, columns: list[pa.BinaryArray]) -> tuple[bytearray, bytearray]: ...
def texts(bodies: list[bytes], has_levels: bool, count: int) -> tuple[bytearray, bytearray]: ...
def plain_page(texts: pa.BinaryArray) -> bytes: ...
def lines_at(data: Buffer, starts: Buffer) -> bytes: ...
def count_marks(marks: Buffer) -> int: ...
def narrow(marks: bytearray, among: bytes) -> None: ...
def values(keys: pa.BinaryArray, which: int, kind: int) -> tuple[int, bytearray, bytearray]: ...
def sparse(values: int, width: int, array: _Array, levels: _Levels) -> tuple[bytes, bytes | None, bytes | None]: ...

class PlainPages:
    bounds: tuple[bytes, bytes]
    def __init__(self, values: int, width: int, array: _Array, most: int, room: bytearray) -> None: ...
    def __iter__(self) -> PlainPages: ...
    def __next__(self) -> tuple[Buffer, int]: ...

class LeafPages:
    dictionary: bytes | None
    different: int
    entries: int
    nulls: int
    bounds: tuple[bytes | None, bytes | None]
    def __init__(
        self,
        rows: int,
        nodes: list[tuple[Buffer | None, int, Buffer | None, bool, bool]],
        values: int,
        width: int,
        array: _Array,
        most: int,
        with_dictionary: bool,
        room: bytearray,
    ) -> None: ...
    def __iter__(self) -> LeafPages: ...
    def __next__(self) -> tuple[Buffer, int]: ...

def distinct(values: int, width: int, array: _Array, wanted: int) -> tuple[int, int]: ...
