"""The temporary folders that runs work in, and those that killed runs have left behind."""

from __future__ import annotations

import errno
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_ddbexport.errors import StorageError

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""``errno`` of an OSError."""

_PREFIX = "ddbexport-"
_LOCK = "lock"


@contextmanager
def workplace() -> Iterator[Path]:
    """Give an empty folder that is gone afterwards; of a run that is killed, when the next one begins on this machine.

    The folder's lock is held as long as the process lives, however it ends. Raises StorageError where the disk is full.
    """
    _sweep(Path(tempfile.gettempdir()))
    with full_disk_named(), tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as made:
        folder = Path(made)
        with (folder / "new").open("xb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Under this name only once it is held: nobody takes it for one that was left behind.
            (folder / "new").rename(folder / _LOCK)
            yield folder


@contextmanager
def full_disk_named() -> Iterator[None]:
    """Raise StorageError where there is no room for temporary files; stores have named their own disk by then."""
    place = tempfile.gettempdir()
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise StorageError(
            f"{place}: the disk is full, on which temporary files lie; make room there, or point TMPDIR at a larger "
            "disk, and run it again",
            uri=place,
        ) from error


def _sweep(place: Path) -> None:
    for left in place.glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            with left.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left.parent, ignore_errors=True)
        except OSError:
            # In use, another user's, or gone meanwhile.
            continue
