"""What the C library keeps of memory that was freed."""

from __future__ import annotations

import ctypes
import sys

_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of glibc's malloc.h."""
_LARGE_BYTES = 4 << 20


def give_large_blocks_back() -> None:
    """Blocks of 4 MB or more go back to the system as soon as they are freed, in this process, from now on.

    glibc raises that limit up to 32 MB by itself. The buffers that become row groups then lie among those that pages
    come and go in, in the arenas of many threads, and what is free between them grows with the table. Other C libraries
    are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
