"""The record of a diff: what was compared, and what came out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from airflow_provider_ddbexport.core.columns import Schema, schema_from_json, schema_to_json
from airflow_provider_ddbexport.core.diff.changes import Counts
from airflow_provider_ddbexport.core.diff.layout import changes_folder, record_key
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.snapshot.record_json import part_fields, part_from_fields
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import InvalidTimeError, SnapshotDamagedError

FORMAT = 1
"""Of the records written; a reader refuses a higher one."""

Method = Literal["key join", "increments"]


@dataclass(frozen=True, slots=True)
class DiffRecord:
    """How two snapshots of a table differ.

    Attributes:
        table: the snapshots' folder in the lake.
        old, new: the instants that the two show.
        key: attributes of the table's key, by name.
        counts: keys by what became of them.
        method: ``key join`` of the snapshots, or ``increments``, whose changes they are.
        increments: ARNs of the exports for the latter, sorted.
        parts: in which the changes are; none where they were only counted.
        schema: of ``old`` and ``new`` in the parts.
        digest: of the two snapshots' contents and the key; two diffs with the same digest have the same changes.
        created_at: when this record was made.
        writer: name and version of what wrote the parts.
    """

    table: str
    old: datetime
    new: datetime
    key: tuple[str, ...]
    counts: Counts
    method: Method
    increments: tuple[str, ...]
    parts: tuple[Part, ...]
    schema: Schema
    digest: str
    created_at: datetime
    writer: str


def record_to_json(record: DiffRecord) -> bytes:
    """Return *record* as indented JSON text."""
    fields = {
        "format": FORMAT,
        "table": record.table,
        "from": iso(record.old),
        "to": iso(record.new),
        "key": list(record.key),
        **msgspec.to_builtins(record.counts),
        "method": record.method,
        "increments": list(record.increments),
        "digest": record.digest,
        "created_at": iso(record.created_at),
        "writer": record.writer,
        "schema": schema_to_json(record.schema),
        "parts": [part_fields(part) for part in record.parts],
    }
    return json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n"


def diff_figures(record: DiffRecord, output: ObjectStore | None) -> dict[str, Any]:
    """Return what tasks and shells tell of a diff: names and numbers, JSON values, nothing of the items.

    ``record`` is the address of what *output* holds; None where changes were only counted.
    """
    where = None
    if output is not None:
        where = output.child(changes_folder(record.table)).uri_of(record_key(record.old, record.new))
    return {
        "record": where,
        "table": record.table,
        "from": iso(record.old),
        "to": iso(record.new),
        "key": list(record.key),
        **msgspec.to_builtins(record.counts),
        "method": record.method,
        "parts": len(record.parts),
        "bytes": sum(part.size for part in record.parts),
    }


def record_from_json(body: bytes, *, where: str) -> DiffRecord:
    """Return the record in *body*, which was read from *where*. Raises SnapshotDamagedError when it is none."""
    try:
        fields: dict[str, Any] = json.loads(body)
        if fields["format"] > FORMAT:
            raise SnapshotDamagedError(
                f"{where}: record of format {fields['format']}, this version reads formats up to {FORMAT}; upgrade "
                "airflow-provider-ddbexport",
                where=where,
            )
        return DiffRecord(
            table=fields["table"],
            old=parse_time(fields["from"]),
            new=parse_time(fields["to"]),
            key=tuple(fields["key"]),
            counts=msgspec.convert({name: fields[name] for name in Counts.__slots__}, Counts),
            method=fields["method"],
            increments=tuple(fields["increments"]),
            parts=tuple(part_from_fields(part) for part in fields["parts"]),
            schema=schema_from_json(fields["schema"]),
            digest=fields["digest"],
            created_at=parse_time(fields["created_at"]),
            writer=fields["writer"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, InvalidTimeError, msgspec.ValidationError) as error:
        raise SnapshotDamagedError(
            f"{where}: expected the record of a diff, found something else ({type(error).__name__}); restore the "
            "object, or delete it and make the diff again",
            where=where,
        ) from None
