"""From attribute names to column names that Glue, Athena and Spark take, and paths that name a place inside an item."""

from __future__ import annotations

import hashlib
import re

RESERVED = frozenset({"_rescued", "ddb_export_timestamp"})
"""Columns of every table that no attribute can have."""

MAX_LENGTH = 255
"""Characters of a column name in the Glue Catalog."""

_SAFE = re.compile(r"[a-z0-9_]{1,255}")


def is_safe(name: str) -> bool:
    """Return whether *name* can be a column's as it is."""
    return _SAFE.fullmatch(name) is not None


def column_name(attribute: str, *, prefix: str = "") -> str:
    """Return the column name of *attribute*: ``Order-Id`` -> ``order_id``, ``Größe`` -> ``gruf6udfe``.

    ASCII letters become lower case and other ASCII characters ``_``; what is beyond ASCII becomes ``u`` and its code
    point in hex, so that names of other scripts stay apart. With *prefix* it is ``prefix_name``. Too long a name is cut
    and ends in a hash of the whole, so that two long ones stay apart.
    """
    name = "".join(map(_safe_character, attribute)) or "_"
    if prefix:
        name = f"{prefix}_{name}"
    if len(name) > MAX_LENGTH:
        digest = hashlib.sha256(f"{prefix}_{attribute}".encode()).hexdigest()[:8]
        name = f"{name[: MAX_LENGTH - 9]}_{digest}"
    return name


def _safe_character(character: str) -> str:
    if not character.isascii():
        return f"u{ord(character):x}"
    return character.lower() if character.isalnum() else "_"


def shown_attribute(name: str) -> str:
    """Return *name*, an attribute's or a path, as one line of text: what is not printable is its code, ``\\u000a``."""
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in name)


def path_of(*steps: str) -> str:
    """Return the path of the place that *steps* lead to: ``("address", "a/b")`` -> ``address/a~1b``.

    Steps are attribute names, keys of maps and indexes in lists, written as in a JSON Pointer without its first ``/``.
    """
    return "/".join([step.replace("~", "~0").replace("/", "~1") for step in steps])


def join(path: str, step: str) -> str:
    """Return the path of *step* inside of the attribute or map at *path*."""
    return f"{path}/{path_of(step)}"


def steps_of(path: str) -> list[str]:
    """Return what :func:`path_of` was given."""
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]
