"""What a conversion will do, decided once, so that shards can be converted anywhere and give the same parts.

A plan is a value: it pickles, and :meth:`ConversionPlan.to_json` writes it as JSON for engines that want text. It
holds no client and no item.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

import airflow_provider_ddbexport
from airflow_provider_ddbexport.core.columns import ColumnOptions, schema_from_json, schema_to_json
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.export.model import DataFile, Export, ExportType
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError

WRITER = f"airflow-provider-ddbexport {airflow_provider_ddbexport.__version__}, pyarrow {pa.__version__}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a snapshot goes and how it is cut, before anything was read.

    Attributes:
        table: the table's folder.
        options: how values become columns.
        rows_per_part: rows of a part, at most.
        part_bytes: size at which a part ends, give or take one row group.
    """

    table: str
    options: ColumnOptions
    rows_per_part: int = 1_000_000
    part_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        layout.check_table(self.table)
        if self.rows_per_part < 1 or self.part_bytes < 1:
            raise BadCallError(
                f"rows_per_part and part_bytes: expected at least 1, found {self.rows_per_part} and {self.part_bytes}"
            )

    def options_json(self) -> dict[str, Any]:
        """Return all of it that decides what the parts hold, as JSON values."""
        return {**self.options.to_json(), "rows_per_part": self.rows_per_part, "part_bytes": self.part_bytes}

    def digest(self, export: Export) -> str:
        """Return the hex digest of the export's contents and these options."""
        return digest_of({"source": export.digest, "options": self.options_json()})


@dataclass(frozen=True, slots=True)
class Shard:
    """Data files that one worker converts one after the other.

    Attributes:
        number: from 0.
        files: none for the one shard of an empty table.
    """

    number: int
    files: tuple[DataFile, ...]


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """Everything :func:`.convert_shard` and :func:`.publish` need to know.

    Attributes:
        export: with its files.
        schema: the snapshot's, agreed with the table's columns as they were then.
        schema_number: link of the chain of schemas that the schema was agreed with; 0 before the first.
        options: of the columns and of the cutting, as JSON values, for the commit record.
        digest: of source and options; becomes the commit record's.
        replaces: :func:`identity` of the published snapshot that this one shall replace; None for none. No other is
            withdrawn for this one.
        verified: what was checked of the source.
    """

    table: str
    export: Export
    schema: Schema
    schema_number: int
    options: Mapping[str, Any]
    rows_per_part: int
    part_bytes: int
    digest: str
    shards: tuple[Shard, ...]
    replaces: str | None
    verified: tuple[str, ...]

    @property
    def as_of(self) -> datetime:
        """The instant the snapshot shows."""
        return self.export.summary.as_of

    @property
    def parts_digest(self) -> str:
        """Hex digest of all that decides the bytes of the parts; it is in their names."""
        return digest_of({"contents": self.digest, "schema": schema_to_json(self.schema), "writer": WRITER})

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "table": self.table,
            "export": msgspec.to_builtins(self.export),
            "schema": schema_to_json(self.schema),
            "schema_number": self.schema_number,
            "options": dict(self.options),
            "rows_per_part": self.rows_per_part,
            "part_bytes": self.part_bytes,
            "digest": self.digest,
            "shards": msgspec.to_builtins(self.shards),
            "replaces": self.replaces,
            "verified": list(self.verified),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ConversionPlan:
        """Return the plan that :meth:`to_json` wrote."""
        return cls(
            table=fields["table"],
            export=msgspec.convert(fields["export"], Export),
            schema=schema_from_json(fields["schema"]),
            schema_number=fields["schema_number"],
            options=fields["options"],
            rows_per_part=fields["rows_per_part"],
            part_bytes=fields["part_bytes"],
            digest=fields["digest"],
            shards=msgspec.convert(fields["shards"], tuple[Shard, ...]),
            replaces=fields["replaces"],
            verified=tuple(fields["verified"]),
        )


def digest_of(value: object) -> str:
    """Return the hex SHA-256 of *value*'s canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def identity(record: CommitRecord) -> str:
    """Return text that tells this publication from every other one of the same time."""
    return f"{record.digest}@{iso(record.published_at)}"


def make_shards(
    files: Iterable[DataFile], sizes: Mapping[str, int], *, rows_per_part: int, part_bytes: int
) -> tuple[Shard, ...]:
    """Return the shards for *files*: each with about one part's items, so that parts are few and large.

    Depends on nothing but the files' contents, so any number of workers makes the same parts. *sizes* are the files'
    compressed bytes by key; Parquet with zstd comes out near them.
    """
    shards: list[Shard] = []
    members: list[DataFile] = []
    rows = size = 0
    for file in sorted((file for file in files if file.item_count), key=lambda file: (file.md5, file.key)):
        members.append(file)
        rows += file.item_count
        size += sizes.get(file.key, 0)
        if rows >= rows_per_part or size >= part_bytes:
            shards.append(Shard(len(shards), tuple(members)))
            members, rows, size = [], 0, 0
    if members or not shards:
        shards.append(Shard(len(shards), tuple(members)))
    return tuple(shards)


def refuse_increment(export: Export) -> None:
    """Raise BadCallError when *export* holds changes and not a table."""
    if export.summary.export_type is ExportType.INCREMENTAL:
        raise BadCallError(
            f"{export.source}: expected a full export or a scan backup, found an incremental export, which holds "
            f"the changes since {iso(export.summary.from_time or export.summary.as_of)} and not the table; "
            f"convert a full export as of {iso(export.summary.as_of)} instead",
            source=export.source,
        )
