"""How far a conversion is, for people who wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["verify", "convert", "adapt", "read", "merge"]
"""``verify`` reads what is to replace a snapshot; ``convert`` reads the export; ``adapt`` goes through those shards
again whose parts do not have the columns that all items together ask for. In a merge ``read`` reads the increments,
``convert`` what they left, and ``merge`` goes through the parts of the snapshot before, as ``verify`` does there."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage is.

    Attributes:
        items: read so far in this stage.
        total: items of the stage.
        bytes: compressed bytes read so far in this stage; of parts, their sizes.
    """

    stage: Stage
    items: int
    total: int
    bytes: int


OnProgress = Callable[[Progress], None]
"""What it raises ends the work: nothing is recorded of shards that are not done, and another run goes on with them."""


class ProgressCounter:
    """Adds up what workers tell, and tells the caller, one call after the other.

    Workers in this process tick as they go; those in other processes are heard of when a task is done.
    """

    def __init__(self, stage: Stage, total: int, progress: OnProgress | None) -> None:
        self._stage = stage
        self._total = total
        self._progress = progress
        self._counting = threading.Lock()
        self._ticked_items = self._ticked_bytes = 0
        self._finished_items = self._finished_bytes = 0

    def tick(self, items: int, size: int) -> None:
        """Count what was read since the last tick."""
        with self._counting:
            self._ticked_items += items
            self._ticked_bytes += size
            self._tell()

    def finish(self, items: int, size: int) -> None:
        """Count all of a task that is done."""
        with self._counting:
            self._finished_items += items
            self._finished_bytes += size
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            items = max(self._ticked_items, self._finished_items)
            size = max(self._ticked_bytes, self._finished_bytes)
            self._progress(Progress(self._stage, items, self._total, size))
