"""How the values of parts are written."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def part_writer(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """Return what writes row groups of *schema* into *sink*. Chunks depend on nothing but their own values."""
    return pq.ParquetWriter(sink, schema, compression="zstd")
