"""What a diff is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_ddbexport.core.decode import Item


class ChangeKind(StrEnum):
    """What became of a key between two snapshots."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """One key whose item is not the same in both snapshots.

    Attributes:
        old: the item in the earlier snapshot; None where it was added.
        new: the item in the later one; None where it was removed.
    """

    kind: ChangeKind
    old: Item | None
    new: Item | None


Take = Callable[[Change], None]


@dataclass(slots=True)
class Counts:
    """How many keys were added, changed, removed, and left as they were."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
