"""How large parts become."""

from __future__ import annotations

ROWS_PER_PART = 4_000_000
PART_BYTES = 256 << 20
"""Unless something else is asked for."""
