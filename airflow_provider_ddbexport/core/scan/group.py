"""Groups of pages on their way to a data file."""

from __future__ import annotations

import base64
import hashlib
import zlib
from concurrent.futures import Executor, Future
from pathlib import Path

from isal import isal_zlib

from airflow_provider_ddbexport.core.scan.page import Page

_GZIP = zlib.MAX_WBITS | 16
_LEVEL = 1
"""isal's level 1 is five times as fast as zlib's and packs as well; level 3 gains 2 % and takes twice the time."""


class PageGroup:
    """One data file being written to the local disk: gzip of the lines of pages, in the order they are added.

    Zipping is done by *zipper*, an executor of one thread, one page behind: the next page is fetched meanwhile.

    Attributes:
        pages, items, response_bytes, units: of the pages added.
        size: compressed bytes written so far.
        md5: base64, once closed.
    """

    def __init__(self, path: Path, zipper: Executor) -> None:
        """Create *path*."""
        self.path = path
        self.pages = 0
        self.items = 0
        self.response_bytes = 0
        self.units = 0.0
        self.size = 0
        self.md5 = ""
        self._zipper = zipper
        self._file = path.open("xb")
        self._gzip = isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._hash = hashlib.md5(usedforsecurity=False)
        self._behind: Future[None] | None = None

    def add(self, page: Page) -> None:
        """Append *page*'s lines; returns when those of the page before are written."""
        self._wait()
        if page.lines:
            self._behind = self._zipper.submit(self._zip, page.lines)
        self.pages += 1
        self.items += page.items
        self.response_bytes += page.response_bytes
        self.units += page.consumed_units

    def close(self) -> None:
        """End the file; it is whole on the local disk."""
        self._wait()
        self._write(self._gzip.flush())
        self._file.close()
        self.md5 = base64.b64encode(self._hash.digest()).decode()

    def discard(self) -> None:
        """Remove the file, closed or not."""
        try:
            self._wait()
        finally:
            self._file.close()
            self.path.unlink(missing_ok=True)

    def _wait(self) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.result()

    def _zip(self, lines: bytes) -> None:
        self._write(self._gzip.compress(lines))

    def _write(self, zipped: bytes) -> None:
        self._hash.update(zipped)
        self.size += len(zipped)
        self._file.write(zipped)
