"""Shards dealt to mapped tasks: what a planning operator returns, and what each task finds in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_ddbexport.errors import BadCallError


def check_tasks(tasks: int) -> None:
    """Raise BadCallError unless shards can be dealt to so many tasks."""
    if not isinstance(tasks, int) or tasks < 1:
        raise BadCallError(f"shards: expected at least 1, found {tasks!r}")


def deal(table: str, conversion: str, numbers: Sequence[int], tasks: int) -> list[dict[str, Any]]:
    """Return one element for each of at most so many *tasks*; one without shards where there are no *numbers*."""
    place = {"table": table, "conversion": conversion}
    dealt = [{**place, "shards": list(numbers[task::tasks])} for task in range(min(tasks, len(numbers)))]
    return dealt or [{**place, "shards": []}]


@dataclass(frozen=True, slots=True)
class TaskShards:
    """What one task has to do.

    Attributes:
        conversion: folder of the plan in the table's folder.
        numbers: of the shards.
    """

    table: str
    conversion: str
    numbers: list[int]


def shards_of(shard: object, planner: str) -> TaskShards:
    """Return what is in one element of the XCom of *planner*. Raises BadCallError where it is none."""
    from airflow_provider_ddbexport.core.snapshot.layout import CONVERSIONS_FOLDER

    if isinstance(shard, Mapping) and {"table", "conversion", "shards"} <= set(shard):
        conversion, numbers = str(shard["conversion"]), list(shard["shards"])
        if conversion.startswith(f"{CONVERSIONS_FOLDER}/") or not numbers:
            return TaskShards(str(shard["table"]), conversion, numbers)
    found = f"keys {', '.join(map(str, shard))}" if isinstance(shard, Mapping) else type(shard).__name__
    raise BadCallError(
        f"shard: expected one element of what {planner} returned, found {found}; expand the task over that output"
    )
