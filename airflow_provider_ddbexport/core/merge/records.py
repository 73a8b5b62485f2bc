"""The records of a merge under way: which shards of the base's parts are done, and what became of their lots."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.merge.merge_plan import MergePlan
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.commit import missing_parts
from airflow_provider_ddbexport.core.snapshot.parts import copy_part, put_part
from airflow_provider_ddbexport.core.snapshot.plan import digest_of
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.snapshot.record_json import part_fields, part_from_fields
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import ObjectNotFoundError, SnapshotDamagedError


@dataclass(frozen=True, slots=True)
class MergedLot:
    """What became of a lot of the base's parts.

    Attributes:
        part: of the merged snapshot; None where no row stays.
        gone: rows that the increments changed.
        there: how many of those the increments say were there.
        values: how many more values that are not null it has than the base's parts, by column; less than 0 are fewer.
    """

    part: Part | None
    gone: int
    there: int
    values: dict[str, int] = field(default_factory=dict, hash=False)


MergedShard = tuple[MergedLot, ...]
"""What became of the lots of a shard, in their order."""


class ShardRecords:
    """What is recorded of the shards of the lots of *plan* under *schema*. Threads may share it.

    Attributes:
        store: the folder of the plan's table.
        schema: of the parts.
    """

    def __init__(self, store: ObjectStore, plan: MergePlan, schema: Schema) -> None:
        self.store = store
        self.schema = schema
        self._plan = plan
        self._names = plan.parts_digest(schema)
        self._folder = layout.snapshot_folder(plan.publication.as_of)

    def done(self, shards: Iterable[int]) -> dict[int, MergedShard]:
        """Return what is recorded of those of *shards* whose parts are all there. Lists what is there once."""
        keys = {info.key for info in self.store.list(self._plan.publication.conversion)}
        found = {shard: self.recorded(shard) for shard in shards if self._key(shard) in keys}
        parts = [part for merged in found.values() for part in parts_of(merged or ())]
        missing = set(missing_parts(self.store, self._plan.publication.as_of, parts))
        return {
            shard: merged
            for shard, merged in found.items()
            if merged is not None and missing.isdisjoint(parts_of(merged))
        }

    def recorded(self, shard: int) -> MergedShard | None:
        """Return what is recorded of *shard*, whether or not its parts are still there; None where nothing is."""
        key = self._key(shard)
        try:
            body = self.store.read(key)
        except ObjectNotFoundError:
            return None
        try:
            return tuple(_lot_from_fields(fields) for fields in json.loads(body)["lots"])
        except (ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
            raise SnapshotDamagedError(
                f"{self.store.uri_of(key)}: expected a record of a merge under way, found something else "
                f"({type(error).__name__}); delete it and merge again",
                key=key,
            ) from None

    def put(self, lot: int, merged: MergedLot, path: Path) -> MergedLot:
        """Write the part of *merged*, what became of *lot*, which is in *path*, and return what to record.

        The part's sha256 is that of *path*; its key and size are not looked at. Repeating it is safe:
        a part of the same name has the same bytes, whoever merges it.
        """
        if merged.part is None:
            return merged
        part = self._described(lot, merged.part, path.stat().st_size)
        put_part(self.store, self._plan.survivors, part, path)
        return replace(merged, part=part)

    def copy(self, lot: int, part: Part, opened: BinaryIO) -> MergedLot:
        """Copy *part*, one of the base that is *opened* and all there is of *lot*, and return what to record."""
        copied = self._described(lot, part, part.size)
        copy_part(self.store, self._plan.survivors, copied, part, opened)
        return MergedLot(copied, 0, 0)

    def keep(self, shard: int, lots: Sequence[MergedLot]) -> MergedShard:
        """Record what became of the *lots* of *shard*, whose parts are written, and return that."""
        fields = {"lots": [_lot_fields(merged) for merged in lots]}
        self.store.write(self._key(shard), json.dumps(fields, ensure_ascii=False).encode())
        return tuple(lots)

    def _described(self, lot: int, part: Part, size: int) -> Part:
        folder = layout.partition_folder(self._plan.base.schema.partition_by, part.partition)
        # Rows that were read and written again have other bytes than spliced pages, so the bytes are in the name.
        name = layout.part_name(lot, digest_of([self._names, part.sha256]))
        return replace(part, key=f"{self._folder}/{folder}{name}", size=size)

    def _key(self, shard: int) -> str:
        return f"{self._plan.publication.conversion}/lots-{shard:05d}-{self._names[:8]}.json"


def parts_of(lots: Iterable[MergedLot]) -> tuple[Part, ...]:
    """Return the parts that became of *lots*."""
    return tuple(merged.part for merged in lots if merged.part is not None)


def _lot_fields(merged: MergedLot) -> dict[str, Any]:
    return {
        "part": None if merged.part is None else part_fields(merged.part),
        "gone": merged.gone,
        "there": merged.there,
        "values": merged.values,
    }


def _lot_from_fields(fields: dict[str, Any]) -> MergedLot:
    part = None if fields["part"] is None else part_from_fields(fields["part"])
    return MergedLot(part, fields["gone"], fields["there"], dict(fields["values"]))
