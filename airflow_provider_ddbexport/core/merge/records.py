"""The records of a merge under way: which lots of the base's parts are done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.merge.merge_plan import MergePlan
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.commit import missing_parts
from airflow_provider_ddbexport.core.snapshot.parts import put_part
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


class LotRecords:
    """What is recorded of the lots of *plan* under *schema* in *table_store*, the folder of its table."""

    def __init__(self, table_store: ObjectStore, plan: MergePlan, schema: Schema) -> None:
        self._store = table_store
        self._plan = plan
        self._names = plan.parts_digest(schema)

    def done(self, lots: Iterable[int]) -> dict[int, MergedLot]:
        """Return what is recorded of those of *lots* whose parts are there. Lists what is there once."""
        keys = {info.key for info in self._store.list(self._plan.publication.conversion)}
        found = {lot: self.recorded(lot) for lot in lots if self._key(lot) in keys}
        parts = [merged.part for merged in found.values() if merged is not None and merged.part is not None]
        missing = set(missing_parts(self._store, self._plan.publication.as_of, parts))
        return {lot: merged for lot, merged in found.items() if merged is not None and merged.part not in missing}

    def recorded(self, lot: int) -> MergedLot | None:
        """Return what is recorded of *lot*, whether or not its part is still there; None where nothing is."""
        key = self._key(lot)
        try:
            body = self._store.read(key)
        except ObjectNotFoundError:
            return None
        try:
            fields = json.loads(body)
            part = None if fields["part"] is None else part_from_fields(fields["part"])
            return MergedLot(part, fields["gone"], fields["there"], dict(fields["values"]))
        except (ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
            raise SnapshotDamagedError(
                f"{self._store.uri_of(key)}: expected a record of a merge under way, found something else "
                f"({type(error).__name__}); delete it and merge again",
                key=key,
            ) from None

    def keep(self, lot: int, merged: MergedLot, path: Path) -> MergedLot:
        """Write the part of *merged*, which is in *path*, record what became of *lot*, and return that.

        The part's sha256 is that of *path*; its key and size are not looked at. Repeating it is safe:
        a part of the same name has the same bytes, whoever merges it.
        """
        part = merged.part
        if part is not None:
            part = self._described(lot, part, path)
            put_part(self._store, self._plan.survivors, part, path)
            merged = replace(merged, part=part)
        fields = {
            "part": None if part is None else part_fields(part),
            "gone": merged.gone,
            "there": merged.there,
            "values": merged.values,
        }
        self._store.write(self._key(lot), json.dumps(fields, ensure_ascii=False).encode())
        return merged

    def _described(self, lot: int, part: Part, path: Path) -> Part:
        folder = layout.partition_folder(self._plan.base.schema.partition_by, part.partition)
        # Rows that were read and written again have other bytes than spliced pages, so the bytes are in the name.
        name = layout.part_name(lot, digest_of([self._names, part.sha256]))
        key = f"{layout.snapshot_folder(self._plan.publication.as_of)}/{folder}{name}"
        return replace(part, key=key, size=path.stat().st_size)

    def _key(self, lot: int) -> str:
        return f"{self._plan.publication.conversion}/lot-{lot:05d}-{self._names[:8]}.json"
