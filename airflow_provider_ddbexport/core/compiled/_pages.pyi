from typing import Any

from typing_extensions import Buffer

FIXED: int
BYTE_ARRAYS: int
INDEXES: int
BITS: int
RUN_BITS: int

_Half = tuple[bytes, int, int]

class Splitter:
    def split(
        self, data: Buffer, entries: int, levels: tuple[int, int], values: int, width: int, gone: bytes, row: int
    ) -> tuple[_Half, _Half, int]: ...

def sparse(
    values: int, width: int, offset: int, rows: int, buffers: list[Any]
) -> tuple[bytes, int, bytes | None, bytes | None]: ...
def distinct(values: int, width: int, offset: int, rows: int, buffers: list[Any], wanted: int) -> tuple[int, int]: ...
