from typing import Any

import pyarrow as pa
from typing_extensions import Buffer

FIXED: int
BYTE_ARRAYS: int
INDEXES: int
BITS: int
RUN_BITS: int

_Half = tuple[bytes, int, int]

class Sieve:
    def __init__(self, values: int, most_bytes: int) -> None: ...

class Splitter:
    def __init__(self, max_rep: int, max_def: int, width: int) -> None: ...
    def dictionary(self, data: bytes, count: int) -> None: ...
    def split(
        self, data: Buffer, entries: int, values: int, gone: bytes, row: int, kept: bool
    ) -> tuple[_Half | None, _Half, int]: ...
    def sift(
        self, data: Buffer, entries: int, values: int, sieve: Sieve, add: bool, found: bytearray, row: int
    ) -> int: ...

_Array = tuple[int, int, list[Any]]
_Levels = tuple[int, int, Buffer]

def places(table: pa.BinaryArray, keys: pa.BinaryArray) -> bytearray: ...
def values(keys: pa.BinaryArray, which: int, kind: int) -> tuple[int, bytearray, bytearray]: ...
def sparse(values: int, width: int, array: _Array, levels: _Levels) -> tuple[bytes, bytes | None, bytes | None]: ...

class PlainPages:
    bounds: tuple[bytes, bytes]
    def __init__(self, values: int, width: int, array: _Array, most: int) -> None: ...
    def __iter__(self) -> PlainPages: ...
    def __next__(self) -> tuple[bytes, int]: ...

def distinct(values: int, width: int, array: _Array, wanted: int) -> tuple[int, int]: ...
