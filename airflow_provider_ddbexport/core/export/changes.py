"""The changes of an incremental export's data files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.decode import Item, check_item
from airflow_provider_ddbexport.core.export.lines import DataFileReader
from airflow_provider_ddbexport.core.export.model import DataFile, Export, ExportType, OutputFormat
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadCallError, ItemError


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one key in the window of an incremental export.

    Attributes:
        write_micros: when it was last written, microseconds since 1970.
        keys: the key attributes.
        old_image: the item at the window's start; None for an insert, and always with NEW_IMAGE.
        new_image: the item at the window's end; None for a delete.
    """

    write_micros: int
    keys: Item
    old_image: Item | None
    new_image: Item | None


class _Micros(msgspec.Struct, forbid_unknown_fields=True):
    N: str


class _Metadata(msgspec.Struct):
    WriteTimestampMicros: _Micros


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    Metadata: _Metadata
    Keys: dict[str, Any]
    OldImage: dict[str, Any] | None = None
    NewImage: dict[str, Any] | None = None


class RawChange(msgspec.Struct, forbid_unknown_fields=True):
    """A change whose keys and images are JSON text still, not looked into; empty for no image."""

    Metadata: _Metadata
    Keys: msgspec.Raw
    OldImage: msgspec.Raw = msgspec.Raw()
    NewImage: msgspec.Raw = msgspec.Raw()


decode_raw_change = msgspec.json.Decoder(RawChange).decode
"""Return the RawChange that a line holds; raises msgspec.MsgspecError, UnicodeDecodeError or RecursionError."""


def read_changes(root: ObjectStore, export: Export, file: DataFile) -> DataFileReader[Change]:
    """Return the changes of *file* of an incremental export, to be iterated once; errors are as for read_items."""
    require_changes(export)
    return DataFileReader(root, export, file, decode_change)


def require_changes(export: Export) -> None:
    """Raise BadCallError unless *export* is an increment whose changes can be read."""
    if export.summary.export_type is not ExportType.INCREMENTAL:
        raise BadCallError(f"{export.source}: a full export holds items, not changes", uri=export.source)
    if export.summary.output_format is not OutputFormat.DYNAMODB_JSON:
        raise BadCallError(
            f"{export.source}: incremental exports are read as DYNAMODB_JSON only; export the window in that format",
            uri=export.source,
        )


def decode_change(line: bytes) -> Change:
    """Return the change that *line* holds. Raises ItemError with a reason."""
    try:
        raw = msgspec.json.decode(line, type=_Change)
        micros = int(raw.Metadata.WriteTimestampMicros.N)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        detail = f" ({error})" if isinstance(error, msgspec.DecodeError) else ""
        reason = f"expected a change with Metadata, Keys, OldImage and NewImage{detail}"
        raise ItemError(reason, reason=reason) from None
    if not raw.Keys:
        raise ItemError("expected a change with keys, found none", reason="expected a change with keys, found none")
    for image in (raw.Keys, raw.OldImage, raw.NewImage):
        if image is not None:
            check_item(image)
    return Change(micros, raw.Keys, raw.OldImage, raw.NewImage)
