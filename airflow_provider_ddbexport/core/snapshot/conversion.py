"""The records of a conversion under way: what was planned, and which shards are done.

They lie in the table's folder, out of sight of query engines, so that another task, or the next run after one that was
killed, goes on where this one was. They are gone when the snapshot is published.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.columns import (
    Observation,
    observation_from_json,
    observation_to_json,
    schema_from_json,
    schema_to_json,
)
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.snapshot.ahead import asked_ahead
from airflow_provider_ddbexport.core.snapshot.commit import missing_parts
from airflow_provider_ddbexport.core.snapshot.learnt import Under
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.snapshot.record_json import part_fields, part_from_fields
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import ObjectExistsError, ObjectNotFoundError, SnapshotDamagedError

_PLAN = "plan.json"
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, msgspec.ValidationError)


@dataclass(frozen=True, slots=True)
class ShardFigures:
    """What converting a shard took.

    Attributes:
        read_bytes: of its data files, compressed.
        json_bytes: of their lines.
        seconds: by stage: ``read``, ``decode``, ``encode``, ``store``, and ``widen``. Stages overlap.
        values: of its parts that are not null, by column.
    """

    read_bytes: int = 0
    json_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict, hash=False)
    values: dict[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What became of a shard.

    Attributes:
        shard: its number.
        items: in its files, all of them verified.
        parts: what was written, in order.
        under: what each of them was written under.
        is_built: whether the parts hold all its items; if not, it has to be converted again under another schema.
        observation: of its items; None where the schema was final before it was converted.
    """

    shard: int
    items: int
    parts: tuple[Part, ...]
    under: tuple[Under, ...]
    is_built: bool
    observation: Observation | None
    figures: ShardFigures = ShardFigures()

    def is_under(self, schema: Schema) -> bool:
        """Return whether all its items are in parts of *schema*."""
        return self.is_built and all(under.schema == schema for under in self.under)


class Gathered:
    """The records of many shards in little memory: what was observed is merged, and equal schemas are one.

    Attributes:
        records: as they were added, without what was observed.
        seen: what all their items hold.
    """

    def __init__(self) -> None:
        self.records: list[ShardRecord] = []
        self.seen = Observation()
        self._schemas: dict[Schema, Schema] = {}

    def add(self, record: ShardRecord) -> None:
        """Take in *record*."""
        if record.observation is not None:
            self.seen.merge(record.observation)
        under = tuple(Under(self._one(each.schema), self._one(each.asked)) for each in record.under)
        self.records.append(replace(record, under=under, observation=None))

    def _one(self, schema: Schema) -> Schema:
        return self._schemas.setdefault(schema, schema)

    def figures(self, adapted: Sequence[ShardRecord]) -> tuple[ShardFigures, ...]:
        """Return the figures of all that was done to the shards, whose records are now *adapted*, in the same order."""
        figures = [record.figures for record in adapted]
        # What was adapted took the first conversion as well, but has only the values of the parts that it has now.
        figures += [
            replace(before.figures, values={})
            for before, after in zip(self.records, adapted, strict=True)
            if before is not after
        ]
        return tuple(figures)


class Conversion:
    """The records of the conversion of *plan* in *table_store*, the folder of its table."""

    def __init__(self, table_store: ObjectStore, plan: ConversionPlan) -> None:
        self._store = table_store
        self._plan = plan

    def find(self, shard: int) -> ShardRecord | None:
        """Return what is recorded of *shard* under this plan, if its parts are still there."""
        record = self.recorded(shard)
        if record is None or (record.parts and missing_parts(self._store, self._plan.as_of, record.parts)):
            return None
        return record

    def done(self, shards: Iterable[int]) -> list[ShardRecord]:
        """Return what is recorded of those of *shards* whose parts are all there, without what was observed.

        Lists what is there once, whatever the number of shards.
        """
        keys = {info.key for info in self._store.list(self._plan.publication.conversion)}
        found = asked_ahead(self.recorded, [shard for shard in shards if self._key(shard) in keys])
        records = [replace(record, observation=None) for record in found if record is not None]
        parts = [part for record in records for part in record.parts]
        missing = set(missing_parts(self._store, self._plan.as_of, parts))
        return [record for record in records if missing.isdisjoint(record.parts)]

    def recorded(self, shard: int) -> ShardRecord | None:
        """Return what is recorded of *shard* under this plan, whether or not its parts are still there."""
        key = self._key(shard)
        try:
            body = self._store.read(key)
        except ObjectNotFoundError:
            return None
        try:
            return _shard_from_json(json.loads(body))
        except _DAMAGE as error:
            raise _damaged(self._store, key, error) from None

    def keep(self, record: ShardRecord) -> None:
        """Record what became of a shard. Repeating it is safe: it has the same parts whoever converts it."""
        body = json.dumps(_shard_to_json(record), ensure_ascii=False, separators=(",", ":"))
        self._store.write(self._key(record.shard), body.encode())

    def _key(self, shard: int) -> str:
        under = "" if self._plan.may_grow else f"-{self._plan.parts_digest(self._plan.schema)[:8]}"
        return f"{self._plan.publication.conversion}/shard-{shard:05d}{under}.json"


def begin(table_store: ObjectStore, plan: ConversionPlan) -> ConversionPlan:
    """Record *plan* and return it, or the one that another run has recorded for the same conversion."""
    key = f"{plan.publication.conversion}/{_PLAN}"
    try:
        table_store.create(key, plan.to_bytes())
    except ObjectExistsError:
        return find_plan(table_store, plan.publication.conversion) or plan
    return plan


def find_plan(table_store: ObjectStore, folder: str) -> ConversionPlan | None:
    """Return the plan recorded in *folder*; None where there is none. Raises SnapshotDamagedError."""
    key = f"{folder}/{_PLAN}"
    try:
        body = table_store.read(key)
    except ObjectNotFoundError:
        return None
    try:
        return ConversionPlan.from_json(json.loads(body))
    except _DAMAGE as error:
        raise _damaged(table_store, key, error) from None


def _damaged(store: ObjectStore, key: str, error: Exception) -> SnapshotDamagedError:
    return SnapshotDamagedError(
        f"{store.uri_of(key)}: expected a record of a conversion under way, found something else "
        f"({type(error).__name__}); delete the folder it is in and convert again",
        key=key,
    )


def _shard_to_json(record: ShardRecord) -> dict[str, Any]:
    distinct = list(dict.fromkeys(schema for under in record.under for schema in (under.schema, under.asked)))
    return {
        "shard": record.shard,
        "items": record.items,
        "is_built": record.is_built,
        "parts": [
            {
                **part_fields(part),
                "under": distinct.index(under.schema),
                "asked": distinct.index(under.asked),
            }
            for part, under in zip(record.parts, record.under, strict=True)
        ],
        "schemas": [schema_to_json(schema) for schema in distinct],
        "observation": None if record.observation is None else observation_to_json(record.observation),
        "figures": msgspec.to_builtins(record.figures),
    }


def _shard_from_json(fields: dict[str, Any]) -> ShardRecord:
    schemas = [schema_from_json(schema) for schema in fields["schemas"]]
    numbers = [part.pop("under") for part in fields["parts"]]
    asked = [part.pop("asked", number) for part, number in zip(fields["parts"], numbers, strict=True)]
    observation = fields["observation"]
    return ShardRecord(
        shard=fields["shard"],
        items=fields["items"],
        parts=tuple(part_from_fields(part) for part in fields["parts"]),
        under=tuple(Under(schemas[number], schemas[own]) for number, own in zip(numbers, asked, strict=True)),
        is_built=fields["is_built"],
        observation=None if observation is None else observation_from_json(observation),
        figures=msgspec.convert(fields["figures"], ShardFigures),
    )
