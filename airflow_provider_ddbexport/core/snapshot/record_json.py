"""Commit records as JSON, there and back."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.columns import schema_from_json, schema_to_json
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part, Source
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import InvalidTimeError, SnapshotDamagedError

FORMAT = 1
"""Of the records written; a reader refuses a higher one."""


def record_to_json(record: CommitRecord) -> bytes:
    """Return *record* as indented JSON text. The same record gives the same bytes."""
    return json.dumps(record_fields(record), ensure_ascii=False, indent=1).encode() + b"\n"


def record_fields(record: CommitRecord) -> dict[str, Any]:
    """Return *record* as JSON values."""
    return {
        "format": FORMAT,
        "table": record.table,
        "as_of": iso(record.as_of),
        "published_at": iso(record.published_at),
        "rows": record.rows,
        "digest": record.digest,
        "writer": record.writer,
        "options": record.options,
        "rescued": dict(sorted(record.rescued.items())),
        "source": msgspec.to_builtins(record.source),
        "report": record.report,
        "schema": schema_to_json(record.schema),
        "parts": [part_fields(part) for part in record.parts],
    }


def part_fields(part: Part) -> dict[str, Any]:
    """Return *part* as JSON values; what is empty is left out."""
    fields: dict[str, Any] = msgspec.to_builtins(part)
    return {name: value for name, value in fields.items() if value or name in ("rows", "size")}


def part_from_fields(fields: dict[str, Any]) -> Part:
    """Return the part that :func:`part_fields` wrote. Raises msgspec.ValidationError."""
    return msgspec.convert(fields, Part)


def record_from_json(body: bytes, *, where: str) -> CommitRecord:
    """Return the record in *body*, which was read from *where*.

    Raises SnapshotDamagedError when it is none, or one of a later format than this version knows.
    """
    try:
        fields = json.loads(body)
        if fields["format"] > FORMAT:
            raise SnapshotDamagedError(
                f"{where}: commit record of format {fields['format']}, this version reads formats up to {FORMAT}; "
                f"upgrade airflow-provider-ddbexport",
                where=where,
            )
        return CommitRecord(
            table=fields["table"],
            as_of=parse_time(fields["as_of"]),
            published_at=parse_time(fields["published_at"]),
            rows=fields["rows"],
            parts=tuple(part_from_fields(part) for part in fields["parts"]),
            schema=schema_from_json(fields["schema"]),
            source=msgspec.convert(fields["source"], Source),
            digest=fields["digest"],
            options=fields["options"],
            rescued=fields["rescued"],
            writer=fields["writer"],
            report=fields.get("report", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError, InvalidTimeError, msgspec.ValidationError) as error:
        raise SnapshotDamagedError(
            f"{where}: expected a commit record, found something else ({type(error).__name__}); "
            f"restore the object, or delete it and convert the export again",
            where=where,
        ) from None
