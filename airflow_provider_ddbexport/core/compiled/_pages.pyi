from typing import Any

FIXED: int
BYTE_ARRAYS: int
INDEXES: int
BITS: int
RUN_BITS: int

_Half = tuple[bytes, int, int]

def split(
    data: bytes, entries: int, levels: tuple[int, int], values: int, width: int, gone: bytes, row: int
) -> tuple[_Half, _Half, int]: ...
def sparse(
    values: int, width: int, offset: int, rows: int, buffers: list[Any]
) -> tuple[bytes, int, bytes | None, bytes | None]: ...
