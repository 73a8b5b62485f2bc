"""Whether compiled modules are of the sources that lie beside them, which a checkout may have changed since."""

from __future__ import annotations

import functools
import hashlib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

FOLDER = Path(__file__).parent
_SUFFIXES = (".c", ".h", ".pxi", ".pyx")


def note_sources(module: str) -> None:
    """Note that *module* was built of the sources as they are now, in a file beside it. Wheels have neither."""
    note_of(module).write_text(sources_digest(FOLDER))


def is_outdated(module: str) -> bool:
    """Return whether *module* was built of other sources than those that are there; False where it is not noted."""
    try:
        noted = note_of(module).read_text()
    except FileNotFoundError:
        return False
    return noted != sources_digest(FOLDER)


def note_of(module: str) -> Path:
    """Return where it is noted what this Python's *module* was built of."""
    return FOLDER / f"{module}{EXTENSION_SUFFIXES[0]}.built"


@functools.cache
def sources_digest(folder: Path) -> str:
    """Return the sha256 of all sources in *folder*. It takes a millisecond, once."""
    digest = hashlib.sha256()
    for name in sorted(path.name for path in folder.iterdir()):
        # What Cython made of a source is none.
        if name.endswith(_SUFFIXES) and not (name.startswith("_") and name.endswith(".c")):
            body = (folder / name).read_bytes()
            digest.update(f"{name} {len(body)}\n".encode())
            digest.update(body)
    return digest.hexdigest()
