"""Local files whose bytes are hashed as they are written, so that they need not be read again for that."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class HashedFile(io.BufferedWriter):
    """The file at *path*, opened in *mode* to be written piece by piece; *sha256* is updated with each."""

    def __init__(self, path: Path, mode: str, sha256: hashlib._Hash) -> None:
        super().__init__(io.FileIO(path, mode))
        self._sha256 = sha256

    def write(self, piece: Buffer, /) -> int:
        self._sha256.update(piece)
        return super().write(piece)
