"""What AWS services answer, beside what they are to have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def says(found: Any, wanted: Any) -> bool:
    """Return whether *found*, as a service tells it, has everything *wanted* has; services add members of their own."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(says(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(says, found, wanted))
    return bool(found == wanted)
