"""What a merge has to do at the least where every page loses rows: all of a snapshot's pages compressed again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from airflow_provider_ddbexport.core.snapshot.hashed_file import Crc32
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Chunk, row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_pages import BYTES, TYPES
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import read_struct_at
from airflow_provider_ddbexport.core.snapshot.parquet_zstd import compress, uncompress

_PIECE_BYTES = 1 << 18

# Of a PageHeader; entries come first in that of data, and in that of a dictionary.
_UNCOMPRESSED, _COMPRESSED, _DATA_HEADER, _DICTIONARY_HEADER, _ENTRIES = 2, 3, 5, 7, 1


def compress_again(parts: Path, target: Path) -> None:
    """Write each page of *parts*, a folder of Parquet files with zstd, to *target* as it would be compressed anew.

    What is read and what is written is hashed, as a merge verifies the one and records the other. Nothing is decoded
    and no row goes, so *target* is no Parquet file.
    """
    written, crc32 = hashlib.sha256(), Crc32()
    with target.open("wb") as out:
        for path in sorted(parts.rglob("*.parquet")):
            with path.open("rb") as part:
                read = Crc32()
                while piece := part.read(_PIECE_BYTES):
                    read.update(piece)
                for body, size, entries, are_numbers in _pages(part):
                    page = compress(uncompress(body, size), entries, are_numbers=are_numbers)
                    written.update(page)
                    crc32.update(page)
                    out.write(page)


_Page = tuple[memoryview, int, int, bool]
"""A compressed body, its size uncompressed, how many entries it has, and whether they are numbers."""


def _pages(part: BinaryIO) -> Iterator[_Page]:
    """Yield the pages of *part*."""
    for group in row_groups(part):
        for chunk in group.chunks:
            yield from _pages_of(chunk)


def _pages_of(chunk: Chunk) -> Iterator[_Page]:
    body = chunk.read()
    at = 0
    while at < len(body):
        header, start = read_struct_at(body, at)
        at = start + header[_COMPRESSED][1]
        about = header.get(_DATA_HEADER) or header[_DICTIONARY_HEADER]
        yield memoryview(body)[start:at], header[_UNCOMPRESSED][1], about[1][_ENTRIES][1], chunk.type != TYPES[BYTES]
