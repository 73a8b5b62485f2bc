"""What a merge has to do at the least where every page loses rows: all of a snapshot's pages compressed again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from airflow_provider_ddbexport.core.snapshot.hashed_file import Crc32
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Chunk, row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_pages import COMPRESSION_LEVEL
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import read_struct_at

_PIECE_BYTES = 1 << 18

# Of a PageHeader.
_UNCOMPRESSED, _COMPRESSED = 2, 3


def compress_again(parts: Path, target: Path) -> None:
    """Write each page of *parts*, a folder of Parquet files with zstd, to *target* as it would be compressed anew.

    What is read and what is written is hashed, as a merge verifies the one and records the other. Nothing is decoded
    and no row goes, so *target* is no Parquet file.
    """
    codec = pa.Codec("zstd", COMPRESSION_LEVEL)
    # The one that keeps what is given back, which here is what is needed next.
    pool = pa.system_memory_pool()
    written, crc32 = hashlib.sha256(), Crc32()
    with target.open("wb") as out:
        for path in sorted(parts.rglob("*.parquet")):
            with path.open("rb") as part:
                read = Crc32()
                while piece := part.read(_PIECE_BYTES):
                    read.update(piece)
                for body, size in _pages(part):
                    page = codec.compress(codec.decompress(body, size, memory_pool=pool), memory_pool=pool)
                    written.update(page)
                    crc32.update(page)
                    out.write(page)


def _pages(part: BinaryIO) -> Iterator[tuple[memoryview, int]]:
    """Yield the compressed body of each page of *part*, and its size uncompressed."""
    for group in row_groups(part):
        for chunk in group.chunks:
            yield from _pages_of(chunk)


def _pages_of(chunk: Chunk) -> Iterator[tuple[memoryview, int]]:
    body = chunk.read()
    at = 0
    while at < len(body):
        header, start = read_struct_at(body, at)
        at = start + header[_COMPRESSED][1]
        yield memoryview(body)[start:at], header[_UNCOMPRESSED][1]
