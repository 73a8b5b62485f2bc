"""How far a merge is with the parts that it goes through."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_ddbexport.core.snapshot.progress import OnProgress, ProgressCounter, Stage
from airflow_provider_ddbexport.core.snapshot.record import Part


class PartsCounter:
    """Adds up the rows of *parts* that were gone through, and tells *progress*; see :class:`.ProgressCounter`."""

    def __init__(self, stage: Stage, parts: Sequence[Part], progress: OnProgress | None) -> None:
        self._counter = ProgressCounter(stage, sum(part.rows for part in parts), progress)

    def finish(self, parts: Sequence[Part]) -> None:
        """Count *parts*."""
        self._counter.finish(sum(part.rows for part in parts), sum(part.size for part in parts))
