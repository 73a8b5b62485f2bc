FIXED: int
BYTE_ARRAYS: int
INDEXES: int
BITS: int
RUN_BITS: int

_Half = tuple[bytes, int, int]

def split(
    data: bytes, entries: int, levels: tuple[int, int], values: int, width: int, gone: bytes, row: int
) -> tuple[_Half, _Half, int]: ...
