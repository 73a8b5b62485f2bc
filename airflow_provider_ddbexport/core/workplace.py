"""The temporary folders that runs work in, and those that killed runs have left behind."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "ddbexport-"
_LOCK = "lock"


@contextmanager
def workplace() -> Iterator[Path]:
    """Give an empty folder that is gone afterwards; of a run that is killed, when the next one begins on this machine.

    The folder's lock is held as long as the process lives, however it ends.
    """
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as made:
        folder = Path(made)
        with (folder / "new").open("xb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Under this name only once it is held: nobody takes it for one that was left behind.
            (folder / "new").rename(folder / _LOCK)
            yield folder


def _sweep(place: Path) -> None:
    for left in place.glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            with left.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left.parent, ignore_errors=True)
        except OSError:
            # In use, another user's, or gone meanwhile.
            continue
