"""What shards of one process learn from each other: columns that their plan's sample did not show.

Without it each of them would begin without those columns, and all that it writes until it finds them itself would have
to be widened in the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_ddbexport.core.columns.grow import with_columns_of
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan


@dataclass(frozen=True, slots=True)
class Under:
    """What rows are written under.

    Attributes:
        schema: all their columns.
        asked: those that their items ask for, which decide alone where row groups and parts end; others are null.
    """

    schema: Schema
    asked: Schema


class Learnt:
    """Columns that shards of *plan* have found so far. Several threads may use it; it pickles.

    Who knows of them, and when, decides nothing but what is widened in the end: parts end where they would have without
    them, and are the same bytes once all are under one schema. Sorted rows know of none, for how many of them are a row
    group is told from what all their columns take.
    """

    def __init__(self, plan: ConversionPlan) -> None:
        self._plan = plan
        self._schema = plan.schema

    def add(self, schema: Schema) -> None:
        """Take in the columns of *schema*, which a shard goes on under."""
        # One of two threads at once may be forgotten, which costs no more than not to have known it.
        self._schema = self._beside(self._schema, schema)

    def under(self, asked: Schema) -> Under:
        """Return what to write rows under whose shard asks for *asked*: at most as many columns again are added."""
        wide = asked if self._plan.target.sort_by else self._beside(asked, self._schema)
        return Under(wide if len(wide.columns) <= 2 * len(asked.columns) else asked, asked)

    def _beside(self, schema: Schema, other: Schema) -> Schema:
        return with_columns_of(schema, other, self._plan.target.options, self._plan.table_schema)
