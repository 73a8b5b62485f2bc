"""Pages compressed with zstd, and back, in memory that each thread keeps from one page to the next.

What pyarrow makes and throws away for each page takes longer than a small page itself, of which wide tables have
thousands; and zstd can be told what is in a page, which makes numbers a tenth smaller.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pyarrow as pa
import zstandard

if TYPE_CHECKING:
    from typing_extensions import Buffer

COMPRESSION_LEVEL = 1
"""Of zstd, everywhere in parts."""

_LONG_BYTES = 64
"""Of a value from which on level 1 is best as it is; shorter ones repeat where a smaller table finds them, too."""


class _Contexts(threading.local):
    """What zstd works with."""

    def __init__(self) -> None:
        self.long = zstandard.ZstdCompressor(COMPRESSION_LEVEL)
        self.short = _told(hash_log=13)
        # Of eight bytes the highest six are often those of another number.
        self.numbers = _told(hash_log=13, min_match=6)
        self.back = zstandard.ZstdDecompressor()


def _told(**parameters: int) -> zstandard.ZstdCompressor:
    level = zstandard.ZstdCompressionParameters.from_level(COMPRESSION_LEVEL, **parameters)
    return zstandard.ZstdCompressor(compression_params=level)


_contexts = _Contexts()
_arrow = pa.Codec("zstd")


def compress(page: Buffer, entries: int, *, are_numbers: bool) -> bytes:
    """Return *page*, of so many *entries*, compressed; the same page always becomes the same bytes."""
    view = memoryview(page)
    if view.nbytes >= _LONG_BYTES * entries:
        return _contexts.long.compress(view)
    return (_contexts.numbers if are_numbers else _contexts.short).compress(view)


def uncompress(packed: Buffer, size: int) -> bytes:
    """Return what was compressed to *packed*, whoever did it; that are *size* bytes. Raises ValueError or OSError."""
    view = memoryview(packed)
    try:
        if zstandard.frame_content_size(view) == size:
            return _contexts.back.decompress(view, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(f"malformed page: {error}") from None
    # There are writers that do not say how much it is, and that make more than one frame of a page.
    unpacked: bytes = _arrow.decompress(packed, size, asbytes=True)
    return unpacked
