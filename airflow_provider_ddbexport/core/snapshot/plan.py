"""What a conversion will do, decided once, so that shards can be converted anywhere and give the same parts.

A plan is a value: it pickles, and :meth:`ConversionPlan.to_json` writes it as JSON for engines that want text. It
holds no client and no item.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.columns import ColumnOptions, schema_from_json, schema_to_json
from airflow_provider_ddbexport.core.columns.schema import Kind, Schema
from airflow_provider_ddbexport.core.export.model import DataFile, Export, ExportType
from airflow_provider_ddbexport.core.export.verify import CHECKED_BY_READING
from airflow_provider_ddbexport.core.part_size import PART_BYTES, ROWS_PER_PART
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.record import WRITER, Publication, Source
from airflow_provider_ddbexport.core.table_folder import check_table
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError

SORTED_KINDS = (Kind.STRING, Kind.NUMBER, Kind.BINARY, Kind.BOOLEAN)

FEW_SHARDS = 4
"""Shards of an export that is smaller than as many parts; fewer where :data:`SMALL_SHARD_BYTES` are enough for it."""

SMALL_SHARD_BYTES = 16 << 20
"""Compressed."""

MOST_PART_BYTES = 512 << 20
"""Far enough below what a store sends in one request, which leaves nothing behind when its process is killed."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a snapshot goes and how it is cut, before anything was read.

    Attributes:
        table: the table's folder.
        options: how values become columns.
        rows_per_part: rows of a part, at most.
        part_bytes: size at which a part ends, give or take one row group.
        sort_by: attributes by which the rows of each part are sorted; one may be given as text.
        conversion: folder of the records of the conversion, in the table's folder; "" for one of its own.
        is_accepted: whether a snapshot is published with these options; then no item need have what is sorted by.
    """

    table: str
    options: ColumnOptions
    rows_per_part: int = ROWS_PER_PART
    part_bytes: int = PART_BYTES
    sort_by: tuple[str, ...] = ()
    conversion: str = ""
    is_accepted: bool = False

    def __post_init__(self) -> None:
        given: object = self.sort_by
        object.__setattr__(self, "sort_by", (given,) if isinstance(given, str) else tuple(self.sort_by))
        check_table(self.table)
        if self.rows_per_part < 1 or self.part_bytes < 1:
            raise BadCallError(
                f"rows_per_part and part_bytes: expected at least 1, found {self.rows_per_part} and {self.part_bytes}"
            )

    def refuse_large_parts(self) -> None:
        """Raise BadCallError where parts may become larger than new snapshots may have them; published ones stay."""
        if self.part_bytes > MOST_PART_BYTES:
            raise BadCallError(
                f"part_bytes: expected at most {MOST_PART_BYTES} (512 MB), found {self.part_bytes}; engines read "
                "several parts of that size as fast as a larger one"
            )

    def options_json(self) -> dict[str, Any]:
        """Return all of it that decides what the parts hold, as JSON values."""
        cutting: dict[str, Any] = {"rows_per_part": self.rows_per_part, "part_bytes": self.part_bytes}
        if self.sort_by:
            cutting["sort_by"] = list(self.sort_by)
        return {**self.options.to_json(), **cutting}

    @classmethod
    def from_json(cls, table: str, options: Mapping[str, Any]) -> Target:
        """Return the target in *table* with the options that :meth:`options_json` gave."""
        columns = dict(options)
        rows_per_part, part_bytes = columns.pop("rows_per_part"), columns.pop("part_bytes")
        sort_by = columns.pop("sort_by", ())
        return cls(table, ColumnOptions.from_json(columns), rows_per_part, part_bytes, sort_by)

    def sort_columns(self, schema: Schema) -> list[str]:
        """Return the columns of *schema* that the rows of parts are sorted by, without those in their path."""
        by_attribute = {column.attribute: column for column in schema.columns if column.kind in SORTED_KINDS}
        columns = [by_attribute[attribute].name for attribute in self.sort_by if attribute in by_attribute]
        return [name for name in columns if name not in schema.partition_by]

    def refuse_unsortable(self, schema: Schema, *, is_sample: bool = False) -> None:
        """Raise BadCallError unless every attribute of ``sort_by`` has a column in *schema* that can be sorted by.

        With *is_sample* an attribute without a column is let pass: items that were not looked at may have it.
        """
        may_lack = is_sample or self.is_accepted
        kinds = {column.attribute: column.kind for column in schema.columns}
        for attribute in self.sort_by:
            kind = kinds.get(attribute)
            if kind not in SORTED_KINDS and not (may_lack and kind is None):
                found = (
                    "has no value of any type in any item; check its spelling, upper and lower case too"
                    if kind is None
                    else f"has a column of kind {kind.name}"
                )
                raise BadCallError(
                    "sort_by: expected attributes that are text, numbers, binaries or booleans, as keys are; "
                    f"{attribute!r} {found}",
                    attribute=attribute,
                )

    def digest(self, export: Export) -> str:
        """Return the hex digest of the export's contents and these options."""
        return digest_of({"source": export.digest, "options": self.options_json()})

    def publication(self, export: Export) -> Publication:
        """Return what the snapshot of *export* will be, once every file has been read."""
        summary = export.summary
        digest = self.digest(export)
        source = Source(
            uri=export.source,
            export_arn=summary.export_arn,
            export_type=summary.export_type.value,
            table_arn=summary.table_arn,
            table_id=summary.table_id,
            output_format=summary.output_format.value,
            digest=export.digest,
            files=len(export.files),
            item_count=summary.item_count,
            billed_bytes=summary.billed_bytes,
            verified=(*export.checked, *CHECKED_BY_READING),
            scan=summary.scan,
            keys=() if summary.scan is None else summary.scan.keys,
        )
        return Publication(
            table=self.table,
            as_of=summary.as_of,
            digest=digest,
            options=self.options_json(),
            source=source,
            rows=summary.item_count,
            # Another writer makes other parts, and another copy of the same data files may be the only one left.
            conversion=self.conversion
            or layout.conversion_folder(
                summary.as_of, digest_of({"contents": digest, "source": export.source, "writer": WRITER})
            ),
        )


@dataclass(frozen=True, slots=True)
class Shard:
    """Data files that one worker converts one after the other.

    Attributes:
        number: from 0.
        files: those that say they have no items are all in the first shard, to be verified as the others are.
    """

    number: int
    files: tuple[DataFile, ...]


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """Everything :func:`.convert_shard` and :func:`.publish` need to know.

    Attributes:
        export: with its files.
        target: where the snapshot goes, and its options.
        schema: what shards begin to build rows under: a guess from a sample of the items.
        table_schema: the table's columns when the plan was made, which the schema keeps; None before the first.
        may_grow: whether shards make room in the schema for what it lacks; not once all items are known.
    """

    export: Export
    target: Target
    shards: tuple[Shard, ...]
    schema: Schema
    table_schema: Schema | None
    may_grow: bool = True

    @property
    def as_of(self) -> datetime:
        """The instant the snapshot shows."""
        return self.export.summary.as_of

    @property
    def table(self) -> str:
        """The table's folder."""
        return self.target.table

    @property
    def publication(self) -> Publication:
        """What the snapshot will be."""
        return self.target.publication(self.export)

    def under(self, schema: Schema) -> ConversionPlan:
        """Return the plan of converting the same shards under *schema*, which has room for all items."""
        return replace(self, schema=schema, may_grow=False)

    def parts_digest(self, schema: Schema) -> str:
        """Hex digest of all that decides the bytes of the parts under *schema*; it is in their names."""
        return digest_of(
            {
                "contents": self.target.digest(self.export),
                "first": schema_to_json(self.schema),
                "schema": schema_to_json(schema),
                "writer": WRITER,
            }
        )

    def to_bytes(self) -> bytes:
        """Return the plan as JSON text. The same plan gives the same bytes."""
        return msgspec.json.format(msgspec.json.encode(self.to_json()), indent=1) + b"\n"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        places = {file: place for place, file in enumerate(self.export.files)}
        return {
            "table": self.table,
            "options": self.target.options_json(),
            "conversion": self.target.conversion,
            "is_accepted": self.target.is_accepted,
            "export": msgspec.to_builtins(self.export),
            "shards": [[places[file] for file in shard.files] for shard in self.shards],
            "schema": schema_to_json(self.schema),
            "table_schema": None if self.table_schema is None else schema_to_json(self.table_schema),
            "may_grow": self.may_grow,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ConversionPlan:
        """Return the plan that :meth:`to_json` wrote."""
        export = msgspec.convert(fields["export"], Export)
        table_schema = fields["table_schema"]
        return cls(
            export=export,
            target=replace(
                Target.from_json(fields["table"], fields["options"]),
                conversion=fields.get("conversion", ""),
                is_accepted=fields.get("is_accepted", False),
            ),
            shards=tuple(
                Shard(number, tuple(export.files[place] for place in places))
                for number, places in enumerate(fields["shards"])
            ),
            schema=schema_from_json(fields["schema"]),
            table_schema=None if table_schema is None else schema_from_json(table_schema),
            may_grow=fields["may_grow"],
        )


def digest_of(value: object) -> str:
    """Return the hex SHA-256 of *value*'s canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def by_contents(files: Iterable[DataFile]) -> list[DataFile]:
    """Return those of *files* that have items, in an order that depends on nothing but their contents."""
    return sorted((file for file in files if file.item_count), key=lambda file: (file.md5, file.key))


def shard_bytes(total: int, part_bytes: int) -> int:
    """Return the size at which a shard ends of files of *total* compressed bytes in all."""
    return min(part_bytes, max(SMALL_SHARD_BYTES, -(-total // FEW_SHARDS)))


def make_shards(
    files: Iterable[DataFile], sizes: Mapping[str, int], *, rows_per_part: int, part_bytes: int
) -> tuple[Shard, ...]:
    """Return the shards for *files*, equally large: each with about one part's items, so that parts are few and large.

    A smaller export has a few shards as well, so that there is something to do for several workers. Depends on nothing
    but the files' contents, so any number of workers makes the same parts. *sizes* are the files' compressed bytes by
    key; Parquet with zstd comes out near them. Only a file that is larger than *part_bytes* makes a shard that is.
    """
    ordered = sorted(files, key=lambda file: (file.item_count > 0, file.md5, file.key))
    left = sum(sizes.get(file.key, 0) for file in ordered)
    wanted = _parts_of(left, shard_bytes(left, part_bytes))
    shards: list[Shard] = []
    members: list[DataFile] = []
    rows = 0
    size = share = 0.0
    for file in ordered:
        file_bytes = sizes.get(file.key, 0)
        # A file more than fits would be a small part of its own. One more than a fair share is for the shard in which
        # its middle lies, so that workers have about as much to do.
        is_full = rows + file.item_count > rows_per_part or size + file_bytes > part_bytes
        if rows and (is_full or size + file_bytes / 2 > share):
            shards.append(Shard(len(shards), tuple(members)))
            members, rows, size = [], 0, 0
        if not members:
            share = left / max(wanted - len(shards), _parts_of(left, part_bytes))
        members.append(file)
        rows += file.item_count
        size += file_bytes
        left -= file_bytes
    if members or not shards:
        shards.append(Shard(len(shards), tuple(members)))
    return tuple(shards)


def _parts_of(size: int, most: int) -> int:
    """Return how many parts of at most *most* bytes *size* bytes are; at least one."""
    return max(1, -(-size // most))


def refuse_increment(export: Export) -> None:
    """Raise BadCallError when *export* holds changes and not a table."""
    if export.summary.export_type is ExportType.INCREMENTAL:
        raise BadCallError(
            f"{export.source}: expected a full export or a scan backup, found an incremental export, which holds "
            f"the changes since {iso(export.summary.from_time or export.summary.as_of)} and not the table; "
            "merge it into the snapshot before it (ddbexport merge, DynamoDBMergeIncrementsOperator), or convert a "
            f"full export as of {iso(export.summary.as_of)} instead",
            source=export.source,
        )
